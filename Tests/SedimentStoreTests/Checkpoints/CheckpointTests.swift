import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Making, listing and restoring checkpoints.
@Suite struct CheckpointTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  @Test(arguments: [CheckpointHarness.forever, CheckpointHarness.logged])
  func eachCheckpointHoldsWhatWasThereWhenItWasMade(options: KeyspaceOptions) throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", options)
    var ids: [String] = []
    for round in 0..<4 {
      try Harness.insert(round, into: seen)
      ids.append(try store.checkpoint(to: "/backups").id)
    }
    try Harness.insert(4, into: seen)
    try store.commitEpoch()
    try store.close()
    for (round, id) in ids.enumerated() {
      let rounds = try Harness.rounds(
        ofCheckpoint: id, upTo: 6, disk, restoringTo: "/restored-\(round)")
      #expect(rounds == Array(0...round))
    }
    let live = try Harness.open(disk)
    #expect(try Harness.rounds(of: live, upTo: 6) == [0, 1, 2, 3, 4])
    try live.close()
  }

  @Test func withoutCommittingItHoldsTheLastEpoch() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    try Harness.insert(0, into: seen)
    try store.commitEpoch(metadata: [7])
    try Harness.insert(1, into: seen)
    let info = try store.checkpoint(to: "/backups", committing: false)
    #expect(info.metadata == [7] && info.epoch == store.lastEpoch.id)
    try store.close()
    #expect(try Harness.rounds(ofCheckpoint: info.id, upTo: 2, disk, restoringTo: "/r") == [0])
  }

  @Test func listIsNewestFirstWhateverTheClock() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    var ids: [String] = []
    for round in 0..<3 {
      try Harness.insert(round, into: seen)
      ids.append(try store.checkpoint(to: "/backups").id)
    }
    try store.close()
    let checkpoints = try Checkpoints(at: "/backups", fileSystem: disk)
    #expect(try checkpoints.list().map(\.id) == ids.reversed())
    #expect(try checkpoints.read(nil).id == ids.last)
    #expect(try checkpoints.unreadable().isEmpty)
  }

  @Test func aRestoredStoreGoesOn() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    try Harness.insert(0, into: seen)
    let info = try store.checkpoint(to: "/backups")
    try store.close()
    try StateStore.restore(
      checkpoint: CheckpointReference(path: "/backups/\(info.id).checkpoint"), to: "/again",
      fileSystem: disk)
    let again = try Harness.open(disk, at: "/again")
    #expect(again.identity == store.identity && again.lastEpoch.id.epoch == info.epoch.epoch)
    try Harness.insert(1, into: try #require(again.keyspace(named: "seen")))
    try again.checkpoint(to: "/backups")
    try again.close()
    #expect(try Harness.rounds(ofCheckpoint: nil, upTo: 3, disk, restoringTo: "/r") == [0, 1])
  }

  @Test func batchesOfAnEarlierProcessAreInTheNextCheckpoint() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.logged)
    try Harness.insert(0, into: seen)
    // The process ends; the batch is in the log, in no epoch.
    let after = disk.clone()
    let again = try Harness.open(after)
    let info = try again.checkpoint(to: "/backups")
    try again.close()
    #expect(try Harness.rounds(ofCheckpoint: info.id, upTo: 2, after, restoringTo: "/r") == [0])
    #expect(
      try Harness.rounds(
        ofCheckpoint: info.id, upTo: 2, after.crashed(.nothing), restoringTo: "/r2") == [0])
  }

  @Test func aCheckpointBesideAPendingEpochHoldsTheEpochBefore() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    try Harness.insert(0, into: seen)
    try store.commitEpoch()
    try Harness.insert(1, into: seen)
    let pending = try store.beginEpoch()
    try Harness.insert(2, into: seen)
    let error = #expect(throws: StoreError.self) { try store.checkpoint(to: "/backups") }
    #expect(error?.code == .invalidArgument)
    let before = try store.checkpoint(to: "/backups", committing: false)
    try store.commit(pending)
    let middle = try store.checkpoint(to: "/backups", committing: false)
    let after = try store.checkpoint(to: "/backups")
    try store.close()
    for (info, rounds) in [(before, [0]), (middle, [0, 1]), (after, [0, 1, 2])] {
      #expect(
        try Harness.rounds(
          ofCheckpoint: info.id, upTo: 4, disk, restoringTo: "/r-\(info.id)") == rounds)
    }
    let live = try Harness.open(disk)
    #expect(try Harness.rounds(of: live, upTo: 4) == [0, 1, 2])
    try live.close()
  }

  @Test func aNewIdentityIsAnotherJobs() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    try store.checkpoint(to: "/backups")
    try store.close()
    try StateStore.restore(
      checkpoint: CheckpointReference(path: "/backups"), to: "/new", identity: .new,
      fileSystem: disk)
    let new = try Harness.open(disk, at: "/new")
    #expect(new.identity != store.identity)
    #expect(try Harness.rounds(of: new, upTo: 2) == [0])
    try new.close()
  }

  /// The order is the point: objects before the manifest, the manifest before its name.
  @Test func theFileOperationsOfACheckpoint() throws {
    let recorder = RecordingFileSystem(disk)
    let store = try Harness.open(recorder)
    let seen = try store.keyspace("seen", Harness.forever)
    try Harness.insert(0, into: seen)
    try store.checkpoint(to: "/backups")
    try Harness.insert(1, into: seen)
    try store.commitEpoch()
    _ = recorder.takeLines()
    let info = try store.checkpoint(to: "/backups", committing: false)
    let lines = recorder.takeLines().map(Self.withoutRandomNumbers)
    try store.close()
    #expect(info.newFiles == 1)
    let manifest = "/backups/chk-000000000002-000001-ID.checkpoint"
    let temporary = "/backups/.new-chk-000000000002-000001-ID.checkpoint"
    #expect(
      lines == [
        "lock /backups/LOCK",
        "link 000000000004.log /backups/objects/000000000004-ID-2560.log",
        "sync-dir /backups/objects",
        "create \(temporary)",
        "write \(temporary) 0+224",
        "sync \(temporary)",
        "rename \(temporary) \(manifest)",
        "sync-dir /backups",
        "unlock /backups/LOCK",
      ])
  }

  /// Every word of 16 hexadecimal digits becomes `ID`.
  private static func withoutRandomNumbers(_ line: String) -> String {
    line.split(separator: " ").map { word in
      word.split(separator: "-", omittingEmptySubsequences: false).map { part in
        let stem = part.prefix { $0.isHexDigit }
        return stem.count == 16 ? "ID" + part.dropFirst(16) : String(part)
      }.joined(separator: "-")
    }.joined(separator: " ")
  }
}
