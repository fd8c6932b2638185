import SedimentInspection
import SedimentStore
import SedimentTestKit

/// A store whose content does not depend on threads or random numbers but for file ids.
struct ReportHarness {
  let fileSystem = MemoryFileSystem()
  static let path = "/state"
  static let start: Int64 = 1_700_000_000_000

  func open(shards: Int = 1, clock: ManualClock = ManualClock(millis: start)) throws -> StateStore {
    try StateStore.open(
      at: Self.path,
      options: StoreOptions(
        memoryBudget: 16 << 20, shards: shards, backgroundThreads: 1, fullDiskPatience: .zero,
        clock: clock),
      seed: HashSeed(first: 1, second: 2), fileSystem: fileSystem)
  }

  static func key(_ id: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * UInt64($0))) }
  }

  /// Inserts keys, one a millisecond, and makes them durable.
  static func insert(
    _ ids: Range<UInt64>, into keyspace: HashedKeyspace, of store: StateStore,
    from time: Int64 = start
  ) throws {
    let batch = KeyBatch()
    for id in ids { try batch.append(key(id)) }
    let times = ids.indices.map { time + Int64($0 - ids.lowerBound) }
    _ = try keyspace.insertIfAbsent(batch, times: times)
    try store.commitEpoch(metadata: [7])
  }

  /// A closed state of one keyspace with tables and a log: 120,000 keys, then 10 more.
  func makeState(_ options: KeyspaceOptions) throws {
    let store = try open()
    let keyspace = try store.keyspace("seen", options)
    for round in 0..<4 as Range<UInt64> {
      try Self.insert(
        round * 100_000..<(round + 1) * 100_000, into: keyspace, of: store,
        from: Self.start + Int64(round) * 100_000)
    }
    try store.waitUntilIdle()
    try Self.insert(400_000..<400_010, into: keyspace, of: store, from: Self.start + 400_000)
    try store.close()
  }

  func report() throws -> StateReport {
    try StateReport(at: Self.path, fileSystem: fileSystem)
  }

  /// The names of the state's files with a suffix, in order.
  func files(_ suffix: String) -> [String] {
    fileSystem.files().filter { $0.hasPrefix("state/") && $0.hasSuffix(suffix) }
  }
}
