import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Power loss at every step of what makes, restores and removes checkpoints.
///
/// Invariants checked after each
/// 1. Every checkpoint that is listed is whole: it verifies, and restores to the rounds of its
///    epoch.
/// 2. Those that were durable before and were not to be removed are listed.
/// 3. The store itself opens, with no less than the epoch durable before.
/// 4. Making a checkpoint works again; after garbage collection every object is one that is named.
@Suite struct CheckpointCrashTests {
  private typealias Harness = CheckpointHarness

  /// A disk with a store of three rounds and three checkpoints, each a round more.
  private static func prepare() throws -> (disk: MemoryFileSystem, ids: [String]) {
    let disk = MemoryFileSystem()
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    var ids: [String] = []
    for round in 0..<3 {
      try Harness.insert(round, into: seen)
      ids.append(try store.checkpoint(to: "/backups").id)
    }
    try store.close()
    return (disk.crashed(.everything), ids)
  }

  /// Runs `body` with power lost after each of its mutations in turn, and checks what each leaves.
  private func atEveryMutation(
    keeping kept: [Int], _ body: (MemoryFileSystem) throws -> Void
  ) throws {
    let (original, ids) = try Self.prepare()
    let trial = original.clone()
    let start = trial.mutationCount
    try body(trial)
    let count = trial.mutationCount - start
    #expect(count > 3)
    for step in 0..<count {
      let disk = original.clone()
      disk.stopAfterMutations = disk.mutationCount + step
      do {
        try body(disk)
      } catch {
        #expect(error is StoreError)
      }
      var generator = SeededGenerator(seed: UInt64(step))
      let outcomes = [
        disk.crashed(.nothing), disk.crashed(.everything), disk.crashed(using: &generator),
      ]
      for left in outcomes {
        try check(left, ids: ids, kept: kept, "after mutation \(step)")
      }
    }
  }

  private func check(
    _ disk: MemoryFileSystem, ids: [String], kept: [Int], _ comment: Comment
  ) throws {
    let checkpoints = try Checkpoints(at: "/backups", fileSystem: disk)
    #expect(try checkpoints.unreadable().isEmpty, comment)
    let listed = try checkpoints.list().map(\.id)
    for index in kept { #expect(listed.contains(ids[index]), comment) }
    for id in listed {
      #expect(try checkpoints.verify(id).isEmpty, comment)
      let expected = ids.firstIndex(of: id).map { Array(0...$0) } ?? [0, 1, 2, 3]
      #expect(
        try Harness.rounds(ofCheckpoint: id, upTo: 5, disk, restoringTo: "/check-\(id)")
          == expected, comment)
    }
    let store = try Harness.open(disk)
    let rounds = try Harness.rounds(of: store, upTo: 5)
    #expect(rounds.starts(with: [0, 1, 2]), comment)
    let made = try store.checkpoint(to: "/backups")
    try store.close()
    try checkpoints.collectGarbage(dryRun: false)
    #expect(try checkpoints.collectGarbage(dryRun: true).files.isEmpty, comment)
    for id in listed + [made.id] { #expect(try checkpoints.verify(id).isEmpty, comment) }
  }

  @Test func aCrashWhileMakingACheckpointLosesNone() throws {
    try atEveryMutation(keeping: [0, 1, 2]) { disk in
      let store = try Harness.open(disk)
      defer { try? store.close() }
      try Harness.insert(3, into: try #require(store.keyspace(named: "seen")))
      try store.checkpoint(to: "/backups")
    }
  }

  @Test func aCrashWhileRestoringLeavesTheCheckpointsAlone() throws {
    try atEveryMutation(keeping: [0, 1, 2]) { disk in
      try StateStore.restore(
        checkpoint: CheckpointReference(directory: "/backups", id: nil), to: "/restored",
        fileSystem: disk)
    }
  }

  @Test func aCrashWhileRestoringLeavesAWholeStoreOrNone() throws {
    let (original, _) = try Self.prepare()
    var wholeCount = 0
    for step in 0..<40 {
      let disk = original.clone()
      disk.stopAfterMutations = disk.mutationCount + step
      do {
        try StateStore.restore(
          checkpoint: CheckpointReference(directory: "/backups", id: nil), to: "/restored",
          fileSystem: disk)
      } catch {
        #expect(error.code != .corrupted)
      }
      for left in [disk.crashed(.nothing), disk.crashed(.everything)] {
        do {
          let store = try Harness.open(left, at: "/restored")
          if store.keyspaceNames == ["seen"] {
            #expect(try Harness.rounds(of: store, upTo: 4) == [0, 1, 2])
            wholeCount += 1
          } else {
            #expect(store.keyspaceNames.isEmpty && store.lastEpoch.id.epoch == 0)
          }
          try store.close()
        } catch let error as StoreError {
          #expect(error.code == .corrupted)
        }
      }
    }
    #expect(wholeCount > 2)
  }

  @Test func aCrashWhileRemovingLosesOnlyWhatWasToGo() throws {
    try atEveryMutation(keeping: [2]) { disk in
      try Checkpoints(at: "/backups", fileSystem: disk).retain(1)
    }
  }

  @Test func aCrashWhileSweepingLosesNothingThatIsNamed() throws {
    try atEveryMutation(keeping: [1, 2]) { disk in
      let checkpoints = try Checkpoints(at: "/backups", fileSystem: disk)
      try checkpoints.delete(try #require(try checkpoints.list().last).id)
      try checkpoints.collectGarbage(dryRun: false)
    }
  }
}
