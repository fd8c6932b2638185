import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Checkpoint storage in a directory: the contract, power loss, and a store on it.
@Suite struct DirectoryStorageTests {
  private let disk = MemoryFileSystem()
  private let clock = ManualClock(millis: 1_700_000_000_000)

  private func storage(_ disk: MemoryFileSystem) throws -> DirectoryStorage {
    try DirectoryStorage(at: "/shared", fileSystem: disk, clock: clock)
  }

  @Test func keysHoldWhatWasPut() throws {
    let storage = try storage(disk)
    #expect(try storage.read("a/b", 0..<10) == nil)
    try storage.put([1, 2, 3], as: "a/b")
    try storage.put([4], as: "a/c/d")
    #expect(try storage.read("a/b", 0..<10) == [1, 2, 3])
    #expect(try storage.read("a/b", 1..<2) == [2])
    #expect(try storage.read("a/b", 3..<9) == [])
    #expect(try storage.read("a/b/c", 0..<1) == nil)
    try storage.put([5, 6], as: "a/b")
    #expect(try storage.list("a/") == [.init(key: "a/b", bytes: 2), .init(key: "a/c/d", bytes: 1)])
    #expect(try storage.list("a/c/") == [.init(key: "a/c/d", bytes: 1)])
    #expect(try storage.list("x/").isEmpty)
    #expect(try storage.putIfAbsent([7], as: "a/b") == false)
    #expect(try storage.putIfAbsent([7], as: "a/e"))
    #expect(try storage.read("a/b", 0..<9) == [5, 6])
    try storage.delete(["a/b", "a/none", "none/x", "a/c/d"])
    #expect(try storage.list("a/").map(\.key) == ["a/e"])
  }

  @Test func namesThatLeadOutAreRefused() throws {
    let storage = try storage(disk)
    for key in ["../x", "a/../../x", "a/./b", ""] {
      #expect(throws: StoreError.self, "\(key)") { try storage.put([1], as: key) }
    }
  }

  @Test func aFileIsPutAsFarAsItCounts() throws {
    let directory = try disk.openDirectory(at: "/files", creating: true)
    let file = try directory.openFile("f", .create)
    let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0) }
    try file.write(content, at: 0)
    let storage = try storage(disk)
    try storage.put(file, bytes: 2_500_000, as: "a/f")
    #expect(try storage.read("a/f", 0..<4_000_000) == Array(content.prefix(2_500_000)))
    #expect(throws: StoreError.self) { try storage.put(file, bytes: 3_000_001, as: "a/g") }
    #expect(try storage.list("a/").map(\.key) == ["a/f"])
  }

  /// As of an epoch of a second. A directory is synchronised for each name in it, and those above
  /// only where they are new.
  @Test func aSmallCheckpointSynchronisesWhatItPutsAndNoMore() throws {
    let recording = RecordingFileSystem(disk)
    let storage = try DirectoryStorage(at: "/shared", fileSystem: recording, clock: clock)
    let store = try StorageHarness.open(MemoryFileSystem(), clock, hasSmallUploads: true)
    let keyspace = try store.keyspace("seen", CheckpointHarness.forever)
    for round in 0..<3 {
      try CheckpointHarness.insert(round, into: keyspace)
      _ = recording.takeLines()
      let made = try store.checkpoint(to: storage)
      guard round > 0 else { continue }
      // Objects, manifest, entry of the log.
      let puts = made.newFiles + 2
      let lines = recording.takeLines().filter { $0.hasPrefix("sync") }
      #expect(lines.count { $0.hasPrefix("sync ") } == puts)
      #expect(lines.count { $0.hasPrefix("sync-dir ") } == puts + 1, "\(lines)")
    }
    try store.close()
  }

  @Test func aDirectoryThatWentMeanwhileIsSynchronisedAgain() throws {
    let storage = try storage(disk)
    try storage.put([1], as: "a/b/c")
    try storage.delete(["a/b/c"])
    #expect(try storage.unfinished("a/", before: .max, removing: true).isEmpty)
    #expect(try disk.openDirectory(at: "/shared/a", creating: false).entries().count == 1, "stays")
    #expect(try storage.unfinished("", before: .max, removing: true).isEmpty)
    #expect(try disk.openDirectory(at: "/shared/a", creating: false).entries().isEmpty)
    try storage.put([2], as: "a/b/c")
    #expect(try self.storage(disk.crashed(.nothing)).read("a/b/c", 0..<9) == [2])
  }

  @Test func whatWasPutOutlastsALossOfPower() throws {
    let trial = MemoryFileSystem()
    try storage(trial).put([1, 2], as: "a/b/c")
    let whole = try storage(trial.crashed(.nothing)).read("a/b/c", 0..<9)
    #expect(whole == [1, 2])
    let count = trial.mutationCount
    for step in 0..<count {
      let disk = MemoryFileSystem()
      disk.stopAfterMutations = step
      _ = try? storage(disk).put([1, 2], as: "a/b/c")
      var generator = SeededGenerator(seed: UInt64(step))
      let found = try storage(disk.crashed(using: &generator)).read("a/b/c", 0..<9)
      #expect(found == nil || found == [1, 2], "step \(step)")
    }
  }

  @Test func leftoversGoWhenTheyAreOldAndEmptyDirectoriesWithThem() throws {
    let probe = MemoryFileSystem()
    try storage(probe).put([1, 2], as: "a/b/c/d")
    let disk = MemoryFileSystem()
    // Before the name, so that the temporary file stays.
    disk.stopAfterMutations = probe.mutationCount - 2
    _ = try? storage(disk).put([1, 2], as: "a/b/c/d")
    let left = disk.clone()
    let storage = try storage(left)
    let begun = clock.nowMillis()
    #expect(try storage.unfinished("a/", before: begun, removing: true).isEmpty)
    let found = try storage.unfinished("a/", before: begun + 1, removing: false)
    #expect(found.count == 1 && found[0].key.hasPrefix("a/b/c/.new-"))
    #expect(try storage.list("a/").isEmpty)
    #expect(try storage.unfinished("a/", before: begun + 1, removing: true) == found)
    #expect(try storage.unfinished("a/", before: begun + 1, removing: true).isEmpty)
    // Those that every store has stay: others may remember that they are there.
    let top = try left.openDirectory(at: "/shared/a/b", creating: false)
    #expect(try top.entries().isEmpty)
    try storage.put([1], as: "a/b/c/d")
  }

  @Test func ofManyWhoPutWhatIsAbsentOneDoes() throws {
    let storage = try storage(disk)
    let threads = try (0..<8).map { index in
      try JoinedThread {
        for round in 0..<20 {
          do {
            let isFirst = try storage.putIfAbsent([UInt8(index)], as: "log/\(round)")
            if isFirst { _ = try storage.putIfAbsent([1], as: "won/\(round)-\(index)") }
          } catch {
            Issue.record(error)
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(try storage.list("won/").count == 20)
    for object in try storage.list("won/") {
      let parts = object.key.dropFirst(4).split(separator: "-")
      #expect(try storage.read("log/\(parts[0])", 0..<9) == UInt8(parts[1]).map { [$0] })
    }
  }

  @Test func aStoreKeepsItsCheckpointsThere() throws {
    let shared = MemoryFileSystem()
    let storage = try storage(shared)
    let store = try StorageHarness.open(disk, clock)
    let seen = try store.keyspace("seen", CheckpointHarness.forever)
    for round in 0..<3 {
      try CheckpointHarness.insert(round, into: seen)
      try store.checkpoint(to: storage)
    }
    try store.close()
    let left = try self.storage(shared.crashed(.nothing))
    try StorageHarness.check(left, clock, atLeast: 3, "after a loss of power")
    let checkpoints = try StoredCheckpoints(in: left, clock: clock)
    try checkpoints.retain(1)
    clock.advance(byMillis: 25 * StorageHarness.hour)
    try checkpoints.collectGarbage(dryRun: false)
    #expect(try StorageHarness.rounds(left, upTo: 4, clock) == [0, 1, 2])
  }
}
