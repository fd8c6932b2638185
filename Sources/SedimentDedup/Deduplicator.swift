// The dedup operator: which records of a stream are the first of their key.
//
// How it works, a batch at a time:
//   1. time     processing time: the batch is stamped once; event time: records too far ahead of
//               the clock are left out, the others move together (no record moves when none is)
//   2. decide   the keyspace answers for the batch, all shards in parallel
//   3. report   the answers become decisions, in the order of the records, and are counted
//
// Invariants
// 1. Nothing but step 1 reads a clock: the same records with the same times meet the same
//    decisions, whatever the batches, shards and restarts.
// 2. Stamps of processing time never decrease, across restarts included: a stamp is at least the
//    largest time the keyspace knows, and that is durable with the entries.
// 3. A record that was left out in step 1 leaves no trace: neither entry nor watermark.
//
// Concurrency: any thread may call; `gate` lets in one batch at a time, so that stamps and
// watermark advance in the order of the batches. Lock order: gate ─▶ locks of the store.

internal import SedimentAsync
internal import SedimentIO
public import SedimentStore

/// Tells the first record of each key from its duplicates, and remembers in a durable store.
///
/// ```swift
/// let store = try StateStore.open(at: "state")
/// let dedup = try Deduplicator(
///   store: store, options: .init(timeToLive: .milliseconds(7 * 86_400_000)))
/// for event in events {
///   let key = CompositeKey(.int(event.adserverID), .int(event.timestamp))
///   if try dedup.isFirst(key, time: event.timestamp) { emit(event) }
/// }
/// try store.commitEpoch()
/// ```
///
/// A record at time t is a duplicate iff an unexpired entry of its key lies less than the time to
/// live from t. An entry expires when the watermark, the largest time seen less the allowed
/// lateness, reaches its time plus the time to live.
///
/// **Durability.** What was decided is durable as of the store's next epoch (or at once, with a
/// log). After a crash the state is that of the last epoch: read the source again from the position
/// that was committed with it, and the same records pass again.
///
/// **Errors.** `invalidArgument` (a key that is too long, a wrong number of times), `closed` and
/// `poisoned` are thrown before anything is decided. Any other `StoreError` leaves the decisions of
/// its batch unknown and the store poisoned: close it, open it again, and go on from its last
/// epoch.
///
/// Use one deduplicator for a keyspace: two would not agree on the order of their stamps.
public final class Deduplicator: Sendable {
  /// Name of the keyspace unless another is given.
  public static let defaultName = "dedup"

  /// The keyspace that remembers.
  public let keyspace: HashedKeyspace
  /// What it was made with.
  public let options: Options
  private let clock: any Clock
  private let maxAheadMillis: Int64?
  private let gate = Monitor()
  private let state = StateBox()
  /// Where asynchronous callers' batches are decided.
  let thread = BlockingThreads(name: "sediment-dedup", count: 1)

  /// Opens the keyspace `name` of a store for deduplication, and makes it when there is none.
  ///
  /// The clock is that of the store's options.
  ///
  /// - Throws: `optionsDiffer`, naming what differs, when the keyspace was made with others;
  ///   `invalidArgument` for options that cannot be.
  public init(
    store: StateStore, name: String = Deduplicator.defaultName, options: Options
  ) throws(StoreError) {
    self.options = options
    clock = store.clock
    maxAheadMillis = try options.maxAheadMillis()
    keyspace = try store.keyspace(name, try options.keyspaceOptions())
  }

  // MARK: - What it has seen

  /// The largest time seen, in this run and those before; `nil` before the first record.
  public var largestTime: Int64? { keyspace.largestTimeSeen }

  /// The largest time seen less the allowed lateness; `nil` before the first record, and with
  /// `forever`, where nothing expires.
  public var watermark: Int64? { keyspace.watermark }

  /// Counts since it was made.
  public var counters: DedupCounters { gate.withLock { state.counters } }

  // MARK: - One record

  /// Whether a record passes as the first of its key, by event time: `DedupDecision.isNew`.
  ///
  /// False is not only for duplicates: so are records that the late policy drops or rejects, and
  /// those whose time is too far ahead of the clock or out of range. `decide` tells them apart.
  ///
  /// - Parameter time: milliseconds since 1970.
  public func isFirst(_ key: CompositeKey, time: Int64) throws(StoreError) -> Bool {
    try decide(key.bytes, time: time).isNew
  }

  /// Whether a record is the first of its key, by processing time, where no record is ever late.
  public func isFirst(_ key: CompositeKey) throws(StoreError) -> Bool {
    try decide(key.bytes, time: nil).isNew
  }

  /// Decides one record, whose key is any bytes.
  ///
  /// - Parameter time: milliseconds since 1970; `nil` with processing time.
  public func decide(_ key: [UInt8], time: Int64?) throws(StoreError) -> DedupDecision {
    checkTimes(areGiven: time != nil)
    gate.lock()
    defer { gate.unlock() }
    state.single.removeAll()
    try wrapping { try state.single.append(key) }
    var decision: UInt8 = 0
    if var time {
      _ = unsafe try decideGated(state.single.view, times: &time, into: &decision)
    } else {
      _ = unsafe try decideGated(state.single.view, times: nil, into: &decision)
    }
    return DedupDecision(rawValue: decision) ?? .duplicate
  }

  // MARK: - Batches

  /// Decides the records of a batch by event time.
  ///
  /// - Parameter times: milliseconds since 1970, one a key.
  /// - Throws: `invalidArgument` when there are more or fewer; else as said of the type.
  public func process(_ keys: KeyBatch, times: [Int64]) throws(StoreError) -> DedupBatch {
    guard times.count == keys.count else {
      throw StoreError(
        .invalidArgument, "\(keys.count) keys need as many times, not \(times.count)")
    }
    return try wrapping {
      try unsafe times.withUnsafeBufferPointer { times in
        try unsafe collect(keys, times: times.baseAddress)
      }
    }
  }

  /// Decides the records of a batch by processing time.
  public func process(_ keys: KeyBatch) throws(StoreError) -> DedupBatch {
    try wrapping { try unsafe collect(keys, times: nil) }
  }

  private func collect(_ keys: KeyBatch, times: UnsafePointer<Int64>?) throws -> DedupBatch {
    guard keys.count > 0 else { return DedupBatch(decisions: [], counters: DedupCounters()) }
    var counters = DedupCounters()
    let decisions = try unsafe [UInt8](unsafeUninitializedCapacity: keys.count) { buffer, count in
      guard let base = buffer.baseAddress else { return }
      counters = try unsafe process(keys.view, times: times, into: base)
      count = keys.count
    }
    return DedupBatch(
      decisions: decisions.map { DedupDecision(rawValue: $0) ?? .duplicate }, counters: counters)
  }

  /// Decides the records of a batch into a buffer of the caller's, one `DedupDecision` a record.
  ///
  /// Takes no memory in steady use. The columns are read and written during the call only.
  ///
  /// - Parameters:
  ///   - keys: the keys; not changed during the call.
  ///   - times: milliseconds since 1970, one a key; `nil` with processing time.
  ///   - decisions: room for a byte a key.
  /// - Returns: how many records of the batch met which decision.
  @discardableResult
  package func process(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>?,
    into decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) -> DedupCounters {
    guard unsafe keys.count > 0 else { return DedupCounters() }
    unsafe checkTimes(areGiven: times != nil)
    gate.lock()
    defer { gate.unlock() }
    return try unsafe decideGated(keys, times: times, into: decisions)
  }

  private func checkTimes(areGiven: Bool) {
    precondition(
      areGiven == (options.time != .processing),
      areGiven
        ? "this deduplicator goes by processing time: it takes no times"
        : "this deduplicator goes by event time: it needs the times of the records")
  }

  // MARK: - Behind the gate

  private func decideGated(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>?,
    into decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) -> DedupCounters {
    let count = unsafe keys.count
    if let times = unsafe times {
      try unsafe decideByEventTime(keys, times: times, into: decisions)
    } else {
      try unsafe keyspace.insertIfAbsent(
        keys, times: state.stamps(count, of: nextStamp()), values: nil, late: .keep,
        decisions: decisions)
    }
    let counters = unsafe DedupCounters(decisions, count: count)
    state.counters += counters
    return counters
  }

  /// The stamp of a batch: the clock, but never less than any stamp before.
  private func nextStamp() -> Int64 {
    max(clock.nowMillis(), keyspace.largestTimeSeen ?? Int64.min)
  }

  private func decideByEventTime(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>,
    into decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) {
    let count = unsafe keys.count
    var smallest = Int64.max
    var largest = Int64.min
    for index in 0..<count {
      smallest = unsafe min(smallest, times[index])
      largest = unsafe max(largest, times[index])
    }
    let limit = self.limit()
    guard smallest < HashedKeyspace.timeRange.lowerBound || largest > limit else {
      return try unsafe insert(keys, times: times, into: decisions)
    }
    try unsafe decideWithin(limit, keys, times: times, into: decisions)
  }

  /// The largest time that is not too far ahead of the clock now.
  private func limit() -> Int64 {
    let last = HashedKeyspace.timeRange.upperBound
    guard let maxAheadMillis else { return last }
    let (sum, isOver) = clock.nowMillis().addingReportingOverflow(maxAheadMillis)
    return isOver ? last : min(sum, last)
  }

  /// Decides the records whose times are good as a batch of their own, and says of the others why
  /// not.
  private func decideWithin(
    _ limit: Int64, _ keys: KeyBatchView, times: UnsafePointer<Int64>,
    into decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) {
    let range = HashedKeyspace.timeRange
    let kept = state.kept
    kept.removeAll()
    state.keptTimes.removeAll(keepingCapacity: true)
    state.keptIndices.removeAll(keepingCapacity: true)
    for index in 0..<(unsafe keys.count) {
      let time = unsafe times[index]
      if time > limit || time < range.lowerBound {
        let reason: DedupDecision = range.contains(time) ? .tooFarAhead : .timeOutOfRange
        unsafe decisions[index] = reason.rawValue
        continue
      }
      try wrapping { try unsafe kept.append(keys.key(at: index)) }
      state.keptTimes.append(time)
      state.keptIndices.append(UInt32(truncatingIfNeeded: index))
    }
    guard kept.count > 0 else { return }
    state.growDecisions(to: kept.count)
    try unsafe insert(kept.view, times: state.keptTimes, into: &state.keptDecisions)
    for (position, index) in state.keptIndices.enumerated() {
      unsafe decisions[Int(index)] = state.keptDecisions[position]
    }
  }

  private func insert(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>,
    into decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) {
    try unsafe keyspace.insertIfAbsent(
      keys, times: times, values: nil, late: options.late == .keep ? .keep : .refuse,
      decisions: decisions)
    // The engine's values are ours but for the one that it has for both kinds of refusal.
    guard options.late == .reject else { return }
    for index in 0..<(unsafe keys.count) {
      let isRefused = unsafe decisions[index] == DedupDecision.lateDropped.rawValue
      unsafe decisions[index] &+= isRefused ? 1 : 0
    }
  }
}

/// What the holder of the gate works with; all of it is kept from batch to batch.
///
/// @unchecked because only the holder of the gate touches it.
private final class StateBox: @unchecked Sendable {
  var counters = DedupCounters()
  /// The key of a record that comes alone.
  let single = KeyBatch(reservingKeys: 1)
  /// The records of a batch whose times are good, where not all are.
  let kept = KeyBatch(reservingKeys: 1, bytes: 1)
  var keptTimes: [Int64] = []
  var keptIndices: [UInt32] = []
  var keptDecisions: [UInt8] = []
  private var stampedTimes: [Int64] = []
  private var stampedCount = 0

  /// At least `count` times of one stamp.
  func stamps(_ count: Int, of stamp: Int64) -> [Int64] {
    if stampedTimes.first != stamp { stampedCount = 0 }
    if stampedTimes.count < count {
      stampedTimes = [Int64](repeating: stamp, count: count)
      stampedCount = count
    }
    while stampedCount < count {
      stampedTimes[stampedCount] = stamp
      stampedCount += 1
    }
    return stampedTimes
  }

  func growDecisions(to count: Int) {
    if keptDecisions.count < count {
      keptDecisions = [UInt8](repeating: 0, count: count)
    }
  }
}
