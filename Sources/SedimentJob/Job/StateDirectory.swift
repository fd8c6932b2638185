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
    case .resume: break
    case .fresh:
      try refuseUsedOutputs()
      try putAside()
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

  // MARK: - Starting over

  /// A new job does not go on with what another one wrote.
  private func refuseUsedOutputs() throws {
    for role in OutputRole.allCases {
      guard let target = options.targets[role], let path = try used(target) else { continue }
      throw JobError(
        .failed,
        "\(path) holds the output of another job: a new job needs another \(role.option), so that "
          + "nothing is there twice")
    }
  }

  /// The path of an output that holds something.
  private func used(_ target: OutputTarget) throws -> String? {
    switch target {
    case .standardOutput: return nil
    case .directory(let path):
      guard let directory = try existing(path) else { return nil }
      let isUsed = try directory.entries().contains { entry in
        entry.name == OutputOwner.fileName || PartName(final: entry.name) != nil
      }
      return isUsed ? path : nil
    case .file(let path):
      let (parent, name) = OutputTarget.split(path)
      let size = try existing(parent)?.metadata(of: name)?.size ?? 0
      return size > 0 ? path : nil
    }
  }

  private func existing(_ path: String) throws -> (any Directory)? {
    do {
      return try environment.fileSystem.openDirectory(at: path, creating: false)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  /// Makes the state from a checkpoint. What was there is put aside only when the checkpoint could
  /// be restored whole, beside it.
  private func restore(_ word: String) throws {
    let path = Self.trimmed(options.statePath)
    let temporary = path + ".restoring"
    let reference = try reference(word)
    try removeRestoring(temporary)
    let restored = try StateStore.restore(
      checkpoint: reference, to: temporary, fileSystem: environment.fileSystem)
    do {
      try refuseNewerOutputs(JobMetadata(decoding: restored.metadata))
      try putAside()
    } catch {
      try removeRestoring(temporary)
      throw error
    }
    let (parentPath, name) = OutputTarget.split(path)
    let parent = try environment.fileSystem.openDirectory(at: parentPath, creating: false)
    try parent.rename(OutputTarget.split(temporary).name, to: name, replacing: false)
    try parent.synchronize()
    environment.report(
      JobMessage(.information, "going on from checkpoint \(restored.id), epoch \(restored.epoch)"))
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

  /// An output that has grown since the checkpoint would get the same records again.
  private func refuseNewerOutputs(_ metadata: JobMetadata) throws {
    for role in OutputRole.allCases {
      guard let target = options.targets[role],
        try isNewer(target, than: metadata.commitments[role]?.promise)
      else { continue }
      throw JobError(
        .failed,
        "the checkpoint is older than what \(role.option) holds already: give another "
          + "\(role.option), so that nothing is there twice")
    }
  }

  /// Whether an output holds more than was promised as of a checkpoint.
  private func isNewer(
    _ target: OutputTarget, than promise: SinkCommitment.Promise?
  ) throws -> Bool {
    switch target {
    case .standardOutput: return false
    case .directory(let path):
      var next: UInt64 = 1
      if case .parts(let parts)? = promise { next = parts.nextSequence }
      return try existing(path)?.entries().contains { entry in
        PartName(final: entry.name).map { $0.sequence >= next } ?? false
      } ?? false
    case .file(let path):
      var committed: UInt64 = 0
      if case .file(_, _, let bytes, _)? = promise { committed = bytes }
      let (parent, name) = OutputTarget.split(path)
      return (try existing(parent)?.metadata(of: name)?.size ?? 0) > committed
    }
  }

  /// Renames the state to `DIR.old-N`, with its lock held so that no running job loses it.
  private func putAside() throws {
    guard let directory = try existing(options.statePath) else { return }
    guard try !directory.entries().isEmpty else { return }
    let lock = try lock(directory)
    defer { lock.unlock() }
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
