/// A table of a run and the part of its hashes that belongs to the run.
package struct RunSegment: Sendable {
  package var table: TableReader
  package var range: ClosedRange<UInt64>

  package init(table: TableReader, range: ClosedRange<UInt64> = 0...UInt64.max) {
    self.table = table
    self.range = range
  }
}

/// Streams the entries of a run: disjoint tables, one after the other.
///
/// Holds one table's read-ahead buffer at a time. Single owner.
package final class RunCursor: PageSource {
  private let segments: [RunSegment]
  private let readAheadBytes: Int
  private var next = 0
  private var cursor: TableCursor?
  private var lastHigh: UInt64?

  /// - Parameter segments: in order of hash, no two overlapping.
  package init(
    _ segments: [RunSegment], readAheadBytes: Int = TableCursor.readAheadBytesDefault
  ) {
    self.segments = segments
    self.readAheadBytes = readAheadBytes
  }

  package func nextPage() throws -> PageSlice? {
    while true {
      if let slice = try cursor?.nextPage() {
        lastHigh = slice.view.high(at: slice.upper - 1)
        return slice
      }
      cursor = nil
      guard next < segments.count else { return nil }
      let segment = segments[next]
      next += 1
      // What lies before the last hash given out belongs to the segment in front.
      if let lastHigh, segment.range.lowerBound <= lastHigh,
        segment.table.metadata.smallestHigh <= lastHigh
      {
        throw TableReader.flaw(
          segment.table.metadata, "run", "a table that overlaps the one in front", offset: 0)
      }
      cursor = TableCursor(
        table: segment.table, range: segment.range, readAheadBytes: readAheadBytes)
    }
  }
}
