// The part of an epoch that ordered keyspaces have.
//
// Those with a log are durable by it: the epoch says how much of the log belongs to it, and what
// they flush meanwhile is recorded after it. Those without are as hashed ones are: the cut freezes
// their memtables, and their tables become durable with the epoch.

internal import SedimentIO

extension PendingEpoch.OrderedCut {
  /// Whether all that belongs to the epoch, of keyspaces without a log, is in tables.
  var isFlushed: Bool {
    !unlogged.contains { $0.view.frozen.contains { $0.lastSequence <= sequence } }
  }
}

extension StoreCore {
  /// Takes what belongs to an epoch, and notes where it ends; `nil` where there are no ordered
  /// keyspaces.
  func cutOrdered() throws -> PendingEpoch.OrderedCut? {
    try writes.withExclusive(hasPriority: true) {
      let keyspaces = monitor.withLock { orderedKeyspaces }
      guard !keyspaces.isEmpty else { return nil }
      let unlogged = keyspaces.filter { !$0.options.isLogged }
      let sequence = writes.publishedSequence
      for keyspace in unlogged where !keyspace.view.active.isEmpty {
        try freeze(keyspace, lastSequence: sequence, waits: false)
      }
      // Before anything is written behind it, which must not be merged with what is before.
      monitor.withLock { orderedCut = sequence }
      return PendingEpoch.OrderedCut(
        sequence: sequence, logLengths: writes.log.lengths(), unlogged: unlogged)
    }
  }

  /// Waits until no keyspace without a log has as many frozen memtables as there may be: a cut adds
  /// one to each.
  func waitForOrderedRoom() throws {
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      while orderedKeyspaces.contains(where: {
        !$0.options.isLogged && $0.view.frozen.count >= MemoryPlan.frozenMax
      }) {
        try waitForProgress(since: start)
      }
    }
  }

  /// The tables that belong to an epoch, of the keyspaces without a log. The caller holds the
  /// monitor.
  func takeLevels(of cut: PendingEpoch.OrderedCut) -> [OrderedLevels] {
    cut.unlogged.map { $0.view.levels.metadata.upTo(cut.sequence) }
  }

  /// Adds what an epoch changes in ordered keyspaces.
  func add(
    _ cut: PendingEpoch.OrderedCut, levels: [OrderedLevels], to edit: inout StateEdit,
    from state: StoreState
  ) {
    for (keyspace, levels) in zip(cut.unlogged, levels) {
      guard let durable = state.orderedKeyspaces.first(where: { $0.id == keyspace.id }) else {
        continue
      }
      if let change = OrderedKeyspaceEdit(
        from: durable, to: levels, flushedSequence: cut.sequence)
      {
        edit.orderedKeyspaces.append(change)
      }
    }
    let logs = state.writeLogs.map { $0.reaching(cut.logLengths[$0.number]) }
    if logs != state.writeLogs { edit.writeLogs = logs }
  }
}

extension StoreCore {
  /// Lets nothing be recorded until `releaseRecording`. The caller holds `commitLock`.
  func holdRecording() throws {
    monitor.withLock { recordingHolds += 1 }
    // Who is recording has taken what it records before, and ends.
    recording.lock()
    recording.unlock()
  }

  func releaseRecording() {
    monitor.withLock {
      recordingHolds -= 1
      monitor.broadcast()
    }
  }

  /// Makes the log durable, and the manifest say how long it is: for a checkpoint without an epoch,
  /// in which the keyspaces that have the log are as they are now.
  func recordLogLengths() throws {
    guard monitor.withLock({ orderedKeyspaces.contains(where: \.options.isLogged) }) else { return }
    let lengths = writes.withExclusive(hasPriority: true) { writes.log.lengths() }
    try synchronizeWriteLog()
    do {
      try appendLogLengths(lengths)
    } catch {
      poison(error)
      throw error
    }
  }

  private func appendLogLengths(_ lengths: [FileNumber: UInt64]) throws {
    try manifest.append { state in
      var edit = StateEdit.within(state, nextFileNumber: peekNextFileNumber)
      edit.writeLogs = state.writeLogs.map { $0.reaching(lengths[$0.number]) }
      return edit
    }
  }
}

extension LogReference {
  /// The same, durable up to a length at least, where that is known.
  func reaching(_ length: UInt64?) -> LogReference {
    var log = self
    log.committedLength = max(committedLength, length ?? 0)
    return log
  }
}

extension OrderedLevels {
  /// Without the tables of later writes, which are all of level 0, and later removals.
  func upTo(_ sequence: UInt64) -> OrderedLevels {
    var levels = self
    levels.removals.removeAll { $0.sequence > sequence }
    levels.tables[0].removeAll { $0.largestSequence > sequence }
    return levels
  }
}
