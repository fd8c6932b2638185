internal import Synchronization

/// Counters of a store since it was opened, and what it holds at the moment.
public struct StoreStatistics: Sendable, Equatable {
  /// Entries that flushes wrote to tables.
  public var entriesFlushed: UInt64 = 0
  /// Bytes of the tables that flushes wrote.
  public var bytesFlushed: UInt64 = 0
  /// Bytes of the tables that merges wrote.
  public var bytesMerged: UInt64 = 0
  /// Bytes that epochs appended to logs.
  public var bytesLogged: UInt64 = 0
  /// Memtables that were flushed.
  public var flushes: UInt64 = 0
  /// Merges that ended.
  public var merges: UInt64 = 0
  /// How often an epoch unlinked tables of a shard, unread, because all in them had expired.
  public var tablesExpired: UInt64 = 0
  /// Epochs that were committed.
  public var epochs: UInt64 = 0
  /// Time writers waited for flushes and merges, in nanoseconds.
  public var stallNanos: UInt64 = 0
  /// How often they waited.
  public var stalls: UInt64 = 0
  /// The longest time batches had to wait for the cut of an epoch, in nanoseconds.
  public var longestCutNanos: UInt64 = 0
  /// Questions of writers to filters: whether a table may hold a key.
  public var filterProbes: UInt64 = 0
  /// Those that went to a page of the table, for its filter did not exclude the key. Several may go
  /// to one page, and the page may be in the cache.
  public var pageLookups: UInt64 = 0
  /// Those of `pageLookups` that did not find the key's hash there.
  public var falsePositives: UInt64 = 0
  /// Pages that the cache held when they were asked for, by whichever store that shares it.
  public var cacheHits: UInt64 = 0
  /// Pages that it did not hold.
  public var cacheMisses: UInt64 = 0
  /// Snapshots and cursors of ordered keyspaces that are held at the moment: its *pins*.
  public var pins: Int = 0
  /// How long the oldest pin has been held, in nanoseconds; 0 without any. What a pin reads is kept
  /// on disk until it goes, replaced and removed or not.
  public var oldestPinNanos: UInt64 = 0

  /// Statistics of nothing.
  public init() {}
}

/// The running counters, updated a batch at a time.
final class StatisticsCounters: Sendable {
  private let values = Mutex(StoreStatistics())

  func update(_ body: (inout StoreStatistics) -> Void) {
    values.withLock { body(&$0) }
  }

  var snapshot: StoreStatistics { values.withLock { $0 } }
}
