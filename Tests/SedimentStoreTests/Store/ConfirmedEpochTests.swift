import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A store whose epochs somebody else confirms: what it can be opened at, and what goes when.
@Suite struct ConfirmedEpochTests {
  static let keyspaceOptions = KeyspaceOptions(timeToLive: .forever)

  static func options(confirms: Bool = true) -> StoreOptions {
    var options = StateStoreTests.options()
    options.confirmsEpochs = confirms
    options.memtableSlotsMax = 128
    return options
  }

  static func open(
    _ fileSystem: MemoryFileSystem, confirms: Bool = true, epoch: UInt64? = nil
  ) throws -> (store: StateStore, seen: HashedKeyspace) {
    let store = try StateStore.open(
      at: "/state", options: options(confirms: confirms), seed: HashSeed(first: 1, second: 2),
      epoch: epoch, fileSystem: fileSystem)
    return (store, try store.keyspace("seen", keyspaceOptions))
  }

  /// Inserts the keys of an epoch, enough for several tables, and commits it.
  static func commit(
    _ number: UInt64, to opened: (store: StateStore, seen: HashedKeyspace), count: UInt64 = 400
  ) throws {
    try insert(number, to: opened.seen, count: count)
    let id = try opened.store.commitEpoch(metadata: [UInt8(number)])
    try #require(id.epoch == number)
  }

  private static func insert(_ number: UInt64, to seen: HashedKeyspace, count: UInt64) throws {
    let keys = (0..<count).map { StateStoreTests.key(number << 32 | $0) }
    _ = try seen.insertIfAbsent(
      HashedKeyspace.batch(keys), times: keys.map { _ in Int64(number) })
  }

  /// The numbers of the epochs whose keys are there; one that is there in part is a failure.
  static func epochs(in seen: HashedKeyspace, upTo last: UInt64, count: UInt64 = 400) throws
    -> [UInt64]
  {
    try (1...last).filter { number in
      let keys = (0..<count).map { StateStoreTests.key(number << 32 | $0) }
      let answers = try seen.contains(HashedKeyspace.batch(keys), times: keys.map { _ in 0 })
      let found = keys.indices.filter { answers[$0] }.count
      #expect(found == 0 || found == keys.count, "\(found) keys of epoch \(number)")
      return found > 0
    }
  }

  static func numbers(_ fileSystem: MemoryFileSystem) throws -> [UInt64] {
    try StateStore.epochs(at: "/state", fileSystem: fileSystem).map(\.number)
  }

  static func names(_ fileSystem: MemoryFileSystem, _ suffix: String) throws -> Set<String> {
    let directory = try fileSystem.openDirectory(at: "/state", creating: false)
    return Set(try directory.entries().map(\.name).filter { $0.hasSuffix(suffix) })
  }

  static func manifestName(_ fileSystem: MemoryFileSystem) throws -> String? {
    let directory = try fileSystem.openDirectory(at: "/state", creating: false)
    return try ManifestReader.read(directory)?.manifestName
  }

  /// A store with the epochs 1 to `last`, of which the first `confirmed` are confirmed, each merged
  /// into one table a shard.
  static func merged(upTo last: UInt64, confirmed: UInt64) throws -> MemoryFileSystem {
    let fileSystem = MemoryFileSystem()
    let opened = try open(fileSystem)
    for number in 1...last {
      try insert(number, to: opened.seen, count: 400)
      try opened.store.compact()
      try opened.store.commitEpoch(metadata: [UInt8(number)])
      if number <= confirmed { try opened.store.confirmEpoch() }
    }
    try opened.store.close()
    return fileSystem
  }

  private static func check(
    _ code: StoreError.Code, _ parts: [String], _ body: () throws -> Void
  ) {
    do {
      try body()
      Issue.record("nothing was thrown")
    } catch let error as StoreError {
      #expect(error.code == code, "\(error)")
      for part in parts { #expect(error.message.contains(part), "\(error)") }
    } catch {
      Issue.record("\(error)")
    }
  }

  // MARK: - Going back

  @Test(arguments: [UInt64(2), 3, 4]) func everyEpochSinceTheConfirmedOneOpens(number: UInt64)
    throws
  {
    let fileSystem = try Self.merged(upTo: 4, confirmed: 2)
    #expect(try Self.numbers(fileSystem).suffix(3) == [2, 3, 4])
    let opened = try Self.open(fileSystem, epoch: number)
    #expect(opened.store.lastEpoch.id.epoch == number)
    #expect(opened.store.writerEpoch == 2)
    #expect(opened.store.lastEpoch.metadata == [UInt8(number)])
    #expect(try Self.epochs(in: opened.seen, upTo: 5) == Array(1...number))
    try Self.commit(number + 1, to: opened)
    #expect(try Self.epochs(in: opened.seen, upTo: 5) == Array(1...(number + 1)))
    try opened.store.close()
  }

  @Test func anUnconfirmedEpochSurvivesAnyEndOfItsWriter() throws {
    let fileSystem = try Self.merged(upTo: 2, confirmed: 1)
    #expect(try Self.numbers(fileSystem.crashed(.nothing)).suffix(2) == [1, 2])
    let opened = try Self.open(fileSystem.crashed(.nothing), epoch: 1)
    #expect(try Self.epochs(in: opened.seen, upTo: 2) == [1])
  }

  @Test func whatWasDroppedIsGoneForGood() throws {
    let fileSystem = try Self.merged(upTo: 3, confirmed: 1)
    try Self.open(fileSystem, epoch: 2).store.close()
    #expect(try Self.numbers(fileSystem) == [2])
    Self.check(.notFound, ["epoch 3", "opened at 2"]) { _ = try Self.open(fileSystem, epoch: 3) }
    let opened = try Self.open(fileSystem)
    #expect(try Self.epochs(in: opened.seen, upTo: 3) == [1, 2])
  }

  @Test func openingConfirmsWhatItOpens() throws {
    let fileSystem = try Self.merged(upTo: 2, confirmed: 1)
    let opened = try Self.open(fileSystem)
    #expect(try Self.numbers(fileSystem) == [2])
    try Self.commit(3, to: opened)
    #expect(try Self.numbers(fileSystem) == [2, 3])
  }

  @Test func epochZeroIsTheStoreBeforeItsFirst() throws {
    let fileSystem = MemoryFileSystem()
    try Self.commit(1, to: Self.open(fileSystem, epoch: 0))
    #expect(try Self.numbers(fileSystem) == [0, 1])
    let opened = try Self.open(fileSystem, epoch: 0)
    #expect(try Self.epochs(in: opened.seen, upTo: 1).isEmpty)
    #expect(opened.store.lastEpoch.metadata.isEmpty)
  }

  @Test func noNumberOfAFileComesTwice() throws {
    let fileSystem = try Self.merged(upTo: 3, confirmed: 1)
    let before = try Self.names(fileSystem, ".sst").union(Self.names(fileSystem, ".log"))
    let kept = try Self.open(fileSystem, epoch: 1)
    let stayed = try Self.names(fileSystem, ".sst")
    #expect(stayed.count < before.count, "files of dropped epochs are still there")
    try Self.commit(2, to: kept)
    let new = try Self.names(fileSystem, ".sst").subtracting(stayed)
    #expect(!new.isEmpty)
    #expect(new.allSatisfy { name in before.allSatisfy { $0.prefix(12) < name.prefix(12) } })
  }

  @Test func aLogIsReadToTheEpochAndNeverAppendedTo() throws {
    let fileSystem = MemoryFileSystem()
    do {
      // So few keys that all go to one log.
      let opened = try Self.open(fileSystem)
      for number in UInt64(1)...3 { try Self.commit(number, to: opened, count: 20) }
    }
    let logs = try Self.names(fileSystem, ".log")
    try #require(logs.count == 1)
    let directory = try fileSystem.openDirectory(at: "/state", creating: false)
    let size = try directory.metadata(of: logs.first ?? "")?.size
    for _ in 0..<2 {
      // The second time all of it is behind another crash.
      let opened = try Self.open(fileSystem, epoch: 1)
      #expect(try Self.epochs(in: opened.seen, upTo: 3, count: 20) == [1])
    }
    let opened = try Self.open(fileSystem, epoch: 1)
    try Self.commit(2, to: opened, count: 20)
    #expect(try directory.metadata(of: logs.first ?? "")?.size == size)
    let again = try Self.open(fileSystem.crashed(.nothing))
    #expect(try Self.epochs(in: again.seen, upTo: 3, count: 20) == [1, 2])
  }

  @Test func anotherNumberOfShardsIsNoHindrance() throws {
    let fileSystem = try Self.merged(upTo: 3, confirmed: 1)
    var options = Self.options()
    options.shards = 5
    let store = try StateStore.open(
      at: "/state", options: options, epoch: 2, fileSystem: fileSystem)
    let seen = try store.keyspace("seen", Self.keyspaceOptions)
    #expect(try Self.epochs(in: seen, upTo: 3) == [1, 2])
  }

  // MARK: - What cannot be

  @Test func anEpochThatIsNotThereIsToldWithThoseThatAre() throws {
    let fileSystem = try Self.merged(upTo: 3, confirmed: 2)
    Self.check(.notFound, ["epoch 9", "opened at 0, 2, 3"]) {
      _ = try Self.open(fileSystem, epoch: 9)
    }
    // The empty store needs no files. The manifest has the first epoch, too; its tables are gone.
    Self.check(.notFound, ["epoch 1", ".sst is gone", "opened at 0, 2, 3"]) {
      _ = try Self.open(fileSystem, epoch: 1)
    }
    // Nothing was changed by trying.
    #expect(try Self.numbers(fileSystem) == [0, 2, 3])
    Self.check(.notFound, ["/none"]) {
      _ = try StateStore.open(at: "/none", epoch: 1, fileSystem: fileSystem)
    }
    _ = try fileSystem.openDirectory(at: "/empty", creating: true)
    Self.check(.notFound, ["no state", "epoch 1"]) {
      _ = try StateStore.open(at: "/empty", epoch: 1, fileSystem: fileSystem)
    }
  }

  @Test func logsThatGoOnDoNotGoBack() throws {
    let fileSystem = MemoryFileSystem()
    let logged = KeyspaceOptions(timeToLive: .forever, log: .everyBatch(synchronized: true))
    for path in ["/hashed", "/ordered"] {
      let store = try StateStore.open(at: path, options: Self.options(), fileSystem: fileSystem)
      if path == "/hashed" {
        _ = try store.keyspace("seen", logged)
      } else {
        _ = try store.orderedKeyspace("rows")
      }
      try store.commitEpoch()
      try store.commitEpoch()
      try store.close()
      Self.check(.invalidArgument, ["from epoch 2 to epoch 1", "goes on"]) {
        _ = try StateStore.open(at: path, epoch: 1, fileSystem: fileSystem)
      }
      #expect(try StateStore.epochs(at: path, fileSystem: fileSystem).map(\.number) == [2])
      try StateStore.open(at: path, epoch: 2, fileSystem: fileSystem).close()
    }
  }

  @Test func orderedKeyspacesWithoutALogGoBack() throws {
    let fileSystem = MemoryFileSystem()
    let options = OrderedKeyspaceOptions(isLogged: false)
    do {
      let store = try StateStore.open(
        at: "/state", options: Self.options(), fileSystem: fileSystem)
      let rows = try store.orderedKeyspace("rows", options)
      for number in UInt8(1)...3 {
        for key in UInt8(0)..<50 { try rows.put([key], [number]) }
        try rows.put([100 + number], [number])
        try store.commitEpoch(metadata: [number])
        try rows.compact()
      }
    }
    let store = try StateStore.open(
      at: "/state", options: Self.options(), epoch: 2, fileSystem: fileSystem)
    let rows = try store.orderedKeyspace("rows", options)
    for key in UInt8(0)..<50 { #expect(try rows.get([key]) == [2]) }
    #expect(try rows.get([102]) == [2])
    #expect(try rows.get([103]) == nil)
    try rows.put([0], [9])
    try store.commitEpoch()
    #expect(try rows.get([0]) == [9])
  }

  // MARK: - Confirming

  @Test func filesOfEarlierEpochsGoAfterAConfirmation() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem)
    func commitMerged(_ number: UInt64) throws -> Set<String> {
      try Self.commit(number, to: opened)
      try opened.store.compact()
      try opened.store.commitEpoch()
      return try Self.names(fileSystem, ".sst")
    }
    let first = try commitMerged(1)
    try opened.store.confirmEpoch()
    try Self.commit(3, to: opened)
    try opened.store.compact()
    let second = try Self.names(fileSystem, ".sst")
    try opened.store.commitEpoch()
    #expect(try Self.names(fileSystem, ".sst").count > 2, "those of epochs 2, 3 and 4")
    try opened.store.confirmEpoch()
    try opened.store.commitEpoch()
    let last = try Self.names(fileSystem, ".sst")
    #expect(!last.isEmpty && last.isSubset(of: second) && last.isDisjoint(with: first))
    #expect(last.count == 2, "one table a shard")
  }

  @Test func withoutTheOptionNothingIsKeptAndConfirmingDoesNothing() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem, confirms: false)
    for number in UInt64(1)...20 {
      try Self.commit(number, to: opened)
      try opened.store.compact()
    }
    try opened.store.commitEpoch()
    try opened.store.confirmEpoch()
    try opened.store.confirmEpoch(999)
    #expect(try Self.names(fileSystem, ".sst").count == 2)
    _ = try opened.store.keyspace("other", Self.keyspaceOptions)
    try opened.store.close()
    #expect(try Self.numbers(fileSystem) == [21])
  }

  @Test func anEarlierEpochIsConfirmedByItsNumber() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem)
    for number in UInt64(1)...3 {
      try Self.commit(number, to: opened)
      try opened.store.compact()
    }
    Self.check(.invalidArgument, ["epoch 7", "0, 1, 2, 3"]) { try opened.store.confirmEpoch(7) }
    try opened.store.confirmEpoch(2)
    Self.check(.invalidArgument, ["epoch 1", "2, 3"]) { try opened.store.confirmEpoch(1) }
    try opened.store.confirmEpoch(2)
    Self.check(.invalidArgument, ["epoch 3 is not confirmed"]) {
      _ = try opened.store.keyspace("other", Self.keyspaceOptions)
    }
    try Self.commit(4, to: opened)
    try opened.store.close()
    let earlier = try Self.open(fileSystem, epoch: 2)
    #expect(try Self.epochs(in: earlier.seen, upTo: 4) == [1, 2])
  }

  @Test func keyspacesChangeOnlyWhileNoEpochWaits() throws {
    let fileSystem = MemoryFileSystem()
    let timed = KeyspaceOptions(timeToLive: .milliseconds(1_000))
    let opened = try Self.open(fileSystem)
    _ = try opened.store.keyspace("timed", timed)
    try Self.commit(1, to: opened)
    let attempts: [(StateStore) throws -> Void] = [
      { _ = try $0.keyspace("hashed", Self.keyspaceOptions) },
      { _ = try $0.orderedKeyspace("ordered", OrderedKeyspaceOptions(isLogged: false)) },
      { try $0.changeTimeToLive(of: "timed", to: .milliseconds(2_000)) },
    ]
    for attempt in attempts {
      Self.check(.invalidArgument, ["epoch 1 is not confirmed"]) { try attempt(opened.store) }
    }
    #expect(opened.store.keyspaceNames == ["seen", "timed"])
    #expect(opened.store.keyspace(named: "timed")?.options.timeToLive == .milliseconds(1_000))
    // One that exists opens, and nothing was poisoned.
    _ = try opened.store.keyspace("timed", timed)
    try opened.store.confirmEpoch()
    for attempt in attempts { try attempt(opened.store) }
    try Self.commit(2, to: opened)
    try opened.store.close()
    let earlier = try Self.open(fileSystem, epoch: 1)
    #expect(earlier.store.keyspaceNames == ["seen", "timed", "hashed", "ordered"])
    #expect(try Self.epochs(in: earlier.seen, upTo: 2) == [1])
  }

  @Test func theManifestIsNotReplacedBeforeItsEpochIsConfirmed() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem)
    let name = try Self.manifestName(fileSystem)
    for number in UInt8(1)...2 {
      // More than a manifest's edits may have.
      let metadata = [UInt8](repeating: number, count: 5 << 20)
      try opened.store.commitEpoch(metadata: metadata)
      #expect(try Self.manifestName(fileSystem) == name)
    }
    try opened.store.confirmEpoch(1)
    #expect(try Self.manifestName(fileSystem) == name)
    #expect(try Self.numbers(fileSystem) == [0, 1, 2])
    try opened.store.confirmEpoch(2)
    #expect(try Self.manifestName(fileSystem) != name)
    let epochs = try StateStore.epochs(at: "/state", fileSystem: fileSystem)
    #expect(epochs.map(\.number) == [2])
    #expect(epochs[0].metadata == [UInt8](repeating: 2, count: 5 << 20))
    try Self.commit(3, to: opened)
    #expect(try Self.numbers(fileSystem) == [2, 3])
  }

  @Test func noMoreThanFifteenEpochsWait() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem)
    for number in UInt64(1)...15 { try Self.commit(number, to: opened, count: 10) }
    Self.check(.invalidArgument, ["15 epochs are not confirmed"]) {
      try opened.store.commitEpoch()
    }
    #expect(try Self.numbers(fileSystem) == Array(0...15))
    try opened.store.confirmEpoch(5)
    try Self.commit(16, to: opened, count: 10)
    #expect(try Self.epochs(in: opened.seen, upTo: 16, count: 10) == Array(1...16))
  }

  // MARK: - What there is

  @Test func epochsAreListedBesideAWriter() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fileSystem.openDirectory(at: "/state", creating: true)
    #expect(try StateStore.epochs(at: "/state", fileSystem: fileSystem).isEmpty)
    Self.check(.notFound, ["/none"]) {
      _ = try StateStore.epochs(at: "/none", fileSystem: fileSystem)
    }
    let opened = try Self.open(fileSystem)
    #expect(
      try StateStore.epochs(at: "/state", fileSystem: fileSystem)
        == [StoredEpoch(number: 0, metadata: [])])
    for number in UInt64(1)...3 { try Self.commit(number, to: opened) }
    let pending = try opened.store.beginEpoch(metadata: [4])
    #expect(
      try StateStore.epochs(at: "/state", fileSystem: fileSystem)
        == (UInt64(0)...3).map { StoredEpoch(number: $0, metadata: $0 == 0 ? [] : [UInt8($0)]) })
    _ = try pending.commit()
    #expect(try Self.numbers(fileSystem) == [0, 1, 2, 3, 4])
  }

  @Test func ofManyEpochsTheNewestAreListed() throws {
    let fileSystem = MemoryFileSystem()
    let opened = try Self.open(fileSystem, confirms: false)
    for number in UInt64(1)...40 { try opened.store.commitEpoch(metadata: [UInt8(number)]) }
    #expect(try Self.numbers(fileSystem) == Array(25...40))
  }
}
