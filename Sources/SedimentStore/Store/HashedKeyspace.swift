// A hashed keyspace: batches in, decisions out.
//
// A batch is hashed, its watermarks are computed record by record, then its records are dealt to
// shards in the order of their hashes, stretch by stretch, and each shard decides its part.
// Whatever the number of shards, stretches, chunks or store's threads, the answers to a batch that
// has no company are those of deciding record by record in the order of the batch.
//
// Batches of several threads are under way side by side: each takes the shards in turn, and a shard
// is held by one at a time, for its part of a stretch. Of two such batches either may come first,
// and not at every shard the same; a key belongs to one shard, so its records are decided one after
// the other. A shard's watermark never goes back: a batch that comes to it second is judged by no
// earlier one than the first.
//
// Lock order: gate of the keyspace (several: by id) ─▶ a shard ─▶ store monitor ─▶ view of a shard.
// A thread holds one shard at a time.
//
// Invariants
// 1. The watermark never goes back while the keyspace is open.
// 2. A batch that throws in mid-way poisons the keyspace: some of its records may be inserted.
// 3. Nothing expires in the background by a later time than batches under way judge by.

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
/// **Thread safety.** Any thread may call anything. Batches of one thread are decided by all shards
/// in parallel, those of several threads side by side (with `LogPolicy.everyBatch`, in turn). Of
/// batches that overlap either may come first, for one key this one and for another that one; each
/// key has one order, so of all that bring a new key one is told so. Lookups run beside them and
/// see each record whole.
public final class HashedKeyspace: Sendable {
  /// Times that entries can have: no difference of two, nor one with a TTL, overflows.
  public static let timeRange: ClosedRange<Int64> = StoreState.timeMin...StoreState.timeMax

  /// The name it was made under, unique in its store.
  public let name: String
  let id: UInt32
  let store: StoreCore
  let hasher: KeyHasher
  let shards: [Shard]
  /// Where the key groups of each shard end.
  let shardEnds: [UInt32]
  /// Batches are inside side by side; an epoch's cut, a `put` or `remove`, and a batch that goes to
  /// a log are alone.
  let gate = BatchGate()
  private let writer: WriterBox
  let scratch = BatchScratchPool()
  /// What times batches judge by. Held for a moment, within the gate.
  let clock: Mutex<EventClock>
  /// How far the clock has settled: what background work and lookups go by. `EntryTime.none` before
  /// the first batch.
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
    shardEnds = shards.map { UInt32($0.groups.last) + 1 }
    clock = Mutex(EventClock(largest: state.largestTime))
    largestTime = Atomic(state.largestTime ?? EntryTime.none)
    self.writer = WriterBox(writer)
    currentOptions = Mutex(state.options)
  }

  /// Runs `body` alone in the keyspace: no batch is under way.
  func withWriter<Answer, Failure: Error>(
    _ body: (inout KeyspaceWriter) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    gate.close()
    defer { gate.open() }
    return try body(&writer.state)
  }

  /// The same for a caller that has closed the gate.
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

  /// The largest time seen, in this run and those before; `nil` before the first batch. While
  /// batches are under way, the one that the earliest begun of them found.
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
  func shardIndex(_ high: UInt64) -> Int {
    unsafe shardEnds.withUnsafeBufferPointer { unsafe BatchScratch.shard(high, $0) }
  }

  /// Notes a time in the clock, and lets background work know how far the clock has settled.
  func updateClock<Answer>(_ change: (inout EventClock) -> Answer) -> Answer {
    clock.withLock { clock in
      let answer = change(&clock)
      largestTime.store(clock.settled ?? EntryTime.none, ordering: .releasing)
      return answer
    }
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

/// Holds the writer's state. @unchecked because only who has closed the gate touches it.
private final class WriterBox: @unchecked Sendable {
  var state: KeyspaceWriter

  init(_ state: KeyspaceWriter) { self.state = state }
}

/// What belongs to whoever is alone in a keyspace: its logs.
struct KeyspaceWriter {
  /// Logs that replay would read, all of them closed but `log`'s own.
  var logs: [LogReference]
  /// The log being appended to.
  var log: RecordLogWriter?
  /// Whether a memtable that a log holds was frozen, or a log write failed: the next epoch flushes
  /// what the logs hold and drops them.
  var mustRotate = false
}
