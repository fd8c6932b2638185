import SedimentDedup
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A record of a test stream.
struct TestRecord {
  var key: [UInt8]
  var time: Int64
}

/// A stream in which repeats fall around every boundary there is.
struct RecordStream {
  let ttl: Int64
  let lateness: Int64
  var random: SeededGenerator
  private var now: Int64 = 1_700_000_000_000
  private var recent: [TestRecord] = []

  init(ttl: Int64, lateness: Int64, seed: UInt64) {
    self.ttl = ttl
    self.lateness = lateness
    random = SeededGenerator(seed: seed)
  }

  /// The next `count` records.
  mutating func take(_ count: Int) -> [TestRecord] {
    (0..<count).map { _ in next() }
  }

  mutating func next() -> TestRecord {
    now += Int64.random(in: 0...2, using: &random)
    if Int.random(in: 0..<2000, using: &random) == 0 { now += ttl / 2 }
    let record = makeRecord()
    if recent.count < 512 {
      recent.append(record)
    } else {
      recent[Int.random(in: 0..<512, using: &random)] = record
    }
    return record
  }

  private mutating func makeRecord() -> TestRecord {
    let jitter: Int64
    switch Int.random(in: 0..<10, using: &random) {
    case 0: jitter = lateness + Int64.random(in: -1...1, using: &random)
    case 1: jitter = lateness + ttl + Int64.random(in: -1...1, using: &random)
    case 2...5: jitter = Int64.random(in: 0...(lateness + 1), using: &random)
    default: jitter = 0
    }
    guard let old = recent.randomElement(using: &random), Bool.random(using: &random) else {
      return TestRecord(
        key: Self.key(UInt64.random(in: 0..<(1 << 40), using: &random)), time: now - jitter)
    }
    switch Int.random(in: 0..<4, using: &random) {
    case 0: return old
    case 1:
      let edge = Int64.random(in: -1...1, using: &random)
      let sign: Int64 = Bool.random(using: &random) ? 1 : -1
      return TestRecord(key: old.key, time: min(old.time + sign * (ttl + edge), now + ttl / 4))
    default: return TestRecord(key: old.key, time: now - jitter)
    }
  }

  /// Keys of several lengths, the empty one among them.
  static func key(_ id: UInt64) -> [UInt8] {
    if id % 1000 == 0 { return [] }
    var bytes = (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * UInt64($0))) }
    if id % 7 == 0 { bytes += [UInt8](repeating: 7, count: Int(id % 60)) }
    return bytes
  }
}

/// A deduplicator in a store of its own, in memory.
final class DedupHarness {
  let fileSystem: MemoryFileSystem
  let clock: ManualClock
  private(set) var store: StateStore
  private(set) var dedup: Deduplicator
  private let options: Deduplicator.Options
  private var shards: Int

  init(
    _ options: Deduplicator.Options, shards: Int = 2,
    fileSystem: MemoryFileSystem = MemoryFileSystem(), clock: ManualClock = ManualClock()
  ) throws {
    self.options = options
    self.shards = shards
    self.fileSystem = fileSystem
    self.clock = clock
    (store, dedup) = try Self.open(options, shards, fileSystem, clock)
  }

  private static func open(
    _ options: Deduplicator.Options, _ shards: Int, _ fileSystem: MemoryFileSystem,
    _ clock: ManualClock
  ) throws -> (StateStore, Deduplicator) {
    let store = try StateStore.open(
      at: "/state",
      options: StoreOptions(
        memoryBudget: 8 << 20, shards: shards, backgroundThreads: 2, fullDiskPatience: .zero,
        clock: clock),
      fileSystem: fileSystem)
    return (store, try Deduplicator(store: store, options: options))
  }

  /// Commits an epoch, closes the store, and opens it again.
  func reopen(shards: Int? = nil) throws {
    try store.commitEpoch()
    try store.close()
    self.shards = shards ?? self.shards
    (store, dedup) = try Self.open(options, self.shards, fileSystem, clock)
  }

  /// Decides records in batches of a size.
  func decide(_ records: [TestRecord], batchSize: Int) throws -> [DedupDecision] {
    var answers: [DedupDecision] = []
    let keys = KeyBatch()
    for start in stride(from: 0, to: records.count, by: batchSize) {
      let batch = records[start..<min(start + batchSize, records.count)]
      keys.removeAll()
      for record in batch { try keys.append(record.key) }
      answers += try dedup.process(keys, times: batch.map(\.time)).decisions
    }
    return answers
  }

  /// Bytes of the store's tables and logs.
  func bytesOnDisk() throws -> Int {
    try fileSystem.files().filter { !$0.contains("MANIFEST") }
      .reduce(0) { try $0 + fileSystem.contents(of: $1).count }
  }
}

extension DedupDecision {
  /// What the oracle says of the same record.
  init(_ answer: OracleAnswer, _ late: Deduplicator.Options.Late) {
    switch answer {
    case .duplicate: self = .duplicate
    case .new: self = .new
    case .lateNew: self = .lateNew
    case .lateUnprotected: self = .lateUnprotected
    case .lateDropped: self = late == .drop ? .lateDropped : .lateRejected
    }
  }
}

extension DedupOracle {
  init(_ options: Deduplicator.Options) throws {
    let keyspace = try options.keyspaceOptions()
    var ttl: Int64?
    if case .milliseconds(let milliseconds) = options.timeToLive { ttl = milliseconds }
    let policy: OracleLatePolicy =
      switch options.late {
      case .keep: .keep
      case .drop: .drop
      case .reject: .reject
      }
    self.init(
      ttlMillis: ttl, latenessMillis: keyspace.allowedLateness, latePolicy: policy)
  }

  mutating func decide(
    _ records: [TestRecord], late: Deduplicator.Options.Late
  ) -> [DedupDecision] {
    records.map { DedupDecision(decide(key: $0.key, time: $0.time), late) }
  }
}

/// Expects equal answers, and shows the first that differs.
func expectEqual(
  _ answers: [DedupDecision], _ expected: [DedupDecision], _ records: [TestRecord],
  _ context: String
) {
  guard answers != expected else { return }
  let index = zip(answers, expected).enumerated().first { $0.element.0 != $0.element.1 }?.offset
  let place = index.map {
    "record \($0), key \(records[$0].key), time \(records[$0].time): "
      + "\(answers[$0]), not \(expected[$0])"
  }
  Issue.record("\(context): \(place ?? "\(answers.count) answers, not \(expected.count)")")
}
