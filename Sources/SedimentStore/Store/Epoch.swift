// Epochs: one atomic step of a store.
//
// The cut happens between two batches, with the gates of all keyspaces closed, and takes no I/O
// (but what a log of batches has not handed over yet):
//
//   1. choose the memtables to freeze: the well filled ones; and when the logs must rotate, every
//      one that a log holds
//   2. freeze those; copy what changed since the last epoch from the others
//   3. note watermark, sequence numbers, log lengths
//   4. of ordered keyspaces, with writes kept out: freeze the memtables of those without a log,
//      note how long the log is
//
// The commit runs beside new batches: wait for the flushes, write and sync the log, sync the tables
// that no epoch has named yet, sync the directory, append and sync the manifest record, unlink what
// nothing names any more. Flushes and merges sync nothing: writers who wait for a flush do not wait
// for the disk, and a table that is merged away before an epoch names it need never get there.
//
// Where epochs are confirmed by somebody else (`HeldEpochs`), files go only when no epoch names
// them that the store may still be opened at.
//
// A commit that finds the disk full gives the epoch up: nothing durable changed, and the next epoch
// flushes whatever this one would have logged. A failed sync poisons the store.

internal import SedimentIO
internal import Synchronization

/// What identifies a durable epoch: the number alone does not, for after a crash another writer
/// cuts other epochs.
public struct EpochID: Hashable, Sendable, CustomStringConvertible {
  /// Counts up by 1 with every epoch of a store; 0 before the first.
  public var epoch: UInt64
  /// That of the opening which committed it; see `StateStore.writerEpoch`.
  public var writerEpoch: UInt64

  public var description: String { "\(epoch).\(writerEpoch)" }
}

/// An epoch that was cut and is not durable yet.
///
/// Exactly one of `commit` and `abandon` ends it; when it is dropped without either it is
/// abandoned.
public final class PendingEpoch: Sendable {
  /// What the cut took of one keyspace.
  struct KeyspaceCut: Sendable {
    var keyspace: HashedKeyspace
    var largestTime: Int64?
    /// Sequence numbers up to which the shards' runs belong to the epoch, by shard.
    var sequences: [UInt64]
    /// Logs whose entries are in memtables that stay; the delta's own is added by the commit.
    var logs: [LogReference]
    /// Entries that go to the log.
    var deltas: DeltaBox?
    /// The logs before the cut; those not among `logs` go with the epoch.
    var previousLogs: [LogReference]
  }

  /// What the cut took of the ordered keyspaces.
  struct OrderedCut: Sendable {
    /// The last write that belongs to the epoch.
    var sequence: UInt64
    /// How much of each file of the log does.
    var logLengths: [FileNumber: UInt64]
    /// Those without a log, whose tables become durable with the epoch.
    var unlogged: [OrderedKeyspace]
  }

  /// All that the cut took.
  struct Cut: Sendable {
    var keyspaces: [KeyspaceCut]
    /// `nil` where there are no ordered keyspaces.
    var ordered: OrderedCut?
  }

  private enum Phase {
    case cut(Cut)
    case ended
  }

  let store: StoreCore
  /// Its number.
  package let epoch: UInt64
  let metadata: [UInt8]
  private let phase: Mutex<Phase>

  init(store: StoreCore, epoch: UInt64, metadata: [UInt8], cut: Cut) {
    self.store = store
    self.epoch = epoch
    self.metadata = metadata
    phase = Mutex(.cut(cut))
  }

  deinit { abandon() }

  private func end() -> Cut? {
    phase.withLock { phase in
      guard case .cut(let cut) = phase else { return nil }
      phase = .ended
      return cut
    }
  }

  /// Makes the epoch durable.
  ///
  /// - Throws: `noSpace` when the disk is full: the epoch is given up, and a later one takes in
  ///   what it held. Any other error leaves the store poisoned at the last durable epoch.
  public func commit() throws(StoreError) -> EpochID {
    store.commitLock.lock()
    defer { store.commitLock.unlock() }
    return try commitLocked()
  }

  /// The same for a caller that holds `commitLock`.
  func commitLocked() throws(StoreError) -> EpochID {
    guard let cut = end() else {
      throw StoreError(.invalidArgument, "the epoch was committed or abandoned before")
    }
    do {
      try store.checkWritable()
      return try store.commit(cut, epoch: epoch, metadata: metadata)
    } catch {
      store.giveUp(cut.keyspaces)
      if !StoreCore.isFullDisk(error) { store.poison(error) }
      throw StoreError(wrapping: error)
    }
  }

  /// Gives the epoch up; a later one takes in what it held.
  public func abandon() {
    if let cut = end() { store.giveUp(cut.keyspaces) }
  }
}

/// A buffer of entries on its way from the cut to the commit.
///
/// @unchecked because one thread at a time has it: whoever ended the pending epoch's phase.
final class DeltaBox: @unchecked Sendable {
  var buffer: EntryBuffer

  init(_ buffer: consuming EntryBuffer) { self.buffer = buffer }
}

extension StoreCore {
  /// Cuts an epoch between two batches.
  func cutEpoch(metadata: [UInt8]) throws -> PendingEpoch {
    try checkWritable()
    guard metadata.count <= StoreState.metadataBytesMax else {
      throw StoreError(.invalidArgument, "\(metadata.count) bytes of metadata are over 16 MiB")
    }
    let isFirst = monitor.withLock { () -> Bool in
      defer { hasPendingEpoch = true }
      return !hasPendingEpoch
    }
    guard isFirst else {
      throw StoreError(.invalidArgument, "the epoch before was neither committed nor abandoned")
    }
    do {
      try checkEpochsHeld()
      try waitForOrderedRoom()
    } catch {
      // Nothing was taken yet.
      endCut()
      throw error
    }
    let keyspaces = monitor.withLock { self.keyspaces }
    let start = options.clock.monotonicNanos()
    var cut = PendingEpoch.Cut(keyspaces: [])
    do {
      try withWriters(keyspaces[...]) {
        for keyspace in keyspaces { cut.keyspaces.append(try keyspace.cut()) }
        cut.ordered = try cutOrdered()
        let taken = cut
        monitor.withLock { for cut in taken.keyspaces { noteLimits(of: cut) } }
      }
    } catch {
      // Part of the keyspaces are cut and their changes taken: only recovery puts that right.
      giveUp(cut.keyspaces)
      poison(error)
      throw error
    }
    let duration = options.clock.monotonicNanos() &- start
    statistics.update { $0.longestCutNanos = max($0.longestCutNanos, duration) }
    return PendingEpoch(
      store: self, epoch: manifest.state.epoch + 1, metadata: metadata, cut: cut)
  }

  /// Notes what of each shard belongs to the epoch. The caller holds the monitor.
  private func noteLimits(of cut: PendingEpoch.KeyspaceCut) {
    let watermark = StoreState.watermark(
      largestTime: cut.largestTime, options: cut.keyspace.options)
    for (shard, sequence) in zip(cut.keyspace.shards, cut.sequences) {
      cuts[ObjectIdentifier(shard)] = ShardCut(sequence: sequence, watermark: watermark)
    }
  }

  /// Runs `body` while no batch is in any keyspace.
  private func withWriters(_ keyspaces: ArraySlice<HashedKeyspace>, _ body: () throws -> Void)
    throws
  {
    guard let first = keyspaces.first else { return try body() }
    first.gate.close()
    defer { first.gate.open() }
    try withWriters(keyspaces.dropFirst(), body)
  }

  /// Makes a cut durable. See the file's header.
  func commit(
    _ cut: PendingEpoch.Cut, epoch: UInt64, metadata: [UInt8]
  ) throws -> EpochID {
    let cuts = cut.keyspaces
    let start = options.clock.monotonicNanos()
    try waitForFlushes(cut)
    var logs: [UInt32: [LogReference]] = [:]
    for cut in cuts { logs[cut.keyspace.id] = try writeLog(cut) }
    if cut.ordered?.logLengths.isEmpty == false { try synchronizeWriteLog() }
    let (events, runs, levels) = monitor.withLock {
      (expireRuns(), takeRuns(of: cuts), cut.ordered.map { takeLevels(of: $0) } ?? [])
    }
    let expiredTables = events.reduce(UInt64(0)) { sum, event in
      guard case .expired(_, let tables, _) = event else { return sum }
      return sum + UInt64(tables)
    }
    try synchronize(runs.flatMap { $0.flatMap { $0.flatMap(\.tables) } }.map(\.table))
    try synchronize(Set(levels.flatMap { $0.tables.joined() }.map(\.number.tableName)))
    // The names of all that the record will name are durable before it: a merge that ends from here
    // on belongs to the next epoch.
    try synchronizeDirectory()
    let state = try manifest.append { state in
      var edit = makeEdit(
        cuts, runs: runs, logs: logs, from: state, epoch: epoch, metadata: metadata)
      if let ordered = cut.ordered { add(ordered, levels: levels, to: &edit, from: state) }
      return edit
    }
    // Before anybody else removes files: recording does only while no epoch is pending.
    hold(state)
    endCut()
    // The epoch is durable: whatever fails from here on is no failure of it.
    tidy()
    let duration = options.clock.monotonicNanos() &- start
    statistics.update {
      $0.epochs += 1
      $0.tablesExpired += expiredTables
    }
    for event in events { options.onEvent?(event) }
    options.onEvent?(.epochCommitted(epoch: epoch, nanoseconds: duration))
    return EpochID(epoch: epoch, writerEpoch: state.writerEpoch)
  }

  /// Batches go on as if the epoch had not been cut; what it would have logged is flushed later.
  func giveUp(_ keyspaceCuts: [PendingEpoch.KeyspaceCut]) {
    for cut in keyspaceCuts {
      cut.keyspace.withWriter { writer in
        writer.mustRotate = true
        // Its tail is not known: nothing may be appended behind it.
        writer.log = nil
        let known = Set(writer.logs.map(\.fileID))
        writer.logs = cut.previousLogs.filter { !known.contains($0.fileID) } + writer.logs
        for shard in cut.keyspace.shards { shard.activeIsLogged = true }
      }
    }
    endCut()
  }

  private func endCut() {
    monitor.withLock {
      cuts.removeAll()
      orderedCut = nil
      hasPendingEpoch = false
      monitor.broadcast()
    }
  }

  private func waitForFlushes(_ cut: PendingEpoch.Cut) throws {
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      while cut.keyspaces.contains(where: { cut in
        zip(cut.keyspace.shards, cut.sequences).contains { shard, sequence in
          shard.view.frozen.contains { $0.sequence <= sequence }
        }
      }) || cut.ordered?.isFlushed == false {
        try waitForProgress(since: start)
      }
      if let failure { throw failure }
    }
  }

  /// Writes what the cut copied to the keyspace's log.
  ///
  /// - Returns: the keyspace's logs as of the epoch.
  private func writeLog(_ cut: PendingEpoch.KeyspaceCut) throws -> [LogReference] {
    var logs = cut.logs
    let keyspace = cut.keyspace
    guard let box = cut.deltas else {
      // A log per batch is written already; its length was taken by the cut.
      if case .everyBatch = keyspace.options.log {
        try keyspace.withWriter { $0.log }?.synchronizeWritten()
      }
      return logs
    }
    let log = try keyspace.openEpochLog()
    let before = log.length
    try box.buffer.write(to: log, largestTime: cut.largestTime ?? EntryTime.none)
    try log.synchronize()
    // The acknowledgement is not synchronised, so the epoch must not count on it.
    let committedLength = log.length
    log.acknowledge()
    statistics.update { $0.bytesLogged += committedLength - before }
    keyspace.withWriter { writer in
      for index in writer.logs.indices where writer.logs[index].fileID == log.fileID {
        writer.logs[index].committedLength = committedLength
        if index < logs.count {
          logs[index] = writer.logs[index]
        } else {
          logs.append(writer.logs[index])
        }
      }
    }
    return logs
  }

  /// The runs that belong to an epoch, by keyspace and shard. The caller holds the monitor.
  private func takeRuns(of cuts: [PendingEpoch.KeyspaceCut]) -> [[[RunState]]] {
    cuts.map { cut in
      zip(cut.keyspace.shards, cut.sequences).map { shard, sequence in
        shard.view.runs.map(\.state).filter { $0.sequence <= sequence }
      }
    }
  }

  private func makeEdit(
    _ cuts: [PendingEpoch.KeyspaceCut], runs: [[[RunState]]], logs: [UInt32: [LogReference]],
    from state: StoreState, epoch: UInt64, metadata: [UInt8]
  ) -> StateEdit {
    var edit = StateEdit(epoch: epoch, nextFileNumber: peekNextFileNumber, metadata: metadata)
    for (cut, runs) in zip(cuts, runs) {
      guard let durable = state.keyspaces.first(where: { $0.id == cut.keyspace.id }) else {
        continue
      }
      // Logs of batches that were begun after the cut belong to the next epoch, and stay.
      let kept = logs[cut.keyspace.id] ?? cut.logs
      let known = Set((cut.previousLogs + kept).map(\.fileID))
      let younger = durable.logs.filter { !known.contains($0.fileID) }
      var change = KeyspaceEdit(
        id: cut.keyspace.id, largestTime: cut.largestTime, logs: kept + younger)
      for (index, runs) in runs.enumerated() {
        if let shardEdit = ShardEdit(index: index, from: durable.shards[index].runs, to: runs) {
          change.shards.append(shardEdit)
        }
      }
      edit.keyspaces.append(change)
    }
    return edit
  }

  /// Unlinks what nothing needs, and begins a new manifest when the old one has grown long and the
  /// epoch need not be confirmed.
  private func tidy() {
    do {
      try recording.withLock { () throws(FileError) in try removeUnneededFiles(isCommitting: true) }
      if let onEvent = options.onEvent {
        let available = try directory.availableBytes()
        if available < options.lowDiskBytes { onEvent(.lowDisk(availableBytes: available)) }
      }
    } catch {
      // A file that stays is removed by the next opening.
      options.onEvent?(.retrying(message: "\(error)"))
    }
    do {
      try manifest.shorten { allocateFileNumber() }
    } catch {
      poison(error)
    }
  }

  /// Whether an error leaves everything durable as it was, and may pass. A failed sync does not,
  /// nor does a failed write of the manifest (`ManifestFailure`).
  static func isFullDisk(_ error: any Error) -> Bool {
    switch error {
    case let error as FileError: error.code == .noSpace && !error.isFromSynchronize
    case let error as StoreError: error.code == .noSpace
    default: false
    }
  }
}

extension HashedKeyspace {
  /// Logs a recovery would have to read at most before they are rotated.
  private static let logsMax = 16
  /// Their bytes, the same way: entries that are rewritten in place fill logs and not memtables.
  private var logBytesMax: UInt64 {
    4 * UInt64(shards.reduce(0) { $0 + $1.view.active.byteCount })
  }

  private func logBytes(_ writer: KeyspaceWriter) -> UInt64 {
    let closed = writer.logs.dropLast().reduce(0) { $0 + $1.committedLength }
    let last = writer.logs.last?.committedLength ?? 0
    return closed + max(last, writer.log?.length ?? 0)
  }

  /// A memtable filled further than this is flushed by an epoch rather than logged.
  private static let flushFill = 0.5
  /// More changed entries than this are not copied while batches wait, but flushed.
  private static let deltaEntriesMax = 131_072

  /// The keyspace's part of an epoch's cut. The caller has closed the gate.
  func cut() throws -> PendingEpoch.KeyspaceCut {
    try withWriterUngated { writer in
      let isLogged = options.log != .epochs
      var rotates = store.monitor.withLock { shards.contains { $0.frozenIsLogged } }
      rotates = rotates || writer.mustRotate || writer.logs.count >= Self.logsMax
      rotates = rotates || logBytes(writer) >= logBytesMax
      let frozen = shardsToFreeze(isLogged: isLogged, rotates: &rotates)
      for shard in frozen { try store.freeze(shard, of: self, waits: false) }
      let previousLogs = writer.logs
      var logs = previousLogs
      if rotates {
        logs.removeAll()
        writer.log?.close()
        writer.log = nil
        writer.logs.removeAll()
        writer.mustRotate = false
        store.monitor.withLock { for shard in shards { shard.frozenIsLogged = false } }
      }
      if isLogged, let log = writer.log, !logs.isEmpty {
        try log.write()
        logs[logs.count - 1].committedLength = log.length
        writer.logs = logs
      }
      let deltas = isLogged ? nil : takeDeltas()
      return PendingEpoch.KeyspaceCut(
        keyspace: self, largestTime: clock.withLock { $0.largest },
        sequences: store.monitor.withLock { shards.map { $0.nextSequence - 1 } }, logs: logs,
        deltas: deltas, previousLogs: previousLogs)
    }
  }

  /// The shards whose memtables the epoch flushes. Rotating the logs takes in every shard that is
  /// in one, and freezing a shard that is in one rotates the logs.
  private func shardsToFreeze(isLogged: Bool, rotates: inout Bool) -> [Shard] {
    func isFull(_ shard: Shard) -> Bool {
      let active = shard.view.active
      return active.fill > Self.flushFill
        || (!isLogged && active.counters.delta > Self.deltaEntriesMax)
    }
    if shards.contains(where: { $0.activeIsLogged && isFull($0) }) { rotates = true }
    let isRotating = rotates
    return shards.filter { isFull($0) || (isRotating && $0.activeIsLogged) }
  }

  /// Copies what changed since the last epoch; `nil` when nothing did.
  private func takeDeltas() -> DeltaBox? {
    let count = shards.reduce(0) { $0 + $1.view.active.counters.delta }
    guard count > 0 else { return nil }
    var buffer = EntryBuffer(layout: options.layout, expectedEntries: count)
    for shard in shards where shard.view.active.counters.delta > 0 {
      shard.view.active.takeDelta { buffer.append($0) }
      shard.activeIsLogged = true
    }
    return DeltaBox(buffer)
  }
}
