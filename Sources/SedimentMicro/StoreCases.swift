import SedimentStore

extension MicroCase {
  /// The store as a program uses it, in batches of 4,096 keys of 24 bytes, on one shard.
  static let storeCases = [
    MicroCase("insert", item: "new key") { input in
      let store = try StoreUnderTest(input)
      return { try WrongAnswer.check(store.insertAll(), input.items) }
    },
    MicroCase("insert-seen", item: "key that a memtable holds") { input in
      let store = try StoreUnderTest(input)
      try WrongAnswer.check(store.insertAll(), input.items)
      return { try WrongAnswer.check(store.insertAll(), 0) }
    },
    MicroCase("lookup", item: "key that a memtable or one of a few tables holds") { input in
      // Flushes, but too few of them for a merge.
      let store = try StoreUnderTest(input, memtableSlots: max(input.items / 4, 128))
      try WrongAnswer.check(store.insertAll(), input.items)
      try store.store.waitUntilIdle()
      return { try WrongAnswer.check(store.findAll(), input.items) }
    },
  ]
}

/// A store with one keyspace, and the batches that go into it.
private final class StoreUnderTest {
  let store: StateStore
  private let keyspace: HashedKeyspace
  private let batches: [KeyBatch]
  private let times: [[Int64]]
  private var decisions: [UInt8] = []

  init(_ input: MicroInput, memtableSlots: Int = .max) throws {
    var options = StoreOptions(memoryBudget: 512 << 20, shards: 1, backgroundThreads: 1)
    options.memtableSlotsMax = memtableSlots
    store = try StateStore.open(at: input.directory, options: options, seed: MicroInput.seed)
    keyspace = try store.keyspace("micro", KeyspaceOptions(timeToLive: .forever))
    batches = try input.keyBatches(of: 4096)
    times = batches.map { [Int64](repeating: MicroInput.time, count: $0.count) }
  }

  /// Inserts every batch.
  ///
  /// - Returns: how many keys were new.
  func insertAll() throws -> Int {
    var accepted = 0
    for (batch, times) in zip(batches, times) {
      if decisions.count != batch.count {
        decisions = [UInt8](repeating: 0, count: batch.count)
      }
      try keyspace.insertIfAbsent(batch, times: times, decisions: &decisions)
      accepted += decisions.count { $0 == InsertDecision.new.rawValue }
    }
    return accepted
  }

  /// Looks every key up.
  ///
  /// - Returns: how many were found.
  func findAll() throws -> Int {
    var found = 0
    for (batch, times) in zip(batches, times) {
      found += try keyspace.contains(batch, times: times).count { $0 }
    }
    return found
  }
}
