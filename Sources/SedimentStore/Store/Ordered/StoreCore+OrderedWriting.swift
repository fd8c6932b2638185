// What writes of ordered keyspaces need of the store: room in memtables, and the log.

internal import SedimentIO

extension StoreCore {
  /// Tables of level 0 at which writers wait for merges.
  static let level0TablesMax = 24
  /// Files of the log that are not written to any more, from which on the memtables that hold them
  /// back are flushed.
  static let closedLogsMax = 4

  /// A memtable of an ordered keyspace with room for a batch.
  func makeOrderedMemtable(
    entries: Int = 0, bytes: Int = 0, keyspaces: Int? = nil
  ) throws(AllocationError) -> OrderedMemtable {
    let given = memtableBytes(parts: keyspaces ?? keyspaceCount)
    let planned = min(
      MemoryPlan.orderedMemtableBytes(given: given), options.orderedMemtableBytesMax)
    return try OrderedMemtable(
      byteCount: max(planned, OrderedMemtable.byteCount(entries: entries, bytes: bytes)),
      pool: orderedMemtableMemory)
  }

  /// Replaces a keyspace's active memtable by an empty one with room for a batch, and hands the old
  /// one to be flushed. The caller leads the writes.
  ///
  /// - Parameter waits: whether to wait while too many are frozen already, or too many tables wait
  ///   to be merged.
  func freeze(
    _ keyspace: OrderedKeyspace, lastSequence: UInt64, entries: Int = 0, bytes: Int = 0,
    waits: Bool = true
  ) throws {
    if waits { try waitForRoom(keyspace) }
    let fresh = try makeOrderedMemtable(entries: entries, bytes: bytes)
    monitor.withLock {
      keyspace.replaceMemtable(by: fresh, lastSequence: lastSequence)
      if waits { keyspace.frozenAt = options.clock.monotonicNanos() }
      monitor.broadcast()
    }
    if keyspace.options.isLogged, waits { try turnLogOver(lastSequence: lastSequence) }
  }

  private func waitForRoom(_ keyspace: OrderedKeyspace) throws {
    try stall(writersOf: keyspace.name) {
      let view = keyspace.view
      return view.frozen.count >= MemoryPlan.frozenMax
        || (view.levels.tables[0].count >= Self.level0TablesMax && !keyspace.busy.isEmpty)
    }
  }

  // MARK: - The log

  /// Lets the log go on in its next file, and sees to it that old files can go: a keyspace that
  /// nothing is written to does not hold them, and one to which little is written is flushed. The
  /// caller leads the writes.
  private func turnLogOver(lastSequence: UInt64) throws {
    writes.log.turnOver(lastSequence: lastSequence)
    let logged = monitor.withLock { () -> [OrderedKeyspace] in
      let logged = orderedKeyspaces.filter(\.options.isLogged)
      for keyspace in logged where keyspace.view.frozen.isEmpty && keyspace.view.active.isEmpty {
        keyspace.flushedSequence = lastSequence
        keyspace.needsRecording = true
      }
      monitor.broadcast()
      return logged
    }
    guard writes.log.closedCount >= Self.closedLogsMax, let oldest = writes.log.oldestClosed
    else { return }
    for keyspace in logged where !keyspace.view.active.isEmpty {
      let isBehind = monitor.withLock {
        keyspace.flushedSequence < oldest && keyspace.view.frozen.isEmpty
      }
      if isBehind { try freeze(keyspace, lastSequence: lastSequence, waits: false) }
    }
  }

  /// Makes the next file of the log, on a background thread.
  func makeNextWriteLog() throws {
    defer {
      monitor.withLock {
        isMakingLog = false
        monitor.broadcast()
      }
    }
    try makeWriteLog()
  }

  /// Makes a file of the log.
  func makeWriteLog() throws {
    let number = allocateFileNumber()
    beginFile(number.logName)
    do {
      let (writer, reference) = try makeLogFile(number)
      try manifest.append { state in
        var edit = StateEdit.within(state, nextFileNumber: peekNextFileNumber)
        edit.writeLogs = state.writeLogs + [reference]
        return edit
      }
      finishFile(number.logName)
      writes.log.provide(writer, reference)
    } catch {
      abandonFile(number.logName)
      throw error
    }
  }

  /// A file with nothing but its header in it, durable as its name is; none after an error.
  private func makeLogFile(
    _ number: FileNumber
  ) throws -> (writer: RecordLogWriter, reference: LogReference) {
    let writer = try RecordLogWriter(
      directory: directory, name: number.logName, kind: .writes,
      fileID: .random(in: .min ... .max))
    do {
      try writer.synchronize()
      try synchronizeDirectory()
    } catch {
      writer.close()
      FileTransfer.discard(number.logName, in: directory)
      throw error
    }
    return (
      writer,
      LogReference(number: number, fileID: writer.fileID, committedLength: writer.length)
    )
  }
}

extension OrderedMemtable {
  /// Bytes of memory that surely take so many entries with so many bytes of keys and values.
  static func byteCount(entries: Int, bytes: Int) -> Int {
    // Memory is taken in words.
    (OrderedMemtableCore.preambleBytes
      + entries * OrderedMemtableCore.entryBytesMax(key: 7, value: 0) + bytes + 7) & ~7
  }
}
