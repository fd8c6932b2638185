// The seam between a job that shares topics with other instances and its reader. The group says
// which partitions are this instance's; the job opens their states, and only then they are read.
//
//     assigned ─▶ the job restores the state ─▶ begin ─▶ records … ─▶ revoked ─▶ what was read is
//                                                                    committed ─▶ release
//     lost: the partitions are another's already, and what was read of them must not be committed

/// What the group did.
package enum GroupChange: Sendable, Equatable {
  /// Partitions are this instance's, to begin with.
  case assigned([TopicPartition])
  /// Partitions are to go; nothing more is read of them. They stay this instance's until `release`.
  case revoked([TopicPartition])
  /// All partitions went to others without a word.
  case lost
}

/// Reads those partitions of topics that its group gives it.
package protocol GroupReader: TopicReader {
  /// How many partitions each topic has, whoever reads them; empty while that is not known.
  var partitionCounts: [String: Int] { get }

  /// Begins to read a partition that was assigned. Any thread may call; blocks while brokers are
  /// asked where the partition begins and ends.
  ///
  /// - Parameters:
  ///   - position: the offset to go on at; `nil` for a partition that was never read.
  ///   - isAdded: such a one was not there when the job began, and is read from its beginning.
  ///   - ready: called with the offset of the first record, before any record is read.
  /// - Returns: false when the partition has gone in between.
  func begin(
    _ partition: TopicPartition, at position: Int64?, isAdded: Bool, ready: (Int64) -> Void
  ) throws -> Bool

  /// Lets go of partitions that were revoked: another instance may have them from here on.
  func release(_ partitions: [TopicPartition])

  /// Told that nobody will ever ask for records before these positions again: they are committed,
  /// and the states as of them can be read by every instance. Any thread may call.
  func isDone(with positions: TopicPositions)

  /// From here on reading ends: of partitions that are read where they end now, of those that come
  /// where they end then. Any thread may call.
  func endAtEnds()
}

extension GroupReader {
  /// How many partitions the topics have together.
  var partitionCount: Int { partitionCounts.values.reduce(0, +) }
}
