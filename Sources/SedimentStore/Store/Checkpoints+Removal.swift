// Removing checkpoints, and the objects that none needs any more.
//
// Garbage is what no manifest names: marked and swept, never counted. With a manifest that cannot
// be read nothing is known to be garbage, so nothing is swept. Manifests are gone durably before
// any object goes: after a crash a checkpoint is whole, or not listed.

internal import SedimentIO

/// What a sweep removed, or would.
public struct GarbageReport: Sendable, Equatable {
  /// Names relative to the directory.
  public var files: [String] = []
  /// Bytes of those files.
  public var bytes: UInt64 = 0
}

extension Checkpoints {
  /// Removes a checkpoint, readable or not. Its files go with the next `collectGarbage`.
  public func delete(_ id: String) throws(StoreError) {
    try wrapping {
      let lock = try directory.lock()
      defer { lock.unlock() }
      guard let id = CheckpointID(id), try directory.ids().contains(id) else {
        throw StoreError(.notFound, "there is no checkpoint \(id) in \(path)")
      }
      try remove([id])
    }
  }

  /// Removes the objects that no checkpoint names.
  ///
  /// - Parameter dryRun: only says what would go.
  /// - Throws: `corrupted` when a manifest cannot be read: delete that checkpoint first.
  @discardableResult
  public func collectGarbage(dryRun: Bool) throws(StoreError) -> GarbageReport {
    try wrapping {
      let lock = try directory.lock()
      defer { lock.unlock() }
      return try sweep(dryRun: dryRun)
    }
  }

  /// Keeps the newest `count` checkpoints, those named in `protected` and all that are newer than
  /// one of these; removes the others and the objects that only they needed.
  ///
  /// - Parameters:
  ///   - count: 1 or more.
  ///   - protected: ids; one that is not there has no effect.
  /// - Returns: the ids of the removed.
  @discardableResult
  public func retain(
    _ count: Int, protecting protected: [String] = []
  ) throws(StoreError) -> [String] {
    try wrapping {
      guard count >= 1 else {
        throw StoreError(.invalidArgument, "at least one checkpoint is to be kept")
      }
      let lock = try directory.lock()
      defer { lock.unlock() }
      let ids = try readableOnly().map(\.id)
      let oldestProtected = ids.lastIndex { protected.contains($0.description) } ?? 0
      let old = Array(ids.dropFirst(max(count, oldestProtected + 1)))
      try remove(old.reversed())
      _ = try sweep(dryRun: false)
      return old.map(\.description)
    }
  }

  /// All checkpoints, newest first; throws when one cannot be read.
  private func readableOnly() throws -> [(id: CheckpointID, manifest: CheckpointManifest)] {
    let listing = try directory.list()
    if let damaged = listing.unreadable.first {
      throw StoreError(
        .corrupted,
        "checkpoint \(damaged.id) cannot be read (\(damaged.error)), so what it needs is unknown: "
          + "delete it first", cause: damaged.error)
    }
    return listing.checkpoints
  }

  /// The caller holds the lock.
  private func remove(_ ids: [CheckpointID]) throws(FileError) {
    for id in ids { try directory.directory.remove(id.fileName) }
    try directory.directory.synchronize()
  }

  /// The caller holds the lock.
  private func sweep(dryRun: Bool) throws -> GarbageReport {
    var live: Set<String> = []
    for (_, manifest) in try readableOnly() {
      for table in manifest.state.tableReferences {
        live.insert(FileNaming.objects.name(of: table))
      }
      for log in manifest.state.logs { live.insert(FileNaming.objects.name(of: log)) }
    }
    // A manifest that another process removed may be back after a crash until now.
    if !dryRun { try directory.directory.synchronize() }
    var report = GarbageReport()
    for entry in try directory.directory.entries() where isTemporary(entry) {
      try take(entry, in: directory.directory, prefix: "", dryRun: dryRun, &report)
    }
    for entry in try directory.objects.entries()
    where isTemporary(entry)
      || (entry.kind == .file && FileNaming.isObject(entry.name) && !live.contains(entry.name))
    {
      try take(
        entry, in: directory.objects, prefix: CheckpointDirectory.objectsName + "/",
        dryRun: dryRun, &report)
    }
    return report
  }

  private func isTemporary(_ entry: DirectoryEntry) -> Bool {
    entry.kind == .file && entry.name.hasPrefix(CheckpointDirectory.temporaryPrefix)
  }

  private func take(
    _ entry: DirectoryEntry, in place: any Directory, prefix: String, dryRun: Bool,
    _ report: inout GarbageReport
  ) throws(FileError) {
    report.bytes += try place.metadata(of: entry.name)?.size ?? 0
    report.files.append(prefix + entry.name)
    if !dryRun { try place.remove(entry.name) }
  }
}

extension Checkpoints {
  /// Reads all that a checkpoint needs, every page of every table, and says what is damaged.
  ///
  /// - Parameter id: `nil` for the newest.
  /// - Returns: nothing when the checkpoint is whole.
  public func verify(_ id: String?) throws(StoreError) -> [Damage] {
    try wrapping {
      let found: (id: CheckpointID, manifest: CheckpointManifest)
      do {
        found = try directory.find(id)
      } catch {
        guard let name = id.flatMap(CheckpointID.init(_:))?.fileName,
          let damage = Damage(error, file: name)
        else { throw error }
        return [damage]
      }
      var damage = try StateFiles.inCheckpoint(directory).damage(of: found.manifest.state)
      if try directory.isSavepoint {
        let known = Set(damage.map(\.file))
        damage += try SavepointSums(directory).damage().filter { !known.contains($0.file) }
      }
      return damage
    }
  }
}
