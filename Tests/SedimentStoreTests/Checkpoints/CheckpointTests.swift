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
}
