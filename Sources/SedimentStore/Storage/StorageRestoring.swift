// Making a state directory of a checkpoint in checkpoint storage.
//
//   1. find the checkpoint, put a lease that names it, look whether it is still published
//   2. write RESTORING, which names it, into the directory
//   3. download the objects, several at a time: each under a temporary name, in pieces; when all of
//      it is there, synchronised and held against its SHA-256, it gets its name
//   4. synchronise the directory, write WRITER, write and publish a manifest, remove RESTORING and
//      the lease
//
// A restore that was cut short goes on with what is there. Until step 4 there is no CURRENT, and
// with RESTORING `StateStore.open` refuses the directory even when it holds temporaries alone.
//
// Invariants
// 1. A file under the name of a table or log has been held against its sum.
// 2. The restored state goes on from the last entry of the log, with the largest writer epoch that
//    is published: its checkpoints supersede those of whoever had the state before. One that is not
//    to supersede goes on from its own entry.
//
// Concurrency: objects are downloaded by threads of its own; everything else is one thread's.

public import SedimentIO
internal import Synchronization

extension StateStore {
  /// Makes a state directory of a checkpoint in a storage that all machines reach.
  ///
  /// Objects are downloaded several at a time and held against their sums. When it fails in the
  /// middle, the same call goes on from there.
  ///
  /// - Parameters:
  ///   - storage: where the checkpoint is.
  ///   - stored: whose checkpoint; may be left out while the storage has those of one store.
  ///   - id: as in `CheckpointInfo.id`; the newest by default.
  ///   - path: a directory that is empty or missing, or holds a part of the same checkpoint.
  ///   - identity: as for a checkpoint in a directory.
  ///   - transfers: how many objects are downloaded at once, from 1 to 64.
  /// - Throws: `alreadyExists` when the directory holds something else, `notFound` when there is no
  ///   such checkpoint, `corrupted` when what was downloaded is not what was uploaded, `locked`
  ///   when another restore fills the directory, and what the storage throws.
  @discardableResult
  public static func restore(
    from storage: any CheckpointStorage, of stored: StoreIdentity? = nil, id: String? = nil,
    to path: String, identity: RestoredIdentity = .keep, transfers: Int = 4,
    fileSystem: any FileSystem = PosixFileSystem(), clock: any Clock = SystemClock()
  ) throws(StoreError) -> CheckpointInfo {
    try restore(
      from: storage, of: stored, id: id, to: path, identity: identity, transfers: transfers,
      supersedes: true, fileSystem: fileSystem, clock: clock)
  }

  /// The same.
  ///
  /// - Parameter supersedes: whether what was published behind the checkpoint counts no more.
  ///   Otherwise the state cannot publish when something was.
  package static func restore(
    from storage: any CheckpointStorage, of stored: StoreIdentity?, id: String?,
    to path: String, identity: RestoredIdentity = .keep, transfers: Int = 4, supersedes: Bool,
    fileSystem: any FileSystem, clock: any Clock
  ) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      try check(transfers: transfers)
      let checkpoints = try StoredCheckpoints(in: storage, of: stored, clock: clock)
      let found = try checkpoints.find(id)
      let target = try fileSystem.openNamed(path, creating: true)
      let restoring = StorageRestoring(
        area: checkpoints.area, target: target, found: found, clock: clock, transfers: transfers)
      try restoring.checkTarget()
      let lock = try target.lock(lockName, advice: "another restore fills it")
      defer { lock.unlock() }
      try restoring.checkTarget()
      let manifest = try restoring.run(identity: identity, supersedes: supersedes)
      return CheckpointInfo(found.id, manifest.checkpoint)
    }
  }
}

/// One restoring.
private struct StorageRestoring: Sendable {
  let area: CheckpointArea
  let target: any Directory
  let found: PublishedCheckpoint
  let clock: any Clock
  let transfers: Int

  private static let temporaryPrefix = ".new-"
  private static let markBytesMax = 256

  /// What RESTORING says.
  private var mark: [UInt8] { Array("\(area.keys.identity) \(found.id)\n".utf8) }

  /// Throws when the directory holds anything but a part of the checkpoint.
  func checkTarget() throws {
    guard try target.metadata(of: StateStore.restoringName) != nil,
      try target.metadata(of: ManifestFiles.current) == nil
    else { return try StateStore.checkIsEmpty(target) }
    let file = try target.openFile(StateStore.restoringName, .read)
    defer { file.close() }
    var bytes = [UInt8](repeating: 0, count: Self.markBytesMax)
    let count = try file.read(into: &bytes, at: 0)
    // One that power loss cut short is of a restore that had not begun to download.
    guard mark.starts(with: bytes.prefix(count)) else {
      throw StoreError(
        .alreadyExists,
        "\(target.path) holds a part of another checkpoint than \(found.id): give a new directory, "
          + "or empty it")
    }
  }

  /// Fills the target, which is locked and was checked under the lock.
  func run(identity: RestoredIdentity, supersedes: Bool) throws -> StoredManifest {
    let lease = try HeldLease(
      area, id: UploadID(millis: clock.nowMillis()), clock: clock
    ) { lease in lease.manifests = [found.place] }
    // It stays when this fails: what goes on later finds more of the checkpoint, then.
    let sequences = try area.sequences()
    let entries = try sequences.compactMap { sequence in
      try area.entry(sequence)?.published.map { (sequence: sequence, checkpoint: $0) }
    }
    guard let own = entries.last(where: { $0.checkpoint == found })?.sequence else {
      area.discard([area.keys.lease(lease.id)])
      throw StoreError(
        .notFound, "checkpoint \(found.id) was removed from \(area.storage.location)")
    }
    let manifest = try area.manifest(of: found)
    try writeMark()
    let names = try download(manifest, lease)
    try removeTemporaries()
    try target.synchronize()
    var state = manifest.checkpoint.state
    if identity == .new { state.identity = .random() }
    state.writerEpoch = entries.map(\.checkpoint.id.writerEpoch).reduce(state.writerEpoch, max)
    let number = FileNumber(state.nextFileNumber)
    state.nextFileNumber += 1
    try removeUnknown(names)
    let base = supersedes ? sequences.last ?? own : own
    try StorageWriter(directory: .random(), opening: .random(), base: base).write(in: target)
    try ManifestWriter(directory: target, number: number, state: state).abandon()
    try target.remove(StateStore.restoringName)
    try target.synchronize()
    area.discard([area.keys.lease(lease.id)])
    return manifest
  }

  private func writeMark() throws {
    let isThere = try target.metadata(of: StateStore.restoringName) != nil
    let file = try target.openFile(StateStore.restoringName, isThere ? .readWrite : .create)
    defer { file.close() }
    try file.write(mark, at: 0)
    try file.synchronize()
    try target.synchronize()
  }

  private func removeTemporaries() throws(FileError) {
    for entry in try target.entries() where entry.name.hasPrefix(Self.temporaryPrefix) {
      try target.remove(entry.name)
    }
  }

  /// Removes what an attempt left whose publishing of a manifest was cut short.
  private func removeUnknown(_ known: Set<String>) throws(FileError) {
    for entry in try target.entries() where !known.contains(entry.name) {
      let isOurs = entry.name.hasPrefix(ManifestFiles.prefix)
      if isOurs || entry.name == ManifestFiles.currentTemporary { try target.remove(entry.name) }
    }
  }

  // MARK: - Downloading

  /// - Returns: the names that the files have.
  private func download(_ manifest: StoredManifest, _ lease: HeldLease) throws -> Set<String> {
    let files = manifest.checkpoint.state.storedFiles
    let objects = Dictionary(manifest.objects.map { ($0.name, $0) }) { first, _ in first }
    let workers = try ShardWorkers(threads: transfers - 1)
    defer { workers.stop() }
    _ = try workers.map(files.count) { index in
      guard let object = objects[files[index].objectName] else { return }
      try download(object, as: files[index].stateName, lease)
    }
    return Set(files.map(\.stateName))
  }

  private func download(
    _ object: StoredManifest.Object, as name: String, _ lease: HeldLease
  ) throws {
    if let present = try target.metadata(of: name) {
      if present.size == object.bytes, try isWhole(name, object) { return }
      try target.remove(name)
    }
    let temporary = Self.temporaryPrefix + name
    let hasPart = try target.metadata(of: temporary) != nil
    try fetch(object, into: temporary, lease)
    if try !isWhole(temporary, object) {
      // What an earlier attempt left may have lost content together with the power.
      guard hasPart else { throw Self.flaw(object, area) }
      try target.remove(temporary)
      try fetch(object, into: temporary, lease)
      guard try isWhole(temporary, object) else { throw Self.flaw(object, area) }
    }
    try target.rename(temporary, to: name, replacing: true)
  }

  private static func flaw(_ object: StoredManifest.Object, _ area: CheckpointArea) -> Corruption {
    Corruption(
      file: area.keys.object(object.name, of: object.upload), offset: 0, what: "SHA-256",
      expected: object.digest.hexadecimal, found: "another")
  }

  private func isWhole(_ name: String, _ object: StoredManifest.Object) throws -> Bool {
    let file = try target.openFile(name, .read)
    defer { file.close() }
    return try SHA256.digest(of: file, bytes: object.bytes, name: name) == object.digest
  }

  /// Brings what a temporary file lacks, and makes it durable.
  private func fetch(
    _ object: StoredManifest.Object, into temporary: String, _ lease: HeldLease
  ) throws {
    let isThere = try target.metadata(of: temporary) != nil
    let file = try target.openFile(temporary, isThere ? .readWrite : .create)
    defer { file.close() }
    var offset = min(try file.size(), object.bytes)
    try file.truncate(to: offset)
    while offset < object.bytes {
      try lease.keepAlive()
      let piece = try area.piece(of: object, at: offset)
      try file.write(piece, at: offset)
      offset += UInt64(piece.count)
    }
    try file.synchronize()
  }
}

extension CheckpointArea {
  /// A part of an object, up to its end or a few MiB.
  ///
  /// - Throws: `Corruption` when it is not there.
  func piece(of object: StoredManifest.Object, at offset: UInt64) throws -> [UInt8] {
    let key = keys.object(object.name, of: object.upload)
    let end = min(offset + Self.pieceBytes, object.bytes)
    guard let piece = try storage.read(key, offset..<end) else {
      throw Corruption(file: key, offset: 0, what: "file", expected: "there", found: "missing")
    }
    guard piece.count == Int(end - offset) else {
      throw Corruption(
        file: key, offset: offset, what: "file size", expected: "\(object.bytes)",
        found: "\(offset + UInt64(piece.count))")
    }
    return piece
  }
}
