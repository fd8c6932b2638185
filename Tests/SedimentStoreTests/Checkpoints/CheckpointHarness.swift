import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A store that grows by rounds of keys: round `n` inserts keys `n × 100 ..< n × 100 + 100`.
struct CheckpointHarness {
  static let forever = KeyspaceOptions(timeToLive: .forever)
  static let logged = KeyspaceOptions(
    timeToLive: .forever, log: .everyBatch(synchronized: false))
  static let keysPerRound = 100

  static func options(onEvent: (@Sendable (StoreEvent) -> Void)? = nil) -> StoreOptions {
    StoreOptions(
      memoryBudget: 8 << 20, shards: 2, backgroundThreads: 1, fullDiskPatience: .zero,
      onEvent: onEvent, clock: FixedClock())
  }

  static func open(_ fileSystem: any FileSystem, at path: String = "/state") throws -> StateStore {
    try StateStore.open(
      at: path, options: options(), seed: HashSeed(first: 1, second: 2), fileSystem: fileSystem)
  }

  static func key(_ round: Int, _ index: Int) -> [UInt8] {
    Array("key-\(round * keysPerRound + index)".utf8)
  }

  static func batch(_ round: Int) throws -> KeyBatch {
    let batch = KeyBatch()
    for index in 0..<keysPerRound { try batch.append(key(round, index)) }
    return batch
  }

  static func insert(_ round: Int, into keyspace: HashedKeyspace) throws {
    let times = (0..<keysPerRound).map { Int64(round * keysPerRound + $0) }
    let new = try keyspace.insertIfAbsent(try batch(round), times: times).newCount
    #expect(new == keysPerRound, "round \(round) is new")
  }

  /// Which of the rounds a store holds; each whole or not at all.
  static func rounds(of store: StateStore, _ name: String = "seen", upTo count: Int) throws -> [Int]
  {
    let keyspace = try #require(store.keyspace(named: name))
    return try (0..<count).filter { round in
      let answers = try keyspace.lookup(try batch(round))
      let found = answers.filter { $0 != nil }.count
      #expect(found == 0 || found == keysPerRound, "round \(round) is there in part")
      return found > 0
    }
  }

  /// What a checkpoint holds, seen through a store that is restored from it.
  static func rounds(
    ofCheckpoint id: String?, in directory: String = "/backups", _ name: String = "seen",
    upTo count: Int, _ fileSystem: any FileSystem, restoringTo path: String
  ) throws -> [Int] {
    try StateStore.restore(
      checkpoint: CheckpointReference(directory: directory, id: id), to: path,
      fileSystem: fileSystem)
    let store = try open(fileSystem, at: path)
    let rounds = try rounds(of: store, name, upTo: count)
    try store.close()
    return rounds
  }
}

/// Time stands still: what is made twice is the same.
struct FixedClock: Clock {
  func nowMillis() -> Int64 { 1_700_000_000_000 }
  func monotonicNanos() -> UInt64 { 0 }
}
