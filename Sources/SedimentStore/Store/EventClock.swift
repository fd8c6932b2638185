/// The largest time that a keyspace has seen, while batches may be under way side by side.
///
/// A batch that began earlier judges its records by an earlier watermark. What it may still find
/// must not expire before it has ended, so `settled` lags behind until then.
struct EventClock {
  /// The largest time of all batches that began; `nil` before the first.
  private(set) var largest: Int64?
  /// `largest` as each batch under way found it.
  private var starts: [Int64] = []

  init(largest: Int64?) {
    self.largest = largest
    starts.reserveCapacity(16)
  }

  /// The largest time by which every batch under way and to come judges; `nil` when there is none.
  var settled: Int64? {
    guard let earliest = starts.min() else { return largest }
    return earliest == EntryTime.none ? nil : earliest
  }

  /// Begins a batch.
  ///
  /// - Parameter time: the largest time in the batch.
  /// - Returns: the largest time before it, for `end`; `EntryTime.none` when there was none.
  mutating func begin(_ time: Int64) -> Int64 {
    let before = largest ?? EntryTime.none
    starts.append(before)
    advance(to: time)
    return before
  }

  /// Ends a batch that began with that time.
  mutating func end(_ start: Int64) {
    if let index = starts.firstIndex(of: start) { starts.remove(at: index) }
  }

  /// Notes a time for which no batch is under way.
  mutating func advance(to time: Int64) {
    largest = max(largest ?? time, time)
  }
}
