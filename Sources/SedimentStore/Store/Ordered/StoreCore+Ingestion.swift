// How tables of sorted input come into a keyspace.
//
// They are newer than all that was written before: so what is in memory is flushed first, and reads
// that ask the levels from above meet nothing older on their way. Each goes as deep as it meets no
// other table; one that meets a table goes to level 0, where it is the newest. Each has a sequence
// number of its own, in the manifest and not in the file, and all are published at once.

internal import SedimentIO

extension StoreCore {
  /// Runs `body`, which writes tables of sorted input; closing the store waits for its end. The
  /// numbers of the files are not in the manifest: whoever opens the store next may give them out.
  func ingesting<Answer>(_ body: () throws -> Answer) throws -> Answer {
    let thread = SystemThread.current
    try monitor.withLock {
      if let failure { throw failure }
      if isStopping { throw Self.closed }
      ingesting.append(thread)
    }
    defer {
      monitor.withLock {
        if let index = ingesting.firstIndex(of: thread) { ingesting.remove(at: index) }
        monitor.broadcast()
      }
    }
    return try body()
  }

  /// Throws where the calling thread brings sorted input: it would wait for itself.
  func checkIsNotIngesting() throws(StoreError) {
    guard monitor.withLock({ ingesting.contains(SystemThread.current) }) else { return }
    throw StoreError(
      .invalidArgument, "a store cannot be closed from within `ingest`: return from it first")
  }

  /// Brings tables into a keyspace, which are complete and that nobody names.
  ///
  /// - Throws: and then none of them is in the keyspace.
  func install(_ tables: [OrderedTableMetadata], in keyspace: OrderedKeyspace) throws {
    let start = options.clock.monotonicNanos()
    try writes.withExclusive(hasPriority: true) {
      try checkWritable()
      try flushMemory(of: keyspace)
      try writes.number(tables.count) { first in
        let open = try tables.enumerated().map { index, table in
          var numbered = table
          numbered.isIngested = true
          numbered.smallestSequence = first + UInt64(index)
          numbered.largestSequence = numbered.smallestSequence
          return try self.open(numbered)
        }
        publish(open, in: keyspace)
      }
    }
    let bytes = tables.reduce(0) { $0 + $1.fileBytes }
    keyspace.written.note(level: 0, bytesRead: 0, bytesWritten: bytes)
    noteFlush(
      keyspace.name, entries: tables.reduce(0) { $0 + $1.entryCount }, bytes: bytes,
      nanoseconds: options.clock.monotonicNanos() &- start)
  }

  /// Flushes all that a keyspace has in memory. The caller is alone.
  private func flushMemory(of keyspace: OrderedKeyspace) throws {
    if !keyspace.view.active.isEmpty {
      try freeze(keyspace, lastSequence: writes.publishedSequence, waits: false)
    }
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      while !keyspace.view.frozen.isEmpty { try waitForProgress(since: start) }
    }
  }

  private func publish(_ tables: [OpenOrderedTable], in keyspace: OrderedKeyspace) {
    monitor.withLock {
      finishFiles(tables.map(\.reader.metadata.number))
      let picker = picker(of: keyspace)
      // What an epoch that is being committed does not have may not lie in the way of its merges.
      let staysAbove = orderedCut != nil && !keyspace.options.isLogged
      keyspace.update { view in
        OrderedView(
          active: view.active, frozen: view.frozen,
          levels: view.levels.changing(adding: tables) { levels in
            for table in tables.map(\.reader.metadata) {
              let level =
                staysAbove
                ? 0 : picker.level(for: KeyRange(table), in: levels, busy: keyspace.busy)
              levels.insert([table], at: level)
            }
          })
      }
      let last = tables.map(\.reader.metadata.largestSequence).max() ?? 0
      keyspace.flushedSequence = max(keyspace.flushedSequence, last)
      keyspace.needsRecording = true
      monitor.broadcast()
    }
  }

  /// Waits until the manifest has what a keyspace with a log has in its tables; not for the commit
  /// of an epoch, which may be the caller's to make.
  func waitUntilRecorded(_ keyspace: OrderedKeyspace) throws {
    guard keyspace.options.isLogged else { return }
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      while (keyspace.needsRecording && !hasPendingEpoch) || isRecording {
        try waitForProgress(since: start)
      }
      if let failure { throw failure }
    }
  }
}
