package import SedimentJob

/// Which records of a topic between two stages nobody needs any more: what was committed for a
/// while. A value: who asks gives the time.
package struct CommittedRecords: Sendable {
  /// From one removal to the next; what was committed stays for as long at least.
  package static let intervalMillis: Int64 = 30_000

  private var committed: [TopicPartition: Int64] = [:]
  /// As of the last removal.
  private var before: [TopicPartition: Int64] = [:]
  private var removed: [TopicPartition: Int64] = [:]
  private var nextMillis: Int64?

  /// Nothing was committed.
  package init() {}

  /// Positions were committed.
  package mutating func note(_ positions: TopicPositions) {
    for partition in positions.partitions { committed[partition] = positions[partition] }
  }

  /// What to remove now: of some partitions all before an offset; `nil` when it is not time.
  package mutating func due(atMillis now: Int64) -> [TopicPartition: Int64]? {
    guard let next = nextMillis else {
      nextMillis = now + Self.intervalMillis
      return nil
    }
    guard now >= next else { return nil }
    nextMillis = now + Self.intervalMillis
    let due = before.filter { removed[$0.key] ?? 0 < $0.value }
    removed.merge(due) { _, new in new }
    before = committed
    return due.isEmpty ? nil : due
  }
}
