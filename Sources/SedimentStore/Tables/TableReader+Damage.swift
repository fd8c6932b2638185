extension TableReader {
  /// All damage that can be told apart: what `verify` finds first, and every page whose checksum or
  /// header does not hold. Empty when the table is whole.
  ///
  /// - Throws: `FileError`.
  package func findDamage() throws -> [Corruption] {
    do {
      try verify()
      return []
    } catch let first as Corruption {
      let pages = try damagedPages()
      return pages.contains(first) ? pages : [first] + pages
    }
  }

  private func damagedPages() throws -> [Corruption] {
    var damages: [Corruption] = []
    var unit = 0
    while unit < probe.units {
      let page = probe.page(startingAt: unit)
      do {
        try checkPage(page)
      } catch let error as Corruption {
        damages.append(error)
      }
      unit = page.upperBound
    }
    return damages
  }

  private func checkPage(_ units: Range<Int>) throws {
    let memory = UnsafeMutableRawPointer.allocate(
      byteCount: units.count * TableFormat.unitBytes, alignment: TableFormat.unitBytes)
    defer { unsafe memory.deallocate() }
    // SAFETY: the memory is as large as the page, and the view is not kept.
    _ = unsafe try readPage(
      first: UInt32(units.lowerBound), count: UInt32(units.count), into: memory)
  }
}
