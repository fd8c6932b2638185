// A directory of checkpoints, opened: reading, adding objects, publishing.
//
// Order of durability in making a checkpoint: objects' content ─▶ objects directory ─▶ manifest's
// content ─▶ its name, by a rename that replaces nothing ─▶ directory. So a checkpoint that is
// listed after a crash has all its files.
//
// Invariants
// 1. An object under its own name is whole: links are of durable files, copies are synchronised
//    under a temporary name first.
// 2. Whoever adds or removes holds LOCK.

internal import SedimentIO

/// See the file's header.
struct CheckpointDirectory {
  static let lockName = "LOCK"
  static let objectsName = "objects"
  static let temporaryPrefix = ".new-"

  let path: String
  let directory: any Directory
  let objects: any Directory

  /// Opens a directory of checkpoints, and makes it when `creating`.
  init(path: String, creating: Bool, fileSystem: any FileSystem) throws {
    self.path = path
    directory = try fileSystem.openNamed(path, creating: creating)
    if creating, try directory.metadata(of: Self.objectsName) == nil {
      if try directory.metadata(of: ManifestFiles.current) != nil {
        throw StoreError(.alreadyExists, "\(path) is a state directory: give another path")
      }
      objects = try directory.subdirectory(Self.objectsName, creating: true)
      try directory.synchronize()
    } else {
      guard try directory.metadata(of: Self.objectsName) != nil else {
        throw StoreError(.notFound, "\(path) holds no checkpoints")
      }
      objects = try directory.subdirectory(Self.objectsName, creating: false)
    }
  }

  /// Keeps makers and removers of objects apart.
  func lock() throws -> any DirectoryLock {
    if try isSavepoint {
      throw StoreError(.invalidArgument, "\(path) is a savepoint, which never changes")
    }
    return try directory.lock(
      Self.lockName, advice: "a checkpoint is being made, restored or removed there")
  }

  /// The same for readers; `nil` where nothing is ever removed: in a savepoint, and where nothing
  /// can be written.
  func lockForReading() throws -> (any DirectoryLock)? {
    if try isSavepoint { return nil }
    do {
      return try lock()
    } catch let error as FileError
      where error.code == .readOnlyFileSystem || error.code == .permissionDenied
    {
      return nil
    }
  }

  // MARK: - Reading

  /// The ids of all checkpoints, readable or not, in order of name.
  func ids() throws -> [CheckpointID] {
    try directory.entries().compactMap { CheckpointID(fileName: $0.name) }
  }

  func read(_ id: CheckpointID) throws -> CheckpointManifest {
    do {
      return try CheckpointManifest.read(id, in: directory)
    } catch let error as FileError where error.code == .notFound {
      throw StoreError(.notFound, "there is no checkpoint \(id) in \(path)", cause: error)
    }
  }

  /// What the directory holds.
  struct Listing {
    /// Newest first.
    var checkpoints: [(id: CheckpointID, manifest: CheckpointManifest)] = []
    var unreadable: [(id: CheckpointID, error: any Error)] = []
  }

  func list() throws -> Listing {
    var listing = Listing()
    for id in try ids() {
      do {
        listing.checkpoints.append((id, try CheckpointManifest.read(id, in: directory)))
      } catch let error as FileError where error.code == .notFound {
        continue  // Deleted meanwhile.
      } catch {
        listing.unreadable.append((id, error))
      }
    }
    listing.checkpoints.sort { left, right in
      (left.manifest.createdMillis, left.id.writerEpoch, left.id.epoch, left.id.content)
        > (right.manifest.createdMillis, right.id.writerEpoch, right.id.epoch, right.id.content)
    }
    return listing
  }

  /// The checkpoint of an id, or the newest one.
  ///
  /// - Throws: also when the newest cannot be known because a manifest is unreadable.
  func find(_ text: String?) throws -> (id: CheckpointID, manifest: CheckpointManifest) {
    if let text {
      guard let id = CheckpointID(text) else {
        throw StoreError(.notFound, "\(text) is not the id of a checkpoint")
      }
      return (id, try read(id))
    }
    let listing = try list()
    if let damaged = listing.unreadable.first {
      throw StoreError(
        .corrupted,
        "which checkpoint of \(path) is the newest is not known, for \(damaged.id) cannot be read "
          + "(\(damaged.error)): name the one to use", cause: damaged.error)
    }
    guard let newest = listing.checkpoints.first else {
      throw StoreError(.notFound, "\(path) holds no checkpoints")
    }
    return newest
  }

  // MARK: - Adding

  /// Removes what makers that did not finish left behind. The caller holds the lock.
  func removeTemporaries() throws {
    for place in [directory, objects] {
      for entry in try place.entries() where entry.name.hasPrefix(Self.temporaryPrefix) {
        try place.remove(entry.name)
      }
    }
  }

  /// Writes a manifest under a temporary name, which it returns.
  func writeManifest(_ manifest: CheckpointManifest) throws -> String {
    let (payload, id) = manifest.encoded()
    guard payload.count <= RecordLogFormat.payloadBytesMax else {
      throw StoreError(.invalidArgument, "a state of \(payload.count) bytes is too large")
    }
    let temporary = Self.temporaryPrefix + id.fileName
    try CheckpointManifest.write(payload: payload, id: id, to: temporary, in: directory)
    return temporary
  }

  /// Publishes a checkpoint whose objects are all there. The caller holds the lock.
  func publish(_ manifest: CheckpointManifest) throws -> CheckpointID {
    let id = manifest.encoded().id
    // Always: an earlier maker may have named an object and ended before it synchronised.
    try objects.synchronize()
    let temporary = try writeManifest(manifest)
    do {
      try directory.rename(temporary, to: id.fileName, replacing: false)
    } catch {
      guard error.code == .exists else { throw error }
      throw StoreError(.alreadyExists, "checkpoint \(id) is there already", cause: error)
    }
    try directory.synchronize()
    return id
  }
}
