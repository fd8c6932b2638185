import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Checkpoints in storage: what is uploaded, what comes back, what is left after every failure.
@Suite struct StorageCheckpointTests {
  private typealias Harness = StorageHarness

  private let disk = MemoryFileSystem()
  private let storage = MemoryStorage()
  private let clock = ManualClock(millis: 1_700_000_000_000)

  private func seen(_ store: StateStore) throws -> HashedKeyspace {
    try store.keyspace("seen", CheckpointHarness.forever)
  }

  @Test(arguments: [1, 4])
  func aCheckpointComesBackOnAnotherMachine(transfers: Int) throws {
    let store = try Harness.open(disk, clock)
    let keyspace = try seen(store)
    var ids: [String] = []
    for round in 0..<3 {
      try CheckpointHarness.insert(round, into: keyspace)
      ids.append(try store.checkpoint(to: storage, transfers: transfers).id)
    }
    try store.close()
    for (index, id) in ids.enumerated() {
      #expect(try Harness.rounds(storage, id, upTo: 4, clock) == Array(0...index))
    }
    #expect(try Harness.rounds(storage, upTo: 4, clock) == [0, 1, 2])
    let checkpoints = try StoredCheckpoints(in: storage)
    #expect(try checkpoints.list().map(\.id) == ids.reversed())
    #expect(checkpoints.identity == store.identity)
  }

  @Test func onlyNewObjectsAreUploaded() throws {
    let store = try Harness.open(disk, clock)
    let keyspace = try seen(store)
    try CheckpointHarness.insert(0, into: keyspace)
    let first = try store.checkpoint(to: storage)
    #expect(first.newFiles == first.tableCount + first.logCount)
    try CheckpointHarness.insert(1, into: keyspace)
    let second = try store.checkpoint(to: storage)
    #expect(second.newFiles == second.tableCount + second.logCount - first.newFiles)
    #expect(storage.putFiles.count == first.newFiles + second.newFiles)
    #expect(
      Set(storage.putFiles.map { $0.split(separator: "/").last }).count == storage.putFiles.count)
    try store.close()
  }

  @Test func bothKindsOfKeyspacesComeBack() throws {
    let store = try Harness.open(disk, clock)
    let logged = try store.keyspace("logged", CheckpointHarness.logged)
    try CheckpointHarness.insert(0, into: logged)
    let ordered = try store.orderedKeyspace("ordered")
    try ordered.put([1], [2])
    try store.checkpoint(to: storage)
    try ordered.put([3], [4])
    try store.close()
    let other = MemoryFileSystem()
    try StateStore.restore(from: storage, to: "/state", fileSystem: other, clock: clock)
    let restored = try Harness.open(other, clock)
    #expect(try CheckpointHarness.rounds(of: restored, "logged", upTo: 2) == [0])
    let keyspace = try restored.orderedKeyspace("ordered")
    #expect(try keyspace.get([1]) == [2])
    #expect(try keyspace.get([3]) == nil)
    try restored.close()
  }

  @Test func whoComesLaterSupersedesAndWhoWasBeforeStops() throws {
    let first = try Harness.open(disk, clock)
    try CheckpointHarness.insert(0, into: try seen(first))
    try first.checkpoint(to: storage)
    let machines = [MemoryFileSystem(), MemoryFileSystem()]
    for machine in machines {
      try StateStore.restore(from: storage, to: "/state", fileSystem: machine, clock: clock)
    }
    let second = try Harness.open(machines[0], clock)
    let third = try Harness.open(machines[1], clock)
    try second.checkpoint(to: storage)
    #expect(
      #expect(throws: StoreError.self) { try first.checkpoint(to: storage) }?.code == .superseded)
    #expect(
      #expect(throws: StoreError.self) { try third.checkpoint(to: storage) }?.code == .superseded)
    try second.checkpoint(to: storage)
    for store in [first, second, third] { try store.close() }
    // However often it is opened, until it is told to.
    for _ in 0..<5 { try Harness.open(disk, clock).close() }
    let again = try Harness.open(disk, clock)
    #expect(
      #expect(throws: StoreError.self) { try again.checkpoint(to: storage) }?.code == .superseded)
    try again.checkpoint(to: storage, supersedes: true)
    try again.checkpoint(to: storage)
    try again.close()
    let reopened = try Harness.open(machines[0], clock)
    #expect(
      #expect(throws: StoreError.self) { try reopened.checkpoint(to: storage) }?.code == .superseded
    )
    try reopened.close()
    // Whoever goes back to an older checkpoint is later than all.
    let oldest = try #require(try StoredCheckpoints(in: storage).list().last)
    let machine = MemoryFileSystem()
    try StateStore.restore(
      from: storage, id: oldest.id, to: "/state", fileSystem: machine, clock: clock)
    let fourth = try Harness.open(machine, clock)
    try fourth.checkpoint(to: storage)
    try fourth.close()
  }

  @Test func whoMayFollowWhom() {
    let mine = StoreIdentity(high: 1, low: 1)
    let other = StoreIdentity(high: 2, low: 2)
    let writer = StorageWriter(directory: mine, opening: mine, base: 5)
    func mayFollow(
      _ directory: StoreIdentity, _ opening: StoreIdentity, _ epoch: UInt64, at sequence: UInt64
    ) -> Bool {
      let published = PublishedCheckpoint(
        id: CheckpointID(epoch: 1, writerEpoch: epoch, content: 1), createdMillis: 0,
        writer: StorageWriter(directory: directory, opening: opening, base: 0),
        upload: UploadID(millis: 0), manifest: [])
      return writer.mayFollow(published, at: sequence, writerEpoch: 7)
    }
    #expect(mayFollow(other, other, 9, at: 5))
    #expect(!mayFollow(other, other, 1, at: 6))
    #expect(mayFollow(mine, mine, 7, at: 6))
    #expect(mayFollow(mine, other, 6, at: 6))
    // A copy of the directory, or an opening that was later.
    #expect(!mayFollow(mine, other, 7, at: 6))
  }

  @Test func storesShareAStorageAndNoKeys() throws {
    let one = try Harness.open(disk, clock, at: "/one")
    let two = try Harness.open(disk, clock, at: "/two")
    try one.checkpoint(to: storage)
    try two.checkpoint(to: storage)
    #expect(
      #expect(throws: StoreError.self) { try StoredCheckpoints(in: storage) }?.code
        == .invalidArgument)
    for store in [one, two] {
      #expect(try StoredCheckpoints(in: storage, of: store.identity).list().count == 1)
      try store.close()
    }
    #expect(
      #expect(throws: StoreError.self) { try StoredCheckpoints(in: storage, of: .random()) }?.code
        == .notFound)
  }

  @Test func aDamagedObjectIsNeverRestored() throws {
    let store = try Harness.open(disk, clock)
    try CheckpointHarness.insert(0, into: try seen(store))
    try store.checkpoint(to: storage)
    try store.close()
    for key in storage.keys where !key.hasPrefix("stores/") {
      storage.damage(key)
      let target = MemoryFileSystem()
      let error = #expect(throws: StoreError.self) {
        try StateStore.restore(from: storage, to: "/state", fileSystem: target, clock: clock)
      }
      #expect(error?.code == .corrupted, "\(key)")
      if storage.putFiles.contains(key) {
        #expect(try StoredCheckpoints(in: storage).verify().map(\.file) == [key])
        // What is downloaded in part is no store.
        #expect(
          #expect(throws: StoreError.self) { try Harness.open(target, clock) }?.code == .notFound)
      }
      storage.damage(key)
    }
    #expect(try Harness.rounds(storage, upTo: 2, clock) == [0])
  }

  // MARK: - Crashes

  /// A store of one round and one checkpoint on a disk, and the storage with it.
  private func withDeath(
    _ body: (MemoryFileSystem, MemoryStorage, ManualClock) throws -> Void,
    atEvery check: (MemoryFileSystem, MemoryStorage, ManualClock, Comment) throws -> Void
  ) throws {
    for fault in [MemoryStorage.Fault.before, .after] {
      for call in 0..<200 {
        let disk = MemoryFileSystem()
        let storage = MemoryStorage()
        let clock = ManualClock(millis: 1_700_000_000_000)
        let store = try Harness.open(disk, clock)
        try CheckpointHarness.insert(0, into: try seen(store))
        try store.checkpoint(to: storage, transfers: 1)
        try CheckpointHarness.insert(1, into: try seen(store))
        try store.commitEpoch()
        try store.close()
        storage.die(atCall: call, fault)
        let before = storage.callCount
        var isDone = false
        do {
          try body(disk, storage, clock)
          isDone = true
        } catch let error as StoreError {
          #expect(error.code == .inputOutput)
        }
        let calls = storage.callCount - before
        storage.revive()
        try check(disk, storage, clock, "\(fault) call \(call)")
        if isDone, calls <= call { break }
      }
    }
  }

  @Test func anUploadThatDiesAtAnyRequestLosesNothing() throws {
    try withDeath { disk, storage, clock in
      let store = try Harness.open(disk, clock)
      defer { try? store.close() }
      try store.checkpoint(to: storage, transfers: 1)
    } atEvery: { disk, storage, clock, comment in
      try Harness.check(storage, clock, atLeast: 1, comment)
      let store = try Harness.open(disk, clock)
      try CheckpointHarness.insert(2, into: try seen(store))
      try store.checkpoint(to: storage, transfers: 1)
      try store.close()
      try Harness.check(storage, clock, atLeast: 2, comment)
      #expect(try Harness.rounds(storage, upTo: 4, clock) == [0, 1, 2], comment)
      // Nothing was uploaded twice.
      let names = storage.putFiles.map { $0.split(separator: "/").last }
      #expect(Set(names).count == names.count, comment)
      let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
      try checkpoints.retain(1)
      clock.advance(byMillis: 25 * Harness.hour)
      try checkpoints.collectGarbage(dryRun: false)
      #expect(try checkpoints.collectGarbage().files.isEmpty, comment)
      try Harness.check(storage, clock, atLeast: 1, comment)
      #expect(!storage.keys.contains { $0.contains("/intents/") || $0.contains("/leases/") })
    }
  }

  /// What a small one leaves is not used again, and goes when it is old.
  @Test func aSmallUploadThatDiesAtAnyRequestLosesNothing() throws {
    try withDeath { disk, storage, clock in
      let store = try Harness.open(disk, clock, hasSmallUploads: true)
      defer { try? store.close() }
      try store.checkpoint(to: storage, transfers: 1)
    } atEvery: { disk, storage, clock, comment in
      try Harness.check(storage, clock, atLeast: 1, comment)
      #expect(!storage.keys.contains { $0.contains("/intents/") || $0.contains("/leases/") })
      let store = try Harness.open(disk, clock, hasSmallUploads: true)
      try CheckpointHarness.insert(2, into: try seen(store))
      try store.checkpoint(to: storage, transfers: 1)
      try store.close()
      try Harness.check(storage, clock, atLeast: 2, comment)
      #expect(try Harness.rounds(storage, upTo: 4, clock) == [0, 1, 2], comment)
      let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
      try checkpoints.retain(1)
      clock.advance(byMillis: 25 * Harness.hour)
      try checkpoints.collectGarbage(dryRun: false)
      #expect(try checkpoints.collectGarbage().files.isEmpty, comment)
      try Harness.check(storage, clock, atLeast: 1, comment)
    }
  }

  @Test func aCollectionThatDiesAtAnyRequestIsEndedByTheNext() throws {
    try withDeath { disk, storage, clock in
      let store = try Harness.open(disk, clock)
      defer { try? store.close() }
      try store.checkpoint(to: storage, transfers: 1)
      let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
      try checkpoints.retain(1)
      clock.advance(byMillis: 25 * Harness.hour)
      try checkpoints.collectGarbage(dryRun: false)
    } atEvery: { disk, storage, clock, comment in
      try Harness.check(storage, clock, atLeast: 1, comment)
      clock.advance(byMillis: 25 * Harness.hour)
      let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
      try checkpoints.collectGarbage(dryRun: false)
      #expect(try checkpoints.collectGarbage().files.isEmpty, comment)
      let store = try Harness.open(disk, clock)
      try store.checkpoint(to: storage, transfers: 1)
      try store.close()
      try Harness.check(storage, clock, atLeast: 1, comment)
    }
  }

  @Test func aRestoreThatDiesAtAnyRequestGoesOn() throws {
    let path = "/target"
    try withDeath { disk, storage, clock in
      let store = try Harness.open(disk, clock)
      try store.checkpoint(to: storage, transfers: 1)
      try store.close()
      try StateStore.restore(
        from: storage, to: path, transfers: 1, fileSystem: disk, clock: clock)
    } atEvery: { disk, storage, clock, comment in
      if try (try? disk.openDirectory(at: path, creating: false))?.metadata(of: "CURRENT") == nil {
        try StateStore.restore(
          from: storage, to: path, transfers: 1, fileSystem: disk, clock: clock)
      }
      let store = try Harness.open(disk, clock, at: path)
      #expect(try CheckpointHarness.rounds(of: store, upTo: 3).starts(with: [0]), comment)
      try store.close()
    }
  }

  @Test func powerLossAtAnyStepOfARestoreLeavesAWholeStoreOrNone() throws {
    let store = try Harness.open(disk, clock)
    for round in 0..<3 {
      try CheckpointHarness.insert(round, into: try seen(store))
      try store.commitEpoch()
    }
    try store.checkpoint(to: storage)
    try store.close()
    var wholeCount = 0
    for step in 0..<60 {
      let target = MemoryFileSystem()
      target.stopAfterMutations = step
      _ = try? StateStore.restore(
        from: storage, to: "/state", transfers: 1, fileSystem: target, clock: clock)
      var generator = SeededGenerator(seed: UInt64(step))
      for left in [
        target.crashed(.nothing), target.crashed(.everything), target.crashed(using: &generator),
      ] {
        let again = left.clone()
        do {
          try StateStore.restore(
            from: storage, to: "/state", transfers: 1, fileSystem: again, clock: clock)
        } catch {
          #expect(error.code == .alreadyExists, "step \(step)")
          wholeCount += 1
        }
        let restored = try Harness.open(again, clock)
        #expect(try CheckpointHarness.rounds(of: restored, upTo: 4) == [0, 1, 2], "step \(step)")
        try restored.close()
      }
    }
    #expect(wholeCount > 2)
  }

  @Test func aRestoreGoesOnWhereItEnded() throws {
    let store = try Harness.open(disk, clock)
    try CheckpointHarness.insert(0, into: try seen(store))
    let info = try store.checkpoint(to: storage)
    try store.close()
    let target = MemoryFileSystem()
    storage.damage(storage.putFiles[storage.putFiles.count - 1])
    #expect(throws: StoreError.self) {
      try StateStore.restore(
        from: storage, to: "/state", transfers: 1, fileSystem: target, clock: clock)
    }
    #expect(
      #expect(throws: StoreError.self) {
        try StateStore.restore(
          checkpoint: CheckpointReference(path: "/state"), to: "/state", fileSystem: target)
      }?.code == .notFound)
    storage.damage(storage.putFiles[storage.putFiles.count - 1])
    let before = storage.readBytes
    try StateStore.restore(
      from: storage, to: "/state", transfers: 1, fileSystem: target, clock: clock)
    #expect(info.logCount + info.tableCount > 0)
    let restored = try Harness.open(target, clock)
    #expect(try CheckpointHarness.rounds(of: restored, upTo: 2) == [0])
    try restored.close()
    #expect(storage.readBytes > before)
  }

  // MARK: - Retention

  @Test func retentionKeepsTheNewestAndTheProtectedAndAllThatAreNewer() throws {
    let store = try Harness.open(disk, clock)
    var ids: [String] = []
    for _ in 0..<6 { ids.append(try store.checkpoint(to: storage).id) }
    try store.close()
    let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
    #expect(try checkpoints.retain(2, protecting: [ids[1], "chk-unknown"]) == [ids[0]])
    #expect(
      #expect(throws: StoreError.self) { try checkpoints.delete(ids[5]) }?.code == .invalidArgument)
    try checkpoints.delete(ids[3])
    #expect(try checkpoints.list().map(\.id) == [5, 4, 2, 1].map { ids[$0] })
    #expect(try checkpoints.retain(2) == [ids[1], ids[2]])
    #expect(try checkpoints.list().map(\.id) == [ids[5], ids[4]])
    #expect(
      #expect(throws: StoreError.self) { try checkpoints.read(ids[0]) }?.code == .notFound)
    // Numbers go on, and no number is given twice.
    let log = storage.keys.filter { $0.contains("/log/") }
    #expect(log.map { $0.suffix(2) } == ["05", "06"])
  }

  @Test func garbageIsNamedFirstAndGoesWhenItIsOldEnough() throws {
    let store = try Harness.open(disk, clock)
    try CheckpointHarness.insert(0, into: try seen(store))
    try store.checkpoint(to: storage)
    try CheckpointHarness.insert(1, into: try seen(store))
    try store.checkpoint(to: storage)
    try store.compact()
    try store.checkpoint(to: storage)
    let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
    try checkpoints.retain(1)
    #expect(try checkpoints.collectGarbage(dryRun: false).files.isEmpty)
    clock.advance(byMillis: 23 * Harness.hour)
    #expect(try checkpoints.collectGarbage(dryRun: false).files.isEmpty)
    clock.advance(byMillis: 2 * Harness.hour)
    let keys = storage.keys
    let named = try checkpoints.collectGarbage()
    #expect(!named.files.isEmpty && named.bytes > 0)
    #expect(storage.keys == keys)
    #expect(try checkpoints.collectGarbage(dryRun: false) == named)
    #expect(Set(keys).subtracting(storage.keys) == Set(named.files))
    #expect(try Harness.rounds(storage, upTo: 3, clock) == [0, 1])
    try store.checkpoint(to: storage)
    try store.close()
  }
}
