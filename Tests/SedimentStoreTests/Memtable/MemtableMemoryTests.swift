import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct MemtableMemoryTests {
  /// Two layouts whose memtables are equal in size: wide values take the place of slots.
  @Test func memoryOfAnotherLayoutComesWithClearSlots() throws {
    let store = try StateStore.open(
      at: "/state",
      options: StoreOptions(memoryBudget: 256 << 20, shards: 2, backgroundThreads: 1),
      fileSystem: MemoryFileSystem())
    let wide = try store.keyspace("wide", KeyspaceOptions(valueWidth: 32, timeToLive: .forever))
    let bare = try store.keyspace("bare", KeyspaceOptions(timeToLive: .forever))
    let keys = KeyBatch()
    let values = [UInt8](repeating: 0xAA, count: 32 * 20_000)
    var inserted = 0
    // Both flush many times, and take each other's memory.
    for round in 0..<40 as Range<UInt64> {
      keys.removeAll()
      for id in round * 20_000..<(round + 1) * 20_000 { try keys.append(StateStoreTests.key(id)) }
      let times = [Int64](repeating: 0, count: keys.count)
      #expect(try wide.insertIfAbsent(keys, times: times, values: values).newCount == 20_000)
      #expect(try bare.insertIfAbsent(keys, times: times).newCount == 20_000)
      inserted += 20_000
    }
    try store.waitUntilIdle()
    try store.commitEpoch()
    #expect(store.statistics.flushes > 4)
    #expect(wide.approximateEntryCount == UInt64(inserted))
    #expect(bare.approximateEntryCount == UInt64(inserted))
    #expect(
      try bare.insertIfAbsent(keys, times: [Int64](repeating: 0, count: 20_000)).newCount == 0)
    try store.close()
  }
}
