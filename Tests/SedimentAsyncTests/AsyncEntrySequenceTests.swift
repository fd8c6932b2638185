import SedimentAsync
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Entries as an asynchronous sequence", .timeLimit(.minutes(30)))
struct AsyncEntrySequenceTests {
  private static func open(
    _ fileSystem: any FileSystem = MemoryFileSystem()
  ) async throws -> (AsyncStateStore, AsyncOrderedKeyspace) {
    // One thread reads, so that what a dropped iteration posts is done before the next call.
    let store = try await AsyncStateStore.open(
      at: "/state",
      options: StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: ManualClock()),
      threads: StoreThreads(reading: 1), fileSystem: fileSystem)
    return (store, try await store.orderedKeyspace("a"))
  }

  private static func key(_ number: Int) -> [UInt8] {
    [UInt8(number >> 16 & 255), UInt8(number >> 8 & 255), UInt8(number & 255)]
  }

  private static func fill(
    _ keyspace: AsyncOrderedKeyspace, _ numbers: Range<Int>
  ) async throws {
    var batch = WriteBatch()
    for number in numbers { try batch.put(key(number), [UInt8(number & 255)], in: keyspace.base) }
    try await keyspace.store.write(batch)
  }

  /// With typed throws, as callers may.
  private static func keys(
    _ entries: AsyncEntrySequence
  ) async throws(StoreError) -> [[UInt8]] {
    var keys: [[UInt8]] = []
    for try await (key, _) in entries { keys.append(key) }
    return keys
  }

  @Test func allEntriesComeInOrderWhateverTheBatches() async throws {
    let (store, keyspace) = try await Self.open()
    // Batches have 16, 32 … 1024 entries: as many as fill some, and one less and more.
    for count in [0, 1, 15, 16, 17, 48, 49, 5000] {
      try await Self.fill(keyspace, 0..<count)
      let all = (0..<count).map(Self.key)
      #expect(try await Self.keys(keyspace.entries()) == all)
      #expect(try await Self.keys(keyspace.entries(isReversed: true)) == all.reversed())
    }
    for try await (key, value) in keyspace.entries() { #expect(value == [key[2]]) }
    let bounded = keyspace.entries(from: Self.key(10), to: Self.key(2000))
    #expect(try await Self.keys(bounded) == (10..<2000).map(Self.key))
    let prefixed = keyspace.entries(prefix: [0, 3], isReversed: true)
    #expect(try await Self.keys(prefixed) == (768..<1024).reversed().map(Self.key))
    #expect(store.base.statistics.pins == 0)
    try await store.close()
  }

  @Test func largeEntriesEndABatchEarly() async throws {
    let (store, keyspace) = try await Self.open()
    for number in 0..<40 {
      try await keyspace.put(Self.key(number), [UInt8](repeating: 1, count: 100_000))
    }
    #expect(try await Self.keys(keyspace.entries()) == (0..<40).map(Self.key))
    try await store.close()
  }

  @Test func anIterationReadsOneMoment() async throws {
    let (store, keyspace) = try await Self.open()
    try await Self.fill(keyspace, 0..<100)
    let snapshot = store.base.snapshot()
    var iterator = keyspace.entries().makeAsyncIterator()
    var count = try await iterator.next() == nil ? 0 : 1
    try await Self.fill(keyspace, 100..<200)
    try await keyspace.remove(Self.key(50))
    while try await iterator.next() != nil { count += 1 }
    #expect(count == 100)
    #expect(try await Self.keys(keyspace.entries()).count == 199)
    #expect(try await Self.keys(keyspace.entries(at: snapshot)).count == 100)
    try await store.close()
  }

  @Test func theCursorEndsWithALoopThatIsLeft() async throws {
    let (store, keyspace) = try await Self.open()
    try await Self.fill(keyspace, 0..<100)
    for try await (key, _) in keyspace.entries() where key == Self.key(3) {
      #expect(store.base.statistics.pins == 1)
      break
    }
    // Behind what the iteration posted.
    _ = try await keyspace.get([])
    #expect(store.base.statistics.pins == 0)
    // One that was never begun has no cursor.
    _ = keyspace.entries().makeAsyncIterator()
    #expect(store.base.statistics.pins == 0)
    try await store.close()
  }

  @Test func aTaskThatIsCancelledGetsWhatWasHandedOver() async throws {
    let (store, keyspace) = try await Self.open()
    try await Self.fill(keyspace, 0..<100)
    let task = Task { () async throws -> (count: Int, code: StoreError.Code?, isEnded: Bool) in
      var iterator = keyspace.entries().makeAsyncIterator()
      var count = 0
      do throws(StoreError) {
        while try await iterator.next() != nil {
          count += 1
          cancelCurrentTask()
        }
        return (count, nil, false)
      } catch {
        return (count, error.code, try await iterator.next() == nil)
      }
    }
    let seen = try await task.value
    #expect(seen.count == 16)
    #expect(seen.code == .cancelled)
    #expect(seen.isEnded)
    _ = try await keyspace.get([])
    #expect(store.base.statistics.pins == 0)
    try await store.close()
  }

  @Test func anErrorEndsTheSequenceAndItsCursor() async throws {
    let fileSystem = FaultInjectingFileSystem(MemoryFileSystem())
    let (store, keyspace) = try await Self.open(fileSystem)
    try await Self.fill(keyspace, 0..<5000)
    try await store.flush()
    fileSystem.arm([.inputOutput(.read, number: 1, isSticky: true)])
    var iterator = keyspace.entries().makeAsyncIterator()
    await #expect(throws: StoreError.self) { while try await iterator.next() != nil {} }
    #expect(try await iterator.next() == nil)
    fileSystem.arm([])
    #expect(store.base.statistics.pins == 0)
    #expect(try await Self.keys(keyspace.entries()).count == 5000)
    try await store.close()
  }
}
