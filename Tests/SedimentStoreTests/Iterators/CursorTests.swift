import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Table and run cursors")
struct CursorTests {
  @Test("a clipped scan gives the entries of the range, its ends included")
  func clippedScan() throws {
    let table = try TestTable(TableShape(count: 3_000))
    let reader = try table.open()
    var generator = SeededGenerator(seed: 8)
    var ranges: [ClosedRange<UInt64>] = [0...0, 0...UInt64.max, UInt64.max...UInt64.max]
    for _ in 0..<100 {
      let a = table.entries[Int.random(in: 0..<3_000, using: &generator)].hash.high
      let b = Bool.random(using: &generator) ? a : generator.next()
      ranges.append(min(a, b)...max(a, b))
    }
    for range in ranges {
      let cursor = TableCursor(table: reader, range: range, readAheadBytes: 16_384)
      let expected = table.entries.filter { range.contains($0.hash.high) }
      #expect(try drain(cursor, valueWidth: 0) == expected)
    }
  }

  @Test("a scan of a range that the table cannot hold is empty")
  func rangeBesideTheTable() throws {
    let table = try TestTable(TableShape(hashRange: 1_000...9_000_000))
    let reader = try table.open()
    for range in [0...999, 9_000_001...UInt64.max] {
      #expect(try drain(TableCursor(table: reader, range: range), valueWidth: 0).isEmpty)
    }
  }

  @Test("a run is the sequence of its tables, each clipped to its part")
  func runIsTheSequenceOfItsTables() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
    let whole = try TestTable(TableShape(count: 4_000), number: FileNumber(1), in: directory)
    let cuts: [UInt64] = [0, 1 << 61, 3 << 61, 7 << 61]
    var segments: [RunSegment] = []
    for (number, cut) in cuts.enumerated() {
      let end = number + 1 < cuts.count ? cuts[number + 1] - 1 : UInt64.max
      let part = whole.entries.filter { (cut...end).contains($0.hash.high) }
      if number % 2 == 0 {
        // A table of its own.
        let table = try TestTable(
          part, TableShape(), number: FileNumber(UInt64(number) + 2), in: directory)
        segments.append(RunSegment(table: try table.open()))
      } else {
        // The large table, seen through a clip.
        segments.append(RunSegment(table: try whole.open(), range: cut...end))
      }
    }
    #expect(try drain(RunCursor(segments), valueWidth: 0) == whole.entries)
    #expect(try drain(RunCursor([]), valueWidth: 0).isEmpty)
  }

  @Test("a run whose tables overlap is reported")
  func overlappingTablesAreReported() throws {
    let table = try TestTable(TableShape())
    let run = RunCursor([
      RunSegment(table: try table.open()), RunSegment(table: try table.open()),
    ])
    #expect(throws: Corruption.self) { try drain(run, valueWidth: 0) }
  }
}
