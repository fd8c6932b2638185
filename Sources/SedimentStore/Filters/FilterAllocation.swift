// Dividing memory among filters when it is not enough for all.
//
// A key that is nowhere is asked for in every run of its shard, so what lookups cost is the sum of
// the runs' false positives. A byte of a small run's filter takes more from that sum than one of a
// large run's: the whole filter of a run of a million keys is worth as much as that of a run of a
// hundred million. And of a fuse filter each further plane halves what is left. So memory goes
// where a byte takes most, until there is none (Dayan, Athanassoulis and Idreos, "Monkey: Optimal
// Navigable Key-Value Store", SIGMOD 2017).

/// Divides memory among filters: a pure function of their sizes.
package enum FilterAllocation {
  /// A filter that wants memory.
  package struct Claim: Sendable {
    /// The filter.
    package var geometry: FilterGeometry
    /// Keys of the run that the filter's table is part of.
    package var runKeys: UInt64

    /// A claim of its parts.
    package init(_ geometry: FilterGeometry, runKeys: UInt64) {
      self.geometry = geometry
      self.runKeys = runKeys
    }
  }

  /// A part of a filter, behind those before it.
  private struct Item {
    var claim: Int
    var bytes: Int
    /// What of the sum of false positives a byte takes.
    var worth: Double
    /// Whether some of it is better than nothing.
    var isDivisible: Bool
  }

  /// The bytes that each claim gets of `byteBudget`, for `FilterGeometry.loadPlan`.
  package static func divide(_ byteBudget: Int, among claims: [Claim]) -> [Int] {
    var items = claims.indices.flatMap { Self.items(of: claims[$0], $0) }
    items.sort { $0.worth == $1.worth ? $0.claim < $1.claim : $0.worth > $1.worth }
    var granted = [Int](repeating: 0, count: claims.count)
    var isEnded = [Bool](repeating: false, count: claims.count)
    var left = max(byteBudget, 0)
    for item in items where !isEnded[item.claim] {
      if item.bytes <= left {
        granted[item.claim] += item.bytes
        left -= item.bytes
      } else {
        // Without a part those behind it are of no use.
        isEnded[item.claim] = true
        guard item.isDivisible else { continue }
        granted[item.claim] += left
        left = 0
      }
    }
    return granted
  }

  private static func items(of claim: Claim, _ index: Int) -> [Item] {
    let share = Double(claim.geometry.keyCount) / Double(max(claim.runKeys, 1))
    switch claim.geometry.layout {
    case .none: return []
    case .blockedBloom(let bloom):
      guard bloom.imageBytes > 0 else { return [] }
      return [
        Item(
          claim: index, bytes: bloom.imageBytes, worth: share / Double(bloom.imageBytes),
          isDivisible: true)
      ]
    case .binaryFuse(let fuse):
      return (0..<Int(fuse.planes)).map { plane in
        let bytes = fuse.planeBytes + (plane == 0 ? LoadedFilter.cellPadding : 0)
        return Item(
          claim: index, bytes: bytes,
          worth: share / Double(1 << (plane + 1)) / Double(fuse.planeBytes), isDivisible: false)
      }
    }
  }
}
