// A scan of one table, or of a range of its hashes.
//
// Pages are read many at a time into one buffer and checked one by one as they are given out. The
// order of entries is checked as well: unlike a lookup, a merge that met entries out of order would
// write its mistake down.
//
// Concurrency: single owner.

/// Streams the entries of a table whose `high` is in a range, page by page.
@safe
package final class TableCursor: PageSource {
  /// Read at a time: the least at which a disk's bandwidth, not its latency, decides.
  package static let readAheadBytesDefault = 512 << 10

  private let table: TableReader
  private let range: ClosedRange<UInt64>
  /// The unit at which the next page begins, and one past the last unit of the range.
  private var nextUnit: Int
  private let endUnit: Int
  /// Units `bufferedFrom ..< bufferedTo` of the table are in `buffer`.
  private var bufferedFrom = 0
  private var bufferedTo = 0
  private var capacityUnits: Int
  private var buffer: UnsafeMutableRawPointer
  private var lastHigh: UInt64?

  /// A cursor before the first entry of `range`; reads nothing yet.
  package init(
    table: TableReader, range: ClosedRange<UInt64> = 0...UInt64.max,
    readAheadBytes: Int = readAheadBytesDefault
  ) {
    self.table = table
    self.range = range
    let quanta = table.probe.quanta
    if range.lowerBound > quanta.rangeHigh || range.upperBound < quanta.rangeLow {
      nextUnit = 0
      endUnit = 0
    } else {
      let low = max(range.lowerBound, quanta.rangeLow)
      let high = min(range.upperBound, quanta.rangeHigh)
      nextUnit = table.probe.page(holding: quanta.quantum(of: low)).lowerBound
      endUnit = table.probe.page(holding: quanta.quantum(of: high)).upperBound
    }
    capacityUnits = max(1, min(readAheadBytes / TableFormat.unitBytes, endUnit - nextUnit))
    unsafe buffer = Self.allocate(units: capacityUnits)
  }

  deinit { unsafe buffer.deallocate() }

  private static func allocate(units: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: units * TableFormat.unitBytes, alignment: TableFormat.unitBytes)
  }

  package func nextPage() throws -> PageSlice? {
    while nextUnit < endUnit {
      let page = table.probe.page(startingAt: nextUnit)
      if page.upperBound > bufferedTo { try fill(through: page) }
      let place = (page.lowerBound - bufferedFrom) * TableFormat.unitBytes
      let view = unsafe try table.checkedView(
        of: UnsafeRawPointer(buffer + place), first: UInt32(page.lowerBound),
        count: UInt32(page.count))
      try checkOrder(of: view, at: page.lowerBound)
      nextUnit = page.upperBound
      let lower = view.lowerBound(of: range.lowerBound, near: 0)
      let upper = view.upperBound(of: range.upperBound)
      if lower < upper { return PageSlice(view: view, lower: lower, upper: upper) }
    }
    return nil
  }

  /// Reads from the beginning of `page` as far as the buffer goes, at least all of the page.
  private func fill(through page: Range<Int>) throws {
    if page.count > capacityUnits {
      unsafe buffer.deallocate()
      capacityUnits = page.count
      unsafe buffer = Self.allocate(units: capacityUnits)
    }
    let count = min(capacityUnits, max(endUnit, page.upperBound) - page.lowerBound)
    try unsafe table.readUnits(first: page.lowerBound, count: count, into: buffer)
    bufferedFrom = page.lowerBound
    bufferedTo = page.lowerBound + count
  }

  private func checkOrder(of view: PageView, at unit: Int) throws {
    if let index = view.firstDisorder {
      throw table.flaw(inPage: unit, "entry \(index) out of order")
    }
    if let lastHigh, view.high(at: 0) <= lastHigh {
      throw table.flaw(inPage: unit, "first entry not behind the page in front")
    }
    lastHigh = view.high(at: view.count - 1)
  }
}
