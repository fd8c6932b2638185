internal import SedimentIO
internal import Synchronization

extension HashedKeyspace {
  /// Appends what a batch inserted to the keyspace's log (`LogPolicy.everyBatch`).
  func logBatch(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>, values: UnsafeRawPointer?,
    hashes: UnsafePointer<KeyHash>, decisions: UnsafeMutablePointer<UInt8>, synchronized: Bool,
    movesWatermark: Bool, _ writer: inout KeyspaceWriter
  ) throws {
    let layout = options.layout
    let width = Int(layout.valueWidth)
    var buffer = EntryBuffer(layout: layout, expectedEntries: unsafe keys.count)
    for index in 0..<(unsafe keys.count) {
      let decision = unsafe InsertDecision(rawValue: decisions[index])
      guard decision == .new || decision == .lateNew else { continue }
      var entry = unsafe EntryReference(
        hash: hashes[index], time: times[index], kind: .insert)
      if let values = unsafe values { unsafe entry.value = values + index * width }
      if layout.isExact {
        let key = unsafe keys.key(at: index)
        unsafe entry.key = key.baseAddress
        entry.keyLength = UInt32(key.count)
      }
      buffer.append(entry)
    }
    guard !buffer.isEmpty || movesWatermark else { return }
    try append(buffer, synchronized: synchronized, &writer)
  }

  /// Appends entries to the log, making one where there is none, and notes that the active
  /// memtables are logged.
  func append(
    _ buffer: consuming EntryBuffer, synchronized: Bool, _ writer: inout KeyspaceWriter
  ) throws {
    let log = try openLog(&writer)
    try buffer.write(to: log, largestTime: clock.withLock { $0.largest } ?? EntryTime.none)
    if synchronized {
      try log.synchronize()
      log.acknowledge()
    }
    for shard in shards { shard.activeIsLogged = true }
  }

  /// The log that batches are appended to; a new one where there is none.
  ///
  /// A log of batches counts from its first record on, not from the next epoch: the manifest names
  /// it before anything is written to it.
  private func openLog(_ writer: inout KeyspaceWriter) throws -> RecordLogWriter {
    if let log = writer.log { return log }
    let (log, added) = try makeLog()
    try log.synchronize()
    try store.synchronizeDirectory()
    writer.log = log
    writer.logs.append(added)
    try store.manifest.append { state in
      var edit = StateEdit(
        epoch: state.epoch, nextFileNumber: store.peekNextFileNumber, metadata: state.metadata)
      let durable = state.keyspaces.first { $0.id == id }
      edit.keyspaces = [
        KeyspaceEdit(
          id: id, largestTime: durable?.largestTime, logs: (durable?.logs ?? []) + [added])
      ]
      return edit
    }
    store.finishFile(added.number.logName)
    return log
  }

  /// The log that epochs append to; a new one where there is none. It counts from the next epoch
  /// on, and only commits, one at a time, use it.
  func openEpochLog() throws -> RecordLogWriter {
    if let log = withWriter({ $0.log }) { return log }
    let (log, added) = try makeLog()
    store.finishFile(added.number.logName)
    withWriter { writer in
      writer.log = log
      writer.logs.append(added)
    }
    return log
  }

  private func makeLog() throws -> (RecordLogWriter, LogReference) {
    let number = store.allocateFileNumber()
    let log = try RecordLogWriter(
      directory: store.directory, name: number.logName, kind: .entries,
      fileID: .random(in: .min ... .max))
    return (
      log, LogReference(number: number, fileID: log.fileID, committedLength: log.length)
    )
  }
}
