import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Pages that are not in the system's memory, which are read many at once.
@Suite("Pages that wait for the disk") struct WaitingPagesTests {
  private static let count = 12_000 as UInt64
  private let memory = MemoryFileSystem()

  private func open(_ fileSystem: any FileSystem) throws -> (StateStore, HashedKeyspace) {
    let store = try StoreFailureTests.open(fileSystem, slots: 1024)
    return (store, try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever)))
  }

  /// A state of keys with even numbers, all of them in tables.
  private func makeState(inOneRun: Bool = true) throws {
    let (store, seen) = try open(memory)
    for first in stride(from: 0, to: Self.count, by: 1000) {
      let batch = KeyBatch()
      for id in first..<first + 1000 { try batch.append(StateStoreTests.key(2 * id)) }
      _ = try seen.insertIfAbsent(batch, times: [Int64](repeating: 0, count: 1000))
    }
    try store.commitEpoch()
    try store.waitUntilIdle()
    if inOneRun { try store.compact() }
    try store.commitEpoch()
    try store.close()
  }

  private func areRight(_ seen: HashedKeyspace, _ ids: Range<UInt64>) throws -> Bool {
    let found = try seen.contains(
      try StoreFailureTests.batch(ids), times: ids.map { _ in Int64(0) })
    return found == ids.map { $0 % 2 == 0 && $0 < 2 * Self.count }
  }

  @Test(
    "lookups and inserts answer as ever, whichever run has the answer", arguments: [true, false])
  func answersAreRight(inOneRun: Bool) throws {
    try makeState(inOneRun: inOneRun)
    let cold = FaultInjectingFileSystem(memory, readsWait: true)
    let (store, seen) = try open(cold)
    for first in stride(from: 0, to: 2 * Self.count + 1000, by: 4000) {
      #expect(try areRight(seen, first..<first + 4000))
    }
    #expect(store.statistics.cacheMisses > 20)
    let new = try seen.insertIfAbsent(
      try StoreFailureTests.batch(0..<4000), times: [Int64](repeating: 0, count: 4000))
    #expect(new.newCount == 2000)
    try store.close()
  }

  @Test(
    "a read that failed leaves nothing to the lookups behind it", arguments: 1..<30, [true, false])
  func failedReadLeavesNothing(number: Int, inOneRun: Bool) throws {
    try makeState(inOneRun: inOneRun)
    let cold = FaultInjectingFileSystem(memory, readsWait: true)
    let (store, seen) = try open(cold)
    cold.arm([.inputOutput(.read, number: number)])
    let error = #expect(throws: StoreError.self) { _ = try areRight(seen, 0..<24_000) }
    #expect(error?.code == .inputOutput)
    cold.arm([])
    // Few records: a number left by the batch before would be none of theirs.
    for first in stride(from: 0, to: 2 * Self.count, by: 3001) {
      #expect(try areRight(seen, first..<first + 7))
    }
    #expect(try areRight(seen, 0..<24_000))
    try store.close()
  }

  @Test("a removal hides what an older run has")
  func removalsHide() throws {
    try makeState(inOneRun: false)
    let (warm, removing) = try open(memory)
    try removing.remove(try StoreFailureTests.batch(0..<3000))
    try warm.commitEpoch()
    try warm.close()
    let (store, seen) = try open(FaultInjectingFileSystem(memory, readsWait: true))
    let ids = 0..<6000 as Range<UInt64>
    let found = try seen.contains(
      try StoreFailureTests.batch(ids), times: ids.map { _ in Int64(0) })
    #expect(found == ids.map { $0 % 2 == 0 && $0 >= 3000 })
    try store.close()
  }
}
