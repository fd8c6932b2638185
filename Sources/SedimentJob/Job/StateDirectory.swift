// What is done with a state's directory before it is opened, and how large it is.

internal import SedimentIO
internal import SedimentStore

/// The directory of a job's state.
struct StateDirectory {
  private let options: JobOptions
  private let environment: JobEnvironment

  init(_ options: JobOptions, _ environment: JobEnvironment) {
    self.options = options
    self.environment = environment
  }

  /// Puts existing state aside where that is asked for.
  func prepare() throws {
    switch options.start {
    case .resume: try refuseInterruptedRestoring()
    case .fresh:
      try putAside { history in
        try history.refuseUsed()
        try history.releaseUnused()
      }
    case .checkpoint(let word): try restore(word)
    }
  }

  /// Bytes of the state's files, checkpoints not counted.
  func bytes() throws -> UInt64 {
    let directory = try environment.fileSystem.openDirectory(
      at: options.statePath, creating: false)
    return try directory.entries().reduce(0) { sum, entry in
      guard entry.kind == .file else { return sum }
      return sum + (try directory.metadata(of: entry.name)?.size ?? 0)
    }
  }

  /// Free bytes where it lies.
  func availableBytes() throws -> UInt64 {
    try environment.fileSystem.openDirectory(at: options.statePath, creating: false)
      .availableBytes()
  }

  /// Throws when another process has the state open. A look, and no promise.
  func requireUnused() throws {
    guard let directory = try existing(options.statePath),
      try directory.metadata(of: StateStore.lockName) != nil
    else { return }
    try lock(directory).unlock()
  }

  /// A directory with anything in it is a state, or it is not ours.
  func refuseForeign() throws {
    guard let directory = try existing(options.statePath) else { return }
    let names = try directory.entries().map(\.name)
    let isOurs = names.allSatisfy { name in
      StateNames.isOurs(name) || StoreFileName(name) != nil
        || name == ManifestFiles.currentTemporary
    }
    guard isOurs || names.contains("CURRENT") else {
      throw JobError(
        .failed, "\(options.statePath) is not empty and holds no state: give another --state")
    }
  }

  // MARK: - Starting over

  private func existing(_ path: String) throws -> (any Directory)? {
    try environment.fileSystem.existingDirectory(at: path)
  }

  /// Makes the state from a checkpoint. What was there is put aside only when the checkpoint could
  /// be restored whole, beside it.
  private func restore(_ word: String) throws {
    try refuseForeign()
    let path = Self.trimmed(options.statePath)
    let temporary = Self.restoringPath(path)
    let reference = try reference(word)
    try removeRestoring(temporary)
    let restored = try StateStore.restore(
      checkpoint: reference, to: temporary, fileSystem: environment.fileSystem)
    do {
      let metadata = try JobMetadata(decoding: restored.metadata)
      try putAside { history in try history.refuseNewer(than: metadata) }
    } catch {
      try removeRestoring(temporary)
      throw error
    }
    let (parentPath, name) = OutputTarget.split(path)
    let parent = try environment.fileSystem.openDirectory(at: parentPath, creating: false)
    // What is still there was empty, and not worth to be kept.
    if try parent.metadata(of: name) != nil { try parent.removeDirectory(name) }
    try parent.rename(OutputTarget.split(temporary).name, to: name, replacing: false)
    try parent.synchronize()
    environment.report(
      JobMessage(.information, "going on from checkpoint \(restored.id), epoch \(restored.epoch)"))
  }

  private static func restoringPath(_ path: String) -> String { path + ".restoring" }

  /// A crash between putting the state aside and giving its place to the restored one leaves none;
  /// beginning anew then would be silent loss.
  private func refuseInterruptedRestoring() throws {
    let path = Self.trimmed(options.statePath)
    let restoring = Self.restoringPath(path)
    guard try existing(path).map({ try $0.entries().isEmpty }) ?? true,
      try existing(restoring) != nil
    else { return }
    throw JobError(
      .failed,
      "there is no state in \(path): a start with --from was interrupted and left \(restoring); "
        + "start with --from once more, or remove \(restoring) to begin anew")
  }

  /// A word without a slash that the state's own checkpoints have is an id, all else a path.
  private func reference(_ word: String) throws -> CheckpointReference {
    let own = PathName.join(Self.trimmed(options.statePath), StateNames.checkpoints)
    if !word.contains("/"), try existing(own) != nil {
      let ids = try Checkpoints(at: own, fileSystem: environment.fileSystem).list().map(\.id)
      if ids.contains(word) { return CheckpointReference(directory: own, id: word) }
    }
    let reference = CheckpointReference(path: word)
    guard try existing(reference.directory) != nil else {
      throw JobError(
        .failed,
        "--from \(word) is neither a checkpoint in \(own) nor the path of one: "
          + "`sediment checkpoint list \(options.statePath)` shows those there are")
    }
    return reference
  }

  /// Removes what an interrupted restoring left.
  private func removeRestoring(_ path: String) throws {
    guard let directory = try existing(path) else { return }
    for entry in try directory.entries() { try directory.remove(entry.name) }
    let (parentPath, name) = OutputTarget.split(path)
    try environment.fileSystem.openDirectory(at: parentPath, creating: false).removeDirectory(name)
  }

  /// Renames the state to `DIR.old-N`, with its lock held so that no running job loses it.
  ///
  /// - Parameter prepare: looks at the outputs before, and refuses them or makes them free.
  private func putAside(_ prepare: (OutputHistory) throws -> Void) throws {
    try refuseForeign()
    guard let directory = try existing(options.statePath), try !directory.entries().isEmpty else {
      return try prepare(OutputHistory(options, environment, hasState: false))
    }
    let lock = try lock(directory)
    defer { lock.unlock() }
    try prepare(OutputHistory(options, environment, hasState: true))
    let path = Self.trimmed(options.statePath)
    let (parentPath, name) = OutputTarget.split(path)
    let parent = try environment.fileSystem.openDirectory(at: parentPath, creating: false)
    for number in 1...Self.oldStatesMax {
      let old = "\(name).old-\(number)"
      guard try parent.metadata(of: old) == nil else { continue }
      try parent.rename(name, to: old, replacing: false)
      try parent.synchronize()
      environment.report(
        JobMessage(
          .information, "the old state is \(path.dropLast(name.utf8.count))\(old) now"))
      return
    }
    throw JobError(.failed, "\(options.statePath) has too many old states beside it: remove some")
  }

  private static let oldStatesMax = 10_000

  private func lock(_ directory: any Directory) throws -> any DirectoryLock {
    do {
      return try directory.lock(StateStore.lockName)
    } catch {
      guard case .locked(let process) = error.code else { throw error }
      let holder = process.map { "process \($0)" } ?? "another process"
      throw JobError(
        .failed, "\(options.statePath) is in use by \(holder): stop it, or wait for it")
    }
  }

  /// A path without the slashes at its end.
  static func trimmed(_ path: String) -> String {
    var path = path
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }
}
