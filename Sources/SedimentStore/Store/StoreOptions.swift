public import SedimentIO

/// How a store runs. None of it is kept on disk.
public struct StoreOptions: Sendable {
  /// Bytes of memory for memtables, filters, indexes, cache and buffers together.
  ///
  /// Default: a quarter of the machine's or control group's memory, at most 2 GiB.
  public var memoryBudget: Int
  /// Shards of each keyspace, 1 to 256: how many threads decide a batch side by side. Another
  /// number than last time is a change of the manifest, not of the tables.
  public var shards: Int
  /// Threads that flush and merge, 1 to 16.
  public var backgroundThreads: Int
  /// How long writers wait for space on a full disk before they give up, in milliseconds.
  public var fullDiskPatience: Int64
  /// Free bytes below which a `lowDisk` event is sent.
  public var lowDiskBytes: UInt64
  /// Called from the store's threads for every event; must return quickly and not call the store.
  public var onEvent: (@Sendable (StoreEvent) -> Void)?
  public var clock: any Clock
  /// The most slots of a memtable, whatever the budget: lets tests flush after few keys.
  package var memtableSlotsMax = Int.max

  public init(
    memoryBudget: Int = StoreOptions.defaultMemoryBudget,
    shards: Int = StoreOptions.defaultShards,
    backgroundThreads: Int = 2, fullDiskPatience: Int64 = 10_000,
    lowDiskBytes: UInt64 = 1 << 30, onEvent: (@Sendable (StoreEvent) -> Void)? = nil,
    clock: any Clock = SystemClock()
  ) {
    self.memoryBudget = memoryBudget
    self.shards = shards
    self.backgroundThreads = backgroundThreads
    self.fullDiskPatience = fullDiskPatience
    self.lowDiskBytes = lowDiskBytes
    self.onEvent = onEvent
    self.clock = clock
  }

  /// A quarter of the machine's or control group's memory, at most 2 GiB.
  public static var defaultMemoryBudget: Int {
    max(Int(min(ProcessStatistics.systemMemoryBytes() / 4, 2 << 30)), memoryBudgetMin)
  }

  /// One a processor, as far as a store takes so many.
  public static var defaultShards: Int {
    min(max(ProcessStatistics.processorCount, 1), StoreState.shardsMax)
  }

  /// The least budget a store runs in.
  public static let memoryBudgetMin = 8 << 20

  /// What is wrong with these options; `nil` when nothing is.
  package var complaint: String? {
    if memoryBudget < Self.memoryBudgetMin {
      return "a memory budget of \(memoryBudget) bytes is under \(Self.memoryBudgetMin)"
    }
    if shards < 1 || shards > StoreState.shardsMax {
      return "\(shards) shards: 1 to 256 are possible"
    }
    if backgroundThreads < 1 || backgroundThreads > 16 {
      return "\(backgroundThreads) background threads: 1 to 16 are possible"
    }
    return nil
  }
}

/// Something a store did or noticed.
public enum StoreEvent: Sendable {
  case flushed(keyspace: String, entries: UInt64, bytes: UInt64, nanoseconds: UInt64)
  case merged(
    keyspace: String, inputs: Int, entriesIn: UInt64, entriesOut: UInt64, bytes: UInt64,
    nanoseconds: UInt64)
  /// Tables were unlinked because all in them had expired.
  case expired(keyspace: String, tables: Int, bytes: UInt64)
  /// A writer waited for a flush or a merge.
  case stalled(keyspace: String, nanoseconds: UInt64)
  case epochCommitted(epoch: UInt64, nanoseconds: UInt64)
  case checkpointed(id: String, newFiles: Int, newBytes: UInt64, nanoseconds: UInt64)
  case corruption(message: String)
  case lowDisk(availableBytes: UInt64)
  /// A background task failed and is tried again.
  case retrying(message: String)
}
