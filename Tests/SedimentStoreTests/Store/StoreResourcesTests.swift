import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Stores that share their resources", .timeLimit(.minutes(30)))
struct StoreResourcesTests {
  /// A state that is open, with one keyspace.
  private struct Member {
    let store: StateStore
    let keyspace: HashedKeyspace
    private let times = [Int64](repeating: 0, count: Self.batchKeys)
    static let batchKeys = 10_000

    /// Inserts so many keys from `first` on; returns how many were new.
    func insert(_ first: Int, batches: Int, each: () throws -> Void = {}) throws -> Int {
      let keys = KeyBatch()
      var new = 0
      for batch in 0..<batches {
        keys.removeAll()
        for id in 0..<Self.batchKeys {
          try keys.append(StateStoreTests.key(UInt64(first + batch * Self.batchKeys + id)))
        }
        new += try keyspace.insertIfAbsent(keys, times: times).newCount
        try each()
      }
      return new
    }
  }

  /// The largest flush of each store.
  private final class Flushes: Sendable {
    private let largest = Mutex<[String: UInt64]>([:])

    func note(_ event: StoreEvent, of path: String) {
      guard case .flushed(_, let entries, _, _) = event else { return }
      largest.withLock { $0[path] = max($0[path] ?? 0, entries) }
    }

    func largest(_ path: String) -> UInt64? { largest.withLock { $0[path] } }
  }

  private let fileSystem = MemoryFileSystem()
  private let flushes = Flushes()

  private func open(_ path: String, _ resources: StoreResources) throws -> Member {
    let options = StoreOptions(
      shards: 1, backgroundThreads: 1, fullDiskPatience: .zero, resources: resources,
      onEvent: { [flushes] in flushes.note($0, of: path) })
    let store = try StateStore.open(
      at: path, options: options, seed: HashSeed(first: 1, second: 2), fileSystem: fileSystem)
    let keyspace = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    return Member(store: store, keyspace: keyspace)
  }

  private static let budget = 32 << 20

  private func isWithinBudget(_ resources: StoreResources) -> Bool {
    let usage = resources.usage
    return usage.memtableBytes <= Self.budget / 8 * 3 && usage.filterBytes <= Self.budget / 8 * 3
      && usage.filterBytes + usage.cacheBytes <= Self.budget / 2
  }

  @Test func theBudgetHoldsAsStoresComeAndFillAndGo() throws {
    let resources = try StoreResources(memoryBudget: Self.budget, backgroundTasks: 1)
    func check() { #expect(isWithinBudget(resources)) }
    var members: [Member] = []
    for number in 0..<6 {
      members.append(try open("/state\(number)", resources))
      check()
      // Each one is written for a while, the earlier ones too.
      for (index, member) in members.enumerated() {
        let first = (number - index) * 100_000
        #expect(try member.insert(first, batches: 10, each: check) == 100_000)
        try member.store.commitEpoch()
        check()
      }
    }
    for (index, member) in members.enumerated() {
      let count = (6 - index) * 100_000
      #expect(member.keyspace.approximateEntryCount == UInt64(count))
      #expect(try member.insert(0, batches: count / Member.batchKeys, each: check) == 0)
      try member.store.close()
      check()
    }
  }

  @Test func whatStoresHadComesBackWhenTheyAreClosed() throws {
    let resources = try StoreResources(memoryBudget: Self.budget, backgroundTasks: 2)
    do {
      let members = [try open("/a", resources), try open("/b", resources)]
      for member in members {
        #expect(try member.insert(0, batches: 40) == 400_000)
        try member.store.waitUntilIdle()
      }
      #expect(resources.usage.memtableBytes > 0 && resources.usage.filterBytes > 0)
      for member in members { try member.store.close() }
    }
    #expect(resources.usage.memtableBytes == 0)
    #expect(resources.usage.filterBytes == 0)
    #expect(resources.usage.cacheBytes == Self.budget / 2)
    // Opened again, from tables and logs.
    let again = try open("/a", resources)
    #expect(isWithinBudget(resources))
    try again.store.close()
  }

  @Test func oneThatIsWrittenAmongManyIdleOnesHasLargeMemtables() throws {
    let resources = try StoreResources(memoryBudget: Self.budget, backgroundTasks: 1)
    let idle = try (0..<15).map { try open("/idle\($0)", resources) }
    for member in idle { #expect(try member.keyspace.insertIfAbsent([1], time: 0)) }
    let busy = try open("/busy", resources)
    #expect(try busy.insert(0, batches: 60) == 600_000)
    try busy.store.waitUntilIdle()
    // A sixteenth of the memory for memtables would be three of 256 KiB, of 5,200 entries each.
    let largest = try #require(flushes.largest("/busy"))
    #expect(largest > 20_000, "\(largest)")
    #expect(isWithinBudget(resources))
    for member in idle + [busy] { try member.store.close() }
  }

  @Test func whoHasBecomeIdleGivesItsMemtableBack() throws {
    let resources = try StoreResources(memoryBudget: 4 * Self.budget, backgroundTasks: 1)
    let idle = try open("/idle", resources)
    // Some of it in a memtable that is larger than the first.
    #expect(try idle.insert(0, batches: 8) == 80_000)
    try idle.store.commitEpoch()
    try idle.store.waitUntilIdle()
    let held = resources.usage.memtableBytes
    #expect(held > 8 << 20)
    let flushed = idle.store.statistics.flushes
    do {
      let busy = try open("/busy", resources)
      var next = 0
      while idle.store.statistics.flushes == flushed {
        #expect(try busy.insert(next, batches: 1) == Member.batchKeys)
        next += Member.batchKeys
      }
      try busy.store.waitUntilIdle()
      try busy.store.close()
    }
    try idle.store.waitUntilIdle()
    // It goes on with a first memtable; the thread that flushed lets go of the old one in a moment.
    while resources.usage.memtableBytes > 4 << 20 { try idle.store.waitUntilIdle() }
    #expect(try idle.insert(0, batches: 8) == 0)
    #expect(idle.keyspace.approximateEntryCount == 80_000)
    try idle.store.close()
  }

  @Test func filtersGoToWhoHasKeys() throws {
    let resources = try StoreResources(memoryBudget: 8 << 20, backgroundTasks: 2)
    let old = try open("/old", resources)
    #expect(try old.insert(0, batches: 200) == 2_000_000)
    try old.store.compact()
    let before = old.store.filterBytesInUse
    #expect(before > 2 << 20)
    let new = try open("/new", resources)
    #expect(try new.insert(0, batches: 200) == 2_000_000)
    try new.store.compact()
    // Both may have been at it when they were asked.
    for member in [old, new, old, new] { try member.store.compact() }
    #expect(old.store.filterBytesInUse < before)
    #expect(old.store.filterBytesInUse <= old.store.filterBytesMax / 8 * 9)
    #expect(new.store.filterBytesInUse > 1 << 20)
    #expect(resources.usage.filterBytes <= 3 << 20)
    for member in [old, new] {
      #expect(try member.insert(0, batches: 200) == 0)
      try member.store.close()
    }
  }

  @Test func nonsenseIsRefused() {
    #expect(throws: StoreError.self) { try StoreResources(memoryBudget: 1 << 20) }
    #expect(throws: StoreError.self) { try StoreResources(backgroundTasks: 0) }
  }
}
