// What the engines of ordered key-value stores can do.

/// An ordered store. Any thread may call anything, but for `close`.
protocol OrderedEngine: AnyObject, Sendable {
  /// All options in force.
  var options: [String] { get }
  func put(
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, synchronized: Bool) throws
  /// Whether a key is there; its value is looked at where it lies.
  func get(_ key: UnsafeRawBufferPointer) throws -> Bool
  /// How many of so many keys, which lie one behind the other, are there.
  func multiGet(_ keys: UnsafeRawBufferPointer, keyBytes: Int) throws -> Int
  /// Reads up to `count` entries from a key, or from one end; returns how many there were.
  func scan(from start: UnsafeRawBufferPointer?, reverse: Bool, count: Int) throws -> Int
  /// Flushes what is in memory and waits for the merges that are due.
  func settle() throws
  /// Bytes that flushes and merges wrote, where the engine tells.
  var counters: EngineCounters { get }
  func close() throws
}

extension EngineName {
  /// Opens the engine that a request names as an ordered store.
  func openOrdered(_ request: RunRequest, at directory: String) throws -> any OrderedEngine {
    switch self {
    case .sediment: try SedimentOrderedEngine(request, directory: directory)
    case .rocksdb: try RocksDBOrderedEngine(request, directory: directory)
    default: throw BenchError("\(rawValue) is no ordered store here")
    }
  }
}
