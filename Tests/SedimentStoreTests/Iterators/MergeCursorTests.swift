import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Merge")
struct MergeCursorTests {
  private func merged(_ sources: [any PageSource]) throws -> [TestEntry] {
    var merge = MergeCursor(sources)
    var block = EntryBlock(layout: TableShape().layout, hasKinds: false)
    var answer: [TestEntry] = []
    while try merge.fill(&block) { answer += block.entries(valueWidth: 0) }
    return answer
  }

  @Test(
    "any number of runs merge in order of hash, one hash's entries newest run first",
    arguments: [1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 64])
  func mergeAgreesWithSorting(_ runs: Int) throws {
    var generator = SeededGenerator(seed: UInt64(runs))
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    // Few different hashes, so that most are in several runs; both ends of the range among them.
    let pool =
      (0..<500).map { _ in KeyHash(high: generator.next() >> 62, low: generator.next() >> 60) }
      + [KeyHash(high: .max, low: .max), KeyHash(high: 0, low: 0)]
    var expected: [TestEntry] = []
    var sources: [any PageSource] = []
    for run in 0..<runs {
      var entries: [TestEntry] = []
      for _ in 0..<Int.random(in: 1...400, using: &generator) {
        let hash = pool[Int.random(in: 0..<pool.count, using: &generator)]
        entries.append(
          // The time tells the run.
          TestEntry(
            hash,
            time: 1_700_000_000_000 + Int64(run * 10)
              + Int64.random(in: 0...9, using: &generator)))
      }
      entries.sort { $0.hash < $1.hash }
      let table = try TestTable(
        entries, TableShape(), number: FileNumber(UInt64(run)), in: directory)
      sources.append(RunCursor([RunSegment(table: try table.open())], readAheadBytes: 4096))
      expected += entries
    }
    // The sort is stable, so entries of one hash stay in the order of the runs.
    expected.sort { $0.hash < $1.hash }
    #expect(try merged(sources) == expected)
  }

  @Test("random hashes of several tables a run merge as sorting does")
  func wideMerge() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    var expected: [TestEntry] = []
    var sources: [any PageSource] = []
    for run in 0..<5 {
      var segments: [RunSegment] = []
      for part in 0..<3 {
        let low = UInt64(part) << 62
        let table = try TestTable(
          TableShape(count: 1_500, hashRange: low...(low + (1 << 62) - 1)),
          seed: UInt64(run * 3 + part), number: FileNumber(UInt64(run * 3 + part)), in: directory)
        segments.append(RunSegment(table: try table.open(), range: low...(low + (1 << 61))))
        expected += table.entries.filter { $0.hash.high <= low + (1 << 61) }
      }
      sources.append(RunCursor(segments, readAheadBytes: 8192))
    }
    expected.sort { $0.hash < $1.hash }
    #expect(try merged(sources) == expected)
  }

  @Test("hashes that differ in their last bits alone are told apart")
  func hashesThatHardlyDiffer() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    var generator = SeededGenerator(seed: 11)
    var expected: [TestEntry] = []
    var sources: [any PageSource] = []
    for run in 0..<7 {
      let bases: [UInt64] = [0, 1 << 40, .max - 127]
      var entries = (0..<900).map { _ in
        TestEntry(
          KeyHash(
            high: bases[Int.random(in: 0..<3, using: &generator)]
              + UInt64.random(in: 0...127, using: &generator), low: generator.next() >> 62),
          time: 1_700_000_000_000 + Int64(run))
      }
      entries.sort { $0.hash < $1.hash }
      let table = try TestTable(
        entries, TableShape(), number: FileNumber(UInt64(run)), in: directory)
      sources.append(TableCursor(table: try table.open(), readAheadBytes: 4096))
      expected += entries
    }
    expected.sort { $0.hash < $1.hash }
    #expect(try merged(sources) == expected)
  }

  @Test("sources without entries merge to nothing")
  func emptySources() throws {
    for count in [1, 3, 8] {
      var merge = MergeCursor((0..<count).map { _ in RunCursor([]) })
      var block = EntryBlock(layout: TableShape().layout, hasKinds: false)
      #expect(try merge.fill(&block) == false)
      #expect(try merge.fill(&block) == false)
    }
  }

  @Test("damage in one source ends the merge")
  func damageEndsTheMerge() throws {
    let table = try TestTable(TableShape(count: 5_000))
    var bytes = try table.bytes()
    bytes[4 * 4096 + 50] ^= 4
    let damaged = try TableReader(
      directory: try table.replaced(by: bytes), metadata: table.metadata)
    let sources: [any PageSource] = [
      TableCursor(table: try table.open()), TableCursor(table: damaged, readAheadBytes: 4096),
    ]
    #expect(throws: Corruption.self) { try merged(sources) }
  }

  @Test("what a merge writes is what it read")
  func mergeIntoTable() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    let shape = TableShape(
      count: 2_000, isExact: true, valueWidth: 4, hasKinds: true, keyLengths: [3, 50, 6_000])
    let tables = try (0..<3).map {
      try TestTable(
        shape, seed: UInt64($0), number: FileNumber(UInt64($0)), in: directory)
    }
    var merge = MergeCursor(try tables.map { TableCursor(table: try $0.open()) })
    var writer = try TableWriter(
      directory: directory, plan: TestTable.plan(shape, number: FileNumber(9)))
    var block = EntryBlock(layout: shape.layout, hasKinds: true)
    while try merge.fill(&block) { try writer.append(block, 0..<block.count) }
    let metadata = try #require(try writer.finish())
    let reader = try TableReader(directory: directory, metadata: metadata)
    try reader.verify()
    let expected = tables.flatMap(\.entries).sorted { $0.hash < $1.hash }
    #expect(try drain(TableCursor(table: reader), valueWidth: 4) == expected)
  }
}
