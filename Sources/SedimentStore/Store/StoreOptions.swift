public import SedimentIO

/// How a store runs. None of it is kept on disk.
public struct StoreOptions: Sendable {
  /// Bytes of memory for memtables, filters, indexes, cache and buffers together. Counts for
  /// nothing where there are `resources`, which have a budget of their own.
  ///
  /// Default: a quarter of the machine's or control group's memory, at most 2 GiB.
  public var memoryBudget: Int
  /// Shards of each keyspace, 1 to 256: how many threads at most decide side by side, parts of one
  /// batch or batches of several threads. Another number than last time is a change of the
  /// manifest, not of the tables.
  public var shards: Int
  /// Threads that flush and merge, 1 to 16.
  public var backgroundThreads: Int
  /// How long writers wait for space on a full disk before they give up; 0 or less: not at all.
  public var fullDiskPatience: Duration
  /// Free bytes below which a `lowDisk` event is sent.
  public var lowDiskBytes: UInt64
  /// Whether somebody else decides if a durable epoch stands, such as the broker of a transaction
  /// that names it. Each epoch then stays openable, by `StateStore.open(at:epoch:)`, until a later
  /// one is confirmed by `StateStore.confirmEpoch`; until then no keyspace can be made or changed.
  ///
  /// Nothing on disk says that an epoch waits: a program that opens the store without a number
  /// decides for the last one.
  public var confirmsEpochs: Bool
  /// Memory, cache and background work to share with other stores of the process; the store has its
  /// own when `nil`.
  public var resources: StoreResources?
  /// Called from the store's threads for every event; must return quickly and not call the store.
  public var onEvent: (@Sendable (StoreEvent) -> Void)?
  /// Where time comes from: wall time for what is stamped with it, monotonic time for durations.
  public var clock: any Clock
  /// The most slots of a memtable, whatever the budget: lets tests flush after few keys.
  package var memtableSlotsMax = Int.max
  /// The same of ordered keyspaces: the most bytes of a memtable, of a table that a merge writes,
  /// and of the first level that is merged.
  package var orderedMemtableBytesMax = Int.max
  package var orderedTableBytes: UInt64 = 64 << 20
  package var orderedBaseBytes: UInt64 = 256 << 20
  /// Runs of a keyspace of the tiered style at which neighbours are merged.
  package var orderedRunsMax = 6
  /// What a part of a merge has at the least, where several threads share one.
  package var orderedPartBytes: UInt64 = 128 << 20
  /// Removals of ranges that an ordered keyspace may have before merges are made for their sake.
  package static let rangeRemovalsMax = 64
  /// Bytes of objects up to which the upload of a checkpoint is a small one, which is begun anew
  /// when it is cut short.
  package var smallUploadBytesMax: UInt64 = 16 << 20
  /// Entries between two looks of a merge at what is more urgent: some 10 ms.
  package var mergeLookInterval = 65_536

  /// All options, with their defaults.
  public init(
    memoryBudget: Int = StoreOptions.defaultMemoryBudget,
    shards: Int = StoreOptions.defaultShards,
    backgroundThreads: Int = 2, fullDiskPatience: Duration = .seconds(10),
    lowDiskBytes: UInt64 = 1 << 30, confirmsEpochs: Bool = false,
    resources: StoreResources? = nil,
    onEvent: (@Sendable (StoreEvent) -> Void)? = nil,
    clock: any Clock = SystemClock()
  ) {
    self.memoryBudget = memoryBudget
    self.shards = shards
    self.backgroundThreads = backgroundThreads
    self.fullDiskPatience = fullDiskPatience
    self.lowDiskBytes = lowDiskBytes
    self.confirmsEpochs = confirmsEpochs
    self.resources = resources
    self.onEvent = onEvent
    self.clock = clock
  }

  /// `fullDiskPatience` in nanoseconds, 0 for a negative one.
  var fullDiskPatienceNanos: UInt64 {
    let (seconds, attoseconds) = fullDiskPatience.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    // Centuries are as good as for ever, and do not overflow.
    return UInt64(min(seconds, 1 << 33)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
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

/// Something a store did or noticed. Sizes are in bytes of files, durations in nanoseconds.
public enum StoreEvent: Sendable {
  /// A memtable was written to tables: how many entries, how large, and how long it took.
  case flushed(keyspace: String, entries: UInt64, bytes: UInt64, nanoseconds: UInt64)
  /// A merge ended: how many runs went in, the entries before and after, the bytes of the tables it
  /// wrote, and how long it took, with the flushes it gave way to.
  case merged(
    keyspace: String, inputs: Int, entriesIn: UInt64, entriesOut: UInt64, bytes: UInt64,
    nanoseconds: UInt64)
  /// Tables were unlinked because all in them had expired.
  case expired(keyspace: String, tables: Int, bytes: UInt64)
  /// A writer waited for a flush or a merge.
  case stalled(keyspace: String, nanoseconds: UInt64)
  /// An epoch is durable; the time is that of its commit, without the cut.
  case epochCommitted(epoch: UInt64, nanoseconds: UInt64)
  /// A checkpoint is published: its id, the files and bytes it added to the directory, and how long
  /// it took.
  case checkpointed(id: String, newFiles: Int, newBytes: UInt64, nanoseconds: UInt64)
  /// A file is damaged, and the store has stopped writing.
  case corruption(message: String)
  /// Less than `StoreOptions.lowDiskBytes` are free; sent after an epoch.
  case lowDisk(availableBytes: UInt64)
  /// A background task failed and is tried again.
  case retrying(message: String)
}
