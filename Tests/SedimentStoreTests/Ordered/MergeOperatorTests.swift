import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Merge operators")
struct MergeOperatorTests {
  private static func open(
    _ fileSystem: any FileSystem, clock: ManualClock = ManualClock()
  ) throws -> StateStore {
    try StateStore.open(at: "/state", options: OrderedScript.options(clock), fileSystem: fileSystem)
  }

  private static func code(_ body: () throws -> Void) -> StoreError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? StoreError)?.code
    }
  }

  /// Writes all to tables, and merges them to one level.
  private static func settle(_ store: StateStore) throws {
    try store.flush()
    try store.compact()
  }

  /// All entries of a keyspace, going on; and what going back gives, turned round.
  private static func scans(
    _ keyspace: OrderedKeyspace, at snapshot: Snapshot? = nil
  ) throws -> [[[[UInt8]]]] {
    var cursor = keyspace.cursor(at: snapshot)
    var forward: [[[UInt8]]] = []
    try cursor.seekToFirst()
    while cursor.isValid {
      forward.append([cursor.keyBytes, cursor.valueBytes])
      try cursor.moveNext()
    }
    var backward: [[[UInt8]]] = []
    try cursor.seekToLast()
    while cursor.isValid {
      backward.append([cursor.keyBytes, cursor.valueBytes])
      try cursor.movePrevious()
    }
    return [forward, backward.reversed()]
  }

  private let key = Array("key".utf8)

  @Test func countersAddUpWhereverTheirOperandsLie() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let options = OrderedKeyspaceOptions(mergeOperator: .sum)
    let counts = try store.orderedKeyspace("counts", options)
    try counts.merge(key, MergeOperator.integer(5))
    #expect(try counts.get(key) == MergeOperator.integer(5))
    try store.flush()
    try counts.merge(key, MergeOperator.integer(-7))
    #expect(try counts.get(key) == MergeOperator.integer(-2))
    try Self.settle(store)
    try counts.put(key, MergeOperator.integer(100))
    try counts.merge(key, MergeOperator.integer(1))
    #expect(try counts.get(key).flatMap(MergeOperator.integer(from:)) == 101)
    try store.close()

    // The library's own operators need not be given again.
    let again = try Self.open(fileSystem)
    let found = try #require(again.orderedKeyspace(named: "counts"))
    #expect(found.options == options)
    #expect(try found.get(key) == MergeOperator.integer(101))
    try found.remove(key)
    #expect(try found.get(key) == nil)
    try found.merge(key, MergeOperator.integer(3))
    try Self.settle(again)
    #expect(try found.get(key) == MergeOperator.integer(3))
  }

  @Test func aMillionIncrementsOfOneKeyAreOneEntryOnDisk() throws {
    let store = try Self.open(MemoryFileSystem())
    let counts = try store.orderedKeyspace("counts", OrderedKeyspaceOptions(mergeOperator: .sum))
    for _ in 0..<20 {
      var batch = WriteBatch()
      for _ in 0..<500 { try batch.merge(key, MergeOperator.integer(1), in: counts) }
      try store.write(batch)
    }
    try store.flush()
    try store.waitUntilIdle()
    try store.compact()
    #expect(counts.tableEntryCount == 1)
    #expect(try counts.get(key) == MergeOperator.integer(10_000))
  }

  @Test func anOperatorThatIsNotGivenIsAskedForAndNothingIsLost() throws {
    let fileSystem = MemoryFileSystem()
    let joining = MergeOperator(
      "joined by commas",
      applying: { value, operand, result in
        if let value {
          unsafe value.withUnsafeBytes { unsafe result += $0 }
          result.append(44)
        }
        unsafe operand.withUnsafeBytes { unsafe result += $0 }
      })
    let store = try Self.open(fileSystem)
    let lists = try store.orderedKeyspace("l", OrderedKeyspaceOptions(mergeOperator: joining))
    try lists.put(key, [1])
    try lists.merge(key, [2])
    try store.close()

    let without = try Self.open(fileSystem)
    let found = try #require(without.orderedKeyspace(named: "l"))
    #expect(Self.code { _ = try found.get(key) } == .mergeFailed)
    try found.merge(key, [3])
    try Self.settle(without)
    var cursor = found.cursor()
    #expect(Self.code { try cursor.seekToFirst() } == .mergeFailed)
    let isThere = cursor.isValid
    #expect(!isThere)
    #expect(
      Self.code { _ = try without.orderedKeyspace("l", OrderedKeyspaceOptions()) }
        == .optionsDiffer)
    let given = try without.orderedKeyspace("l", OrderedKeyspaceOptions(mergeOperator: joining))
    #expect(try given.get(key) == [1, 44, 2, 44, 3])
    try without.compact()
    #expect(try given.get(key) == [1, 44, 2, 44, 3])
  }

  @Test func anOperatorThatRefusesKeepsWhatWasWritten() throws {
    let store = try Self.open(MemoryFileSystem())
    let counts = try store.orderedKeyspace("counts", OrderedKeyspaceOptions(mergeOperator: .sum))
    try counts.put(key, [1, 2, 3])
    try counts.merge(key, MergeOperator.integer(4))
    for _ in 0..<2 {
      #expect(Self.code { _ = try counts.get(key) } == .mergeFailed)
      try Self.settle(store)
    }
    try counts.put(key, MergeOperator.integer(6))
    #expect(try counts.get(key) == MergeOperator.integer(6))
    let own = MergeOperator("sediment.sum", combining: { _, _, _ in })
    #expect(
      Self.code {
        _ = try store.orderedKeyspace("own", OrderedKeyspaceOptions(mergeOperator: own))
      } == .invalidArgument)
    let plain = try store.orderedKeyspace("plain")
    #expect(Self.code { try plain.merge(key, [1]) } == .invalidArgument)
    #expect(
      Self.code {
        let name = String(repeating: "x", count: 256)
        _ = try store.orderedKeyspace(
          "long",
          OrderedKeyspaceOptions(mergeOperator: MergeOperator(name, combining: { _, _, _ in })))
      } == .invalidArgument)
  }

  @Test func eachOperandCountsForItsOwnTimeToLive() throws {
    let clock = ManualClock()
    let store = try Self.open(MemoryFileSystem(), clock: clock)
    let window = try store.orderedKeyspace(
      "w", OrderedKeyspaceOptions(timeToLive: .milliseconds(1000), mergeOperator: .sum))
    var expected: [Int64?] = []
    var found: [Int64?] = []
    for step in 0..<8 {
      if step < 4 { try window.merge(key, MergeOperator.integer(1)) }
      if step == 2 { try store.flush() }
      if step == 3 { try Self.settle(store) }
      let alive = (max(0, step - 3)...step).count { $0 < 4 }
      expected.append(alive == 0 ? nil : Int64(alive))
      found.append(try window.get(key).flatMap(MergeOperator.integer(from:)))
      if step >= 5 { try Self.settle(store) }
      clock.advance(byMillis: 250)
    }
    #expect(found == expected)
    try Self.settle(store)
    #expect(window.tableEntryCount == 0)
  }

  /// Puts, removes of keys and ranges, and merges of an operator for which order counts, at random,
  /// with snapshots, flushes, merges of tables and reopening in between, beside a model.
  @Test(arguments: 0..<12)
  func atRandomItIsAsAModelSays(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &generator) }
    let fileSystem = MemoryFileSystem()
    let options = OrderedKeyspaceOptions(mergeOperator: seed % 2 == 0 ? .append : Self.appending)
    var store = try Self.open(fileSystem)
    var keyspace = try store.orderedKeyspace("k", options)
    var model: [[UInt8]: [UInt8]] = [:]
    var pinned: [(Snapshot, [[UInt8]: [UInt8]])] = []
    for step in 0..<900 {
      let key = Array("\(draw(0...20))".utf8)
      let value = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: draw(0...30))
      switch draw(0...99) {
      case ..<20:
        try keyspace.put(key, value)
        model[key] = value
      case ..<30:
        try keyspace.remove(key)
        model[key] = nil
      case ..<33:
        let (lower, upper) = (key, Array("\(draw(0...20))".utf8))
        try keyspace.removeRange(from: lower, to: upper)
        model = model.filter {
          $0.key.lexicographicallyPrecedes(lower) || !$0.key.lexicographicallyPrecedes(upper)
        }
      case ..<80:
        try keyspace.merge(key, value)
        model[key, default: []] += value
      case ..<86: try store.flush()
      case ..<89: try store.compact()
      case ..<94: pinned.append((store.snapshot(), model))
      case ..<97: if !pinned.isEmpty { pinned.remove(at: draw(0...pinned.count - 1)) }
      case ..<98:
        pinned = []
        try store.close()
        store = try Self.open(fileSystem)
        keyspace = try store.orderedKeyspace("k", options)
      default: try Self.check(keyspace, nil, model)
      }
      if let (snapshot, then) = pinned.randomElement(using: &generator), step % 40 == 0 {
        try Self.check(keyspace, snapshot, then)
      }
      #expect(try keyspace.get(key) == model[key])
    }
    pinned = []
    try Self.settle(store)
    try Self.check(keyspace, nil, model)
    #expect(keyspace.tableEntryCount == UInt64(model.count))
  }

  private static let appending = MergeOperator(
    "order counts",
    applying: { value, operand, result in
      if let value { unsafe value.withUnsafeBytes { unsafe result += $0 } }
      unsafe operand.withUnsafeBytes { unsafe result += $0 }
    })

  private static func check(
    _ keyspace: OrderedKeyspace, _ snapshot: Snapshot?, _ model: [[UInt8]: [UInt8]]
  ) throws {
    for key in 0...20 {
      let key = Array("\(key)".utf8)
      #expect(try keyspace.get(key, at: snapshot) == model[key])
    }
    let sorted = model.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    let expected = sorted.map { [$0.key, $0.value] }
    #expect(try scans(keyspace, at: snapshot) == [expected, expected])
  }

  // MARK: - Compaction filters

  @Test func aFilterTakesOutWhatNoSnapshotSees() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(mergeOperator: .append))
    for number in 0..<100 { try keyspace.put([UInt8(number)], [UInt8(number % 3)]) }
    keyspace.compactionFilter = CompactionFilter { key, value in
      unsafe value.byteCount == 1 && value.unsafeLoad(as: UInt8.self) == 0 ? .remove : .keep
    }
    try store.withSnapshot { _ in
      try keyspace.put([200], [0])
      try keyspace.merge([201], [0])
      try store.flush()
      #expect(try keyspace.get([200]) == [0], "a flush asks no filter")
      try Self.settle(store)
      #expect(try keyspace.get([200]) == nil)
      #expect(try keyspace.get([201]) == nil)
      #expect(try keyspace.get([0]) == [0], "a snapshot sees it")
    }
    try keyspace.put([202], [1])
    try Self.settle(store)
    #expect(try Self.scans(keyspace)[0].count == 66 + 1)
  }

  @Test func withoutSnapshotsAFilterReclaimsSpace() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    keyspace.compactionFilter = CompactionFilter { key, _ in
      unsafe key.unsafeLoad(as: UInt8.self) % 2 == 0 ? .remove : .keep
    }
    for number in 0..<100 { try keyspace.put([UInt8(number)], [1]) }
    try Self.settle(store)
    #expect(try Self.scans(keyspace)[0].map(\.[0][0]) == (0..<100).filter { $0 % 2 == 1 })
    #expect(keyspace.tableEntryCount == 50)
  }
}
