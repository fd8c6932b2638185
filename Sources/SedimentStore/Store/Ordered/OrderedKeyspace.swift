// An ordered keyspace: what is written is found again, in the order of the keys.
//
// How it works: writes go through the store's `WriteQueue` into a memtable; full ones are flushed
// to tables, which are merged in levels; reads ask all of them, newest first. ARCHITECTURE.md §11.
//
// Invariants
// 1. A read takes its view before its sequence number: whatever is dropped from newer views is
//    hidden by writes that the older view holds too, or that the read does not see.
// 2. Only whoever leads the writes writes to the active memtable, or replaces it.
//
// Concurrency: any thread may call anything. What maintenance changes is guarded by the store's
// monitor; reads take the view from contexts of their threads' own (`ReadContexts`).

internal import SedimentIO
internal import Synchronization

/// Keys and values in the order of the keys, which are strings of unsigned bytes.
///
/// ```swift
/// let words = try store.orderedKeyspace("words")
/// try words.put(Array("stone".utf8), Array("a hard thing".utf8))
/// let meaning = try words.get(Array("stone".utf8))
/// ```
///
/// **Durability.** With `OrderedKeyspaceOptions.isLogged` (the default) a write is in the store's
/// log before its call returns; see `Durability`. Without it the keyspace is durable as of the last
/// `StateStore.commitEpoch` or checkpoint, and after a crash it is exactly as it was then.
///
/// **Thread safety.** Any thread may call anything. Writes of all threads have one order, across
/// all ordered keyspaces of the store; a read sees all that were answered before it began.
public final class OrderedKeyspace: @unchecked Sendable {
  // @unchecked because what changes is guarded as said above.
  /// The name it was made under, unique in its store.
  public let name: String
  /// What it was made as.
  public let options: OrderedKeyspaceOptions
  let id: UInt32
  let store: StoreCore
  let hasher: KeyHasher
  private let contexts: ReadContexts
  /// How versions of a key become its value.
  let rules: OrderedReadRules
  /// The active memtable of the view, for whoever leads the writes.
  private(set) var memtable: OrderedMemtable
  private let filter = Mutex<CompactionFilter?>(nil)
  /// What flushes and merges wrote to each level.
  let written = LevelCounters()

  // Guarded by the store's monitor.
  /// All writes up to this number are in tables.
  var flushedSequence: UInt64
  /// Whether tables or `flushedSequence` are not in the manifest yet.
  var needsRecording = false
  /// When a memtable was filled last, by the store's clock.
  var frozenAt: UInt64?
  /// Whether a flush is under way.
  var isFlushing = false
  /// Tables that take part in a merge.
  var busy: Set<FileNumber> = []
  /// Of the removals in the levels, by their numbers: tables that may hold what they hide.
  var hiding: [UInt64: Set<FileNumber>] = [:]

  init(_ state: OrderedKeyspaceState, store: StoreCore, view: OrderedView) {
    name = state.name
    options = state.options
    id = state.id
    self.store = store
    hasher = KeyHasher(seed: store.seed)
    rules = OrderedReadRules(
      name: state.name, clock: store.options.clock,
      merging: MergeOperatorHolder(state.options.mergeOperator))
    flushedSequence = state.flushedSequence
    contexts = ReadContexts(view)
    memtable = view.active
    for removal in state.levels.removals {
      hiding[removal.sequence] = Set(state.levels.tables(under: removal).map(\.number))
    }
  }

  /// Asked in merges; see `CompactionFilter`. Every program that opens the store sets its own.
  public var compactionFilter: CompactionFilter? {
    get { filter.withLock { $0 } }
    set { filter.withLock { $0 = newValue } }
  }

  /// The keyspace as it is now.
  var view: OrderedView { contexts.view }

  /// Entries of its tables, each version of a key counted.
  package var tableEntryCount: UInt64 {
    view.levels.metadata.tables.joined().reduce(0) { $0 + $1.entryCount }
  }

  /// Tables it has.
  package var tableCount: Int { view.levels.metadata.tables.joined().count }

  /// Removals of ranges that may hide something in them.
  package var rangeRemovalCount: Int { view.levels.metadata.removals.count }

  /// Publishes a changed view. The caller holds the store's monitor.
  func update(_ change: (OrderedView) -> OrderedView) {
    contexts.publish(change(view))
  }

  /// Goes on with a fresh memtable in place of the active one, which is to be flushed, if there is
  /// anything in it. The caller leads the writes and holds the store's monitor.
  func replaceMemtable(by fresh: OrderedMemtable, lastSequence: UInt64) {
    update { view in
      let frozen = FrozenOrderedMemtable(memtable: view.active, lastSequence: lastSequence)
      return OrderedView(
        active: fresh, frozen: view.active.isEmpty ? view.frozen : [frozen] + view.frozen,
        levels: view.levels)
    }
    memtable = fresh
  }

  /// Makes room in the active memtable, which has too little. The caller leads the writes.
  func makeRoom(entries: Int, bytes: Int, lastSequence: UInt64) throws {
    try store.freeze(self, lastSequence: lastSequence, entries: entries, bytes: bytes)
  }

  /// When a write expires that is made now; `nil` for never.
  func expiry(_ timeToLive: TimeToLive?) throws(StoreError) -> Int64? {
    guard case .milliseconds(let milliseconds) = timeToLive ?? options.timeToLive else {
      return nil
    }
    guard milliseconds >= 1, milliseconds <= TimeToLive.millisecondsMax else {
      throw StoreError(
        .invalidArgument,
        "a time to live of \(milliseconds) ms is not within 1 and \(TimeToLive.millisecondsMax)")
    }
    return store.options.clock.nowMillis() + milliseconds
  }

  // MARK: - Reading

  /// The value of a key; `nil` when it is not there, was removed or has expired.
  ///
  /// - Parameter snapshot: the moment that is read; now when `nil`.
  /// - Throws: `corrupted`, `mergeFailed`, `inputOutput`.
  public func get(_ key: [UInt8], at snapshot: Snapshot? = nil) throws(StoreError) -> [UInt8]? {
    try unsafe withValue(of: key.span.bytes, at: snapshot) { value in
      unsafe value.withUnsafeBytes { unsafe Array($0) }
    }
  }

  /// Whether a key has a value.
  public func contains(_ key: [UInt8], at snapshot: Snapshot? = nil) throws(StoreError) -> Bool {
    try unsafe withValue(of: key.span.bytes, at: snapshot) { _ in true } ?? false
  }

  /// Calls `body` with the value of a key where it lies, without a copy.
  ///
  /// - Returns: what `body` does; `nil` when the key has no value, and then `body` is not called.
  /// - Throws: as `get`.
  @inlinable
  public func withValue<Answer>(
    of key: RawSpan, at snapshot: Snapshot? = nil, _ body: (RawSpan) -> Answer
  ) throws(StoreError) -> Answer? {
    var answer: Answer?
    try visitValue(of: key, at: snapshot) { answer = body($0) }
    return answer
  }

  /// Calls `body` with the value of a key, if it has one.
  @usableFromInline
  func visitValue(
    of key: RawSpan, at snapshot: Snapshot?, _ body: (RawSpan) -> Void
  ) throws(StoreError) {
    try reading(at: snapshot) { read throws(StoreError) in
      try unsafe key.withUnsafeBytes { key throws(StoreError) in
        _ = try unsafe read.withValue(of: key, body)
      }
    }
  }

  /// The values of several keys, all of one moment; `nil` for those that have none.
  ///
  /// Costs less than as many calls, and sees no write that comes in between.
  ///
  /// - Throws: as `get`.
  public func get(
    _ keys: [[UInt8]], at snapshot: Snapshot? = nil
  ) throws(StoreError) -> [[UInt8]?] {
    let batch = KeyBatch(reservingKeys: keys.count, bytes: keys.reduce(0) { $0 + $1.count })
    try wrapping { for key in keys { try batch.append(key) } }
    var values = [[UInt8]?](repeating: nil, count: keys.count)
    try withValues(of: batch, at: snapshot) { index, value in
      values[index] = unsafe value.withUnsafeBytes { unsafe Array($0) }
    }
    return values
  }

  /// Calls `body` with the index and the value of each key that has one, in the order of the keys,
  /// all of one moment, and the values where they lie.
  ///
  /// - Throws: as `get`.
  public func withValues(
    of keys: KeyBatch, at snapshot: Snapshot? = nil, _ body: (Int, RawSpan) -> Void
  ) throws(StoreError) {
    // A moment of its own while the view is taken: nothing that it sees goes meanwhile.
    let moment = snapshot ?? Snapshot(store)
    try reading(at: moment) { read throws(StoreError) in
      let columns = unsafe keys.view
      for index in 0..<keys.count {
        _ = try unsafe read.withValue(of: columns.key(at: index)) { body(index, $0) }
      }
    }
    withExtendedLifetime((moment, keys)) {}
  }

  private func reading<Answer>(
    at snapshot: Snapshot?, _ body: (OrderedRead) throws(StoreError) -> Answer
  ) throws(StoreError) -> Answer {
    precondition(snapshot.map { $0.store === store } ?? true, "a snapshot of another store")
    return try contexts.reading { context, lent throws(StoreError) in
      // Behind the view: see invariant 1.
      let sequence = snapshot?.sequence ?? store.writes.publishedSequence
      return try body(
        OrderedRead(keyspace: self, lent: lent, sequence: sequence, context: context))
    }
  }

  /// A cursor over the keys from `lower` on, up to and without `upper`; at no entry yet.
  ///
  /// It reads one moment, whatever is written meanwhile, and keeps what it reads in memory and on
  /// disk for as long as it lives.
  ///
  /// - Parameters:
  ///   - lower: the least key; `nil` for no bound.
  ///   - upper: behind the greatest key; `nil` for no bound.
  ///   - snapshot: the moment that is read; now when `nil`.
  public func cursor(
    from lower: [UInt8]? = nil, to upper: [UInt8]? = nil, at snapshot: Snapshot? = nil
  ) -> EntryCursor {
    // A snapshot of its own while the view is taken: nothing that it sees goes meanwhile.
    let moment = snapshot ?? Snapshot(store)
    precondition(moment.store === store, "a snapshot of another store")
    return withExtendedLifetime(moment) {
      let source = PinnedView(view, of: store)
      return EntryCursor(
        source.view.makeCursor(cache: store.cache), of: source, sequence: moment.sequence,
        lower: lower, upper: upper, rules: rules, removals: source.view.removalMap)
    }
  }

  /// A cursor over the keys that begin with `prefix`; at no entry yet.
  public func cursor(prefix: [UInt8], at snapshot: Snapshot? = nil) -> EntryCursor {
    cursor(from: prefix, to: Self.end(ofPrefix: prefix), at: snapshot)
  }

  /// The first key behind all that begin with `prefix`; `nil` when there is none.
  static func end(ofPrefix prefix: [UInt8]) -> [UInt8]? {
    var end = prefix
    while let last = end.popLast() {
      if last < 255 { return end + [last + 1] }
    }
    return nil
  }

  // MARK: - Writing

  /// Sets the value of a key.
  ///
  /// - Parameter timeToLive: how long it counts from now on; `nil` for the keyspace's own.
  /// - Throws: `invalidArgument`; `noSpace` when the disk is full, and then nothing was written;
  ///   `poisoned`, `closed`, `inputOutput`.
  public func put(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) throws(StoreError) {
    try unsafe put(key.span.bytes, value.span.bytes, timeToLive: timeToLive, durability: durability)
  }

  /// Sets the value of a key; both are copied.
  ///
  /// - Throws: as above.
  public func put(
    _ key: RawSpan, _ value: RawSpan, timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) throws(StoreError) {
    try store.writes.write(durability, of: store) { batch throws(StoreError) in
      try batch.put(key, value, timeToLive: timeToLive, in: self)
    }
  }

  /// Removes a key, whether it is there or not.
  ///
  /// - Throws: as `put`.
  public func remove(
    _ key: [UInt8], durability: Durability = .buffered
  ) throws(StoreError) {
    try store.writes.write(durability, of: store) { batch throws(StoreError) in
      try batch.remove(key, in: self)
    }
  }

  /// Merges an operand into the value of a key: the keyspace's merge operator is asked when the key
  /// is read, and nothing is read now.
  ///
  /// - Throws: `invalidArgument` where the keyspace has no merge operator; and as `put`.
  public func merge(
    _ key: [UInt8], _ operand: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) throws(StoreError) {
    try store.writes.write(durability, of: store) { batch throws(StoreError) in
      try batch.merge(key, operand, timeToLive: timeToLive, in: self)
    }
  }

  /// Removes all keys from `lower` on, up to and without `upper`, by one write.
  ///
  /// It costs the same however many there are; tables that hold nothing else are dropped whole. A
  /// keyspace may have some hundreds of removals whose keys are still on disk: each costs reads a
  /// little until merges have made away with what it hides.
  ///
  /// - Parameter upper: behind the last key; `nil` for no bound.
  /// - Throws: as `put`.
  public func removeRange(
    from lower: [UInt8], to upper: [UInt8]?, durability: Durability = .buffered
  ) throws(StoreError) {
    try store.writes.write(durability, of: store) { batch throws(StoreError) in
      try batch.removeRange(from: lower, to: upper, in: self)
    }
  }

  /// Writes a batch, which may be of other keyspaces of the store, too; see `StateStore.write`.
  public func write(
    _ batch: WriteBatch, durability: Durability = .buffered
  ) throws(StoreError) {
    try store.write(batch, durability)
  }

  /// Sets the value of a key that has none.
  ///
  /// - Returns: whether it had none; otherwise nothing is changed.
  /// - Throws: as `put`, and `corrupted`.
  public func insertIfAbsent(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) throws(StoreError) -> Bool {
    try compareAndSet(
      key, expected: nil, to: value, timeToLive: timeToLive, durability: durability)
  }

  /// Sets or removes the value of a key that has the value expected.
  ///
  /// - Parameters:
  ///   - expected: the value it must have; `nil` for none.
  ///   - value: the new one; `nil` to remove the key.
  /// - Returns: whether it had; otherwise nothing is changed.
  /// - Throws: as `put`, and `corrupted`.
  public func compareAndSet(
    _ key: [UInt8], expected: [UInt8]?, to value: [UInt8]?, timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) throws(StoreError) -> Bool {
    var batch = WriteBatch()
    if let value {
      try batch.put(key, value, timeToLive: timeToLive, in: self)
    } else {
      try batch.remove(key, in: self)
    }
    return try store.write(batch, durability) { () throws(StoreError) in
      try get(key) == expected
    }
  }

  // MARK: - Maintenance

  /// Merges the tables that hold keys from `lower` on, up to and without `upper`, and those they
  /// overlap, into the last level: a read finds each key in one table, and what was removed or has
  /// expired takes no room any more. What is in memory only stays there; see `StateStore.flush`.
  ///
  /// Costs reading and writing everything that is merged, on the caller's thread.
  ///
  /// - Parameters:
  ///   - lower: the least key; `nil` for no bound.
  ///   - upper: behind the greatest key; `nil` for no bound.
  /// - Throws: as `StateStore.compact`.
  public func compact(from lower: [UInt8]? = nil, to upper: [UInt8]? = nil) throws(StoreError) {
    try store.checkWritable()
    try wrapping { try store.compact(self, from: lower ?? [], to: upper) }
  }
}

extension StoreCore {
  /// Writes a batch.
  ///
  /// - Throws: `invalidArgument` when its keyspaces are of another store, and what writing throws.
  func write(_ batch: WriteBatch, _ durability: Durability) throws(StoreError) {
    if let keyspace = batch.parts.first?.keyspace, keyspace.store !== self {
      throw StoreError(.invalidArgument, "keyspace \(keyspace.name) is of another store")
    }
    try writes.write(durability, of: self) { $0 = batch }
  }

  /// Writes a batch if a condition holds, with no write between the two.
  func write(
    _ batch: WriteBatch, _ durability: Durability, if condition: () throws(StoreError) -> Bool
  ) throws(StoreError) -> Bool {
    try wrapping {
      try writes.withExclusive {
        guard try condition() else { return false }
        try writes.writeAlone(batch, durability, of: self)
        return true
      }
    }
  }
}
