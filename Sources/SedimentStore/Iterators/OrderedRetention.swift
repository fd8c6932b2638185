// Which entries of an ordered keyspace a flush or merge keeps.
//
// The versions of a key come newest first. Snapshots cut their sequence numbers into *stripes*: all
// that see a version of a stripe, and no older snapshot, see its newest. So:
//
//   1. below a put or remove, nothing of the same stripe is kept
//   2. what has expired is a remove from then on: it must go on hiding what is older
//   3. at the bottom, where nothing is older, a remove of the oldest stripe is not kept, and a put
//      of it needs no sequence number any more: it becomes 0, one byte on disk
//
// Merge operands are kept; what lies below them is needed. One that has expired counts no more,
// whatever is below it, so it goes. What can be made of operands and their value is up to whoever
// has the values (`OrderedRunWriter`).
//
// Nothing here does I/O, and time is a parameter.

/// Decides about the versions of one key after the other.
package struct OrderedRetention: Sendable {
  /// What decisions depend on.
  package struct Rules: Sendable {
    /// The sequence numbers of the snapshots that are open, rising.
    package var snapshots: [UInt64]
    /// Whether no source that takes no part may hold the keys.
    package var isBottommost: Bool

    /// Rules of one flush or merge.
    package init(snapshots: [UInt64], isBottommost: Bool) {
      self.snapshots = snapshots
      self.isBottommost = isBottommost
    }
  }

  /// What becomes of an entry.
  package enum Verdict: Hashable, Sendable {
    case drop
    /// With this tag, and its value.
    case keep(EntryTag)
    /// With this tag and no value.
    case keepWithoutValue(EntryTag)
  }

  private let rules: Rules
  /// The stripe of the key's last put or remove; −1 before one.
  private var hidden = -1

  /// Decides by `rules`.
  package init(_ rules: Rules) { self.rules = rules }

  /// The versions that follow are of another key.
  @inline(__always)
  package mutating func beginKey() { hidden = -1 }

  /// What becomes of the next version, which is older than those of this key before.
  ///
  /// - Parameter keepsNumber: whether the key is in a range that was removed: what was written
  ///   behind that must not look older.
  package mutating func decide(
    _ tag: EntryTag, isExpired: Bool, keepsNumber: Bool = false
  ) -> Verdict {
    let stripe = stripe(of: tag.sequence)
    if stripe == hidden { return .drop }
    if tag.kind == .merge { return isExpired ? .drop : .keep(tag) }
    hidden = stripe
    let isOldest = rules.isBottommost && stripe == 0
    if tag.kind == .remove || isExpired {
      if isOldest { return .drop }
      return .keepWithoutValue(EntryTag(sequence: tag.sequence, kind: .remove))
    }
    return .keep(
      isOldest && !keepsNumber ? EntryTag(sequence: 0, kind: .put, expires: tag.expires) : tag)
  }

  /// Drops what is left of a key in the stripe of a version that a removal of a range hides.
  package mutating func hide(_ tag: EntryTag) { hidden = stripe(of: tag.sequence) }

  /// The tag of the value that operands of a stripe gave, of which the newest had this one.
  package func tag(ofMerged tag: EntryTag, keepsNumber: Bool) -> EntryTag {
    let isOldest = rules.isBottommost && stripe(of: tag.sequence) == 0
    return EntryTag(sequence: isOldest && !keepsNumber ? 0 : tag.sequence, kind: .put)
  }

  /// Whether no source that takes no part may hold the keys.
  package var isBottommost: Bool { rules.isBottommost }

  /// The stripe of versions that no snapshot sees.
  package var newestStripe: Int { rules.snapshots.count }

  /// How many snapshots are too old to see it.
  @inline(__always)
  package func stripe(of sequence: UInt64) -> Int {
    if rules.snapshots.isEmpty { return 0 }
    var (low, high) = (0, rules.snapshots.count)
    while low < high {
      let middle = (low &+ high) &>> 1
      if rules.snapshots[middle] < sequence {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    return low
  }
}
