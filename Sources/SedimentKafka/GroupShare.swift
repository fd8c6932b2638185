// Whether this instance has all partitions, and what to do while it does not. A pure decision.

package import SedimentJob

/// What the group gave this instance.
package struct GroupShare: Sendable, Equatable {
  /// What to do.
  package enum Verdict: Sendable, Equatable {
    /// All partitions are here.
    case whole
    /// The group may be on its way to that.
    case wait
    /// Another instance has the others; the text says so.
    case refuse(String)
  }

  /// How long a newcomer waits for the group to settle, and one that had all partitions before:
  /// longer, so that the newcomer goes first.
  package static let newcomerMillis: Int64 = 10_000
  package static let incumbentMillis: Int64 = 60_000

  package var assigned: Set<TopicPartition>
  package var all: Set<TopicPartition>

  /// A share of all partitions there are.
  package init(assigned: Set<TopicPartition>, all: Set<TopicPartition>) {
    self.assigned = assigned
    self.all = all
  }

  /// Decides, given how long the share has been as it is.
  package func verdict(group: String, hadAll: Bool, waitedMillis: Int64) -> Verdict {
    let missing = all.subtracting(assigned)
    if missing.isEmpty { return .whole }
    let patience = hadAll ? Self.incumbentMillis : Self.newcomerMillis
    guard waitedMillis >= patience else { return .wait }
    var names = missing.sorted().prefix(Self.namesMax).map(\.description).joined(separator: ", ")
    if missing.count > Self.namesMax { names += ", …" }
    return .refuse(
      "the group \(group) gave this instance \(assigned.count) of \(all.count) partitions, "
        + "without \(names): another instance is in the group, and one state must see all "
        + "records; stop it, or give this one another --group; several instances share topics "
        + "with --partitioned-by-key where records with one key are in one partition, and with "
        + "--repartition-by-key where they are not")
  }

  private static let namesMax = 8
}
