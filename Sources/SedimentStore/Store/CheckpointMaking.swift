// Making a checkpoint of an open store.
//
//   1. lock the checkpoint directory
//   2. under `commitLock`: commit an epoch (if asked), seal the logs, pin the files of the state
//   3. link them; only what is not there yet
//   4. publish the manifest
//
// Writers wait for the cut of the epoch only, other epochs for step 2: a pinned file is not
// unlinked, whatever merges and epochs do meanwhile.
//
// A table is immutable, so it is linked. So is a log of epochs once it is sealed: the next epoch
// begins another. A log of batches goes on growing, with batches of the next epoch: its committed
// part is copied.

internal import SedimentIO

extension StateStore {
  /// Makes a checkpoint in a directory that other checkpoints may be in.
  ///
  /// Cheap: files of the store are linked where both lie on one file system, and only those that no
  /// earlier checkpoint in the directory has. It stays valid whatever happens to the store.
  ///
  /// - Parameters:
  ///   - path: the directory; made when missing.
  ///   - committing: whether to commit an epoch first, with the last one's metadata; else the
  ///     checkpoint is as of the last durable epoch, but for ordered keyspaces with a log, which
  ///     are as they are now.
  /// - Throws: `locked` when another checkpoint is being made, restored or removed there;
  ///   `invalidArgument` when an epoch was begun and has not ended and `committing`.
  @discardableResult
  public func checkpoint(
    to path: String, committing: Bool = true
  ) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      let start = core.options.clock.monotonicNanos()
      let target = try CheckpointDirectory(
        path: path, creating: true, fileSystem: core.fileSystem)
      let lock = try target.lock()
      defer { lock.unlock() }
      try target.removeTemporaries()
      let info = try capture(committing: committing) { state in
        let added = try core.add(state, to: target)
        let newest = try target.list().checkpoints.first?.manifest.createdMillis ?? .min
        let manifest = CheckpointManifest(
          createdMillis: max(core.options.clock.nowMillis(), newest == .max ? .max : newest + 1),
          state: state)
        var info = CheckpointInfo(try target.publish(manifest), manifest)
        info.newFiles = added.newFiles
        info.newBytes = added.newBytes
        return info
      }
      core.options.onEvent?(
        .checkpointed(
          id: info.id, newFiles: info.newFiles, newBytes: info.newBytes,
          nanoseconds: core.options.clock.monotonicNanos() &- start))
      return info
    }
  }

  /// Calls `body` with the durable state, whose files are kept until it returns.
  func capture<Answer>(
    committing: Bool, _ body: (StoreState) throws -> Answer
  ) throws -> Answer {
    let state = try pinDurableState(committing: committing)
    defer { core.unpin(state.fileNames) }
    return try body(state)
  }

  private func pinDurableState(committing: Bool) throws -> StoreState {
    commitLock.lock()
    defer { commitLock.unlock() }
    try core.checkWritable()
    // What ordered keyspaces flush from here on is recorded when the state has been taken.
    try core.holdRecording()
    defer { core.releaseRecording() }
    if committing {
      _ = try core.cutEpoch(metadata: core.manifest.state.metadata).commitLocked()
    }
    if !committing { try core.recordLogLengths() }
    for keyspace in core.monitor.withLock({ core.keyspaces }) { keyspace.sealLog() }
    let state = core.manifest.state
    core.pin(state.fileNames)
    return state
  }
}

extension HashedKeyspace {
  /// Lets the next epoch begin another log, so that the present one changes no more. The caller
  /// holds `commitLock`.
  ///
  /// An epoch that was cut and is not committed may be pending. It has copied its entries already
  /// and opens the log when it commits, which is then the other one; the sealed log stays among its
  /// logs.
  fileprivate func sealLog() {
    withWriter { writer in
      guard options.log == .epochs, let log = writer.log else { return }
      log.close()
      writer.log = nil
    }
  }
}

extension StoreCore {
  /// Brings the files of a state into a checkpoint directory.
  ///
  /// - Parameter copiesLogs: also those that could be linked, so that all files are as long as
  ///   counts.
  func add(
    _ state: StoreState, to target: CheckpointDirectory, copiesLogs: Bool = false
  ) throws -> FileTransfer.Outcome {
    var added = FileTransfer.Outcome()
    for table in state.tableReferences {
      added += try FileTransfer.link(
        FileNaming.state.name(of: table), in: directory, to: FileNaming.objects.name(of: table),
        in: target.objects, bytes: table.fileBytes)
    }
    for keyspace in state.keyspaces {
      for log in keyspace.logs {
        let isSealed = keyspace.options.log == .epochs && !copiesLogs
        let bring = isSealed ? FileTransfer.link : FileTransfer.copyPrefix
        added += try bring(
          FileNaming.state.name(of: log), directory, FileNaming.objects.name(of: log),
          target.objects, log.committedLength)
      }
    }
    // Logs of writes go on growing.
    for log in state.writeLogs {
      added += try FileTransfer.copyPrefix(
        FileNaming.state.name(of: log), in: directory, to: FileNaming.objects.name(of: log),
        in: target.objects, bytes: log.committedLength)
    }
    return added
  }
}

extension StoreState {
  /// The names of all files of the state in a state directory.
  var fileNames: [String] {
    tableReferences.map { FileNaming.state.name(of: $0) }
      + logs.map { FileNaming.state.name(of: $0) }
  }
}
