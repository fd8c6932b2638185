internal import CSedimentKernels

/// Where in a table an entry lies if the table has it.
package struct PagePlace {
  /// The page's first unit.
  package var first: UInt32
  /// Its units; 0 when no page can hold the entry.
  package var count: UInt32
  /// About how far into the page the entry is, from 0 to 1: what the page's share of the hashes
  /// says.
  package var part: Float
}

/// What a lookup needs of a table before it reads: trivially copyable, without a reference count.
///
/// Borrowed from a `TableReader` and valid as long as that lives.
@safe
package struct TableProbe {
  /// How hashes divide into quanta.
  package let quanta: TableQuanta
  /// How the table's pages are laid out.
  package let shape: PageShape
  /// Excludes most hashes that the table does not hold.
  package let filter: FilterProbe
  /// Seeds the table's checksums and names it to the page cache.
  package let fileID: UInt64
  private let index: UnsafePointer<UInt32>
  private let unitCount: Int
  /// The quantum behind the last page.
  private let quantaEnd: UInt64
  /// Entries of a page, in the mean.
  let pageEntries: Int
  /// Units a quantum, in 32.32 fixed point; units × 2³² at most, so a product with a quantum of the
  /// range stays below units × 2³².
  private let scale: UInt64

  /// - Parameters:
  ///   - index: the quantum at which each unit's page begins, `unitCount` ≥ 1 of them.
  ///   - entryCount: entries of the table.
  init(
    quanta: TableQuanta, shape: PageShape, filter: FilterProbe, fileID: UInt64,
    index: UnsafePointer<UInt32>, unitCount: Int, entryCount: UInt64
  ) {
    self.quanta = quanta
    self.shape = shape
    self.filter = filter
    self.fileID = fileID
    unsafe self.index = unsafe index
    self.unitCount = unitCount
    let quantumCount = UInt64(quanta.quantum(of: quanta.rangeHigh)) + 1
    scale = (UInt64(unitCount) << 32) / quantumCount
    quantaEnd = quantumCount
    pageEntries = Int(entryCount) / unitCount
  }

  /// Where the entry of `hash` is if the table has one.
  @inline(__always)
  package func place(for hash: KeyHash) -> PagePlace {
    guard quanta.contains(hash.high) else { return PagePlace(first: 0, count: 0, part: 0) }
    let quantum = quanta.quantum(of: hash.high)
    let units = page(holding: quantum)
    guard !units.isEmpty else { return PagePlace(first: 0, count: 0, part: 0) }
    let begin = unsafe index[units.lowerBound]
    let end = units.upperBound < unitCount ? unsafe UInt64(index[units.upperBound]) : quantaEnd
    // Differences that a damaged index makes wrong are of no harm: the part is a guess.
    let part = Float(quantum &- begin) / Float(max(end, UInt64(begin) + 1) - UInt64(begin))
    return PagePlace(
      first: UInt32(units.lowerBound), count: UInt32(units.count), part: min(part, 1))
  }

  /// The quantum at which the page of `unit` begins.
  func quantum(ofUnit unit: Int) -> UInt32 {
    precondition(unit >= 0 && unit < unitCount, "unit out of the table")
    return unsafe index[unit]
  }

  /// The units of the last page that begins at `quantum` or before; empty when all begin after it.
  func page(holding quantum: UInt32) -> Range<Int> {
    let end = unitsBeginning(atOrBefore: quantum)
    guard end > 0 else { return 0..<0 }
    let value = unsafe index[end - 1]
    var first = end - 1
    while first > 0, unsafe index[first - 1] == value { first -= 1 }
    return first..<end
  }

  /// The units of the page that begins with unit `first`.
  func page(startingAt first: Int) -> Range<Int> {
    let value = quantum(ofUnit: first)
    var end = first + 1
    while end < unitCount, unsafe index[end] == value { end += 1 }
    return first..<end
  }

  /// Units in the table.
  var units: Int { unitCount }

  @inline(__always)
  private func guess(_ quantum: UInt32) -> Int {
    min(Int(truncatingIfNeeded: (UInt64(quantum) &* scale) &>> 32), unitCount - 1)
  }

  /// How many units' pages begin at `quantum` or before. Hashes are uniform, so the guess is near;
  /// a gallop from it finds the place.
  ///
  /// SAFETY: every subscript is between 0 and `unitCount` − 1: `low` is −1 only before it moved,
  /// and `top` is `unitCount` only until it moved.
  @inline(__always)
  private func unitsBeginning(atOrBefore quantum: UInt32) -> Int {
    // index[low] ≤ quantum < index[top], the ends being −1 and unitCount.
    var low = -1
    var top = unitCount
    let guess = guess(quantum)
    var step = 1
    if unsafe index[guess] <= quantum {
      low = guess
      while low + step < top, unsafe index[low + step] <= quantum {
        low += step
        step *= 2
      }
      top = min(top, low + step)
    } else {
      top = guess
      while top - step > low, unsafe index[top - step] > quantum {
        top -= step
        step *= 2
      }
      low = max(low, top - step)
    }
    while top - low > 1 {
      let middle = (low + top) / 2
      if unsafe index[middle] <= quantum { low = middle } else { top = middle }
    }
    return top
  }
}
