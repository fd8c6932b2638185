import Foundation
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Stores with ordered keyspaces that earlier builds wrote: every build opens them.
@Suite("Golden stores with ordered keyspaces")
struct OrderedGoldenTests {
  /// Formats that were released since there are ordered keyspaces.
  static let formats = ["v2", "v3", "v4", "v5"]
  private static let rewritten = ProcessInfo.processInfo.environment["REWRITE_GOLDEN_STORE"]

  @Test("a golden state and checkpoint open, answer and go on", arguments: formats)
  func opens(format: String) throws {
    let disk = try GoldenStoreTests.fixture(format)
    #expect(try ReadOnlyStore.verify(at: "/state", fileSystem: disk).isEmpty)
    #expect(try ReadOnlyStore.verify(at: "/backups", fileSystem: disk).isEmpty)
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    // Tables of several levels, and writes that only the log holds.
    let logged = try #require(state.orderedKeyspaces.first { $0.name == "logged" })
    #expect(logged.levels.tables.filter { !$0.isEmpty }.count >= 2)
    #expect(!state.writeLogs.isEmpty)
    if format != "v2" { try Self.checkThird(on: GoldenStoreTests.fixture(format)) }
    if !["v2", "v3"].contains(format) {
      try Self.checkFourth(on: GoldenStoreTests.fixture(format))
    }
    if format == "v5" { try Self.checkFifth(on: GoldenStoreTests.fixture(format)) }
    try Self.check("/state", rounds: 3, on: disk)
    try StateStore.restore(
      checkpoint: CheckpointReference(path: "/backups"), to: "/restored", fileSystem: disk)
    try Self.check("/restored", rounds: 2, on: disk)
  }

  private static func key(_ number: Int) -> [UInt8] { Array("key \(number % 10)/\(number)".utf8) }

  private static func value(_ number: Int, round: Int) -> [UInt8]? {
    if number % 7 == round { return nil }
    return Array("value \(number) of round \(round)".utf8) + [UInt8](repeating: 1, count: 30)
  }

  private static func options() -> StoreOptions { OrderedScript.options(ManualClock()) }

  private static func keyspaces(
    _ store: StateStore
  ) throws -> (logged: OrderedKeyspace, plain: OrderedKeyspace) {
    (
      try store.orderedKeyspace("logged"),
      try store.orderedKeyspace(
        "plain", OrderedKeyspaceOptions(isLogged: false, compression: .none))
    )
  }

  private static func write(round: Int, to store: StateStore) throws {
    let keyspaces = try keyspaces(store)
    for keyspace in [keyspaces.logged, keyspaces.plain] {
      for number in 0..<300 {
        if let value = value(number, round: round) {
          try keyspace.put(key(number), value)
        } else {
          try keyspace.remove(key(number))
        }
      }
    }
  }

  /// Holds what is at a path against what was written, and writes on.
  private static func check(_ path: String, rounds: Int, on disk: MemoryFileSystem) throws {
    for _ in 0..<2 {
      let store = try StateStore.open(at: path, options: options(), fileSystem: disk)
      let keyspaces = try keyspaces(store)
      // The last round came behind the last epoch.
      for (keyspace, round) in [(keyspaces.logged, rounds - 1), (keyspaces.plain, 1)] {
        for number in 0..<300 {
          #expect(try keyspace.get(key(number)) == value(number, round: round), "\(path)")
        }
      }
      try keyspaces.logged.put([1], [2])
      #expect(try keyspaces.logged.get([1]) == [2])
      try store.compact()
      try store.commitEpoch()
      try store.close()
    }
  }

  /// What the third format brought: operands and removals of ranges, in tables and in the log.
  private static func checkThird(on disk: MemoryFileSystem) throws {
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    let stored = try #require(state.orderedKeyspaces.first { $0.name == "counts" })
    #expect(stored.levels.removals.count == 2)
    for _ in 0..<2 {
      let store = try StateStore.open(at: "/state", options: options(), fileSystem: disk)
      let counts = try counts(store)
      for number in 0..<50 {
        let isGone = number % 10 < 4
        let expected = Int64(isGone ? 0 : 11) + (number == 20 ? 100 : 0)
        #expect(
          try counts.get(key(number)).flatMap(MergeOperator.integer(from:))
            == (expected == 0 ? nil : expected))
      }
      try store.flush()
      try store.compact()
      try store.close()
    }
  }

  private static func counts(_ store: StateStore) throws -> OrderedKeyspace {
    try store.orderedKeyspace("counts", OrderedKeyspaceOptions(mergeOperator: .sum))
  }

  private static func writeThird(to store: StateStore) throws {
    let counts = try counts(store)
    for number in 0..<50 { try counts.put(key(number), MergeOperator.integer(1)) }
    try store.flush()
    for number in 0..<50 { try counts.merge(key(number), MergeOperator.integer(10)) }
    try counts.removeRange(from: Array("key 2".utf8), to: Array("key 4".utf8))
    // The snapshot keeps the removal, and what it hides, in the tables.
    try store.withSnapshot { _ in
      try counts.removeRange(from: [], to: Array("key 2".utf8))
      try store.flush()
      try counts.merge(key(20), MergeOperator.integer(100))
    }
  }

  /// What the fourth format brought: tables of sorted input, one of which meets another.
  private static func checkFourth(on disk: MemoryFileSystem) throws {
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    let stored = try #require(state.orderedKeyspaces.first { $0.name == "sorted" })
    #expect(stored.levels.tables.joined().count { $0.isIngested } == 2)
    for _ in 0..<2 {
      let store = try StateStore.open(at: "/state", options: options(), fileSystem: disk)
      let sorted = try store.orderedKeyspace("sorted")
      for number in 100..<200 {
        let expected = number == 105 ? [1] : number % 10 == 0 ? [3] : [UInt8(number)]
        #expect(try sorted.get(Array("\(number)".utf8)) == expected)
      }
      try store.compact()
      try store.close()
    }
  }

  private static func writeFourth(to store: StateStore) throws {
    let sorted = try store.orderedKeyspace("sorted")
    try sorted.ingest { input in
      for number in 100..<200 { try input.add(Array("\(number)".utf8), [UInt8(number)]) }
    }
    try sorted.ingest { input in
      for number in stride(from: 100, to: 200, by: 10) {
        try input.add(Array("\(number)".utf8), [3])
      }
    }
    try sorted.put(Array("105".utf8), [1])
  }

  /// What the fifth format brought: a keyspace of the tiered style, compressed from the third level
  /// on.
  private static func checkFifth(on disk: MemoryFileSystem) throws {
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    let stored = try #require(state.orderedKeyspaces.first { $0.name == "tiered" })
    #expect(stored.options == tieredOptions)
    #expect(stored.levels.tables.joined().count >= 2)
    for _ in 0..<2 {
      let store = try StateStore.open(at: "/state", options: options(), fileSystem: disk)
      let tiered = try store.orderedKeyspace("tiered", tieredOptions)
      for number in 0..<40 {
        #expect(try tiered.get(key(number)) == [UInt8(number % 4 == 0 ? 4 : number % 4)])
      }
      try store.compact()
      try store.close()
    }
  }

  private static let tieredOptions = OrderedKeyspaceOptions(
    uncompressedLevels: 2, compaction: .tiered)

  private static func writeFifth(to store: StateStore) throws {
    let tiered = try store.orderedKeyspace("tiered", tieredOptions)
    for round in 1...4 {
      for number in stride(from: round % 4, to: 40, by: round == 1 ? 1 : 4) {
        try tiered.put(key(number), [UInt8(round)])
      }
      try store.flush()
      // Three runs are merged, so that two are left.
      try store.waitUntilIdle()
    }
  }

  /// Writes a fixture with the present build: see `Fixtures/README.md`.
  @Test(
    "a new format's fixture with ordered keyspaces is written when asked for",
    .enabled(if: OrderedGoldenTests.rewritten != nil))
  func rewrite() throws {
    let format = try #require(Self.rewritten)
    let memory = MemoryFileSystem()
    let store = try StateStore.open(
      at: "/state", options: Self.options(), seed: HashSeed(first: 0x5EED, second: 0x6F1D),
      fileSystem: memory)
    try Self.write(round: 0, to: store)
    try store.compact()
    try Self.write(round: 1, to: store)
    try store.checkpoint(to: "/backups")
    try Self.writeThird(to: store)
    try Self.writeFourth(to: store)
    try Self.writeFifth(to: store)
    try Self.write(round: 2, to: store)
    try store.waitUntilIdle()
    try Self.keyspaces(store).logged.put(Self.key(1), Self.value(1, round: 2) ?? [])
    try store.close()
    try GoldenStoreTests.save(memory, as: format)
  }
}
