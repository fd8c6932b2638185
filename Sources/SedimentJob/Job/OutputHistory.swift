// What outputs hold already, when a state begins anew or goes back to a checkpoint.
//
// Records must not be there twice, and a reader that takes parts away must never meet a name with
// other content. What lies in an output says the first only while nobody takes parts away; so the
// state that is put aside is asked, too.

internal import SedimentIO
internal import SedimentStore

/// The outputs of a job against what earlier ones wrote there.
struct OutputHistory {
  /// The state that is put aside, as of its last epoch.
  struct PastJob {
    var id: String
    var metadata: JobMetadata
  }

  private let options: JobOptions
  private let environment: JobEnvironment
  private let past: PastJob?

  /// - Parameter hasState: whether there is a state to be put aside.
  init(_ options: JobOptions, _ environment: JobEnvironment, hasState: Bool) {
    self.options = options
    self.environment = environment
    past = hasState ? Self.pastJob(options, environment) : nil
  }

  /// What can be read of the old state. One that is damaged is no reason not to put it aside.
  private static func pastJob(_ options: JobOptions, _ environment: JobEnvironment) -> PastJob? {
    do {
      let store = try ReadOnlyStore.open(
        at: options.statePath, fileSystem: environment.fileSystem)
      guard !store.metadata.isEmpty else { return nil }
      return PastJob(
        id: "\(store.identity)", metadata: try JobMetadata(decoding: store.metadata))
    } catch {
      environment.report(JobMessage(.detail, "the old state cannot be read: \(error)"))
      return nil
    }
  }

  // MARK: - Beginning anew

  /// A new job does not go on with what another one wrote.
  func refuseUsed() throws {
    for role in OutputRole.allCases {
      guard let target = options.targets[role], let path = try used(target) else { continue }
      throw JobError(
        .failed,
        "\(path) holds the output of another job: a new job needs another \(role.option), so that "
          + "nothing is there twice")
    }
  }

  /// Makes outputs that the old state owned and never wrote to anyone's. The caller has its lock.
  func releaseUnused() throws {
    for case .directory(let path) in options.targets.values {
      guard let directory = try environment.fileSystem.existingDirectory(at: path),
        try OutputOwner.read(in: directory) != nil
      else { continue }
      try directory.remove(OutputOwner.fileName)
      try directory.synchronize()
    }
  }

  /// The path of an output that holds something, or did.
  private func used(_ target: OutputTarget) throws -> String? {
    switch target {
    // What is in a topic is the brokers' to say: see `EpochChoice`.
    case .standardOutput, .topic: return nil
    case .directory(let path):
      guard let directory = try environment.fileSystem.existingDirectory(at: path) else {
        return nil
      }
      let hasParts = try directory.entries().contains { entry in
        PartName(final: entry.name) != nil || PartName(temporary: entry.name) != nil
      }
      guard !hasParts, let owner = try OutputOwner.read(in: directory) else {
        return hasParts ? path : nil
      }
      let isUnused = past.map { $0.id == owner.jobID && $0.metadata.totals.events == 0 } ?? false
      return isUnused ? nil : path
    case .file(let path):
      return try size(of: path) > 0 ? path : nil
    }
  }

  // MARK: - Going back

  /// An output that has grown since the checkpoint would get the same records again.
  ///
  /// - Parameter checkpoint: what the checkpoint knows.
  func refuseNewer(than checkpoint: JobMetadata) throws {
    for role in OutputRole.allCases {
      guard let target = options.targets[role],
        try isNewer(target, than: checkpoint.commitments[role]?.promise, role)
      else { continue }
      throw JobError(
        .failed,
        "the checkpoint is older than what was written to \(role.option): give another "
          + "\(role.option), so that nothing is there twice")
    }
  }

  /// Whether more was written to an output than was promised as of a checkpoint.
  private func isNewer(
    _ target: OutputTarget, than promise: SinkCommitment.Promise?, _ role: OutputRole
  ) throws -> Bool {
    let last = past?.metadata.commitments[role]
    switch target {
    case .standardOutput, .topic: return false
    case .directory(let path):
      var next: UInt64 = 1
      if case .parts(let parts)? = promise { next = parts.nextSequence }
      guard let directory = try environment.fileSystem.existingDirectory(at: path) else {
        return false
      }
      let hasNewer = try directory.entries().contains { entry in
        PartName(final: entry.name).map { $0.sequence >= next } ?? false
      }
      // Parts that were taken away leave no trace but in the state that wrote them.
      guard !hasNewer, case .parts(let parts)? = last?.promise, parts.nextSequence > next else {
        return hasNewer
      }
      return try OutputOwner.read(in: directory)?.outputID == parts.outputID
    case .file(let path):
      var committed: UInt64 = 0
      if case .file(_, _, let bytes, _)? = promise { committed = bytes }
      if case .file(_, _, let bytes, _)? = last?.promise, last?.path == path, bytes > committed {
        return true
      }
      return try size(of: path) > committed
    }
  }

  private func size(of path: String) throws -> UInt64 {
    let (parent, name) = OutputTarget.split(path)
    let directory = try environment.fileSystem.existingDirectory(at: parent)
    return try directory?.metadata(of: name)?.size ?? 0
  }
}

extension FileSystem {
  /// A directory that is there; `nil` when nothing has its name.
  func existingDirectory(at path: String) throws(FileError) -> (any Directory)? {
    do throws(FileError) {
      return try openDirectory(at: path, creating: false)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }
}
