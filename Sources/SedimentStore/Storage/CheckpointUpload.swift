// Bringing a checkpoint into checkpoint storage.
//
//   1. draw an upload's id, put its intent
//   2. read the log: the newest checkpoint, and whether another writer has superseded this one
//   3. put a lease that names all that is to be used again: the objects of the newest checkpoint,
//      and of uploads that were cut short
//   4. look whether all of these are still there: whoever sweeps from here on sees the lease
//   5. upload the other objects, several at a time, then the manifest
//   6. publish: put the entry behind the last one of the log. When the place is taken, read who has
//      it: another writer's checkpoint ends this one; a fence around an upload that is used begins
//      it anew; else try the next place
//   7. delete intent and lease
//
// A crash at any step leaves objects that the next upload uses again, for as long as its intent
// lasts.
//
// A *small* upload, as of an epoch of a second, is 2, 5 and 6 alone: without intent and lease, and
// without the objects of uploads that were cut short. Neither is needed for invariant 1. Nobody
// knows of the upload before its first object is put, so a fence that names it stands behind the
// log as it was read in step 2; and a fence that takes objects of the newest checkpoint there was
// then stands behind it, too, for it was published. Who publishes reads both. Intent and lease keep
// a collection of garbage from taking away what a long upload or a slow one needs; a small one
// begins anew.
//
// Invariants
// 1. A published checkpoint has all its objects.
// 2. An intent is put once and never again: that it is there shows that nobody sweeps its objects.
//
// Concurrency: objects are uploaded by threads of its own; everything else is one thread's.

package import SedimentIO

/// One checkpoint on its way.
package struct CheckpointUpload: Sendable {
  let area: CheckpointArea
  /// The state's directory.
  let source: any Directory
  let state: StoreState
  let writer: StorageWriter
  /// Whether it counts whatever others have published.
  let supersedes: Bool
  let clock: any Clock
  /// How many objects are uploaded at once.
  let transfers: Int
  /// The most bytes of objects of a small upload.
  let smallBytesMax: UInt64

  package init(
    area: CheckpointArea, source: any Directory, state: StoreState, writer: StorageWriter,
    supersedes: Bool, clock: any Clock, transfers: Int, smallBytesMax: UInt64
  ) {
    self.area = area
    self.source = source
    self.state = state
    self.writer = writer
    self.supersedes = supersedes
    self.clock = clock
    self.transfers = transfers
    self.smallBytesMax = smallBytesMax
  }

  /// How often an upload begins anew because a collection of garbage took something away.
  private static let attemptsMax = 4
  /// How often an entry is put behind another one.
  private static let publishTriesMax = 64

  /// What an attempt found.
  private struct Plan {
    let id: UploadID
    /// The last number of the log when it was read.
    var head: UInt64
    var base: (sequence: UInt64, checkpoint: PublishedCheckpoint)?
    /// By name: of the newest checkpoint.
    var stored: [String: StoredManifest.Object] = [:]
    /// By name: in which upload that was cut short an object is.
    var left: [String: UploadID] = [:]

    var leftUploads: [UploadID] { Array(Set(left.values)) }

    /// Whether an object of the newest checkpoint is a file's.
    func isStored(_ file: StoredFile) -> Bool { stored[file.objectName]?.bytes == file.bytes }
  }

  /// What was made, and its number in the log.
  package typealias Made = (info: CheckpointInfo, sequence: UInt64)

  /// Uploads and publishes.
  package func run() throws -> Made {
    for _ in 0..<Self.attemptsMax {
      if let made = try attempt() { return made }
    }
    throw StoreError(
      .inputOutput,
      "the checkpoint in \(area.storage.location) was given up: \(Self.attemptsMax) times a "
        + "collection of garbage took away what was being used; is a clock wrong?")
  }

  /// - Returns: `nil` when another attempt is needed.
  private func attempt() throws -> Made? {
    let id = UploadID(millis: clock.nowMillis())
    guard let plan = try look(id) else { return nil }
    let newBytes = state.storedFiles.filter { !plan.isStored($0) }.reduce(0) { $0 + $1.bytes }
    return newBytes <= smallBytesMax ? try finish(plan, nil) : try attemptLarge(id)
  }

  private func attemptLarge(_ id: UploadID) throws -> Made? {
    let intent = area.keys.intent(id)
    try area.storage.put(
      StorageRecord.encode(.intent, for: intent) { record in
        record.writeUInt64(writer.directory.high)
        record.writeUInt64(writer.directory.low)
      }, as: intent)
    guard var plan = try look(id) else { return nil }
    try findLeft(&plan)
    let lease = try HeldLease(area, id: id, clock: clock) { lease in
      lease.uploads = [id] + plan.leftUploads
      if let base = plan.base { lease.manifests = [base.checkpoint.place] }
    }
    guard try isAllThere(plan) else { return nil }
    guard let made = try finish(plan, lease) else { return nil }
    area.discard(([id] + plan.leftUploads).map(area.keys.intent) + [area.keys.lease(id)])
    return made
  }

  /// Uploads what is missing, and publishes.
  ///
  /// - Parameter lease: `nil` for a small upload.
  private func finish(_ plan: Plan, _ lease: HeldLease?) throws -> Made? {
    let id = plan.id
    if plan.base == nil { try announce() }
    let uploaded = try upload(plan, lease)
    let manifest = StoredManifest(
      objects: uploaded.objects, checkpoint: checkpoint(after: plan.base?.checkpoint))
    let checkpointID = manifest.checkpoint.encoded().id
    let key = area.keys.manifest(checkpointID, of: id)
    let bytes = manifest.encoded(for: key)
    guard bytes.count <= StorageRecord.bytesMax else {
      throw StoreError(.invalidArgument, "a state of \(bytes.count) bytes is too large")
    }
    try area.storage.put(bytes, as: key)
    let published = PublishedCheckpoint(
      id: checkpointID, createdMillis: manifest.checkpoint.createdMillis, writer: writer,
      upload: id, manifest: bytes)
    let uses = Set(manifest.objects.map(\.upload)).union([id])
    guard let sequence = try publish(published, plan, uses: uses) else { return nil }
    var info = CheckpointInfo(checkpointID, manifest.checkpoint)
    info.newFiles = uploaded.added.newFiles
    info.newBytes = uploaded.added.newBytes
    return (info, sequence)
  }

  /// Says that this store has checkpoints here.
  private func announce() throws {
    try area.storage.put([], as: area.keys.store)
  }

  private func checkpoint(after base: PublishedCheckpoint?) -> CheckpointManifest {
    let newest = base?.createdMillis ?? .min
    return CheckpointManifest(
      createdMillis: max(clock.nowMillis(), newest == .max ? .max : newest + 1), state: state)
  }

  // MARK: - What is there

  /// Reads the log; `nil` when it changed meanwhile.
  private func look(_ id: UploadID) throws -> Plan? {
    let sequences = try area.sequences()
    var plan = Plan(id: id, head: sequences.last ?? 0)
    guard let base = try area.newest(of: sequences) else { return plan }
    try checkIsNotSuperseded(by: base.checkpoint, at: base.sequence)
    guard let manifest = try area.manifest(base.checkpoint.place) else { return nil }
    plan.base = base
    plan.stored = Dictionary(manifest.objects.map { ($0.name, $0) }) { first, _ in first }
    return plan
  }

  private func checkIsNotSuperseded(
    by other: PublishedCheckpoint, at sequence: UInt64
  ) throws(StoreError) {
    let mayFollow = writer.mayFollow(other, at: sequence, writerEpoch: state.writerEpoch)
    guard !supersedes, !mayFollow else { return }
    throw StoreError(
      .superseded,
      "another store has published \(other.id) in \(area.storage.location): what this one did "
        + "since does not count; restore that one, or supersede it")
  }

  /// Finds objects that are wanted in uploads that were cut short.
  private func findLeft(_ plan: inout Plan) throws {
    let wanted = Dictionary(
      state.storedFiles.filter { !plan.isStored($0) }
        .map { ($0.objectName, $0.bytes) }
    ) { first, _ in first }
    guard !wanted.isEmpty else { return }
    for upload in try area.ids(below: area.keys.intents) where upload != plan.id {
      for object in try area.storage.list(area.keys.uploads(of: upload)) {
        guard let name = area.keys.object(of: object.key)?.name, wanted[name] == object.bytes else {
          continue
        }
        plan.left[name] = upload
      }
    }
  }

  /// Whether all that a lease names was there behind it.
  private func isAllThere(_ plan: Plan) throws -> Bool {
    for upload in [plan.id] + plan.leftUploads {
      guard try area.record(area.keys.intent(upload)) != nil else { return false }
    }
    guard let base = plan.base else { return true }
    return try area.entry(base.sequence)?.published == base.checkpoint
  }

  // MARK: - Uploading

  private func upload(
    _ plan: Plan, _ lease: HeldLease?
  ) throws -> (objects: [StoredManifest.Object], added: FileTransfer.Outcome) {
    let files = state.storedFiles
    let missing = files.count { !plan.isStored($0) }
    let workers = try ShardWorkers(threads: max(min(transfers, missing) - 1, 0))
    defer { workers.stop() }
    let brought = try workers.map(files.count) { index in
      try lease?.keepAlive()
      return try bring(files[index], plan)
    }
    var added = FileTransfer.Outcome()
    for object in brought where object.isNew {
      added += FileTransfer.Outcome(newFiles: 1, newBytes: object.object.bytes)
    }
    return (brought.map(\.object), added)
  }

  private func bring(
    _ file: StoredFile, _ plan: Plan
  ) throws -> (object: StoredManifest.Object, isNew: Bool) {
    if let stored = plan.stored[file.objectName], stored.bytes == file.bytes {
      return (stored, false)
    }
    let opened = try source.openFile(file.stateName, .read)
    defer { opened.close() }
    var object = StoredManifest.Object(
      name: file.objectName, upload: plan.left[file.objectName] ?? plan.id, bytes: file.bytes,
      digest: try SHA256.digest(of: opened, bytes: file.bytes, name: file.stateName))
    guard plan.left[file.objectName] == nil else { return (object, false) }
    object.upload = plan.id
    try area.storage.put(
      opened, bytes: file.bytes, as: area.keys.object(file.objectName, of: plan.id))
    return (object, true)
  }

  // MARK: - Publishing

  /// - Parameter uses: the uploads that brought the checkpoint's objects.
  /// - Returns: its number in the log; `nil` when a fence forbids it.
  private func publish(
    _ checkpoint: PublishedCheckpoint, _ plan: Plan, uses: Set<UploadID>
  ) throws -> UInt64? {
    var head = plan.head
    for _ in 0..<Self.publishTriesMax {
      let last = try area.sequences().last ?? 0
      while head < last {
        // One that is gone was followed by a checkpoint, and what it said is not known.
        guard let entry = try area.entry(head + 1) else { return nil }
        switch entry {
        case .published(let other): try checkIsNotSuperseded(by: other, at: head + 1)
        case .fence(let fence): if !uses.isDisjoint(with: fence.uploads) { return nil }
        }
        head += 1
      }
      guard try area.append(.published(checkpoint), behind: head) else { continue }
      guard try area.isInPlace(head + 1) else {
        try area.storage.delete([area.keys.entry(head + 1)])
        throw StoreError(
          .superseded,
          "others have published in \(area.storage.location) while this checkpoint waited")
      }
      return head + 1
    }
    throw StoreError(
      .inputOutput,
      "the checkpoint could not be published in \(area.storage.location): others were faster "
        + "\(Self.publishTriesMax) times")
  }
}
