// Reads a table from end to end and holds every part of it against the others.
//
// Checked: every checksum (all of the filter and all pages), the order of entries, that pages begin
// at the quantum the index says and that no quantum is in two pages, that the filter excludes no
// entry, that counts, hashes and times are those of footer and manifest.

extension TableReader {
  /// Checks all of the table. Throws the first `Corruption`, or `FileError`.
  ///
  /// Costs a read of the file and, for the time it takes, memory for the whole filter.
  package func verify() throws {
    let wholeFilter = try loadWholeFilter()
    var verification = TableVerification(table: self, filter: wholeFilter.probe)
    let cursor = TableCursor(table: self)
    var unit = 0
    while let slice = try cursor.nextPage() {
      try verification.check(slice.view, at: unit)
      unit = probe.page(startingAt: unit).upperBound
    }
    try verification.checkTotals()
    withExtendedLifetime(wholeFilter) {}
  }
}

/// What was seen of a table so far.
private struct TableVerification {
  let table: TableReader
  let filter: FilterProbe
  var entryCount: UInt64 = 0
  var smallestHigh: UInt64?
  var largestHigh: UInt64 = 0
  var smallestTime = Int64.max
  var largestTime = Int64.min

  /// Checks the page that begins with unit `unit`, whose own order the cursor has checked.
  mutating func check(_ view: PageView, at unit: Int) throws {
    let quanta = table.probe.quanta
    guard view.high(at: 0) >= quanta.rangeLow, view.high(at: view.count - 1) <= quanta.rangeHigh
    else { throw table.flaw(inPage: unit, "hashes outside the table's range") }
    if quanta.quantum(of: view.high(at: 0)) != table.probe.quantum(ofUnit: unit) {
      throw table.flaw(inPage: unit, "page begins elsewhere than the index says")
    }
    if unit > 0, quanta.quantum(of: largestHigh) == table.probe.quantum(ofUnit: unit) {
      throw table.flaw(inPage: unit, "a quantum on two pages")
    }
    for index in 0..<view.count {
      let time = view.time(at: index)
      smallestTime = min(smallestTime, time)
      largestTime = max(largestTime, time)
      guard filter.mayContain(view.hash(at: index)) else {
        throw table.flaw(inPage: unit, "entry \(index) is not in the filter")
      }
    }
    smallestHigh = smallestHigh ?? view.high(at: 0)
    largestHigh = view.high(at: view.count - 1)
    entryCount += UInt64(view.count)
  }

  func checkTotals() throws {
    let metadata = table.metadata
    guard entryCount == metadata.entryCount else {
      throw TableReader.flaw(metadata, "entry count", "\(entryCount) in the pages")
    }
    guard smallestHigh == metadata.smallestHigh, largestHigh == metadata.largestHigh else {
      throw TableReader.flaw(metadata, "hash range", "another in the pages")
    }
    guard smallestTime == metadata.smallestTime, largestTime == metadata.largestTime else {
      throw TableReader.flaw(metadata, "time range", "another in the pages")
    }
  }
}
