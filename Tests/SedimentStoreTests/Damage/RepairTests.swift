import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// What is saved of a damaged state: all that is whole, and nothing else.
@Suite struct RepairTests {
  private typealias Model = [[UInt8]: [UInt8]]
  private static let seen = KeyspaceOptions(timeToLive: .forever)

  private static func key(_ number: Int) -> [UInt8] { Array("key \(1_000 + number)".utf8) }

  /// A closed state of a keyspace with tables and a log, every key written once, and a hashed one.
  private static func makeState() throws -> (disk: MemoryFileSystem, model: Model) {
    let disk = MemoryFileSystem()
    var model: Model = [:]
    let store = try OrderedScript.options(ManualClock()).opened(on: disk)
    let words = try store.orderedKeyspace("words", OrderedKeyspaceOptions(compression: .none))
    let hashed = try store.keyspace("seen", seen)
    for round in 0..<3 {
      for number in stride(from: round, to: 90, by: 3) {
        let value = [UInt8](repeating: UInt8(number), count: 150)
        model[key(number)] = value
        try words.put(key(number), value, durability: .synchronized)
        #expect(try hashed.insertIfAbsent(key(number), time: Int64(number)))
      }
      if round < 2 { try store.flush() }
      if round == 0 { try store.compact() }
    }
    try store.commitEpoch(metadata: [9])
    try store.close()
    return (disk, model)
  }

  private static func entries(_ disk: MemoryFileSystem, at path: String = "/new") throws -> Model {
    let keyspace = try ReadOnlyStore.open(at: path, fileSystem: disk).orderedKeyspace("words")
    return try ReadOnlyEntries.all(of: keyspace.cursor())
      .reduce(into: Model()) { $0[$1.key] = $1.value }
  }

  /// Repairs, and holds that the old state is as it was and the new one whole.
  private static func repair(_ disk: MemoryFileSystem) throws -> RepairReport {
    func old() throws -> [String: [UInt8]] {
      try disk.files().filter { $0.hasPrefix("state/") }
        .reduce(into: [:]) { $0[$1] = try disk.contents(of: $1) }
    }
    let before = try old()
    let report = try StateStore.repair(at: "/state", to: "/new", fileSystem: disk)
    #expect(try old() == before)
    #expect(try ReadOnlyStore.open(at: "/new", fileSystem: disk).verify().isEmpty)
    return report
  }

  private static func state(_ disk: MemoryFileSystem) throws -> StoreState {
    try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
  }

  private static func flip(_ name: String, at offset: Int, on disk: MemoryFileSystem) throws {
    var bytes = try disk.contents(of: "state/" + name)
    bytes[offset] ^= 0x10
    try disk.replaceContents(of: "state/" + name, with: bytes)
  }

  @Test func aWholeStateIsSavedWhole() throws {
    let (disk, model) = try Self.makeState()
    let report = try Self.repair(disk)
    #expect(report.losses.isEmpty && report.rewrittenTables == 0)
    #expect(try report.copiedTables == Self.state(disk).tableReferences.count)
    #expect(try Self.entries(disk) == model)
    let store = try StateStore.open(
      at: "/new", options: OrderedScript.options(ManualClock()), fileSystem: disk)
    #expect(store.lastEpoch.metadata == [9])
    let hashed = try store.keyspace("seen", Self.seen)
    for number in 0..<90 {
      #expect(try !hashed.insertIfAbsent(Self.key(number), time: 500))
    }
    let words = try store.orderedKeyspace("words", OrderedKeyspaceOptions(compression: .none))
    try words.put([1], [2], durability: .synchronized)
    try store.close()
    #expect(try Self.entries(disk)[[1]] == [2])
  }

  @Test func ofADamagedTableOnlyDamagedBlocksAreLost() throws {
    let (disk, model) = try Self.makeState()
    let tables = try Self.state(disk).orderedTables
    let table = try #require(tables.max { $0.entryCount < $1.entryCount })
    var wasInBlock = false
    for offset in stride(from: 5, to: Int(table.fileBytes), by: 509) {
      let damaged = disk.clone()
      try Self.flip(table.number.tableName, at: offset, on: damaged)
      let report = try Self.repair(damaged)
      let found = try Self.entries(damaged)
      let loss = try #require(report.losses.first, "offset \(offset)")
      #expect(report.losses.count == 1 && loss.file == table.number.tableName)
      let lost = model.count - found.count
      #expect(loss.entries == UInt64(lost), "offset \(offset)")
      #expect(lost < table.entryCount, "offset \(offset)")
      #expect(found.allSatisfy { model[$0.key] == $0.value }, "offset \(offset)")
      wasInBlock = wasInBlock || lost > 0
    }
    #expect(wasInBlock)
  }

  @Test(
    "a table that was cut short is saved up to there", arguments: [BlockCompression.none, .lz4])
  func truncatedTable(compression: BlockCompression) throws {
    let disk = MemoryFileSystem()
    let store = try StateStore.open(at: "/state", fileSystem: disk)
    let words = try store.orderedKeyspace(
      "words", OrderedKeyspaceOptions(compression: compression))
    for number in 0..<400 { try words.put(Self.key(number), [UInt8](repeating: 7, count: 100)) }
    try store.flush()
    try store.close()
    let table = try #require(try Self.state(disk).orderedTables.first)
    let name = "state/" + table.number.tableName
    try disk.replaceContents(
      of: name, with: Array(disk.contents(of: name).dropLast(4096)))
    let report = try Self.repair(disk)
    #expect(report.losses.map(\.entries) == [0] && report.rewrittenTables == 1)
    #expect(
      try Self.entries(disk).keys.sorted { $0.lexicographicallyPrecedes($1) }
        == (0..<400).map(Self.key))
  }

  @Test func recordsOfTheLogAreSavedOnBothSidesOfADamage() throws {
    let (disk, model) = try Self.makeState()
    let name = try #require(
      try Self.state(disk).writeLogs.map(\.number.logName)
        .max { try disk.contents(of: "state/\($0)").count < disk.contents(of: "state/\($1)").count }
    )
    // Within the value of a write in the middle, which has one byte over and over.
    let bytes = try disk.contents(of: "state/" + name)
    let place = try #require(
      (0..<bytes.count - 16).first { start in bytes[start..<start + 16].allSatisfy { $0 == 44 } })
    try Self.flip(name, at: place, on: disk)
    let report = try Self.repair(disk)
    #expect(report.losses.contains { $0.file == name } && report.savedWrites > 1)
    let found = try Self.entries(disk)
    #expect(found.count == model.count - 1 && found.allSatisfy { model[$0.key] == $0.value })
    #expect(found[Self.key(44)] == nil)
    #expect(found[Self.key(89)] == model[Self.key(89)], "the last write")
  }

  @Test func aTableThatIsGoneIsLostAlone() throws {
    let (disk, model) = try Self.makeState()
    let table = try #require(try Self.state(disk).orderedTables.first)
    try disk.removeFile(at: "state/" + table.number.tableName)
    let report = try Self.repair(disk)
    #expect(report.losses.map(\.entries) == [table.entryCount])
    #expect(report.losses[0].message.contains("missing"))
    #expect(try Self.entries(disk).count == model.count - Int(table.entryCount))
  }

  @Test func aManifestIsFoundWithoutCURRENT() throws {
    let (disk, model) = try Self.makeState()
    try disk.removeFile(at: "state/CURRENT")
    let report = try Self.repair(disk)
    #expect(report.losses.contains { $0.message.contains("CURRENT is missing") })
    #expect(try Self.entries(disk) == model)
  }

  @Test func ofADamagedManifestTheStateBeforeTheDamageIsTaken() throws {
    let (disk, model) = try Self.makeState()
    let manifest = try #require(disk.files().filter { $0.hasPrefix("state/MANIFEST-") }.max())
    let size = try disk.contents(of: manifest).count
    try Self.flip(String(manifest.dropFirst("state/".count)), at: size - 60, on: disk)
    let report = try Self.repair(disk)
    #expect(report.losses.contains { $0.message.contains("the state is taken from MANIFEST-") })
    let found = try Self.entries(disk)
    #expect(found.allSatisfy { model[$0.key] == $0.value })
  }

  @Test func withoutAManifestNothingIsGuessed() throws {
    let (disk, _) = try Self.makeState()
    for file in disk.files() where file.hasPrefix("state/MANIFEST-") {
      try disk.removeFile(at: file)
    }
    let error = #expect(throws: StoreError.self) {
      try StateStore.repair(at: "/state", to: "/new", fileSystem: disk)
    }
    #expect(error?.code == .corrupted)
    #expect(error?.message.contains("Restore a checkpoint") == true)
    #expect(!disk.files().contains { $0.hasPrefix("new/") })
  }

  @Test func ofAHashedKeyspaceWholeTablesAreSaved() throws {
    let (disk, model) = try Self.makeState()
    var options = OrderedScript.options(ManualClock())
    options.memtableSlotsMax = 64
    let store = try options.opened(on: disk)
    let hashed = try store.keyspace("seen", Self.seen)
    for number in 1_000..<1_500 { _ = try hashed.insertIfAbsent(Self.key(number), time: 0) }
    try store.commitEpoch()
    try store.waitUntilIdle()
    try store.commitEpoch()
    try store.close()
    let table = try #require(try Self.state(disk).tables.values.first)
    try Self.flip(table.number.tableName, at: 100, on: disk)
    let report = try Self.repair(disk)
    #expect(report.losses.map(\.file) == [table.number.tableName])
    #expect(report.losses[0].entries == table.entryCount)
    #expect(try Self.entries(disk) == model)
  }

  @Test func nothingIsWrittenWhereAnythingIs() throws {
    let (disk, _) = try Self.makeState()
    let error = #expect(throws: StoreError.self) {
      try StateStore.repair(at: "/state", to: "/state", fileSystem: disk)
    }
    #expect(error?.code == .alreadyExists)
    let missing = #expect(throws: StoreError.self) {
      try StateStore.repair(at: "/nowhere", to: "/new", fileSystem: disk)
    }
    #expect(missing?.code == .notFound)
  }
}
