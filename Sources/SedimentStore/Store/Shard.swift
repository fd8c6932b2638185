// A shard: the part of a keyspace that one thread decides at a time.
//
// Concurrency: `view` may be read by anyone. Everything else of the writer (active memtable,
// scratch) belongs to whoever holds the shard within a batch, or has closed the keyspace's gate.
// Runs and frozen memtables are changed under the store's monitor, by publishing a new view.

internal import SedimentIO
internal import Synchronization

/// One shard of an open keyspace.
@safe
final class Shard: @unchecked Sendable {
  // @unchecked because the writer's state is guarded as said above.
  let index: Int
  let groups: KeyGroupRange
  let scratch: ShardScratch
  /// The writer's way to pages.
  let pages: PageReader
  private let scratchMemory: AlignedBuffer
  private let published: Mutex<ShardView>

  /// Held by the batch of which a part is being decided here.
  let holder = Monitor()

  // The writer's.
  /// The largest time by which records were decided here; `nil` before the first of this run.
  var largestTime: Int64?
  /// Whether the active memtable holds entries that a log holds too.
  var activeIsLogged = false
  /// Whether it has had a memtable of full size that was filled to its own share.
  var takesTurns = false
  /// Whether the memory of the memtable after the active one was asked for.
  var hasPrepared = false

  // Guarded by the store's monitor.
  /// Sequence number of the next run.
  var nextSequence: UInt64
  /// Whether a flush is under way.
  var isFlushing = false
  /// Whether a frozen memtable held entries of a log; the next epoch then drops the logs.
  var frozenIsLogged = false
  /// Runs that take part in a merge.
  var busyRuns: Set<UInt64> = []

  init(
    index: Int, groups: KeyGroupRange, active: Memtable, runs: [OpenRun], cache: PageCache
  ) throws(AllocationError) {
    self.index = index
    self.groups = groups
    pages = try PageReader(cache: cache)
    scratchMemory = try AlignedBuffer(byteCount: ShardScratch.byteCount)
    guard let base = unsafe scratchMemory.bytes.baseAddress else {
      throw AllocationError(byteCount: ShardScratch.byteCount)
    }
    unsafe scratch = ShardScratch(base: base)
    nextSequence = (runs.first?.state.sequence ?? 0) + 1
    published = Mutex(ShardView(active: active, frozen: [], runs: runs))
  }

  /// The shard as it is now.
  var view: ShardView { published.withLock { $0 } }

  /// Publishes a changed view. The caller holds the store's monitor.
  func update(_ change: (ShardView) -> ShardView) {
    published.withLock { $0 = change($0) }
  }
}
