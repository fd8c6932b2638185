import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Reading beside a writer that goes on: what it drops is no damage, what is missing is.
@Suite struct ReadOnlyStoreTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  /// A store of two rounds in several tables.
  private func makeStore() throws -> StateStore {
    var options = Harness.options()
    options.memtableSlotsMax = 64
    let store = try StateStore.open(at: "/state", options: options, fileSystem: disk)
    let seen = try store.keyspace("seen", Harness.forever)
    for round in 0..<2 { try Harness.insert(round, into: seen) }
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
    #expect(Set(tables).isDisjoint(with: before) && before.count > 1, "the merge dropped tables")
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
