import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Range removals")
struct RangeRemovalTests {
  private static func open(_ fileSystem: any FileSystem) throws -> StateStore {
    try StateStore.open(
      at: "/state", options: OrderedScript.options(ManualClock()), fileSystem: fileSystem)
  }

  private static func keys(
    _ keyspace: OrderedKeyspace, at snapshot: Snapshot? = nil
  ) throws -> [UInt8] {
    var cursor = keyspace.cursor(at: snapshot)
    var keys: [UInt8] = []
    try cursor.seekToFirst()
    while cursor.isValid {
      keys.append(cursor.keyBytes[0])
      try cursor.moveNext()
    }
    return keys
  }

  private static func fill(_ keyspace: OrderedKeyspace, _ keys: ClosedRange<UInt8>) throws {
    for key in keys { try keyspace.put([key], [UInt8](repeating: key, count: 200)) }
  }

  @Test(arguments: [true, false])
  func whatIsInARangeIsGoneAndWhatComesBehindStays(isFlushed: Bool) throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    try Self.fill(keyspace, 0...99)
    if isFlushed { try store.flush() }
    let before = store.snapshot()
    try keyspace.removeRange(from: [10], to: [90])
    try keyspace.put([50], [1])
    for _ in 0..<2 {
      #expect(try Self.keys(keyspace) == Array(0..<10) + [50] + Array(90..<100))
      #expect(try Self.keys(keyspace, at: before) == Array(0..<100))
      #expect(try keyspace.get([10]) == nil)
      #expect(try keyspace.get([90]) != nil)
      #expect(try keyspace.get([50]) == [1])
      #expect(try keyspace.get([50], at: before)?.count == 200)
      try store.flush()
      try store.compact()
    }
    try keyspace.removeRange(from: [95], to: nil)
    try keyspace.removeRange(from: [], to: [5])
    try keyspace.removeRange(from: [7], to: [6])
    #expect(try Self.keys(keyspace) == Array(5..<10) + [50] + Array(90..<95))
    withExtendedLifetime(before) {}
  }

  @Test func aBatchRemovesWhatIsBeforeItAndNothingBehind() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    var batch = WriteBatch()
    try batch.put([1], [1], in: keyspace)
    try batch.removeRange(from: [0], to: [9], in: keyspace)
    try batch.put([2], [2], in: keyspace)
    try store.write(batch)
    #expect(try Self.keys(keyspace) == [2])
    #expect(throws: StoreError.self) {
      try keyspace.removeRange(from: [], to: [UInt8](repeating: 0, count: 65_537))
    }
  }

  @Test func aBatchOfManyRemovalsOfAllLengthsHasRoom() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    try Self.fill(keyspace, 0...199)
    for round in 0..<3 {
      var batch = WriteBatch()
      for number in 0..<1_024 {
        let tail = [UInt8](repeating: 1, count: (number + round) % 23)
        try batch.removeRange(from: [1] + tail, to: [2] + tail, in: keyspace)
      }
      #expect(throws: StoreError.self) { try batch.removeRange(from: [], to: nil, in: keyspace) }
      try store.write(batch)
    }
    try store.waitUntilIdle()
    #expect(try Self.keys(keyspace) == [0] + Array(3..<200))
  }

  @Test func removalsEndWhenNothingIsLeftThatTheyHide() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let options = OrderedKeyspaceOptions(compression: .none)
    let keyspace = try store.orderedKeyspace("k", options)
    try Self.fill(keyspace, 0...199)
    try store.flush()
    try store.compact()
    let tables = keyspace.tableCount
    #expect(tables > 2)
    try keyspace.removeRange(from: [5], to: [195])
    try store.flush()
    // Those that lie in it whole are gone without a merge.
    #expect(keyspace.tableCount < tables)
    #expect(keyspace.rangeRemovalCount == 1)
    try store.compact()
    #expect(keyspace.rangeRemovalCount == 0)
    #expect(keyspace.tableEntryCount == 10)
    try store.close()
    #expect(try Self.keys(try Self.open(fileSystem).orderedKeyspace("k", options)).count == 10)
  }

  @Test func aLargerRemovalTakesOverFromSmallerOnesThatNobodySeesAlone() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(compression: .none))
    try Self.fill(keyspace, 0...199)
    try store.flush()
    try store.compact()
    let first = store.snapshot()
    for key in UInt8(1)...50 { try keyspace.removeRange(from: [], to: [key]) }
    try store.flush()
    #expect(keyspace.rangeRemovalCount == 1)
    let second = store.snapshot()
    try keyspace.removeRange(from: [], to: [60])
    try store.flush()
    #expect(keyspace.rangeRemovalCount == 2)
    for _ in 0..<2 {
      #expect(try Self.keys(keyspace, at: first) == Array(0..<200))
      #expect(try Self.keys(keyspace, at: second) == Array(50..<200))
      #expect(try Self.keys(keyspace) == Array(60..<200))
      try store.compact()
    }
    withExtendedLifetime((first, second)) {}
  }

  @Test func tablesThatASnapshotHeldBackAreDroppedWhenItIsGone() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(compression: .none))
    try Self.fill(keyspace, 0...199)
    try store.flush()
    try store.compact()
    let tables = keyspace.tableCount
    try store.withSnapshot { _ in
      try keyspace.removeRange(from: [0], to: nil)
      try store.flush()
      #expect(keyspace.tableCount == tables)
    }
    // Whatever wakes the threads has them look.
    try keyspace.put([1], [1])
    try store.flush()
    try store.waitUntilIdle()
    #expect(keyspace.tableCount == 1)
    #expect(keyspace.rangeRemovalCount == 0)
    #expect(try Self.keys(keyspace) == [1])
  }

  @Test func manyRemovalsAreClearedByMergesOfTheirOwn() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("k")
    try Self.fill(keyspace, 0...199)
    try store.flush()
    try store.compact()
    for key in UInt8(0)..<100 {
      try keyspace.removeRange(from: [2 * key], to: [2 * key + 1])
      if key % 10 == 9 { try store.flush() }
    }
    try store.flush()
    try store.waitUntilIdle()
    #expect(keyspace.rangeRemovalCount <= StoreOptions.rangeRemovalsMax)
    #expect(try Self.keys(keyspace) == (0..<200).filter { $0 % 2 == 1 })
  }

  @Test(arguments: [true, false])
  func theySurviveReopeningFromLogAndManifest(isFlushed: Bool) throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("k")
    try Self.fill(keyspace, 0...99)
    try store.flush()
    try store.compact()
    let snapshot = store.snapshot()
    try keyspace.removeRange(from: [3], to: nil)
    try keyspace.put([80], [1])
    if isFlushed { try store.flush() }
    withExtendedLifetime(snapshot) {}
    try store.close()
    let again = try Self.open(fileSystem)
    let found = try again.orderedKeyspace("k")
    #expect(try Self.keys(found) == [0, 1, 2, 80])
    try again.flush()
    try again.compact()
    #expect(try Self.keys(found) == [0, 1, 2, 80])
    #expect(found.tableEntryCount == 4)
    #expect(found.rangeRemovalCount == 0)
  }

  @Test func anEpochTakesThemInWithWhatTheyHide() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(isLogged: false))
    try Self.fill(keyspace, 0...99)
    _ = try store.commitEpoch()
    try keyspace.removeRange(from: [10], to: nil)
    _ = try store.commitEpoch()
    try keyspace.removeRange(from: [5], to: nil)
    try keyspace.put([7], [7])
    try store.flush()
    try store.close()
    // What no epoch took in is not there.
    let found = try Self.open(fileSystem).orderedKeyspace(
      "k", OrderedKeyspaceOptions(isLogged: false))
    #expect(try Self.keys(found) == Array(0..<10))
  }

  // MARK: - The map

  @Test func theMapAnswersAsTheRemovalsDo() {
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<200 {
      let removals = (0..<Int.random(in: 0...8, using: &generator)).map { index in
        let bounds = (0..<2).map { _ in
          [UInt8](repeating: UInt8.random(in: 0...9, using: &generator), count: 2)
        }
        return RangeRemoval(
          lower: bounds[0], upper: Bool.random(using: &generator) ? bounds[1] : nil,
          sequence: UInt64(index + 1))
      }
      let map = RangeRemovalMap(removals.shuffled(using: &generator))
      for key in 0...10 {
        let key: [UInt8] = [UInt8(key), 5]
        let sequence = UInt64.random(in: 0...9, using: &generator)
        let expected = removals.last {
          $0.sequence <= sequence && !key.lexicographicallyPrecedes($0.lower)
            && ($0.upper.map(key.lexicographicallyPrecedes) ?? true)
        }
        let found = unsafe key.withUnsafeBytes { unsafe map.newest(of: $0, at: sequence) }
        #expect(found == expected?.sequence ?? 0)
      }
    }
  }
}
