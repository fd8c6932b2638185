import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Batches of several threads, decided side by side.
@Suite("Batches side by side") struct ConcurrentBatchTests {
  private static let threads = 4

  /// Runs `body` on several threads with their numbers; what it threw is the answer.
  private func onThreads(_ body: @escaping @Sendable (Int) throws -> Void) throws -> [String] {
    let failures = Mutex<[String]>([])
    let threads = try (0..<Self.threads).map { number in
      try JoinedThread {
        do { try body(number) } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    for thread in threads { thread.join() }
    return failures.withLock { $0 }
  }

  @Test("a key is accepted once, whoever brings it, while epochs are cut")
  func aKeyIsAcceptedOnce() throws {
    let memory = MemoryFileSystem()
    var options = StoreOptions(
      memoryBudget: 8 << 20, shards: 3, backgroundThreads: 1, fullDiskPatience: .zero)
    options.memtableSlotsMax = 2048
    let ids = 30_000 as UInt64
    let accepted = Mutex<[UInt64: Int]>([:])
    let drawn = Mutex<Set<UInt64>>([])
    let store = try StateStore.open(at: "/state", options: options, fileSystem: memory)
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    let failures = try onThreads { number in
      var generator = SeededGenerator(seed: UInt64(number))
      for round in 0..<12 {
        let batch = (0..<1500).map { _ in UInt64.random(in: 0..<ids, using: &generator) }
        let keys = KeyBatch()
        for id in batch { try keys.append(StateStoreTests.key(id)) }
        let new = try seen.insertIfAbsent(keys, times: batch.map { Int64($0) })
        drawn.withLock { $0.formUnion(batch) }
        accepted.withLock { accepted in
          for index in batch.indices where new[index] { accepted[batch[index], default: 0] += 1 }
        }
        if round % Self.threads == number { try store.commitEpoch() }
      }
    }
    #expect(failures == [])
    let all = drawn.withLock { $0 }
    #expect(accepted.withLock { Set($0.keys) } == all)
    #expect(accepted.withLock { $0.values.allSatisfy { $0 == 1 } })
    try store.commitEpoch()
    try store.close()

    let again = try StateStore.open(at: "/state", options: options, fileSystem: memory)
    let keyspace = try again.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    let keys = KeyBatch()
    for id in 0..<ids { try keys.append(StateStoreTests.key(id)) }
    let found = try keyspace.contains(keys, times: [Int64](repeating: 0, count: keys.count))
    #expect(found == (0..<ids).map { all.contains($0) })
    try again.close()
  }

  private struct Record: Sendable {
    var key: UInt64
    var time: Int64
    var isNew: Bool
  }

  @Test("with a time to live, accepted records of a key are as far apart, and all others near one")
  func acceptedRecordsAreApart() throws {
    let ttl = 250 as Int64
    var options = StoreOptions(
      memoryBudget: 8 << 20, shards: 3, backgroundThreads: 1, fullDiskPatience: .zero)
    options.memtableSlotsMax = 1024
    let store = try StateStore.open(
      at: "/state", options: options, fileSystem: MemoryFileSystem())
    let seen = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .milliseconds(ttl), allowedLateness: 200))
    let records = Mutex<[Record]>([])
    let barrier = Barrier(Self.threads)
    let failures = try onThreads { number in
      defer { barrier.leave() }
      var generator = SeededGenerator(seed: UInt64(number) + 100)
      for round in 0..<40 as Range<Int64> {
        // Nobody is further ahead than the lateness allows: nothing is late.
        barrier.wait()
        var batch = (0..<600).map { _ in
          Record(
            key: UInt64.random(in: 0..<900, using: &generator),
            time: round * 100 + Int64.random(in: 0..<100, using: &generator), isNew: false)
        }
        let keys = KeyBatch()
        for record in batch { try keys.append(StateStoreTests.key(record.key)) }
        let new = try seen.insertIfAbsent(keys, times: batch.map(\.time))
        for index in batch.indices { batch[index].isNew = new[index] }
        records.withLock { [batch] in $0 += batch }
      }
    }
    #expect(failures == [])
    var tooNear = 0
    var unexplained = 0
    for group in Dictionary(grouping: records.withLock { $0 }, by: \.key).values {
      let times = group.filter(\.isNew).map(\.time).sorted()
      tooNear += zip(times, times.dropFirst()).count { $1 - $0 < ttl }
      unexplained += group.count { record in
        !record.isNew && !times.contains { abs($0 - record.time) < ttl }
      }
    }
    #expect(tooNear == 0)
    #expect(unexplained == 0)
    try store.close()
  }

  /// Keys whose hashes agree in their highest 14 bits, which is what a batch is dealt by at first.
  private func neighbours(_ seed: HashSeed) -> [[UInt8]] {
    let hasher = KeyHasher(seed: seed)
    var groups: [UInt64: [[UInt8]]] = [:]
    for id in 0..<100_000 as Range<UInt64> {
      let key = StateStoreTests.key(id)
      let hash = unsafe key.withUnsafeBytes { unsafe hasher.hash($0) }
      groups[hash.high >> 50, default: []].append(key)
      if let group = groups[hash.high >> 50], group.count == 5 { return group }
    }
    return []
  }

  @Test("a large batch of a few keys is decided as record by record", arguments: [false, true])
  func aFewKeysOverAndOver(areNeighbours: Bool) throws {
    let seed = HashSeed.random()
    let few =
      areNeighbours ? neighbours(seed) : (0..<200 as Range<UInt64>).map(StateStoreTests.key)
    try #require(few.count >= 5)
    let store = try StateStore.open(
      at: "/state", options: StateStoreTests.options(), seed: seed,
      fileSystem: MemoryFileSystem())
    let seen = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .milliseconds(7), allowedLateness: 20))
    var oracle = DedupOracle(ttlMillis: 7, latenessMillis: 20)
    var generator = SeededGenerator(seed: 5)
    let keys = KeyBatch()
    var times: [Int64] = []
    var expected: [Bool] = []
    for index in 0..<60_000 as Range<Int64> {
      let key = few[Int.random(in: few.indices, using: &generator)]
      let time = index / 500 + Int64.random(in: -5...5, using: &generator)
      try keys.append(key)
      times.append(time)
      expected.append(oracle.decide(key: key, time: time).isEmitted)
    }
    let new = try seen.insertIfAbsent(keys, times: times)
    #expect((0..<keys.count).allSatisfy { new[$0] == expected[$0] })
    try store.close()
  }
}

/// Lets threads go on together, round by round.
private final class Barrier: @unchecked Sendable {
  // @unchecked because all that changes is guarded by the monitor.
  private let monitor = Monitor()
  private var members: Int
  private var arrived = 0
  private var round = 0

  init(_ members: Int) { self.members = members }

  func wait() {
    monitor.withLock {
      arrived += 1
      let mine = round
      openWhenAllAreHere()
      while round == mine { monitor.wait() }
    }
  }

  func leave() {
    monitor.withLock {
      members -= 1
      openWhenAllAreHere()
    }
  }

  private func openWhenAllAreHere() {
    guard arrived > 0, arrived >= members else { return }
    arrived = 0
    round += 1
    monitor.broadcast()
  }
}
