// A hashed keyspace: batches in, decisions out.
//
// A batch is hashed, its watermarks are computed record by record, then its records are dealt to
// shards, which decide side by side. Whatever the number of shards, chunks or threads, the answers
// are those of deciding record by record in input order.
//
// Lock order: writer lock of the keyspace (several: by id) ─▶ store monitor ─▶ view of a shard.
//
// Invariants
// 1. The watermark never goes back while the keyspace is open.
// 2. A batch that throws in mid-way poisons the keyspace: some of its records may be inserted.

internal import SedimentIO
internal import Synchronization

/// A named set of keys with point operations only: the dedup set, keyed state.
///
/// ```swift
/// let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .milliseconds(60_000)))
/// let keys = KeyBatch()
/// try keys.append("a")
/// try keys.append("b")
/// let new = try seen.insertIfAbsent(keys, times: [1_000, 1_001])
/// // new[0] == true, new[1] == true
/// ```
///
/// **Durability.** With `LogPolicy.epochs` (the default) the keyspace is durable as of the last
/// `StateStore.commitEpoch` or checkpoint, and after a crash it is exactly as it was then. With
/// `LogPolicy.everyBatch` a batch is in the log before its call returns.
///
/// **Thread safety.** Any thread may call anything. Batches that write are decided one after the
/// other, each by all shards in parallel; lookups run beside them and see each record whole.
public final class HashedKeyspace: Sendable {
  /// Times that entries can have: no difference of two, nor one with a TTL, overflows.
  public static let timeRange: ClosedRange<Int64> = StoreState.timeMin...StoreState.timeMax

  /// The name it was made under, unique in its store.
  public let name: String
  let id: UInt32
  let store: StoreCore
  let hasher: KeyHasher
  let shards: [Shard]
  /// The writer's lock: held for a batch, and by the cut of an epoch.
  let writerGate = Monitor()
  private let writer: WriterBox
  /// The largest time seen as of the last batch, for background work; `EntryTime.none` before the
  /// first.
  let largestTime: Atomic<Int64>
  /// The options in force; a TTL change replaces them.
  private let currentOptions: Mutex<KeyspaceOptions>

  init(
    state: KeyspaceState, store: StoreCore, seed: HashSeed, shards: [Shard],
    writer: KeyspaceWriter
  ) {
    name = state.name
    id = state.id
    self.store = store
    hasher = KeyHasher(seed: seed)
    self.shards = shards
    largestTime = Atomic(writer.largestTime ?? EntryTime.none)
    self.writer = WriterBox(writer)
    currentOptions = Mutex(state.options)
  }

  /// Runs `body` as the keyspace's only writer.
  func withWriter<Answer, Failure: Error>(
    _ body: (inout KeyspaceWriter) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    writerGate.lock()
    defer { writerGate.unlock() }
    return try body(&writer.state)
  }

  /// The same for a caller that holds `writerGate`.
  func withWriterUngated<Answer, Failure: Error>(
    _ body: (inout KeyspaceWriter) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    try body(&writer.state)
  }

  /// What the keyspace is.
  public internal(set) var options: KeyspaceOptions {
    get { currentOptions.withLock { $0 } }
    set { currentOptions.withLock { $0 = newValue } }
  }

  /// The largest time seen as of the last batch, in this run and those before; `nil` before the
  /// first.
  public var largestTimeSeen: Int64? {
    let time = largestTime.load(ordering: .acquiring)
    return time == EntryTime.none ? nil : time
  }

  /// The largest time seen less the allowed lateness; `nil` before the first batch, and with
  /// `forever`, where nothing expires.
  public var watermark: Int64? {
    let options = self.options
    guard options.timeToLive != .forever, let largestTimeSeen else { return nil }
    return largestTimeSeen - options.allowedLateness
  }

  /// The shard that owns a hash.
  @inline(__always)
  func shardIndex(_ high: UInt64) -> Int {
    // The inverse of `KeyGroupRange.split`: the least i with 65,536 × (i + 1) / count > group.
    let group = Int(truncatingIfNeeded: high >> 48)
    let guess = group * shards.count / 65_536
    return guess + 1 < shards.count && group >= Int(shards[guess + 1].groups.first)
      ? guess + 1 : guess
  }

  /// Entries that live, the same key in several runs counted as often; expired ones that no merge
  /// has dropped yet included.
  public var approximateEntryCount: UInt64 {
    shards.reduce(0) { sum, shard in
      let view = shard.view
      let memtables =
        view.active.approximateLive + view.frozen.reduce(0) { $0 + $1.memtable.approximateLive }
      return sum + UInt64(memtables) + view.runs.reduce(0) { $0 + $1.state.entryCount }
    }
  }
}

/// Holds the writer's state. @unchecked because only the holder of `writerGate` touches it.
private final class WriterBox: @unchecked Sendable {
  var state: KeyspaceWriter

  init(_ state: KeyspaceWriter) { self.state = state }
}

/// What the writer of a keyspace owns.
struct KeyspaceWriter {
  /// The largest time seen.
  var largestTime: Int64?
  /// Logs that replay would read, all of them closed but `log`'s own.
  var logs: [LogReference]
  /// The log being appended to.
  var log: RecordLogWriter?
  /// Whether a memtable that a log holds was frozen, or a log write failed: the next epoch flushes
  /// what the logs hold and drops them.
  var mustRotate = false
  /// Scratch of the batch.
  var hashes: [KeyHash] = []
  var watermarks: [Int64] = []
  var order: [UInt32] = []
}
