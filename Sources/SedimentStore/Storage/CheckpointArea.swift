// The part of a checkpoint storage that belongs to one store, and its log.
//
// The log is the one arbiter: whoever publishes, and whoever is about to remove objects, puts the
// entry behind the last one he knows, and of several who do so one succeeds. Entries go from the
// oldest on, the newest checkpoint never: numbers rise for ever.
//
// Invariants
// 1. An entry is what its writer put behind all entries before it, which he has read.
// 2. Whoever finds the place taken reads what is there before he tries the next.

internal import SedimentIO
internal import Synchronization

/// See the file's header.
package struct CheckpointArea: Sendable {
  package let storage: any CheckpointStorage
  package let keys: StorageKeys

  package init(_ storage: any CheckpointStorage, of identity: StoreIdentity) {
    self.storage = storage
    keys = StorageKeys(identity: identity)
  }

  /// The stores that have checkpoints in a storage.
  package static func identities(in storage: any CheckpointStorage) throws -> [StoreIdentity] {
    try storage.list(StorageKeys.stores).compactMap {
      StoreIdentity($0.key.dropFirst(StorageKeys.stores.count))
    }
  }

  // MARK: - Log

  /// The numbers of all entries, in order.
  package func sequences() throws -> [UInt64] {
    try storage.list(keys.log).compactMap { keys.sequence(ofEntry: $0.key) }.sorted()
  }

  /// An entry; `nil` when it is gone.
  package func entry(_ sequence: UInt64) throws -> LogEntry? {
    let key = keys.entry(sequence)
    return try record(key).map { try LogEntry($0, key: key) }
  }

  /// Puts an entry behind the last one; says whether that was free.
  package func append(_ entry: LogEntry, behind sequence: UInt64) throws -> Bool {
    let key = keys.entry(sequence + 1)
    return try storage.putIfAbsent(entry.encoded(for: key), as: key)
  }

  /// Whether an entry that was put stands behind the one it was meant for.
  ///
  /// Whoever slept between looking for the last entry and putting his may come when the log has
  /// grown past that number and lost its beginning: then the number was free again.
  package func isInPlace(_ sequence: UInt64) throws -> Bool {
    let sequences = try sequences()
    guard sequences.last != sequence else { return true }
    if sequence > 1, sequences.contains(sequence - 1) { return true }
    for later in sequences where later > sequence {
      if try entry(later)?.published != nil { return false }
    }
    return true
  }

  /// The newest checkpoint and its number.
  package func newest(
    of sequences: [UInt64]
  ) throws -> (sequence: UInt64, checkpoint: PublishedCheckpoint)? {
    for sequence in sequences.reversed() {
      if let checkpoint = try entry(sequence)?.published { return (sequence, checkpoint) }
    }
    return nil
  }

  // MARK: - Records

  /// All that stands under a key of a record; `nil` for nothing.
  func record(_ key: String) throws -> [UInt8]? {
    var bytes: [UInt8] = []
    // A few MiB at a time, and one byte more than there may be.
    while bytes.count <= StorageRecord.bytesMax {
      let start = UInt64(bytes.count)
      guard let piece = try storage.read(key, start..<start + Self.pieceBytes) else {
        return bytes.isEmpty ? nil : bytes
      }
      bytes += piece
      if piece.count < Int(Self.pieceBytes) { return bytes }
    }
    throw Corruption(
      file: key, offset: 0, what: "size", expected: "at most \(StorageRecord.bytesMax)",
      found: "more")
  }

  /// Read at a time.
  static let pieceBytes: UInt64 = 8 << 20

  /// The manifest of a checkpoint; `nil` when there is none.
  package func manifest(_ place: StorageLease.ManifestPlace) throws -> StoredManifest? {
    let key = keys.manifest(place.checkpoint, of: place.upload)
    return try record(key).map { try StoredManifest($0, key: key, id: place.checkpoint) }
  }

  /// The manifest of a published checkpoint, held against what the log says.
  package func manifest(of checkpoint: PublishedCheckpoint) throws -> StoredManifest {
    let key = keys.manifest(checkpoint.id, of: checkpoint.upload)
    guard let bytes = try record(key) else {
      throw Corruption(file: key, offset: 0, what: "file", expected: "there", found: "missing")
    }
    guard UInt64(bytes.count) == checkpoint.manifestBytes,
      SHA256.digest(of: bytes) == checkpoint.manifestDigest
    else {
      throw Corruption(
        file: key, offset: 0, what: "SHA-256", expected: checkpoint.manifestDigest.hexadecimal,
        found: SHA256.digest(of: bytes).hexadecimal)
    }
    return try StoredManifest(bytes, key: key, id: checkpoint.id)
  }

  /// The ids below `intents/` or `leases/`.
  func ids(below prefix: String) throws -> [UploadID] {
    try storage.list(prefix).compactMap { StorageKeys.id(of: $0.key, below: prefix) }
  }

  /// Puts or renews a lease.
  package func put(_ lease: StorageLease, as id: UploadID) throws {
    let key = keys.lease(id)
    try storage.put(lease.encoded(for: key), as: key)
  }

  /// Deletes what is of no use any more and would be found as garbage later: that it failed changes
  /// nothing, and what went before is what counts.
  func discard(_ discarded: [String]) {
    do {
      try storage.delete(discarded)
    } catch {
      return
    }
  }
}

extension PublishedCheckpoint {
  /// Where its manifest is.
  var place: StorageLease.ManifestPlace { .init(upload: upload, checkpoint: id) }
}

/// A lease that is renewed while its holder is at work. Thread-safe.
final class HeldLease: Sendable {
  private struct State {
    var lease: StorageLease
    var renewedNanos: UInt64
  }

  let id: UploadID
  private let area: CheckpointArea
  private let clock: any Clock
  private let state: Mutex<State>

  /// Far below the shortest grace period there may be.
  private static let renewalNanos: UInt64 = 60_000_000_000

  /// Puts a lease.
  init(
    _ area: CheckpointArea, id: UploadID, clock: any Clock,
    _ fill: (inout StorageLease) -> Void
  ) throws {
    self.area = area
    self.id = id
    self.clock = clock
    var lease = StorageLease(renewedMillis: clock.nowMillis())
    fill(&lease)
    state = Mutex(State(lease: lease, renewedNanos: clock.monotonicNanos()))
    try area.put(lease, as: id)
  }

  /// Renews it if it is time.
  func keepAlive() throws {
    let due = state.withLock { state -> StorageLease? in
      let now = clock.monotonicNanos()
      guard now &- state.renewedNanos >= Self.renewalNanos else { return nil }
      state.renewedNanos = now
      state.lease.renewedMillis = clock.nowMillis()
      return state.lease
    }
    if let due { try area.put(due, as: id) }
  }
}
