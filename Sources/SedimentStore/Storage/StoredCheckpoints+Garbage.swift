// Removing what no checkpoint needs from checkpoint storage.
//
//   1. list the objects
//   2. read intents, leases and the log, in this order, until two readings in a row are the same:
//      then there was a moment between the two at which all of that held at once
//   3. decide (`StorageGarbage`)
//   4. delete the intents that are too old: who has not looked for his yet gives up
//   5. put a fence around all uploads of which something goes, behind the log as it was read: who
//      publishes later reads it, and who was faster takes its place, and all begins anew
//   6. delete the objects and the leases
//
// Deleting may take its time or be cut short: an object that is garbage stays it, and no key is
// ever put again.
//
// Safety rests on no clock, only on the log and on what was put before being seen by who looks
// later. Clocks decide who counts as gone: with wrong ones an upload or a restore fails, and is
// begun anew.

internal import SedimentIO

extension StoredCheckpoints {
  /// How often the storage is read until nothing changes, and a fence is put.
  private static let triesMax = 32

  /// Removes the objects that nobody needs, and what uploads and restores left behind that were
  /// cut short.
  ///
  /// - Parameters:
  ///   - gracePeriod: how long an upload or a restore may be silent before it counts as gone; more
  ///     than two minutes.
  ///   - dryRun: only says what would go.
  /// - Throws: `corrupted` when a manifest cannot be read: what it needs is not known;
  ///   `inputOutput` when others change too much meanwhile.
  @discardableResult
  public func collectGarbage(
    gracePeriod: Duration = .seconds(86_400), dryRun: Bool = true
  ) throws(StoreError) -> GarbageReport {
    try wrapping {
      let grace = gracePeriod.components.seconds
      guard (120...Int64.max / 1_000).contains(grace) else {
        throw StoreError(.invalidArgument, "a grace period is longer than two minutes")
      }
      for _ in 0..<Self.triesMax {
        if let report = try collect(graceMillis: grace * 1_000, dryRun: dryRun) { return report }
      }
      throw StoreError(
        .inputOutput, "others publish in \(area.storage.location) all the time: try again later")
    }
  }

  /// - Returns: `nil` when somebody published meanwhile.
  private func collect(graceMillis: Int64, dryRun: Bool) throws -> GarbageReport? {
    let now = clock.nowMillis()
    guard let (snapshot, head) = try takeSnapshot() else { return nil }
    let garbage = StorageGarbage(in: snapshot, keys: area.keys, now: now, grace: graceMillis)
    if !dryRun {
      guard try fence(garbage, behind: head, now: now) else { return nil }
      try area.storage.delete(garbage.objects.map(\.key))
      try area.storage.delete(garbage.leases.map(area.keys.lease))
    }
    let unfinished = try area.storage.unfinished(
      "\(identity)/", before: now - graceMillis, removing: !dryRun)
    let objects = garbage.objects + unfinished
    var report = GarbageReport()
    report.files =
      objects.map(\.key) + garbage.intents.map(area.keys.intent)
      + garbage.leases.map(area.keys.lease)
    report.bytes = objects.reduce(0) { $0 &+ $1.bytes }
    return report
  }

  /// Sees to it that nobody publishes what needs the garbage; `false` when somebody was faster.
  private func fence(
    _ garbage: StorageGarbage, behind head: UInt64, now: Int64
  ) throws -> Bool {
    guard !garbage.uploads.isEmpty else { return true }
    try area.storage.delete(garbage.intents.map(area.keys.intent))
    let fence = LogEntry.fence(UploadFence(garbage.uploads, createdMillis: now))
    guard try area.append(fence, behind: head) else { return false }
    return try area.isInPlace(head + 1)
  }

  /// What changes, as it was read.
  private struct Reading: Equatable {
    var intents: Set<UploadID>
    var leases: [UploadID: StorageLease]
    var entries: [UInt64: LogEntry]
  }

  private func read() throws -> Reading {
    let intents = Set(try area.ids(below: area.keys.intents))
    var leases: [UploadID: StorageLease] = [:]
    for id in try area.ids(below: area.keys.leases) {
      let key = area.keys.lease(id)
      if let bytes = try area.record(key) { leases[id] = try StorageLease(bytes, key: key) }
    }
    var entries: [UInt64: LogEntry] = [:]
    for sequence in try area.sequences() { entries[sequence] = try area.entry(sequence) }
    return Reading(intents: intents, leases: leases, entries: entries)
  }

  /// All that there was at one moment, and the last number of the log; `nil` when a checkpoint went
  /// before it was read.
  private func takeSnapshot() throws -> (StorageSnapshot, head: UInt64)? {
    var snapshot = StorageSnapshot()
    snapshot.objects = try area.storage.list(area.keys.uploads)
    var reading = try read()
    for _ in 0..<Self.triesMax {
      let again = try read()
      if again == reading {
        snapshot.intents = reading.intents
        snapshot.leases = reading.leases
        guard try readManifests(of: reading, into: &snapshot) else { return nil }
        return (snapshot, reading.entries.keys.max() ?? 0)
      }
      reading = again
    }
    throw StoreError(
      .inputOutput, "\(area.storage.location) changes all the time: try again later")
  }

  private func readManifests(
    of reading: Reading, into snapshot: inout StorageSnapshot
  ) throws -> Bool {
    for (sequence, entry) in reading.entries {
      guard let checkpoint = entry.published else { continue }
      guard let manifest = try area.manifest(checkpoint.place) else {
        // Gone with its entry, or damage.
        guard try area.entry(sequence) == entry else { return false }
        _ = try area.manifest(of: checkpoint)
        return false
      }
      snapshot.manifests[checkpoint.place] = manifest
      snapshot.published.insert(checkpoint.place)
    }
    for place in reading.leases.values.flatMap(\.manifests)
    where snapshot.manifests[place] == nil {
      // Whoever named one that was gone sees that it is.
      snapshot.manifests[place] = try area.manifest(place)
    }
    return true
  }
}
