// In whose name a member of a group commits. A pure decision.
//
// A group has generations; a commit names one, and its coordinator refuses all but the present one.
// The present one is not good enough: a member that was paused, and has joined anew, would commit
// what it read when the partitions were its own. So a commit is in the name of the generation that
// the deciding thread knows: that of the last change which it took.

/// A member's place in its group, as the deciding thread knows it.
package struct KnownMembership: Sendable {
  /// What is done about a commit.
  package enum Verdict: Sendable, Equatable {
    /// It is made in the name of the present place.
    case commit
    /// The group has gone on: that is to be taken first.
    case wait
    /// There is no place to make it in the name of.
    case refuse
  }

  /// Changes that were handed over and not taken yet, and this member's place in the group then.
  private var untaken: [(change: GroupChange, place: [UInt8])] = []
  /// As of the last change that was taken; empty for none.
  private var place: [UInt8] = []

  /// A member of no group.
  package init() {}

  /// A change is on its way to the deciding thread.
  ///
  /// - Parameter place: what tells this member's place in the group from another and an earlier
  ///   one; empty for none.
  package mutating func hand(_ change: GroupChange, place: [UInt8]) {
    untaken.append((change, place))
  }

  /// The deciding thread takes the next change into account from here on.
  package mutating func took(_ change: GroupChange) {
    guard let told = untaken.first, told.change == change else { return }
    untaken.removeFirst()
    // Who has lost all has no generation, and of a transaction brokers take offsets without one.
    place = change == .lost ? [] : told.place
  }

  /// What is done about a commit now.
  ///
  /// - Parameter present: the place that the group gives this member now.
  package func verdict(present: [UInt8]) -> Verdict {
    if place.isEmpty || present.isEmpty { return .refuse }
    return place == present ? .commit : .wait
  }
}
