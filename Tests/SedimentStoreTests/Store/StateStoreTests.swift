import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct StateStoreTests {
  static func options(shards: Int = 2, budget: Int = 8 << 20) -> StoreOptions {
    StoreOptions(
      memoryBudget: budget, shards: shards, backgroundThreads: 2, fullDiskPatience: .zero)
  }

  static func key(_ id: UInt64) -> [UInt8] {
    (0..<8).map { UInt8(truncatingIfNeeded: id >> (8 * UInt64($0))) }
  }

  @Test func committedKeysAreThereAfterReopening() throws {
    let fileSystem = MemoryFileSystem()
    let options = KeyspaceOptions(timeToLive: .forever)
    do {
      let store = try StateStore.open(
        at: "/state", options: Self.options(), fileSystem: fileSystem)
      let seen = try store.keyspace("seen", options)
      #expect(try seen.insertIfAbsent(Self.key(1), time: 5))
      #expect(try !seen.insertIfAbsent(Self.key(1), time: 6))
      try store.commitEpoch(metadata: [1, 2, 3])
      #expect(try seen.insertIfAbsent(Self.key(2), time: 7))
      try store.close()
    }
    let store = try StateStore.open(at: "/state", options: Self.options(), fileSystem: fileSystem)
    #expect(store.lastEpoch.metadata == [1, 2, 3])
    let seen = try store.keyspace("seen", options)
    #expect(try !seen.insertIfAbsent(Self.key(1), time: 8))
    #expect(try seen.insertIfAbsent(Self.key(2), time: 8), "not in the epoch")
    try store.close()
  }

  @Test(arguments: [1, 2, 3]) func manyKeysAcrossFlushesAndMerges(shards: Int) throws {
    let fileSystem = MemoryFileSystem()
    let options = KeyspaceOptions(timeToLive: .forever)
    let store = try StateStore.open(
      at: "/state", options: Self.options(shards: shards), fileSystem: fileSystem)
    let seen = try store.keyspace("seen", options)
    let batch = KeyBatch()
    var new = 0
    for round in 0..<60 {
      batch.removeAll()
      var times: [Int64] = []
      for index in 0..<10_000 {
        let id = UInt64(round * 8000 + index)
        try batch.append(Self.key(id))
        times.append(Int64(id))
      }
      new += try seen.insertIfAbsent(batch, times: times).newCount
      if round % 7 == 6 { try store.commitEpoch() }
    }
    #expect(new == 59 * 8000 + 10_000)
    try store.commitEpoch()
    let statistics = store.statistics
    #expect(statistics.flushes > 8 && statistics.merges > 0)
    try store.close()
    let again = try StateStore.open(
      at: "/state", options: Self.options(shards: 4 - shards), fileSystem: fileSystem)
    let same = try again.keyspace("seen", options)
    batch.removeAll()
    for id in 0..<500_000 { try batch.append(Self.key(UInt64(id))) }
    let answer = try same.insertIfAbsent(batch, times: [Int64](repeating: 0, count: 500_000))
    #expect(answer.newCount == 500_000 - (59 * 8000 + 10_000))
    #expect(!answer[0] && answer[499_999])
    try again.close()
  }
}
