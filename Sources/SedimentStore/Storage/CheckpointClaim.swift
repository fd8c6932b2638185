// Taking a store's checkpoints away from whoever publishes them, without opening the store.
//
//   1. find a checkpoint, put a lease that names it
//   2. publish it once more, in nobody's name: an entry of the log that names the same manifest
//   3. see that the entry stands where it was put
//
// From step 2 on every store that published before is superseded, unless it is told to supersede
// in its turn: so whoever has claimed looks again (`isLast`) before what he made counts.
//
// The lease lasts as long as the claim is in use: entries may be let go meanwhile, objects not.

package import SedimentIO

/// See the file's header.
package struct CheckpointClaim: Sendable {
  /// The checkpoint that was claimed.
  package let info: CheckpointInfo
  /// The claim's number in the log.
  package let sequence: UInt64
  let area: CheckpointArea
  let entry: PublishedCheckpoint
  let manifest: StoredManifest
  let lease: HeldLease

  /// How often an entry is put behind another one.
  private static let triesMax = 64

  /// Claims the newest checkpoint of a store that is asked for.
  ///
  /// - Parameters:
  ///   - isWanted: told what the caller gave with its epoch.
  /// - Returns: `nil` when there is none.
  package static func take(
    _ identity: StoreIdentity, in storage: any CheckpointStorage, clock: any Clock,
    where isWanted: ([UInt8]) throws -> Bool = { _ in true }
  ) throws -> CheckpointClaim? {
    let area = CheckpointArea(storage, of: identity)
    for _ in 0..<triesMax {
      let sequences = try area.sequences()
      guard let last = sequences.last, let found = try find(area, sequences, isWanted) else {
        return nil
      }
      if let claim = try put(found, behind: last, area, clock) { return claim }
    }
    throw StoreError(
      .inputOutput, "others publish in \(storage.location) all the time: stop them first")
  }

  private static func find(
    _ area: CheckpointArea, _ sequences: [UInt64], _ isWanted: ([UInt8]) throws -> Bool
  ) throws -> PublishedCheckpoint? {
    for sequence in sequences.reversed() {
      guard let published = try area.entry(sequence)?.published else { continue }
      let state = try area.manifest(of: published).checkpoint.state
      if try isWanted(state.metadata) { return published }
    }
    return nil
  }

  /// - Returns: `nil` when somebody was faster.
  private static func put(
    _ found: PublishedCheckpoint, behind last: UInt64, _ area: CheckpointArea, _ clock: any Clock
  ) throws -> CheckpointClaim? {
    let lease = try HeldLease(area, id: UploadID(millis: clock.nowMillis()), clock: clock) {
      $0.manifests = [found.place]
    }
    var entry = found
    (entry.directory, entry.opening) = (.random(), .random())
    guard try area.append(.published(entry), behind: last) else {
      area.discard([area.keys.lease(lease.id)])
      return nil
    }
    guard try area.isInPlace(last + 1) else {
      area.discard([area.keys.entry(last + 1), area.keys.lease(lease.id)])
      return nil
    }
    let manifest = try area.manifest(of: entry)
    return CheckpointClaim(
      info: CheckpointInfo(found.id, manifest.checkpoint), sequence: last + 1, area: area,
      entry: entry, manifest: manifest, lease: lease)
  }

  /// Whether nobody has published behind the claim.
  package func isLast() throws -> Bool {
    try area.newest(of: area.sequences())?.checkpoint == entry
  }

  /// Ends the claim's use. What it has published stays.
  package func release() {
    area.discard([area.keys.lease(lease.id)])
  }
}
