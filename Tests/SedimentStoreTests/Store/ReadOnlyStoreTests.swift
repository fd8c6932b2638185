import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Reading beside a writer that goes on: what it drops is no damage, what is missing is.
@Suite struct ReadOnlyStoreTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  /// A store of two rounds, every shard of which has several tables, so that there is something to
  /// merge: by this seed both shards flush more than once, and flushes are waited for, since those
  /// that are due together make one table.
  private func makeStore() throws -> StateStore {
    var options = Harness.options()
    options.memtableSlotsMax = 64
    let store = try StateStore.open(
      at: "/state", options: options, seed: HashSeed(first: 1, second: 2), fileSystem: disk)
    let seen = try store.keyspace("seen", Harness.forever)
    for round in 0..<2 {
      try Harness.insert(round, into: seen)
      try store.waitUntilIdle()
    }
    try store.commitEpoch()
    try store.waitUntilIdle()
    return store
  }

  private var tables: [String] { disk.files().filter { $0.hasSuffix(".sst") } }

  /// A reader in whose way `body` comes before it first opens a table.
  private func reader(interruptedBy once: Once) throws -> ReadOnlyStore {
    let fileSystem = FaultInjectingFileSystem(disk)
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: fileSystem)
    fileSystem.interrupt { operation, path in
      guard operation == .openFile, path.hasSuffix(".sst") else { return }
      once.run()
    }
    return reader
  }

  @Test func tablesThatAMergeDropsDuringAVerificationAreNoDamage() throws {
    let store = try makeStore()
    let before = tables
    let once = Once {
      try store.compact()
      try store.commitEpoch()
    }
    let reader = try reader(interruptedBy: once)
    #expect(try reader.verify() == [])
    #expect(before.count > 2 && tables.count == 2, "the merge left a table a shard")
    #expect(Set(tables).isDisjoint(with: before))
    #expect(once.hasRun && once.error == nil)
    #expect(try reader.verify() == [])
    try store.close()
  }

  @Test func aLookupGoesOnWithTheStateAfterTheMerge() throws {
    let store = try makeStore()
    let once = Once {
      try store.compact()
      try store.commitEpoch()
    }
    let reader = try reader(interruptedBy: once)
    #expect(try reader.lookup(Harness.key(1, 7), in: "seen").map(\.time) == [107])
    #expect(once.hasRun && once.error == nil)
    try store.close()
  }

  @Test func aStoreWhoseTableIsGoneIsDamagedNotNew() throws {
    try makeStore().close()
    let gone = try #require(tables.first)
    try disk.removeFile(at: gone)
    let error = #expect(throws: StoreError.self) { try Harness.open(disk) }
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains(String(gone.dropFirst("state/".count))) == true)
  }

  @Test func aTableThatIsStillNamedIsMissingWhateverElseTheWriterDoes() throws {
    let store = try makeStore()
    let gone = try #require(tables.first)
    let once = Once { [disk] in
      try disk.removeFile(at: gone)
      try store.commitEpoch(metadata: [1])
    }
    let reader = try reader(interruptedBy: once)
    #expect(try reader.verify().map { "state/" + $0.file } == [gone])
    #expect(once.hasRun && once.error == nil)
    #expect(try reader.verify().map { "state/" + $0.file } == [gone])
    try store.close()
  }
}
