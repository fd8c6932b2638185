import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Sorted input")
struct IngestionTests {
  private static func open(
    _ fileSystem: any FileSystem, _ clock: ManualClock = ManualClock()
  ) throws -> StateStore {
    try StateStore.open(
      at: "/state", options: OrderedScript.options(clock), fileSystem: fileSystem)
  }

  private static func entries(_ keys: some Sequence<UInt8>, _ value: UInt8) -> OrderedScript.Model {
    var entries: OrderedScript.Model = [:]
    for key in keys { entries[[key]] = [UInt8](repeating: value, count: 200) }
    return entries
  }

  private static func ingest(
    _ entries: OrderedScript.Model, into keyspace: OrderedKeyspace
  ) throws {
    let count = try keyspace.ingest { input in
      for (key, value) in entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
        try input.add(key, value)
      }
      #expect(input.count == entries.count)
    }
    #expect(count == entries.count)
  }

  private static func check(
    _ keyspace: OrderedKeyspace, _ model: OrderedScript.Model, at snapshot: Snapshot? = nil
  ) throws {
    #expect(try OrderedScript.difference(keyspace, model, at: snapshot) == nil)
  }

  @Test func anEmptyKeyspaceTakesItToTheLastLevel() throws {
    let fileSystem = MemoryFileSystem()
    let entries = Self.entries(0...255, 1)
    do {
      let store = try Self.open(fileSystem)
      let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(compression: .none))
      try Self.ingest(entries, into: keyspace)
      try Self.check(keyspace, entries)
      #expect(keyspace.tableCount > 2)
      let statistics = store.statistics
      #expect(statistics.bytesMerged == 0)
      try Self.check(keyspace, entries)
      // Nothing of it is in the log: it is durable as it is.
    }
    let crashed = fileSystem.crashed(.nothing)
    #expect(try ReadOnlyStore.verify(at: "/state", fileSystem: crashed).isEmpty)
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: crashed).state
    let levels = try #require(state.orderedKeyspaces.first).levels
    let above = levels.tables.dropLast().joined()
    #expect(above.isEmpty)
    let store = try Self.open(crashed)
    let options = OrderedKeyspaceOptions(compression: .none)
    try Self.check(try store.orderedKeyspace("k", options), entries)
  }

  @Test func itIsOneWriteAmongOthers() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    var model = Self.entries(0..<100, 1)
    for (key, value) in model { try keyspace.put(key, value) }
    try store.flush()
    try keyspace.put([50], [1])
    try keyspace.remove([51])
    model[[50]] = [1]
    model[[51]] = nil
    let (before, old) = (store.snapshot(), model)
    var cursor = keyspace.cursor()
    try cursor.seekToFirst()
    let input = Self.entries(stride(from: 40, to: 120, by: 2), 2)
    try Self.ingest(input, into: keyspace)
    model.merge(input) { $1 }
    let (between, middle) = (store.snapshot(), model)
    try keyspace.put([60], [7])
    try keyspace.removeRange(from: [70], to: [80])
    model[[60]] = [7]
    for key in UInt8(70)..<80 { model[[key]] = nil }
    let second = Self.entries([70, 200], 3)
    try Self.ingest(second, into: keyspace)
    model.merge(second) { $1 }
    for round in 0..<3 {
      try Self.check(keyspace, model)
      try Self.check(keyspace, middle, at: between)
      try Self.check(keyspace, old, at: before)
      if round == 0 { try store.flush() } else { try store.compact() }
    }
    var seen = 0
    while cursor.isValid {
      #expect(old[cursor.keyBytes] == cursor.valueBytes)
      seen += 1
      try cursor.moveNext()
    }
    #expect(seen == old.count)
    withExtendedLifetime((before, between)) {}
  }

  @Test func aCursorSeeksInWhatItsMomentDoesNotHave() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    for key in [UInt8(10), 20, 30] { try keyspace.put([key], [key]) }
    let before = store.snapshot()
    try Self.ingest(Self.entries([5, 20, 25], 2), into: keyspace)
    var cursor = keyspace.cursor(at: before)
    try cursor.seek(to: [20])
    var seen = [cursor.keyBytes, cursor.valueBytes]
    try cursor.movePrevious()
    seen.append(cursor.keyBytes)
    try cursor.movePrevious()
    let isAtNone = !cursor.isValid
    try cursor.seek(to: [21])
    seen.append(cursor.keyBytes)
    #expect(isAtNone && seen == [[20], [20], [10], [30]])
    #expect(try keyspace.get([20], at: before) == [20])
    #expect(try keyspace.get([25], at: before) == nil)
    #expect(try keyspace.get([25])?.count == 200)
    withExtendedLifetime(before) {}
  }

  @Test func whatIsRefusedLeavesNothing() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("k")
    try keyspace.put([1], [1])
    struct Own: Error {}
    func code(_ body: (inout SortedInput) throws -> Void) throws -> StoreError.Code? {
      do {
        try keyspace.ingest(body)
        return nil
      } catch let error as StoreError {
        return error.code
      }
    }
    func fill(_ input: inout SortedInput) throws {
      for number in 0..<200 { try input.add([UInt8(number)], [UInt8](repeating: 1, count: 300)) }
    }
    for key in [UInt8(199), 7] {
      let found = try code { input in
        try fill(&input)
        try input.add([key], [])
      }
      #expect(found == .invalidArgument)
    }
    #expect(
      try code { try $0.add([UInt8](repeating: 1, count: 70_000), []) } == .invalidArgument)
    let ignored = try code { input in
      try fill(&input)
      try? input.add([7], [])
      try? input.add([201], [])
    }
    #expect(ignored == .invalidArgument)
    #expect(throws: Own.self) {
      try keyspace.ingest { input in
        try fill(&input)
        throw Own()
      }
    }
    let none = try keyspace.ingest { _ in }
    #expect(none == 0)
    try Self.check(keyspace, [[1]: [1]])
    #expect(keyspace.tableCount == 0)
    try store.close()
    #expect(try code(fill) == .closed)
    let names = try fileSystem.openDirectory(at: "/state", creating: false).entries().map(\.name)
    #expect(!names.contains { $0.hasSuffix(".sst") })
  }

  @Test func entriesExpireByTheirTime() throws {
    let clock = ManualClock()
    let store = try Self.open(MemoryFileSystem(), clock)
    let keyspace = try store.orderedKeyspace(
      "k", OrderedKeyspaceOptions(timeToLive: .milliseconds(1000)))
    try keyspace.ingest { input in
      try input.add([1], [1])
      try input.add([2], [2], timeToLive: .forever)
      try input.add([3], [3], timeToLive: .milliseconds(5000))
    }
    try Self.check(keyspace, [[1]: [1], [2]: [2], [3]: [3]])
    clock.advance(byMillis: 1000)
    try Self.check(keyspace, [[2]: [2], [3]: [3]])
    clock.advance(byMillis: 4000)
    try store.compact()
    try Self.check(keyspace, [[2]: [2]])
    #expect(keyspace.tableEntryCount == 1)
  }

  @Test(arguments: [true, false])
  func itComesInWhileAnEpochIsPendingAndDoesNotBelongToIt(isLogged: Bool) throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let options = OrderedKeyspaceOptions(isLogged: isLogged)
    let keyspace = try store.orderedKeyspace("k", options)
    var model = Self.entries(stride(from: 0, to: 200, by: 2), 1)
    for (key, value) in model { try keyspace.put(key, value) }
    let before = model
    let pending = try store.beginEpoch()
    let input = Self.entries(stride(from: 1, to: 200, by: 2), 2)
    try Self.ingest(input, into: keyspace)
    model.merge(input) { $1 }
    try Self.check(keyspace, model)
    _ = try pending.commit()
    if !isLogged {
      let crashed = try Self.open(fileSystem.crashed(.nothing))
      try Self.check(try crashed.orderedKeyspace("k", options), before)
    }
    try store.waitUntilIdle()
    try store.compact()
    try Self.check(keyspace, model)
    if !isLogged { try store.commitEpoch() }
    let crashed = try Self.open(fileSystem.crashed(.nothing))
    try Self.check(try crashed.orderedKeyspace("k", options), model)
  }

  @Test func closingWaitsForItAndTheNextOpeningMeetsNoneOfItsFiles() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("k")
    try keyspace.put([1], [1])
    var closing: JoinedThread?
    let error = try #require(throws: StoreError.self) {
      try keyspace.ingest { input in
        try input.add([0], [2])
        #expect(throws: StoreError.self) { try store.close() }
        closing = try JoinedThread { try? store.close() }
        for number in 0..<1_000_000 {
          let key = [16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) }
          try input.add([1] + key, [])
        }
      }
    }
    #expect(error.code == .closed)
    closing?.join()
    let names = try fileSystem.openDirectory(at: "/state", creating: false).entries().map(\.name)
    #expect(!names.contains { $0.hasSuffix(".sst") })
    try Self.check(try Self.open(fileSystem).orderedKeyspace("k"), [[1]: [1]])
  }

  private static func key(_ number: Int) -> [UInt8] {
    [1, UInt8(number & 255), UInt8(number >> 8)]
  }

  @Test func writersAndMergesGoOnMeanwhile() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    let writer = try JoinedThread {
      for number in 0..<4000 { _ = try? keyspace.put(Self.key(number), [1, 2, 3]) }
    }
    var model: OrderedScript.Model = [:]
    for round in UInt8(0)..<20 {
      let input = Self.entries(stride(from: round, to: 250, by: 3), round)
      try Self.ingest(input, into: keyspace)
      model.merge(input) { $1 }
    }
    writer.join()
    for number in 0..<4000 { model[Self.key(number)] = [1, 2, 3] }
    try Self.check(keyspace, model)
    try store.compact()
    try Self.check(keyspace, model)
  }
}
