// What every engine can do.

/// One writer's way into an engine. Used by the thread that asked for it.
protocol EngineWriter {
  /// Inserts the keys that are not there.
  ///
  /// - Returns: how many those were.
  func insert(_ batch: EventBatch) throws -> Int
  /// How many of the keys are there.
  func lookup(_ batch: EventBatch) throws -> Int
  /// Makes what this writer wrote durable, where every writer has a store of its own.
  func finish() throws
}

/// What an engine counted; `nil` where it does not tell.
struct EngineCounters {
  var flushedBytes: UInt64?
  var writtenBytes: UInt64?
  var falsePositives: UInt64?
  var pagesRead: UInt64?
  var stallSeconds: Double?
  var longestCutMicros: Double?
}

/// An engine, open in a directory.
protocol Engine: AnyObject, Sendable {
  /// Whether it can be opened again.
  static var reopens: Bool { get }
  /// Whether it maps data files: their pages are not its memory.
  static var mapsFiles: Bool { get }
  /// All options in force.
  var options: [String] { get }
  func writer(_ index: Int) throws -> any EngineWriter
  /// Makes everything durable, when all writers have finished.
  func finish() throws
  /// Waits for the work that is due.
  func settle() throws
  /// Since it was opened.
  var counters: EngineCounters { get }
  /// Makes a checkpoint while writing goes on. All are made in the same directory, which keeps
  /// what they hold.
  ///
  /// - Returns: bytes that it added, where the engine tells.
  func checkpoint(_ number: Int, in directory: String) throws -> UInt64?
  func close() throws
}

extension EngineWriter {
  func finish() {}
}

extension EngineName {
  /// Opens the engine that a request names.
  ///
  /// - Parameter directory: it exists.
  func open(_ request: RunRequest, at directory: String) throws -> any Engine {
    switch self {
    case .sediment: try SedimentEngine(request, directory: directory)
    case .rocksdb, .rocksdbNaive: try RocksDBEngine(request, directory: directory)
    case .lmdb: try LMDBEngine(request, directory: directory)
    case .floor: try FloorEngine(request, directory: directory)
    }
  }

  /// Makes the directory in which a new process would find checkpoint `number` as a store.
  func restore(_ number: Int, from checkpoints: String, to directory: String) throws {
    switch self {
    case .sediment: try SedimentEngine.restore(from: checkpoints, to: directory)
    default: try Directories.link(checkpoints + "/\(number)", to: directory)
    }
  }

  /// Why the engine cannot do a workload; `nil` when it can.
  func objection(to workload: WorkloadName) -> String? {
    switch (self, workload) {
    case (.sediment, _): nil
    case (.rocksdb, _) where workload.isOrdered: nil
    case (_, _) where workload.isOrdered: "\(rawValue) is no ordered store here"
    case (_, .job): "job is the sediment executable alone"
    case (.floor, .checkpoint), (.floor, .restart): "the floor cannot be opened again"
    case (.floor, .dedupTTL), (.lmdb, .dedupTTL): "\(rawValue) has no time to live"
    default: nil
    }
  }
}
