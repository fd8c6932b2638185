// Flushes and merges of ordered keyspaces, and what they leave in the manifest.
//
// What a flush or merge made becomes visible by publishing a new view. Of a keyspace without a log
// it becomes durable with the next epoch. Of one with a log it is *recorded*: an edit of the epoch
// that stands, whose tables and, where several keyspaces have the log, whose writes are durable
// before it; then files of the log that nothing needs are dropped.
//
// While an epoch is pending nothing is recorded: a checkpoint that takes the epoch's state would
// hold later writes of one kind of keyspace, and not of the other.

internal import SedimentIO

extension StoreCore {
  // MARK: - What to do

  /// The caller holds the monitor.
  func pickOrderedUrgentTask() -> BackgroundTask? {
    for keyspace in orderedKeyspaces where !keyspace.isFlushing {
      if let oldest = keyspace.view.frozen.last {
        keyspace.isFlushing = true
        return .flushOrdered(keyspace, oldest)
      }
    }
    guard orderedKeyspaces.contains(where: \.options.isLogged) else { return nil }
    if !isMakingLog, writes.log.isOpen, writes.log.hasRoom {
      isMakingLog = true
      return .makeLog
    }
    return mayRecord ? .record : nil
  }

  /// Whether anything is to be recorded, and may be. The caller holds the monitor.
  private var mayRecord: Bool {
    !hasPendingEpoch && recordingHolds == 0 && !isRecording
      && orderedKeyspaces.contains { $0.needsRecording && $0.options.isLogged }
  }

  /// The caller holds the monitor.
  func pickMerge(_ keyspace: OrderedKeyspace) -> BackgroundTask? {
    // A snapshot may have gone meanwhile.
    dropHidden(of: keyspace)
    guard let choice = pickChoice(keyspace, isBusy: isWrittenFast(keyspace)) else { return nil }
    keyspace.busy.formUnion(choice.inputs + choice.overlapped)
    return .mergeOrdered(keyspace, choice)
  }

  /// Whether a memtable was filled within the last seconds, and nobody waits until there is nothing
  /// to do. The caller holds the monitor.
  private func isWrittenFast(_ keyspace: OrderedKeyspace) -> Bool {
    guard idleWaiters == 0, let frozenAt = keyspace.frozenAt else { return false }
    return options.clock.monotonicNanos() &- frozenAt < Self.busyNanos
  }

  /// When merges may be due that were put off; `nil` when none were. The caller holds the monitor.
  var nanosUntilQuiet: UInt64? {
    orderedKeyspaces.contains { isWrittenFast($0) && pickChoice($0) != nil } ? Self.busyNanos : nil
  }

  /// What a table of level 0 may be, at the most: its filter is made in memory.
  private static let level0OutputBytesMax: UInt64 = 512 << 20

  private static let busyNanos: UInt64 = 5_000_000_000

  private static let hasManyProcessors = ProcessStatistics.processorCount >= 4

  /// Whether a thread may take parts of another's merge: while writes come fast they need the
  /// processors, where there are few; and stores that share their resources have one permit a
  /// merge. The caller holds the monitor.
  var mayShareMerges: Bool {
    !partedMerges.isEmpty && share.shared == nil
      && (Self.hasManyProcessors || !orderedKeyspaces.contains(where: isWrittenFast))
  }

  private func pickChoice(
    _ keyspace: OrderedKeyspace, isBusy: Bool = false
  ) -> OrderedCompactionChoice? {
    let picker = picker(of: keyspace)
    let levels = mergeableLevels(keyspace)
    if let choice = picker.pick(levels, busy: keyspace.busy, isBusy: isBusy) { return choice }
    guard levels.removals.count > StoreOptions.rangeRemovalsMax, let oldest = levels.removals.first,
      !snapshots.isAnyOpen(before: oldest.sequence)
    else { return nil }
    return picker.pickClearing(
      levels, hiding: keyspace.hiding[oldest.sequence] ?? [], busy: keyspace.busy)
  }

  /// Whether ordered keyspaces have anything under way or due. The caller holds the monitor.
  var isOrderedBusy: Bool {
    mayRecord || isRecording
      || orderedKeyspaces.contains { keyspace in
        !keyspace.view.frozen.isEmpty || !keyspace.busy.isEmpty
          || pickChoice(keyspace) != nil
      }
  }

  /// Decides about merges of a keyspace.
  func picker(of keyspace: OrderedKeyspace) -> OrderedCompactionPicker {
    var picker = OrderedCompactionPicker(baseBytes: options.orderedBaseBytes)
    picker.style = keyspace.options.compaction
    picker.tieredRunsMax = options.orderedRunsMax
    if keyspace.options.compression != .none {
      picker.uncompressedLevels = Int(keyspace.options.uncompressedLevels)
    }
    let memtableBytes = MemoryPlan.orderedMemtableBytes(
      given: plan.memtableBytes(parts: keyspaceCountLocked))
    picker.level0OutputBytesMax = min(
      max(4 * UInt64(memtableBytes), 4 * orderedTableBytes), Self.level0OutputBytesMax)
    return picker
  }

  /// What may be merged: while an epoch is being committed only what belongs to it, of a keyspace
  /// that becomes durable with it. The caller holds the monitor.
  func mergeableLevels(_ keyspace: OrderedKeyspace) -> OrderedLevels {
    let levels = keyspace.view.levels.metadata
    guard let orderedCut, !keyspace.options.isLogged else { return levels }
    return levels.upTo(orderedCut)
  }

  // MARK: - Flush

  func flush(_ frozen: FrozenOrderedMemtable, in keyspace: OrderedKeyspace) throws {
    defer {
      monitor.withLock {
        keyspace.isFlushing = false
        monitor.broadcast()
      }
    }
    let start = options.clock.monotonicNanos()
    var cursor = OrderedMergeCursor(capacity: 1)
    cursor.add(OrderedSource(OrderedMemtableCursor(frozen.memtable)))
    let removals = frozen.memtable.rangeRemovals
    let rules = OrderedRunWriter.Rules(
      snapshots: snapshots.sequences,
      removals: RangeRemovalMap(keyspace.view.levels.metadata.removals + removals),
      removalLimit: frozen.lastSequence)
    // Older versions lie in tables: nothing is at the bottom, and one table takes it all.
    let output = OrderedRunWriter(
      store: self, keyspace: keyspace, rules,
      OrderedRunWriter.Shape(
        tableBytes: nil, expectedEntries: frozen.memtable.counters.entries,
        expectedBytes: UInt64(frozen.memtable.usedBytes),
        isCompressed: keyspace.options.uncompressedLevels == 0))
    let tables = try output.write(cursor, givesWay: false)
    monitor.withLock {
      finishFiles(tables.map(\.reader.metadata.number))
      keyspace.update { view in
        OrderedView(
          active: view.active,
          frozen: view.frozen.filter { $0.memtable !== frozen.memtable },
          levels: view.levels.changing(adding: tables) {
            $0.insert(tables.map(\.reader.metadata), at: 0)
            $0.removals += removals
          })
      }
      keyspace.flushedSequence = max(keyspace.flushedSequence, frozen.lastSequence)
      keyspace.needsRecording = true
      begin(removals, in: keyspace)
    }
    let bytes = tables.reduce(0) { $0 + $1.reader.metadata.fileBytes }
    keyspace.written.note(level: 0, bytesRead: 0, bytesWritten: bytes)
    noteFlush(
      keyspace.name, entries: tables.reduce(0) { $0 + $1.reader.metadata.entryCount }, bytes: bytes,
      nanoseconds: options.clock.monotonicNanos() &- start)
  }

  /// Has all memtables of ordered keyspaces flushed, and waits for that and its record.
  func flushOrdered() throws {
    try writes.withExclusive(hasPriority: true) {
      let keyspaces = monitor.withLock { orderedKeyspaces }
      for keyspace in keyspaces where !keyspace.view.active.isEmpty {
        try freeze(keyspace, lastSequence: writes.publishedSequence, waits: false)
      }
    }
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      while mayRecord || isRecording
        || orderedKeyspaces.contains(where: { !$0.view.frozen.isEmpty })
      {
        try waitForProgress(since: start)
      }
      if let failure { throw failure }
    }
  }

  /// Opens a table for reads, with as much of its filter as the budget allows.
  func open(_ table: OrderedTableMetadata) throws -> OpenOrderedTable {
    try tableOpening.withLock {
      OpenOrderedTable(
        try OrderedTableReader(
          directory: directory, metadata: table, filterByteBudget: filters.available),
        of: filters)
    }
  }

  // MARK: - Merge

  /// Merges tables of a keyspace that are marked busy, and publishes the result.
  func merge(_ choice: OrderedCompactionChoice, in keyspace: OrderedKeyspace) throws {
    let numbers = Set(choice.inputs + choice.overlapped)
    defer {
      monitor.withLock {
        keyspace.busy.subtract(numbers)
        monitor.broadcast()
      }
    }
    let start = options.clock.monotonicNanos()
    let (levels, removalLimit) = monitor.withLock {
      (keyspace.view.levels, mergeableLimit(keyspace))
    }
    let inputs = levels.tables.joined().filter { numbers.contains($0.reader.metadata.number) }
    if choice.isMove {
      publish(inputs, at: choice.outputLevel, insteadOf: numbers, in: keyspace)
      return
    }
    let entries = inputs.reduce(0) { $0 + $1.reader.metadata.entryCount }
    let bytes = inputs.reduce(0) { $0 + $1.reader.metadata.fileBytes }
    let rules = OrderedRunWriter.Rules(
      snapshots: snapshots.sequences, isBottommost: choice.isBottommost, removals: levels.removals,
      removalLimit: removalLimit, filter: keyspace.compactionFilter)
    // Where a table counts as a run, one takes it all; compressed, as some of the inputs may be, so
    // that it is not larger than they are.
    let isRun = choice.outputLevel == 0
    let shape = OrderedRunWriter.Shape(
      tableBytes: isRun ? nil : orderedTableBytes, expectedEntries: Int(entries),
      expectedBytes: bytes,
      isCompressed: isRun
        || picker(of: keyspace).isCompressed(choice.outputLevel, in: levels.metadata))
    let tables = try writeInParts(inputs.map(\.reader.metadata), into: choice.outputLevel) {
      part, count in
      let output = OrderedRunWriter(
        store: self, keyspace: keyspace, rules, shape.divided(by: count))
      return try output.write(levels.makeCursor(over: numbers), of: part, givesWay: true)
    }
    // What a snapshot sees that is older than a removal was kept.
    let cleared = levels.metadata.removals.map(\.sequence).filter {
      $0 <= min(removalLimit, rules.snapshots.first ?? .max)
    }
    publish(
      tables, at: choice.outputLevel, insteadOf: numbers, in: keyspace, cleared: Set(cleared))
    let written = tables.reduce(0) { $0 + $1.reader.metadata.fileBytes }
    keyspace.written.note(level: choice.outputLevel, bytesRead: bytes, bytesWritten: written)
    noteMerge(
      .merged(
        keyspace: keyspace.name, inputs: inputs.count, entriesIn: entries,
        entriesOut: tables.reduce(0) { $0 + $1.reader.metadata.entryCount }, bytes: written,
        nanoseconds: options.clock.monotonicNanos() &- start))
  }

  /// - Parameter cleared: the removals of ranges of which the tables hold nothing that they hide;
  ///   `nil` where the tables are the same as before.
  private func publish(
    _ tables: [OpenOrderedTable], at level: Int, insteadOf numbers: Set<FileNumber>,
    in keyspace: OrderedKeyspace, cleared: Set<UInt64>? = nil
  ) {
    monitor.withLock {
      finishFiles(tables.map(\.reader.metadata.number))
      keyspace.update { view in
        OrderedView(
          active: view.active, frozen: view.frozen,
          levels: view.levels.changing(adding: tables) { levels in
            levels.remove(numbers)
            levels.insert(tables.map(\.reader.metadata), at: level)
          })
      }
      keyspace.needsRecording = true
      if let cleared {
        settle(keyspace, tables.map(\.reader.metadata), insteadOf: numbers, cleared)
      }
    }
  }

  /// Size at which a merge begins another table.
  var orderedTableBytes: UInt64 {
    min(plan.tableBytes, options.orderedTableBytes)
  }

  /// Merges the tables of a keyspace that hold keys of a range into the last level, and records
  /// that, on the caller's thread: a background thread may be at something else until the store is
  /// closed, and what is not recorded then is lost work.
  func compact(_ keyspace: OrderedKeyspace, from lower: [UInt8], to upper: [UInt8]?) throws {
    let choice = try monitor.withLock { () -> OrderedCompactionChoice? in
      while !keyspace.busy.isEmpty && failure == nil && !isStopping { monitor.wait() }
      if let failure { throw failure }
      guard !isStopping else { throw Self.closed }
      let levels = mergeableLevels(keyspace)
      let choice = OrderedCompactionPicker.pickManual(
        levels, from: lower, to: upper,
        rewrites: keyspace.compactionFilter != nil || keyspace.options.timeToLive != .forever
          || levels.mayShrink)
      if let choice { keyspace.busy.formUnion(choice.inputs + choice.overlapped) }
      return choice
    }
    do {
      if let choice { try merge(choice, in: keyspace) }
      // Where nothing is left to merge, a background thread may have merged it just now.
      try recordOrdered()
    } catch {
      // As on a background thread: only a full disk may pass.
      if !Self.isFullDisk(error) { poison(error) }
      throw error
    }
  }

  // MARK: - Recording

  /// A keyspace's tables on their way into the manifest.
  private struct Flushed {
    var keyspace: OrderedKeyspace
    var levels: OrderedLevels
    var flushedSequence: UInt64
  }

  /// Makes what keyspaces with a log have flushed and merged durable, and drops what is needed no
  /// more; does nothing while an epoch is pending.
  func recordOrdered() throws {
    recording.lock()
    defer { recording.unlock() }
    let (flushed, logLengths) = monitor.withLock { () -> ([Flushed], [FileNumber: UInt64]) in
      guard mayRecord else { return ([], [:]) }
      let logged = orderedKeyspaces.filter(\.options.isLogged)
      isRecording = true
      return (
        logged.filter(\.needsRecording).map { keyspace in
          keyspace.needsRecording = false
          return Flushed(
            keyspace: keyspace, levels: keyspace.view.levels.metadata,
            flushedSequence: keyspace.flushedSequence)
        }, logged.count > 1 ? writes.log.lengths() : [:]
      )
    }
    guard !flushed.isEmpty else { return }
    defer {
      monitor.withLock {
        isRecording = false
        monitor.broadcast()
      }
    }
    do {
      try record(flushed, logLengths: logLengths)
    } catch {
      monitor.withLock { for one in flushed { one.keyspace.needsRecording = true } }
      throw error
    }
  }

  /// - Parameter logLengths: how long the files of the log were when this was taken, where several
  ///   keyspaces share it.
  private func record(_ flushed: [Flushed], logLengths: [FileNumber: UInt64]) throws {
    // A batch across keyspaces must not be half there: in the tables of one, and for another in a
    // log that power loss takes back. The manifest says how long the log was, so that damage
    // before that is not taken for a torn tail.
    if !logLengths.isEmpty { try synchronizeWriteLog() }
    try synchronize(Set(flushed.flatMap { $0.levels.tables.joined() }.map(\.number.tableName)))
    try synchronizeDirectory()
    var dropped: [FileNumber] = []
    try manifest.append { state in
      var edit = StateEdit.within(state, nextFileNumber: peekNextFileNumber)
      var sequences: [UInt32: UInt64] = [:]
      for keyspace in state.orderedKeyspaces where keyspace.options.isLogged {
        sequences[keyspace.id] = keyspace.flushedSequence
      }
      for one in flushed {
        guard let durable = state.orderedKeyspaces.first(where: { $0.id == one.keyspace.id })
        else { continue }
        if let change = OrderedKeyspaceEdit(
          from: durable, to: one.levels, flushedSequence: one.flushedSequence)
        {
          edit.orderedKeyspaces.append(change)
          sequences[change.id] = change.flushedSequence
        }
      }
      dropped = writes.log.droppable(upTo: sequences.values.min() ?? 0)
      let logs = state.writeLogs.filter { !dropped.contains($0.number) }
        .map { $0.reaching(logLengths[$0.number]) }
      if logs != state.writeLogs { edit.writeLogs = logs }
      return edit
    }
    writes.log.drop(dropped)
    try manifest.shorten { allocateFileNumber() }
    do {
      try removeUnneededFiles(isCommitting: false)
    } catch {
      // It is durable; a file that stays is removed by the next opening.
      options.onEvent?(.retrying(message: "\(error)"))
    }
  }

  /// Makes all that was written to the log durable; a failure poisons.
  func synchronizeWriteLog() throws {
    do {
      try writes.log.synchronizeWritten()
    } catch {
      poison(error)
      throw error
    }
  }
}

extension OpenLevels {
  /// A cursor over some of the tables.
  fileprivate func makeCursor(over numbers: Set<FileNumber>) -> OrderedMergeCursor {
    let chosen = tables.map { level in
      level.filter { numbers.contains($0.reader.metadata.number) }.map(\.reader)
    }
    var cursor = OrderedMergeCursor(capacity: chosen[0].count + OrderedLevels.count)
    for table in chosen[0] { cursor.add(OrderedSource(OrderedLevelCursor([table], cache: nil))) }
    for level in chosen.dropFirst() where !level.isEmpty {
      cursor.add(OrderedSource(OrderedLevelCursor(level, cache: nil)))
    }
    return cursor
  }
}
