import SedimentDedup
import SedimentStore
import SedimentTestKit
import Testing

/// The operators on asynchronous sequences.
@Suite struct AsyncDeduplicationTests {
  struct SourceFailed: Error {}

  /// `count` numbers, each modulo `distinct`.
  static func numbers(_ count: Int, distinct: Int) -> AsyncStream<Int> {
    AsyncStream { continuation in
      for number in 0..<count { continuation.yield(number % distinct) }
      continuation.finish()
    }
  }

  static func open(_ fileSystem: MemoryFileSystem) throws -> StateStore {
    try StateStore.open(
      at: "/state",
      options: StoreOptions(memoryBudget: 8 << 20, shards: 2, clock: ManualClock(millis: 1)),
      fileSystem: fileSystem)
  }

  static func collect<Base: AsyncSequence>(_ sequence: Base) async throws -> [Base.Element] {
    var elements: [Base.Element] = []
    for try await element in sequence { elements.append(element) }
    return elements
  }

  @Test func firstsPassInOrderAndTheirKeysAreKept() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let firsts = try Self.numbers(300, distinct: 100).deduplicated(
      on: { CompositeKey(.int(Int64($0))) }, within: .seconds(60), in: store)
    #expect(try await Self.collect(firsts) == Array(0..<100))
    try store.commitEpoch()
    try store.close()
    let again = try Self.open(fileSystem)
    let others = try Self.numbers(120, distinct: 120).deduplicated(
      on: { CompositeKey(.int(Int64($0))) }, within: .seconds(60), in: again)
    #expect(try await Self.collect(others) == Array(100..<120))
    try again.close()
  }

  @Test func whatNoEpochHoldsPassesAgainAfterACrash() async throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let key: @Sendable (Int) -> CompositeKey = { CompositeKey(.int(Int64($0))) }
    let firsts = try Self.numbers(5, distinct: 5)
      .deduplicated(on: key, within: .seconds(60), in: store)
    #expect(try await Self.collect(firsts) == [0, 1, 2, 3, 4])
    try store.commitEpoch()
    let more = try Self.numbers(8, distinct: 8)
      .deduplicated(on: key, within: .seconds(60), in: store)
    #expect(try await Self.collect(more) == [5, 6, 7])
    let crashed = try Self.open(fileSystem.crashed(.nothing))
    let replayed = try Self.numbers(8, distinct: 8)
      .deduplicated(on: key, within: .seconds(60), in: crashed)
    #expect(try await Self.collect(replayed) == [5, 6, 7])
    try crashed.close()
    try store.close()
  }

  @Test func eventTimesAreThoseOfTheElements() async throws {
    let store = try Self.open(MemoryFileSystem())
    let dedup = try Deduplicator(
      store: store, options: .init(timeToLive: .milliseconds(10), time: .event(maxAhead: nil)))
    // The key is the same: an element passes when ten milliseconds have passed.
    let firsts = Self.numbers(35, distinct: 35)
      .deduplicated(on: { _ in CompositeKey("k") }, at: { Int64($0) }, in: dedup)
    #expect(try await Self.collect(firsts) == [0, 10, 20, 30])
    #expect(dedup.counters.duplicates == 31)
    try store.close()
  }

  @Test func chunksAreDecidedWhole() async throws {
    let store = try Self.open(MemoryFileSystem())
    let dedup = try Deduplicator(
      store: store, options: .init(timeToLive: .forever, time: .processing))
    let chunks = AsyncStream<[Int]> { continuation in
      for chunk in [[1, 2, 1], [], [2, 1], [3, 2, 4]] { continuation.yield(chunk) }
      continuation.finish()
    }
    let firsts = chunks.deduplicatedChunks(on: { CompositeKey(.int(Int64($0))) }, in: dedup)
    #expect(try await Self.collect(firsts) == [[1, 2], [3, 4]])
    try store.close()
  }

  @Test func anErrorEndsTheSequence() async throws {
    let store = try Self.open(MemoryFileSystem())
    let source = AsyncThrowingStream<Int, any Error> { continuation in
      continuation.yield(1)
      continuation.finish(throwing: SourceFailed())
    }
    var iterator = try source.deduplicated(
      on: { CompositeKey(.int(Int64($0))) }, within: .seconds(1), in: store
    ).makeAsyncIterator()
    #expect(try await iterator.next() == 1)
    await #expect(throws: SourceFailed.self) { try await iterator.next() }
    #expect(try await iterator.next() == nil)
    try store.close()
  }

  @Test func anErrorOfTheStoreReachesTheConsumer() async throws {
    let store = try Self.open(MemoryFileSystem())
    var iterator = try Self.numbers(2, distinct: 2).deduplicated(
      on: { CompositeKey(.int(Int64($0))) }, within: .seconds(1), in: store
    ).makeAsyncIterator()
    #expect(try await iterator.next() == 0)
    try store.close()
    await #expect(throws: StoreError.self) { try await iterator.next() }
    #expect(try await iterator.next() == nil)
  }
}
