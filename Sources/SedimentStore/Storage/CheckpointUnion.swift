// The first checkpoint of a store that does not exist yet: the content of others' checkpoints, or a
// part of it, without a byte of their tables read.
//
//   claims of the sources ─▶ `StateUnion` ─▶ intent, lease ─▶ copies of the objects ─▶ manifest
//                                         ─▶ entry of the log
//
// Objects are copied within the storage (`CheckpointStorage.copy`), for a store shares none with
// another. The entry's number is beyond one that the caller gives: who tells owners of something by
// these numbers finds that they rise from old stores to the new one.
//
// It can be done again: what comes later counts. Whatever a cut-short one left is garbage once its
// intent is old.
//
// Concurrency: objects are copied by threads of its own; everything else is one thread's.

package import SedimentIO

/// See the file's header.
package struct CheckpointUnion: Sendable {
  /// A checkpoint that was claimed, and what counts of it.
  package struct Source: Sendable {
    package var claim: CheckpointClaim
    /// As in `StateUnion.Source`.
    package var range: ClosedRange<UInt64>

    package init(_ claim: CheckpointClaim, range: ClosedRange<UInt64> = .min ... .max) {
      self.claim = claim
      self.range = range
    }
  }

  /// What was published.
  package struct Made: Sendable {
    /// `newFiles` and `newBytes` are those that were copied.
    package var info: CheckpointInfo
    /// Its number in the log.
    package var sequence: UInt64
    fileprivate var entry: PublishedCheckpoint
    fileprivate var area: CheckpointArea

    /// Whether nobody has published behind it.
    package func isLast() throws -> Bool {
      try area.newest(of: area.sequences())?.checkpoint == entry
    }
  }

  private let area: CheckpointArea
  private let sources: [Source]
  private let union: StateUnion
  private let last: UInt64
  private let clock: any Clock
  private let transfers: Int

  /// How often an entry is put behind another one.
  private static let triesMax = 64

  /// Decides what the new store holds.
  ///
  /// - Parameters:
  ///   - sources: one or more, in one storage.
  ///   - identity: of the new store.
  ///   - last: a number that its own in the log are beyond.
  ///   - metadata: what goes with its first epoch.
  ///   - transfers: how many objects are copied at once.
  /// - Throws: `invalidArgument` as `StateUnion`.
  package init(
    of sources: [Source], in storage: any CheckpointStorage, as identity: StoreIdentity,
    behind last: UInt64, metadata: [UInt8], clock: any Clock, transfers: Int = 4
  ) throws(StoreError) {
    self.sources = sources
    self.last = last
    self.clock = clock
    self.transfers = transfers
    area = CheckpointArea(storage, of: identity)
    union = try StateUnion(
      of: sources.map {
        StateUnion.Source($0.claim.manifest.checkpoint.state, range: $0.range)
      }, identity: identity, metadata: metadata)
  }

  /// The last checkpoint of a store that nobody needs any more: it holds nothing, and supersedes
  /// whoever published before.
  ///
  /// - Parameter metadata: what goes with its epoch.
  /// - Throws: `notFound` when the store has no checkpoint.
  package init(
    endOf identity: StoreIdentity, in storage: any CheckpointStorage, metadata: [UInt8],
    clock: any Clock
  ) throws(StoreError) {
    let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
    sources = []
    last = 0
    self.clock = clock
    transfers = 1
    area = checkpoints.area
    union = try wrapping {
      let newest = try checkpoints.area.manifest(of: checkpoints.find(nil))
      return StateUnion(endOf: newest.checkpoint.state, metadata: metadata)
    }
  }

  /// Copies and publishes.
  ///
  /// - Throws: `superseded` when others make the same store at the same time; what the storage
  ///   throws.
  package func publish() throws(StoreError) -> Made {
    try wrapping {
      let head = try area.sequences().last ?? 0
      let id = UploadID(millis: clock.nowMillis())
      let intent = area.keys.intent(id)
      let nobody = StoreIdentity.random()
      try area.storage.put(
        StorageRecord.encode(.intent, for: intent) { record in
          record.writeUInt64(nobody.high)
          record.writeUInt64(nobody.low)
        }, as: intent)
      try area.storage.put([], as: area.keys.store)
      let lease = try HeldLease(area, id: id, clock: clock) { $0.uploads = [id] }
      let manifest = StoredManifest(
        objects: try copy(id, lease), checkpoint: try checkpoint(behind: head))
      let made = try publish(manifest, id, behind: head)
      area.discard([intent, area.keys.lease(id)])
      return made
    }
  }

  private func checkpoint(behind head: UInt64) throws -> CheckpointManifest {
    let newest = try area.entry(head)?.published?.createdMillis ?? .min
    return CheckpointManifest(
      createdMillis: max(clock.nowMillis(), newest == .max ? .max : newest + 1),
      state: union.state)
  }

  // MARK: - Objects

  private func copy(_ id: UploadID, _ lease: HeldLease) throws -> [StoredManifest.Object] {
    let stored = sources.map { source in
      Dictionary(source.claim.manifest.objects.map { ($0.name, $0) }) { first, _ in first }
    }
    let workers = try ShardWorkers(threads: transfers - 1)
    defer { workers.stop() }
    let (union, sources) = (union, sources)
    return try workers.map(union.parts.count) { index in
      let part = union.parts[index]
      guard let object = stored[part.source][part.sourceName] else {
        throw StoreError(.corrupted, "a checkpoint does not list its object \(part.sourceName)")
      }
      try lease.keepAlive()
      let claim = sources[part.source].claim
      try claim.lease.keepAlive()
      try area.storage.copy(
        claim.area.keys.object(object.name, of: object.upload), bytes: object.bytes,
        to: area.keys.object(part.name, of: id))
      return StoredManifest.Object(
        name: part.name, upload: id, bytes: object.bytes, digest: object.digest)
    }
  }

  // MARK: - Publishing

  /// - Parameter head: the last entry of the log before the upload began.
  private func publish(
    _ manifest: StoredManifest, _ id: UploadID, behind head: UInt64
  ) throws -> Made {
    let checkpoint = manifest.checkpoint.encoded().id
    let key = area.keys.manifest(checkpoint, of: id)
    let bytes = manifest.encoded(for: key)
    guard bytes.count <= StorageRecord.bytesMax else {
      throw StoreError(.invalidArgument, "a state of \(bytes.count) bytes is too large")
    }
    try area.storage.put(bytes, as: key)
    let entry = PublishedCheckpoint(
      id: checkpoint, createdMillis: manifest.checkpoint.createdMillis,
      writer: StorageWriter(directory: .random(), opening: .random(), base: head), upload: id,
      manifest: bytes)
    let sequence = try append(entry, behind: head)
    var info = CheckpointInfo(checkpoint, manifest.checkpoint)
    info.newFiles = manifest.objects.count
    info.newBytes = manifest.objects.reduce(0) { $0 &+ $1.bytes }
    return Made(info: info, sequence: sequence, entry: entry, area: area)
  }

  private func append(_ entry: PublishedCheckpoint, behind head: UInt64) throws -> UInt64 {
    for _ in 0..<Self.triesMax {
      let sequences = try area.sequences()
      for sequence in sequences where sequence > head {
        try checkMayFollow(try area.entry(sequence), entry)
      }
      let place = max(sequences.last ?? 0, last) + 1
      guard try area.append(.published(entry), behind: place - 1) else { continue }
      guard try area.isInPlace(place) else {
        try area.storage.delete([area.keys.entry(place)])
        throw Self.superseded
      }
      return place
    }
    throw Self.superseded
  }

  /// Throws when what came meanwhile forbids to publish.
  private func checkMayFollow(_ found: LogEntry?, _ own: PublishedCheckpoint) throws(StoreError) {
    switch found {
    case .fence(let fence)?:
      guard fence.uploads.contains(own.upload) else { return }
      throw StoreError(
        .inputOutput,
        "a collection of garbage took away what was being copied; is a clock wrong?")
    case .published?, nil: throw Self.superseded
    }
  }

  private static var superseded: StoreError {
    StoreError(
      .superseded, "somebody else makes the same checkpoints at the same time: let one of you do")
  }
}
