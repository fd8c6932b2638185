import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Checkpoints of another number of stores, made of those that there are: every key is where it
/// belongs, whatever is cut short.
@Suite struct CheckpointUnionTests {
  private static let counts = [[3, 5, 2], [1, 4, 6], [4, 4, 1], [2, 3, 4]]

  @Test(arguments: counts, [false, true])
  func everyKeyIsWhereItBelongs(counts: [Int], isByRange: Bool) throws {
    for seed in UInt64(0)..<3 {
      let storage = MemoryStorage()
      var world = UnionWorld(partitions: counts[0], isByRange: isByRange, seed: seed)
      try world.run(rounds: 12, to: storage)
      for (step, count) in counts.enumerated().dropFirst() {
        try world.rescale(to: count, in: storage)
        world.adopt(count)
        try world.check(storage, "seed \(seed), step \(step)", compacting: seed != 1)
        // Goes on there, until all that came along has expired.
        try world.run(rounds: 14, to: storage)
        try world.check(storage, "seed \(seed), behind step \(step)", compacting: true)
      }
    }
  }

  @Test(arguments: [false, true])
  func whateverCallIsTheLastItCanBeDoneAgain(isByRange: Bool) throws {
    let storage = MemoryStorage()
    var world = UnionWorld(partitions: 2, isByRange: isByRange, seed: 4)
    try world.run(rounds: 6, to: storage)
    let callsBefore = storage.callCount
    let trial = storage.clone()
    try world.rescale(to: 3, in: trial)
    let calls = trial.callCount
    #expect(calls > 40)
    var adopted = world
    adopted.adopt(3)
    for fault in [MemoryStorage.Fault.before, .after] {
      for call in 0..<calls {
        let storage = storage.clone()
        storage.die(atCall: call, fault)
        #expect(throws: StoreError.self) { try world.rescale(to: 3, in: storage) }
        storage.revive()
        try world.rescale(to: 3, in: storage)
        guard call % 7 == 0 else { continue }
        try adopted.check(storage, "\(fault) at \(call)", compacting: false)
      }
    }
    #expect(storage.callCount == callsBefore, "the trials left it alone")
  }

  @Test func whatWasCutShortIsGarbageAndNothingElseIs() throws {
    let storage = MemoryStorage()
    var world = UnionWorld(partitions: 2, isByRange: false, seed: 5)
    try world.run(rounds: 6, to: storage)
    storage.die(atCall: 50, .before)
    #expect(throws: StoreError.self) { try world.rescale(to: 3, in: storage) }
    storage.revive()
    try world.rescale(to: 3, in: storage)
    let old = world.identities
    world.adopt(3)
    world.clock.advance(byMillis: 25 * StorageHarness.hour)
    for identity in old + world.identities {
      let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: world.clock)
      try checkpoints.retain(1)
      try checkpoints.collectGarbage(dryRun: false)
      #expect(try checkpoints.verify().isEmpty)
      #expect(try checkpoints.collectGarbage().files.isEmpty)
    }
    try world.check(storage, "behind the collection", compacting: true)
  }

  @Test func whoeverPublishedBeforeIsSuperseded() throws {
    let storage = MemoryStorage()
    var world = UnionWorld(partitions: 2, isByRange: false, seed: 6)
    try world.run(rounds: 4, to: storage)
    let zombie = try world.open(0, from: storage)
    try zombie.checkpoint(to: storage)
    let claim = try #require(
      try CheckpointClaim.take(world.identities[0], in: storage, clock: world.clock))
    #expect(try claim.isLast())
    let error = #expect(throws: StoreError.self) { try zombie.checkpoint(to: storage) }
    #expect(error?.code == .superseded)
    #expect(try claim.isLast())
    // Of two claims the later one counts; both name the same checkpoint.
    let second = try #require(
      try CheckpointClaim.take(world.identities[0], in: storage, clock: world.clock))
    #expect(second.info.id == claim.info.id && second.sequence == claim.sequence + 1)
    #expect(try !claim.isLast() && second.isLast())
    // Who insists is seen.
    try zombie.checkpoint(to: storage, supersedes: true)
    #expect(try !second.isLast())
    try zombie.close()
  }

  @Test func anEarlierCheckpointCanBeClaimed() throws {
    let storage = MemoryStorage()
    let world = UnionWorld(partitions: 1, isByRange: false, seed: 7)
    let store = try world.open(0, from: storage)
    for number in UInt8(1)...3 {
      try store.commitEpoch(metadata: [number])
      try store.checkpoint(to: storage, committing: false)
    }
    try store.close()
    let claim = try #require(
      try CheckpointClaim.take(store.identity, in: storage, clock: world.clock) { $0 == [2] })
    #expect(claim.info.metadata == [2] && claim.sequence == 4)
    #expect(try StoredCheckpoints(in: storage).read().metadata == [2])
    #expect(
      try CheckpointClaim.take(store.identity, in: storage, clock: world.clock) { $0 == [9] } == nil
    )
    #expect(
      try CheckpointClaim.take(
        StoreIdentity(high: 8, low: 8), in: storage, clock: world.clock) == nil)
  }

  @Test func numbersOfTheLogRiseFromTheOldStoresToTheNew() throws {
    let storage = MemoryStorage()
    var world = UnionWorld(partitions: 2, isByRange: true, seed: 8)
    try world.run(rounds: 9, to: storage)
    try world.rescale(to: 1, in: storage)
    try world.rescale(to: 1, in: storage)
    let old = try world.identities.map { try CheckpointArea(storage, of: $0).sequences().last ?? 0 }
    world.adopt(1)
    let sequences = try CheckpointArea(storage, of: world.identities[0]).sequences()
    #expect(sequences.count == 2)
    #expect(try #require(sequences.last) > (old.max() ?? 0))
    // What goes on there finds its place behind them.
    let store = try world.open(0, from: storage)
    try store.checkpoint(to: storage)
    try store.close()
    #expect(
      try CheckpointArea(storage, of: world.identities[0]).sequences()
        == sequences + [sequences[1] + 1])
  }

  @Test func aLossOfPowerTakesNothingOfIt() throws {
    let disk = MemoryFileSystem()
    let clock = ManualClock(millis: 1_700_000_000_000)
    let storage = try DirectoryStorage(at: "/shared", fileSystem: disk, clock: clock)
    var world = UnionWorld(partitions: 2, isByRange: false, seed: 9)
    try world.run(rounds: 6, to: storage)
    try world.rescale(to: 3, in: storage)
    world.adopt(3)
    let left = try DirectoryStorage(
      at: "/shared", fileSystem: disk.crashed(.nothing), clock: clock)
    try world.check(left, "after a loss of power", compacting: true)
  }

  @Test func inADirectoryACopyIsALink() throws {
    let disk = MemoryFileSystem()
    let storage = try DirectoryStorage(at: "/shared", fileSystem: disk)
    try storage.put([1, 2, 3], as: "a/b")
    try storage.copy("a/b", bytes: 3, to: "c/d")
    let directory = try disk.openDirectory(at: "/shared/a", creating: false)
    let file = try directory.openFile("b", .readWrite)
    try file.write([9], at: 1)
    file.close()
    #expect(try storage.read("c/d", 0..<9) == [1, 9, 3])
  }

  @Test func whatIsCopiedIsThereUnderBothKeys() throws {
    let disk = MemoryFileSystem()
    let storages: [any CheckpointStorage] = [
      MemoryStorage(), try DirectoryStorage(at: "/shared", fileSystem: disk),
    ]
    let content = (0..<9_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13 >> 4) }
    for storage in storages {
      try storage.put(content, as: "a/b")
      try storage.copy("a/b", bytes: 9_000_000, to: "c/d/e")
      #expect(try storage.list("c/") == [.init(key: "c/d/e", bytes: 9_000_000)])
      #expect(
        try storage.read("c/d/e", 8_000_000..<9_000_001) == Array(content.suffix(1_000_000)))
      // Over what was there; and a part of it.
      try storage.put([1, 2, 3], as: "c/f")
      try storage.copy("c/f", bytes: 3, to: "c/d/e")
      #expect(try storage.read("c/d/e", 0..<9) == [1, 2, 3])
      try storage.copy("c/f", bytes: 2, to: "c/g")
      #expect(try storage.read("c/g", 0..<9) == [1, 2])
      try storage.delete(["a/b", "c/f"])
      #expect(try storage.read("c/d/e", 0..<9) == [1, 2, 3])
      #expect(throws: StoreError.self) { try storage.copy("c/f", bytes: 1, to: "c/h") }
      #expect(throws: StoreError.self) { try storage.copy("c/g", bytes: 3, to: "c/h") }
      #expect(try storage.read("c/h", 0..<9) == nil)
    }
  }
}
