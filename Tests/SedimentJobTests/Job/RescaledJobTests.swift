import Foundation
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Jobs of several instances whose topic gets more partitions, so that keys are in others from then
/// on: every key comes out once, and whoever does not know of it harms nothing.
@Suite struct RescaledJobTests {
  enum Outputs: CaseIterable, Sendable { case topics, files }

  /// The topic as it grows, and what must come out of it.
  private struct World: Sendable {
    let outputs: Outputs
    let isByKeyGroup: Bool
    let brokers = ModelBrokers()
    var shared = MemoryFileSystem()
    private(set) var group: ModelGroup
    private(set) var expected: [String] = []
    private var random: SeededGenerator
    private var input: [[String]]
    private var seen: Set<Int> = []
    private var number = 0
    /// As with `--start latest`.
    var startsAtEnds = false
    /// Whether instances look after checkpoints all the time, and former states go at once.
    var keepsHouse = false

    private static let seed = HashSeed(first: 1, second: 2)

    init(partitions: Int, _ outputs: Outputs, isByKeyGroup: Bool = false, seed: UInt64) throws {
      self.outputs = outputs
      self.isByKeyGroup = isByKeyGroup
      random = SeededGenerator(seed: seed)
      input = Array(repeating: [], count: partitions)
      group = ModelGroup(input)
      guard isByKeyGroup else { return }
      // Producers must know it.
      let first = HandoverRecord(
        group: "g", job: .random(), seed: Self.seed, generation: 1, partitions: ["t": partitions],
        isByKeyGroup: true)
      let isPut = try first.put(in: storage())
      #expect(isPut)
    }

    func storage(on shared: (any FileSystem)? = nil) throws -> DirectoryStorage {
      try DirectoryStorage(at: "/shared/handover", fileSystem: shared ?? self.shared)
    }

    /// Where a key goes now.
    private func partition(of key: Int) -> Int {
      guard isByKeyGroup else { return key % input.count }
      // As keys of whole numbers are encoded.
      let bytes = [4] + (0..<8).map { UInt8(truncatingIfNeeded: UInt64(key) >> (56 - 8 * $0)) }
      let hasher = KeyHasher(seed: Self.seed)
      let high = unsafe bytes.withUnsafeBytes { unsafe hasher.hash($0) }.high
      return KeyGroupRange.split(into: input.count).firstIndex { $0.hashRange.contains(high) } ?? 0
    }

    mutating func produce(_ count: Int, keys: Range<Int> = 0..<150, to partition: Int? = nil) {
      for _ in 0..<count {
        let key = Int.random(in: keys, using: &random)
        let value = "{\"k\":\(key),\"n\":\(number)}"
        number += 1
        input[partition ?? self.partition(of: key)].append(value)
        if seen.insert(key).inserted { expected.append(value) }
      }
      regroup()
    }

    private mutating func regroup() {
      group = ModelGroup(input)
      if startsAtEnds { group.startAtEnds() }
      group.finish()
    }

    mutating func addPartitions(upTo count: Int) {
      while input.count < count { input.append([]) }
      regroup()
    }

    /// Runs an instance until all is read.
    ///
    /// - Parameter reach: the shared disk, as the instance reaches it.
    func run(
      on disk: MemoryFileSystem, _ reach: FaultInjectingFileSystem? = nil
    ) throws {
      let reach = reach ?? FaultInjectingFileSystem(shared)
      var harness = JobHarness(disk)
      harness.options.description = JobDescription(
        origin: .topics(TopicOrigin(["t"])),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      harness.options.topics = group
      switch outputs {
      case .topics:
        harness.options.topicOutput = brokers.output()
        harness.options.targets = [.output: .topic("out")]
      case .files: harness.options.targets = [.output: .directory("/shared/out")]
      }
      var partitioning = Partitioning(
        storage: try storage(on: reach), group: "g", isByKeyGroup: isByKeyGroup)
      if keepsHouse { (partitioning.keepMillis, partitioning.formerMillis) = (1, 0) }
      harness.options.partitioning = partitioning
      harness.options.batchRecordsMax = 3
      harness.options.batchesPerEpochMax = 4
      harness.options.epochIntervalMillis = 20
      harness.options.abortedRetryMillis = 0
      _ = try harness.run(on: Machine(disk: disk, shared: reach))
    }

    func claim(
      on shared: (any FileSystem)? = nil, committed: [TopicPartition: CommittedOffset]? = nil
    ) throws -> PartitionRescaling {
      try PartitionRescaling(
        of: "g", in: try storage(on: shared),
        committed: committed ?? (outputs == .topics ? brokers.offsets : [:]))
    }

    @discardableResult
    func rescale(on shared: (any FileSystem)? = nil) throws -> [PartitionRescaling.Part] {
      let rescaling = try claim(on: shared)
      defer { rescaling.release() }
      return try rescaling.make(["t": input.count])
    }

    private func record() throws -> HandoverRecord {
      try #require(try HandoverRecord.last(of: "g", in: storage()))
    }

    /// Lets the states of former generations go, two hours later.
    ///
    /// - Returns: how many bytes went.
    @discardableResult
    func removeFormer() throws -> UInt64 {
      let later = ManualClock(millis: SystemClock().nowMillis() + 7_200_000)
      return try FormerStates(before: record(), in: storage(), clock: later)
        .remove(gracePeriod: .seconds(1800)).bytes
    }

    /// The last checkpoint of every state of another generation.
    func ends(of generation: UInt64, partitions: Int) throws -> [CheckpointInfo] {
      var former = try record()
      (former.generation, former.partitions) = (generation, ["t": partitions])
      return try former.allPartitions.compactMap {
        try CheckpointInfo.newest(of: former.identity(of: $0), in: storage())
      }
    }

    func output() throws -> [String] {
      switch outputs {
      case .topics: return brokers.committed.map(\.value).sorted()
      case .files:
        return try input.indices.flatMap { partition in
          try parts("/shared/out/t/partition=\(partition)")
        }.sorted()
      }
    }

    private func parts(_ path: String) throws -> [String] {
      let names: [String]
      do throws(FileError) {
        names = try shared.openDirectory(at: path, creating: false).entries().map(\.name)
      } catch {
        guard error.code == .notFound else { throw error }
        return []
      }
      return try names.filter { !$0.hasPrefix(".") }.flatMap {
        try shared.text(of: path + "/" + $0).split(separator: "\n").map(String.init)
      }
    }

    func check(_ when: Comment) throws {
      #expect(try output() == expected.sorted(), when)
    }
  }

  /// The disk of one machine, and what all of them reach.
  private struct Machine: FileSystem {
    let disk: MemoryFileSystem
    let shared: FaultInjectingFileSystem

    func openDirectory(at path: String, creating: Bool) throws(FileError) -> any Directory {
      path.hasPrefix("/shared")
        ? try shared.openDirectory(at: path, creating: creating)
        : try disk.openDirectory(at: path, creating: creating)
    }
  }

  @Test(.timeLimit(.minutes(30)), arguments: Outputs.allCases, [false, true])
  func everyKeyComesOutOnce(outputs: Outputs, isByKeyGroup: Bool) throws {
    for seed in UInt64(0)..<4 {
      var world = try World(
        partitions: 2, outputs, isByKeyGroup: isByKeyGroup, seed: seed)
      let disks = [MemoryFileSystem(), MemoryFileSystem()]
      world.produce(90)
      try world.run(on: disks[0])
      try world.check("before")
      for (step, count) in [3, 4, 8].enumerated() {
        world.addPartitions(upTo: count)
        let refused = #expect(throws: JobError.self) { try world.run(on: disks[0]) }
        #expect(refused?.description.contains("sediment rescale") == true)
        let parts = try world.rescale()
        #expect(parts.map(\.partition.partition) == (0..<count).map { Int32($0) })
        // Of ranges that do not fit each other a new one has parts of two at the most.
        let sources = parts.map(\.sources)
        #expect(isByKeyGroup ? sources.allSatisfy { $0 <= 2 } : Set(sources).count == 1)
        world.produce(90, keys: 0..<(200 + 50 * step))
        // With what the one before has left there, or without.
        try world.run(on: disks[Int(seed) % 2 == 0 ? 0 : step % 2])
        try world.check("seed \(seed), \(count) partitions")
        try world.run(on: disks[1])
        try world.check("seed \(seed), \(count) partitions, with nothing to read")
      }
    }
  }

  /// What is written before a partition is noticed is behind no start.
  @Test(.timeLimit(.minutes(30)), arguments: Outputs.allCases)
  func addedPartitionsAreReadFromTheirBeginningWhateverTheStart(outputs: Outputs) throws {
    var world = try World(partitions: 2, outputs, seed: 12)
    world.startsAtEnds = true
    let disk = MemoryFileSystem()
    // Nothing is there yet, and the place is remembered all the same.
    world.produce(0)
    try world.run(on: disk)
    world.produce(90)
    try world.run(on: disk)
    try world.check("before")
    for count in [4, 5] {
      world.addPartitions(upTo: count)
      try world.rescale()
      world.produce(90, keys: 0..<300)
      try world.run(on: disk)
      try world.check("\(count) partitions")
    }
  }

  @Test(.timeLimit(.minutes(30)), arguments: Outputs.allCases)
  func rescaledTwiceWithNothingReadInBetween(outputs: Outputs) throws {
    var world = try World(partitions: 2, outputs, seed: 11)
    let disk = MemoryFileSystem()
    world.produce(90)
    try world.run(on: disk)
    for count in [3, 5] {
      world.addPartitions(upTo: count)
      try world.rescale()
    }
    world.produce(90)
    try world.run(on: disk)
    try world.check("behind both")
  }

  @Test(.timeLimit(.minutes(30)), arguments: Outputs.allCases, [false, true])
  func statesOfBeforeGoAndAreNotMissed(outputs: Outputs, isByKeyGroup: Bool) throws {
    var world = try World(partitions: 2, outputs, isByKeyGroup: isByKeyGroup, seed: 11)
    let disk = MemoryFileSystem()
    world.produce(100)
    try world.run(on: disk)
    #expect(try world.removeFormer() == 0)
    for (before, count) in [(2, 3), (3, 5)] {
      world.addPartitions(upTo: count)
      try world.rescale()
      // Before anything is committed of the new ones, and again with nothing left to remove.
      #expect(try world.removeFormer() > 0)
      #expect(try world.removeFormer() == 0)
      let ends = try world.ends(of: UInt64(before - 1), partitions: before)
      #expect(ends.count == before && ends.allSatisfy { $0.totalBytes == 0 })
      world.produce(100)
      try world.run(on: count == 3 ? disk : MemoryFileSystem())
      try world.check("with \(count) partitions")
      let storage = try world.storage()
      for identity in try CheckpointArea.identities(in: storage) {
        #expect(try StoredCheckpoints(in: storage, of: identity).verify().isEmpty)
      }
    }
  }

  @Test func aRunningJobLetsTheStatesOfBeforeGo() throws {
    var world = try World(partitions: 2, .files, seed: 12)
    world.produce(100)
    try world.run(on: MemoryFileSystem())
    world.addPartitions(upTo: 3)
    try world.rescale()
    world.keepsHouse = true
    // A turn comes when it comes.
    var ends: [CheckpointInfo] = []
    for _ in 0..<100 where ends.isEmpty {
      world.produce(200)
      try world.run(on: MemoryFileSystem())
      ends = try world.ends(of: 1, partitions: 2).filter(\.metadata.isEmpty)
    }
    #expect(!ends.isEmpty)
    try world.check("while former states went")
  }

  /// At every call of an instance to the shared disk it sleeps, while the number of partitions
  /// changes and another one reads all; then it wakes.
  @Test(.timeLimit(.minutes(30)), arguments: Outputs.allCases)
  func sleepersOfBeforeHarmNothing(outputs: Outputs) throws {
    var step = 0
    var wasReached = true
    while wasReached {
      step += 1
      var before = try World(partitions: 1, outputs, seed: UInt64(step))
      before.produce(20, keys: 0..<15)
      // What is unread then stays where it is, and other keys are in the new partition.
      var after = before
      after.addPartitions(upTo: 2)
      after.produce(20, keys: 100..<115, to: 1)
      let reach = FaultInjectingFileSystem(before.shared)
      let calls = Mutex(0)
      let target = step
      let failure = Mutex<String?>(nil)
      reach.interrupt { [before, after] _, _ in
        let isIt = calls.withLock { calls in
          calls += 1
          return calls == target
        }
        guard isIt else { return }
        do {
          before.group.expel(0)
          // There may be nothing yet.
          if try HandoverRecord.last(of: "g", in: before.storage()) != nil { try after.rescale() }
          try after.run(on: MemoryFileSystem())
          // Whoever slept for so long may not find what it was at.
          if target % 2 == 0 { try after.removeFormer() }
        } catch {
          failure.withLock { $0 = "\(error)" }
        }
      }
      do {
        try before.run(on: MemoryFileSystem(), reach)
      } catch let error as JobError {
        #expect(
          step % 2 == 0 || error.description.contains("are those of 2"), "asleep at call \(step)")
      }
      wasReached = calls.withLock { $0 >= target }
      #expect(failure.withLock { $0 } == nil, "asleep at call \(step)")
      guard wasReached else { continue }
      try after.check("asleep at call \(step)")
      try after.run(on: MemoryFileSystem())
      try after.check("asleep at call \(step), and behind that")
    }
    #expect(step > 50)
  }

  /// A rescaling that dies at any call to the storage can be done again, or left alone.
  @Test(.timeLimit(.minutes(30))) func whateverCallIsTheLastItCanBeDoneAgain() throws {
    var world = try World(partitions: 2, .files, seed: 3)
    let disk = MemoryFileSystem()
    world.produce(60)
    try world.run(on: disk)
    let same = world
    world.addPartitions(upTo: 3)
    let before = world.shared
    var step = 0
    var hasDied = true
    while hasDied {
      step += 1
      world.shared = before.clone()
      let dying = FaultInjectingFileSystem(world.shared)
      dying.arm([.inputOutput(number: step, isSticky: true)])
      do {
        try world.rescale(on: dying)
        hasDied = false
      } catch {}
      if step % 9 == 0, try HandoverRecord.last(of: "g", in: world.storage())?.generation == 1 {
        // As if nobody had tried.
        var left = same
        left.shared = world.shared.clone()
        left.produce(30)
        try left.run(on: disk.clone())
        try left.check("left alone at call \(step)")
      }
      if try HandoverRecord.last(of: "g", in: world.storage())?.generation == 1 {
        try world.rescale()
      }
      guard step % 9 == 0 || !hasDied else { continue }
      var next = world
      next.produce(40)
      try next.run(on: disk.clone())
      try next.check("dead at call \(step)")
    }
    #expect(step > 100)
  }

  @Test func whatCannotBeRescaledIsRefused() throws {
    var world = try World(partitions: 2, .topics, seed: 5)
    #expect(throws: JobError.self) { try world.claim() }
    world.produce(60)
    try world.run(on: MemoryFileSystem())
    // Offsets that expired, and offsets that were moved.
    let expired = #expect(throws: JobError.self) { try world.claim(committed: [:]) }
    #expect(expired?.description.contains("--assume-committed") == true)
    var moved = world.brokers.offsets
    moved[TopicPartition("t", 1)]?.offset += 1
    let elsewhere = #expect(throws: JobError.self) { try world.claim(committed: moved) }
    #expect(elsewhere?.description.contains("moved the offsets") == true)
    let rescaling = try world.claim()
    #expect(throws: JobError.self) { try rescaling.make(["t": 1]) }
    #expect(throws: JobError.self) { try rescaling.make(["other": 3]) }
    // Whoever claims later is the one who goes on.
    let later = try world.claim()
    #expect(throws: JobError.self) { try rescaling.make(["t": 3]) }
    #expect(try later.make(["t": 3]).count == 3)
    #expect(throws: JobError.self) { try later.make(["t": 4]) }
    #expect(try HandoverRecord.last(of: "g", in: world.storage())?.partitions == ["t": 3])
  }
}
