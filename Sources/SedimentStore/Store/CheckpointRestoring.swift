// Making a state directory of a checkpoint or savepoint: only links, whatever the size.
//
//   1. read and check the manifest; of a savepoint, hold every file against its SHA-256
//   2. link tables and logs under the names the state gives them, synchronise the directory
//   3. write and publish a manifest
//
// Until step 3 the directory holds files of a store and no CURRENT, which `StateStore.open`
// refuses: a restore that power loss cut short is never mistaken for a store.

public import SedimentIO

/// Whose state a restored one is.
public enum RestoredIdentity: Sendable, Equatable {
  /// The same job's, as it was then.
  case keep
  /// Another's that begins with the same content.
  case new
}

extension StateStore {
  /// Makes a state directory of a checkpoint.
  ///
  /// Links files where both lie on one file system, and never rewrites a table. The checkpoint does
  /// not change, whatever becomes of the new state. A savepoint may have been carried around, so it
  /// is read whole first and held against its sums; the tables of other checkpoints are checked as
  /// they are read.
  ///
  /// - Parameters:
  ///   - checkpoint: a directory of checkpoints (the newest is taken), a checkpoint in one, or a
  ///     savepoint.
  ///   - path: a directory that is empty or missing.
  /// - Throws: `alreadyExists` when it is not empty, `notFound` when there is no such checkpoint,
  ///   `corrupted` when the checkpoint is not whole, `locked` when another restore fills the
  ///   directory or a checkpoint is being made or removed beside this one. After an error the
  ///   directory is empty again, so that the same call can be tried once more.
  @discardableResult
  public static func restore(
    checkpoint: CheckpointReference, to path: String, identity: RestoredIdentity = .keep,
    fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      let source = try CheckpointDirectory(
        path: checkpoint.directory, creating: false, fileSystem: fileSystem)
      let sourceLock = try source.lockForReading()
      defer { sourceLock?.unlock() }
      let found = try source.find(checkpoint.id)
      try source.checkSums(of: found)
      let target = try fileSystem.openNamed(path, creating: true)
      // Before the lock, so that nothing is left where nothing was to be done; and under it, for
      // another restore may have been faster.
      try checkIsEmpty(target)
      let lock = try target.lock(lockName, advice: "another restore fills it")
      defer { lock.unlock() }
      try checkIsEmpty(target)
      var state = found.manifest.state
      if identity == .new { state.identity = .random() }
      try CheckpointRestoring(source: source, target: target).run(state)
      return CheckpointInfo(found.id, found.manifest)
    }
  }

  /// Throws `alreadyExists` when there is anything in a directory that is to be filled.
  static func checkIsEmpty(_ directory: any Directory) throws {
    guard let entry = try directory.entries().first(where: { $0.name != lockName }) else { return }
    throw StoreError(
      .alreadyExists,
      "\(directory.path) is not empty (it holds \(entry.name)): give a new directory")
  }
}

extension CheckpointDirectory {
  /// Holds every file of a savepoint against `SHA256SUMS`; nothing for other checkpoints.
  fileprivate func checkSums(of found: (id: CheckpointID, manifest: CheckpointManifest)) throws {
    guard try isSavepoint else {
      if try directory.metadata(of: Self.descriptionName) == nil { return }
      throw Corruption(
        file: SavepointSums.name, offset: 0, what: "file",
        expected: "there beside \(Self.descriptionName)", found: "missing")
    }
    let state = found.manifest.state
    let objects =
      state.tableReferences.map { FileNaming.objects.name(of: $0) }
      + state.logs.map { FileNaming.objects.name(of: $0) }
    try SavepointSums(self).check(
      containing: [found.id.fileName] + objects.sorted().map { Self.objectsName + "/" + $0 })
  }
}

/// One restoring.
private struct CheckpointRestoring {
  let source: CheckpointDirectory
  let target: any Directory

  /// Fills the target, which is locked and was empty under the lock.
  func run(_ state: StoreState) throws {
    var state = state
    let number = FileNumber(state.nextFileNumber)
    state.nextFileNumber += 1
    do {
      try linkFiles(of: state)
      try target.synchronize()
      try ManifestWriter(directory: target, number: number, state: state).abandon()
    } catch {
      // CURRENT first: without it what cannot be removed is refused by `StateStore.open`.
      remove([ManifestFiles.current, ManifestFiles.currentTemporary, ManifestFiles.name(number)])
      remove(state.fileNames)
      throw error
    }
  }

  private func linkFiles(of state: StoreState) throws {
    for table in state.tableReferences {
      _ = try FileTransfer.link(
        FileNaming.objects.name(of: table), in: source.objects,
        to: FileNaming.state.name(of: table), in: target, bytes: table.fileBytes)
    }
    for keyspace in state.keyspaces {
      for log in keyspace.logs { try bring(log, readsToTheEnd: keyspace.options.log != .epochs) }
    }
    for log in state.writeLogs { try bring(log, readsToTheEnd: true) }
  }

  /// Brings a log, without what may stand behind its committed part where opening would read that:
  /// it would be batches of after the checkpoint.
  private func bring(_ log: LogReference, readsToTheEnd: Bool) throws {
    let name = FileNaming.objects.name(of: log)
    let size = try source.objects.metadata(of: name)?.size
    let isCopied = readsToTheEnd && size != log.committedLength
    let bring = isCopied ? FileTransfer.copyPrefix : FileTransfer.link
    _ = try bring(
      name, source.objects, FileNaming.state.name(of: log), target, log.committedLength)
  }

  /// After a failure the directory is as empty as it was, as far as that is possible: the failure
  /// itself is what is reported, not that of a removal.
  private func remove(_ names: [String]) {
    for name in names { FileTransfer.discard(name, in: target) }
  }
}
