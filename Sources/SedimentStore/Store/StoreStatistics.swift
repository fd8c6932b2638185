internal import Synchronization

/// Counters of a store since it was opened.
public struct StoreStatistics: Sendable, Equatable {
  public var entriesFlushed: UInt64 = 0
  public var bytesFlushed: UInt64 = 0
  public var bytesMerged: UInt64 = 0
  public var bytesLogged: UInt64 = 0
  public var flushes: UInt64 = 0
  public var merges: UInt64 = 0
  public var tablesExpired: UInt64 = 0
  public var epochs: UInt64 = 0
  /// Time writers waited for flushes and merges, in nanoseconds, and how often.
  public var stallNanos: UInt64 = 0
  public var stalls: UInt64 = 0
  /// The longest time batches had to wait for the cut of an epoch, in nanoseconds.
  public var longestCutNanos: UInt64 = 0
  /// Pages looked up by verified filter hits, and those in which the key was not.
  public var pagesRead: UInt64 = 0
  public var falsePositives: UInt64 = 0
  public var filterProbes: UInt64 = 0
  public var cacheHits: UInt64 = 0
  public var cacheMisses: UInt64 = 0
}

/// The running counters, updated a batch at a time.
final class StatisticsCounters: Sendable {
  private let values = Mutex(StoreStatistics())

  func update(_ body: (inout StoreStatistics) -> Void) {
    values.withLock { body(&$0) }
  }

  var snapshot: StoreStatistics { values.withLock { $0 } }
}
