// Offsets that a group is told for those who watch its lag, where nothing is decided by them.
//
// A group takes none while it gives out its partitions anew, and where a partition gets no records
// none make up for it. So what was not taken is sent once more.

internal import SedimentJob

/// The newest offsets that a group was told. The caller sees to it that one thread is here at a
/// time.
struct LagOffsets {
  private var newest = TopicPositions()
  private var dueMillis: Int64?

  private static let retryMillis: Int64 = 1000

  /// Notes what is sent.
  mutating func note(_ positions: TopicPositions) { newest.merge(positions) }

  /// Notes that something was not taken, or could not be sent.
  mutating func fail(atMillis now: Int64) { dueMillis = dueMillis ?? now + Self.retryMillis }

  /// Forgets partitions that another instance tells of from here on.
  mutating func keep(_ isKept: (TopicPartition) -> Bool) { newest = newest.filter(isKept) }

  /// What is to be sent once more.
  mutating func due(atMillis now: Int64) -> TopicPositions? {
    guard let dueMillis, now >= dueMillis else { return nil }
    self.dueMillis = nil
    return newest.isEmpty ? nil : newest
  }
}
