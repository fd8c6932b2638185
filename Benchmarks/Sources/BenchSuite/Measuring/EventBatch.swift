// Events as engines take them, made inside the timed run.

import CWorkload

/// Keys of 24 bytes one behind the other, and the time of each.
///
/// Used by one thread at a time.
final class EventBatch {
  static let keyBytes = Int(WORKLOAD_KEY_BYTES)

  let capacity: Int
  let keys: UnsafeMutablePointer<UInt8>
  /// One a key, none more: the store takes arrays.
  private(set) var times: [Int64]

  var count: Int { times.count }

  init(capacity: Int) {
    self.capacity = capacity
    keys = .allocate(capacity: capacity * Self.keyBytes)
    times = [Int64](repeating: 0, count: capacity)
  }

  deinit { keys.deallocate() }

  /// The keys, one behind the other.
  var allKeys: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: keys, count: count * Self.keyBytes)
  }

  /// Replaces the events by the next of a source; there are fewer than `capacity` at its end only.
  func fill(from source: inout EventSource) {
    if times.count < capacity { times = [Int64](repeating: 0, count: capacity) }
    let count = times.withUnsafeMutableBufferPointer { times in
      workload_fill(&source.workload, &source.cursor, keys, times.baseAddress, capacity)
    }
    if count < capacity { times.removeLast(capacity - count) }
  }
}

/// The events of one writer.
struct EventSource {
  fileprivate var workload: workload_events
  fileprivate var cursor: workload_cursor

  init(_ workload: workload_events, writer: Int) {
    self.workload = workload
    cursor = workload_cursor(next: 0, writer: UInt32(writer))
  }

  /// Events before this one are made, those of other writers too.
  var position: UInt64 { cursor.next }
}

extension RunRequest {
  /// The events that are inserted.
  var insertions: workload_events {
    var workload = workload_events(
      events: events, seed: seed, repeat_thousandths: repeatThousandths,
      repeats: WORKLOAD_REPEATS_MIXED, first_id: 0, ids: 0, writers: UInt32(threads))
    switch self.workload {
    case .dedupHot: workload.repeats = WORKLOAD_REPEATS_RECENT
    case .dedupCold: workload.repeats = WORKLOAD_REPEATS_ANY
    case .dedupUnique, .lookupHit, .lookupMiss: workload.repeat_thousandths = 0
    default: break
    }
    return workload
  }

  /// `count` keys drawn evenly from those that were inserted, or, for misses, from as many others.
  func draws(_ count: UInt64, seed: UInt64) -> workload_events {
    workload_events(
      events: count, seed: seed, repeat_thousandths: 0, repeats: WORKLOAD_DRAWS,
      first_id: workload == .lookupMiss ? events : 0, ids: events, writers: UInt32(threads))
  }
}
