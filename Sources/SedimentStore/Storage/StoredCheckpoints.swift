// The checkpoints of one store in a checkpoint storage: looking, and letting old ones go.
//
// What lets go takes entries of the log, the oldest first; objects go by `collectGarbage` alone.
// An entry between others is not taken but replaced by an empty fence, so that its number is never
// free again.

public import SedimentIO

/// The checkpoints of one store in a storage that all machines reach.
///
/// ```swift
/// let storage = try DirectoryStorage(at: "/mnt/shared/checkpoints")
/// let checkpoints = try StoredCheckpoints(in: storage)
/// try checkpoints.retain(5)
/// try checkpoints.collectGarbage(dryRun: false)
/// ```
///
/// Every call is safe at any time, whatever others upload, restore or remove meanwhile.
public struct StoredCheckpoints: Sendable {
  /// Whose checkpoints.
  public var identity: StoreIdentity { area.keys.identity }
  let area: CheckpointArea
  let clock: any Clock

  /// Opens the checkpoints of a store.
  ///
  /// - Parameter identity: of the store; may be left out while the storage has those of one.
  /// - Throws: `notFound` when there are none; `invalidArgument`, with a list, when there are those
  ///   of several stores and none is named.
  public init(
    in storage: any CheckpointStorage, of identity: StoreIdentity? = nil,
    clock: any Clock = SystemClock()
  ) throws(StoreError) {
    self.clock = clock
    let identities = try wrapping { try CheckpointArea.identities(in: storage) }
    if let identity {
      guard identities.contains(identity) else {
        throw StoreError(.notFound, "\(storage.location) holds no checkpoints of \(identity)")
      }
      area = CheckpointArea(storage, of: identity)
      return
    }
    guard let first = identities.first else {
      throw StoreError(.notFound, "\(storage.location) holds no checkpoints")
    }
    guard identities.count == 1 else {
      throw StoreError(
        .invalidArgument,
        "\(storage.location) holds checkpoints of \(identities.count) stores: name one of "
          + identities.map(\.description).joined(separator: ", "))
    }
    area = CheckpointArea(storage, of: first)
  }

  // MARK: - Looking

  /// All checkpoints that can be read, newest first.
  public func list() throws(StoreError) -> [CheckpointInfo] {
    try wrapping { try look().compactMap(\.info) }
  }

  /// The checkpoints that cannot be read, and why.
  public func unreadable() throws(StoreError) -> [(id: String, error: StoreError)] {
    try wrapping {
      try look().compactMap { seen in
        guard case .failure(let error) = seen.manifest else { return nil }
        return (seen.name, StoreError(wrapping: error))
      }
    }
  }

  /// What is known of a checkpoint; of the newest with `nil`.
  public func read(_ id: String? = nil) throws(StoreError) -> CheckpointInfo {
    try wrapping {
      let found = try find(id)
      return CheckpointInfo(found.id, try area.manifest(of: found).checkpoint)
    }
  }

  /// Reads all objects of a checkpoint and holds them against their sums.
  ///
  /// - Parameter id: `nil` for the newest.
  /// - Returns: nothing when the checkpoint is whole.
  public func verify(_ id: String? = nil) throws(StoreError) -> [Damage] {
    try wrapping {
      let found = try find(id)
      let manifest: StoredManifest
      do {
        manifest = try area.manifest(of: found)
      } catch {
        guard let damage = Damage(error, file: area.keys.manifest(found.id, of: found.upload))
        else { throw error }
        return [damage]
      }
      return try manifest.objects.compactMap { object in
        do {
          try verify(object)
          return nil
        } catch let error as Corruption {
          return Damage(error)
        }
      }
    }
  }

  private func verify(_ object: StoredManifest.Object) throws {
    var sum = SHA256()
    var offset: UInt64 = 0
    while offset < object.bytes {
      let piece = try area.piece(of: object, at: offset)
      sum.update(piece)
      offset += UInt64(piece.count)
    }
    let found = sum.finish()
    guard found == object.digest else {
      throw Corruption(
        file: area.keys.object(object.name, of: object.upload), offset: 0, what: "SHA-256",
        expected: object.digest.hexadecimal, found: found.hexadecimal)
    }
  }

  /// The checkpoint of an id, or the newest one.
  func find(_ text: String?) throws -> PublishedCheckpoint {
    let sequences = try area.sequences()
    guard let text else {
      guard let newest = try area.newest(of: sequences) else {
        throw StoreError(.notFound, "\(area.storage.location) holds no checkpoints of \(identity)")
      }
      return newest.checkpoint
    }
    guard let id = CheckpointID(text) else {
      throw StoreError(.notFound, "\(text) is not the id of a checkpoint")
    }
    for sequence in sequences.reversed() {
      if let checkpoint = try area.entry(sequence)?.published, checkpoint.id == id {
        return checkpoint
      }
    }
    throw StoreError(.notFound, "there is no checkpoint \(id) in \(area.storage.location)")
  }

  /// A checkpoint as it was seen.
  private struct Seen {
    /// Its id, or the key of an entry that cannot be read.
    var name: String
    var manifest: Result<(CheckpointID, CheckpointManifest), any Error>

    var info: CheckpointInfo? {
      guard case .success(let (id, manifest)) = manifest else { return nil }
      return CheckpointInfo(id, manifest)
    }
  }

  /// All checkpoints, newest first.
  private func look() throws -> [Seen] {
    try area.sequences().reversed().compactMap { sequence in
      let checkpoint: PublishedCheckpoint
      do {
        guard let found = try area.entry(sequence)?.published else { return nil }
        checkpoint = found
      } catch let error where Damage(error, file: "") != nil {
        return Seen(name: area.keys.entry(sequence), manifest: .failure(error))
      }
      do {
        let manifest = try area.manifest(of: checkpoint).checkpoint
        return Seen(name: "\(checkpoint.id)", manifest: .success((checkpoint.id, manifest)))
      } catch let error where Damage(error, file: "") != nil {
        // Gone together with its entry since that was read.
        guard try area.entry(sequence) != nil else { return nil }
        return Seen(name: "\(checkpoint.id)", manifest: .failure(error))
      }
    }
  }

  // MARK: - Letting go

  /// Keeps the newest `count` checkpoints, those named in `protected` and all that are newer than
  /// one of these; lets the others go. Their objects go with the next `collectGarbage`.
  ///
  /// - Parameters:
  ///   - count: 1 or more.
  ///   - protected: ids; one that is not there has no effect.
  /// - Returns: the ids of those that went.
  @discardableResult
  public func retain(
    _ count: Int, protecting protected: [String] = []
  ) throws(StoreError) -> [String] {
    try wrapping {
      guard count >= 1 else {
        throw StoreError(.invalidArgument, "at least one checkpoint is to be kept")
      }
      let sequences = try area.sequences()
      var entries: [(sequence: UInt64, entry: LogEntry)] = []
      for sequence in sequences {
        if let entry = try area.entry(sequence) { entries.append((sequence, entry)) }
      }
      let kept = Self.oldestKept(entries, count: count, protecting: protected)
      let old = entries.filter { $0.sequence < kept }
      // One after the other, so that a crash leaves the newer ones.
      for entry in old { try area.storage.delete([area.keys.entry(entry.sequence)]) }
      return old.compactMap { $0.entry.published?.id.description }
    }
  }

  /// The number of the oldest checkpoint that stays; 0 when all do.
  static func oldestKept(
    _ entries: [(sequence: UInt64, entry: LogEntry)], count: Int, protecting protected: [String]
  ) -> UInt64 {
    let checkpoints = entries.reversed().compactMap { item in
      item.entry.published.map { (sequence: item.sequence, id: $0.id.description) }
    }
    guard checkpoints.count > count else { return 0 }
    let oldest = checkpoints.lastIndex { protected.contains($0.id) } ?? 0
    return checkpoints[max(count - 1, oldest)].sequence
  }

  /// Lets a checkpoint go. Its objects go with the next `collectGarbage`.
  ///
  /// - Throws: `notFound`; `invalidArgument` for the newest one, which stays.
  public func delete(_ id: String) throws(StoreError) {
    try wrapping {
      let sequences = try area.sequences()
      guard let newest = try area.newest(of: sequences), newest.checkpoint.id.description != id
      else {
        throw StoreError(.invalidArgument, "\(id) is the newest checkpoint, which stays")
      }
      for sequence in sequences {
        guard try area.entry(sequence)?.published?.id.description == id else { continue }
        let key = area.keys.entry(sequence)
        let fence = LogEntry.fence(UploadFence([], createdMillis: clock.nowMillis()))
        return try area.storage.put(fence.encoded(for: key), as: key)
      }
      throw StoreError(.notFound, "there is no checkpoint \(id) in \(area.storage.location)")
    }
  }
}

extension CheckpointInfo {
  /// The checkpoints of a store in a storage, newest first; none of a store that was never there.
  package static func all(
    of identity: StoreIdentity, in storage: any CheckpointStorage
  ) throws(StoreError) -> [CheckpointInfo] {
    let area = CheckpointArea(storage, of: identity)
    return try wrapping {
      try area.sequences().reversed().compactMap { sequence in
        guard let published = try area.entry(sequence)?.published else { return nil }
        return CheckpointInfo(published.id, try area.manifest(of: published).checkpoint)
      }
    }
  }

  /// The last checkpoint of a store in a storage; `nil` when there is none.
  package static func newest(
    of identity: StoreIdentity, in storage: any CheckpointStorage
  ) throws(StoreError) -> CheckpointInfo? {
    let area = CheckpointArea(storage, of: identity)
    return try wrapping {
      while let newest = try area.newest(of: area.sequences()) {
        do {
          let manifest = try area.manifest(of: newest.checkpoint).checkpoint
          return CheckpointInfo(newest.checkpoint.id, manifest)
        } catch let error where Damage(error, file: "") != nil {
          // Another was published since, and this one is gone together with its entry.
          guard try area.entry(newest.sequence)?.published != newest.checkpoint else { throw error }
        }
      }
      return nil
    }
  }
}
