/// How the slots of a memtable follow from the hash range it covers: a pure, trivially copyable
/// function from `hash.high` to a home slot that never decreases, so that a scan of the slots is
/// nearly in hash order.
package struct MemtableGeometry: Sendable, Equatable {
  /// Slots that can be a home.
  package let homeCount: Int
  /// All slots: entries displaced past the last home go into the slack behind it.
  package let slotCount: Int
  /// Slots in use at which the memtable is full.
  package let fillLimit: Int
  @usableFromInline let rangeLow: UInt64
  @usableFromInline let shift: UInt64
  @usableFromInline let multiplier: UInt64

  /// - Parameters:
  ///   - slots: slots wanted in all; at least 64 are made.
  ///   - range: the hash range the memtable covers.
  ///   - fillShare: how much of what it can hold it is to be full at, above 0 to 1.
  package init(slots: Int, range: ClosedRange<UInt64>, fillShare: Double = 1) {
    let wanted = max(slots, Self.slotsMin)
    let slack = max(wanted / 64, 32)
    homeCount = wanted - slack
    slotCount = wanted
    fillLimit = max(Int(Double(homeCount / 4 * 3) * min(fillShare, 1)), 1)
    rangeLow = range.lowerBound
    let last = range.upperBound - range.lowerBound
    shift = UInt64(last.leadingZeroBitCount)
    // The normalised offset y lies in [0, span) with 2⁶³ < span ≤ 2⁶⁴; home = y × homeCount / span.
    let lastShifted = shift == 64 ? 0 : last << shift
    if lastShifted == .max || shift == 64 {
      multiplier = UInt64(homeCount)
    } else {
      let (span, full) = lastShifted.addingReportingOverflow(1 << shift)
      multiplier =
        full ? UInt64(homeCount) : span.dividingFullWidth((UInt64(homeCount), 0)).quotient
    }
  }

  package static let slotsMin = 128

  /// The slot at which the search for a hash begins.
  @inline(__always)
  package func home(_ high: UInt64) -> Int {
    Int(truncatingIfNeeded: ((high &- rangeLow) &<< shift).multipliedFullWidth(by: multiplier).high)
  }
}
