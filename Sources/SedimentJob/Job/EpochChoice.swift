// Which epoch of a state goes on, when the brokers say what was committed. A pure decision, in a
// file of its own because losing or repeating records is what a wrong one means.
//
// The state holds its last confirmed epoch and those behind it, which are proposals. Committed
// offsets name the one that happened. Offsets are gone when a group was idle for long, and people
// move them; what cannot be told is refused, with both ways out.

/// An epoch that a state can be opened at.
package struct LocalEpoch: Sendable, Equatable {
  /// Its number.
  package var number: UInt64
  /// `nil` where no transactions were asked for.
  package var mark: EpochMark?
  /// How many records had been read by then.
  package var events: UInt64
  /// The positions that go with its tag.
  package var positions: TopicPositions

  /// An epoch.
  package init(number: UInt64, mark: EpochMark?, events: UInt64, positions: TopicPositions) {
    self.number = number
    self.mark = mark
    self.events = events
    self.positions = positions
  }
}

/// What to take for true where the brokers do not say.
package enum CommitAssumption: String, Sendable {
  /// The newest epoch was committed.
  case committed
  /// It was not.
  case aborted
}

/// The decision.
package enum EpochChoice: Sendable, Equatable {
  /// There is no state: one is made.
  case begin
  /// The state goes on from the epoch of this number.
  case open(UInt64)

  /// Decides.
  ///
  /// - Parameters:
  ///   - epochs: of the state, the oldest first; none when there is no state.
  ///   - committed: what the group holds.
  ///   - group: its name, for messages.
  ///   - assumption: what to take for true, only where it cannot be told.
  /// - Throws: `JobError` where it cannot be told, with the ways out.
  package static func decide(
    epochs: [LocalEpoch], committed: [TopicPartition: CommittedOffset], group: String,
    assumption: CommitAssumption?
  ) throws(JobError) -> EpochChoice {
    do throws(Unknown) {
      return try told(epochs, committed, group)
    } catch {
      guard let assumption, error.canAssume.contains(assumption) else { throw error.jobError }
      guard let newest = epochs.last else { return .begin }
      return .open(try assumed(assumption, epochs, newest))
    }
  }

  /// What the brokers and the state say together.
  private static func told(
    _ epochs: [LocalEpoch], _ committed: [TopicPartition: CommittedOffset], _ group: String
  ) throws(Unknown) -> EpochChoice {
    guard let newest = epochs.last else {
      guard committed.isEmpty else {
        throw Unknown(
          "the group \(group) has offsets (\(examples(committed))), and the state is new: they "
            + "are of another job or of a state that was lost",
          otherWay: "give another --group, or the --state that they belong to",
          canAssume: [.aborted])
      }
      return .begin
    }
    guard !committed.isEmpty else { return .open(try withoutOffsets(epochs, newest, group)) }
    return .open(try named(by: committed, epochs, group))
  }

  private static func assumed(
    _ assumption: CommitAssumption, _ epochs: [LocalEpoch], _ newest: LocalEpoch
  ) throws(JobError) -> UInt64 {
    guard assumption == .aborted, let mark = newest.mark, !mark.isSettled else {
      return newest.number
    }
    if let confirmed = epochs.last(where: { $0.mark?.tag == mark.confirmed }) {
      return confirmed.number
    }
    // The first one that the brokers were asked to take: before it they had no part in the state.
    if let before = epochs.last(where: { $0.mark?.isSettled ?? true }) { return before.number }
    // Without that either, it is where the state began.
    guard epochs[0].events == 0 else {
      throw JobError(
        .failed,
        "--assume-aborted: the state does not hold the epoch before its last one, "
          + "\(newest.number), any more: go on --from a checkpoint, with another --group")
    }
    return epochs[0].number
  }

  /// Offsets are not there: either nothing was ever committed, or they expired.
  private static func withoutOffsets(
    _ epochs: [LocalEpoch], _ newest: LocalEpoch, _ group: String
  ) throws(Unknown) -> UInt64 {
    // Nothing was decided: there is nothing to lose or to repeat.
    guard newest.events > 0, let mark = newest.mark, !mark.isSettled else { return newest.number }
    let confirmed = epochs.last { $0.mark?.tag == mark.confirmed }
    // An epoch that decided nothing is as good as the one before it.
    if let confirmed, confirmed.events == newest.events { return newest.number }
    throw Unknown(
      "the group \(group) has no offsets (they expire, or were removed), and the state's last "
        + "epoch, \(newest.number), is not known to be committed")
  }

  /// The epoch that offsets name.
  private static func named(
    by committed: [TopicPartition: CommittedOffset], _ epochs: [LocalEpoch], _ group: String
  ) throws(Unknown) -> UInt64 {
    let marks = committed.mapValues { OffsetMark($0.metadata) }
    let tags = Set(marks.values.map { $0?.tag })
    guard tags.count == 1, let first = tags.first, let tag = first else {
      throw Unknown(
        "offsets of the group \(group) were not committed together by one job "
          + "(\(examples(committed)))", otherWay: "give another --group")
    }
    let proposals = proposals(of: epochs)
    guard let epoch = proposals.last(where: { $0.mark?.tag == tag }) else {
      throw Unknown(
        "the group \(group) has offsets of an epoch that this state does not hold "
          + "(\(examples(committed))): they are of another job, or the state is older than they "
          + "are", otherWay: "give another --group, or the --state that they belong to")
    }
    let partitions = Set(committed.keys).union(epoch.positions.partitions)
    for partition in partitions.sorted() {
      let (theirs, ours) = (committed[partition]?.offset, epoch.positions[partition])
      guard theirs != ours else { continue }
      throw Unknown(
        "the group \(group) is at \(text(theirs)) in \(partition), and the epoch that it names at "
          + "\(text(ours)): somebody has moved the offsets")
    }
    return epoch.number
  }

  /// The last epoch that is known to be committed, and those behind it. What came before cannot be
  /// what the brokers took last.
  private static func proposals(of epochs: [LocalEpoch]) -> [LocalEpoch] {
    guard let newest = epochs.last, let mark = newest.mark else { return [] }
    let confirmed = epochs.last { $0.mark?.tag == mark.confirmed }
    return epochs.filter { $0.number >= confirmed?.number ?? 0 && $0.mark != nil }
  }

  private static func text(_ offset: Int64?) -> String {
    offset.map { "offset \($0)" } ?? "no offset"
  }

  /// A few of the offsets, for a message.
  private static func examples(_ committed: [TopicPartition: CommittedOffset]) -> String {
    committed.sorted { $0.key < $1.key }.prefix(2).map { partition, found in
      let metadata = found.metadata.isEmpty ? "no metadata" : "\"\(found.metadata.prefix(96))\""
      return "\(partition) at \(found.offset) with \(metadata)"
    }.joined(separator: "; ") + (committed.count > 2 ? "; …" : "")
  }
}

/// Why it cannot be told.
private struct Unknown: Error {
  let reason: String
  let otherWay: String?
  let canAssume: [CommitAssumption]

  init(
    _ reason: String, otherWay: String? = nil,
    canAssume: [CommitAssumption] = [.committed, .aborted]
  ) {
    self.reason = reason
    self.otherWay = otherWay
    self.canAssume = canAssume
  }

  var jobError: JobError {
    var ways = otherWay.map { [$0] } ?? []
    if canAssume.contains(.committed) {
      ways.append("--assume-committed goes on from the state's last epoch")
      ways.append("--assume-aborted from the last confirmed one, and reads the rest again")
    } else {
      ways.append("--assume-aborted begins anew all the same")
    }
    return JobError(.failed, "\(reason): " + ways.joined(separator: "; "))
  }
}
