import Foundation
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Several instances of a job that share topics and write files to a directory that all reach. The
/// storage where states are handed over says what happened; whatever dies or sleeps when, the parts
/// are the first records of every key, each once and in order.
@Suite struct PartitionedFilesTests {
  /// The input, the group, and the disk that all machines reach.
  private final class World: Sendable {
    let input: [[String]]
    let group: ModelGroup
    let shared = MemoryFileSystem()

    init(partitions: Int, records: Int, seed: UInt64) {
      var generator = SeededGenerator(seed: seed)
      input = (0..<partitions).map { partition in
        (0..<records).map { number in
          let key = Int.random(in: 0..<max(records / 2, 1), using: &generator)
          return "{\"k\":\(key * partitions + partition),\"n\":\(number)}"
        }
      }
      group = ModelGroup(input)
    }

    /// The first ones of a partition, in order.
    func firsts(_ partition: Int) -> [String] {
      var seen: Set<Substring> = []
      return input[partition].filter { seen.insert($0.prefix { $0 != "," }).inserted }
    }

    /// What a reader of the output's directory sees of a partition.
    func output(_ partition: Int) throws -> [String] {
      let path = "/shared/out/t/partition=\(partition)"
      let names = try names(path).filter { !$0.hasPrefix(".") }
      let text = try names.map { try shared.text(of: path + "/" + $0) }.joined()
      return text.split(separator: "\n").map(String.init)
    }

    func leftovers() throws -> [String] {
      try input.indices.flatMap { partition in
        try names("/shared/out/t/partition=\(partition)").filter { $0.hasSuffix(".tmp") }
      }
    }

    private func names(_ path: String) throws -> [String] {
      do throws(FileError) {
        return try shared.openDirectory(at: path, creating: false).entries().map(\.name)
      } catch {
        guard error.code == .notFound else { throw error }
        return []
      }
    }

    /// Whether the last checkpoints have read all.
    func isAtEnd() throws -> Bool {
      let storage = try DirectoryStorage(at: "/shared/handover", fileSystem: shared)
      guard let record = try HandoverRecord.last(of: "g", in: storage) else { return false }
      return try input.indices.allSatisfy { number in
        let partition = TopicPartition("t", Int32(number))
        guard
          let newest = try CheckpointInfo.newest(
            of: record.identity(of: partition), in: storage)
        else { return false }
        let position = try JobMetadata(decoding: newest.metadata).topicPositions[partition]
        return position == Int64(input[number].count)
      }
    }

    func check(_ when: String) throws {
      for partition in input.indices {
        let found = try output(partition)
        #expect(found == firsts(partition), "partition \(partition), \(when)")
      }
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

  /// One instance, which is started, killed and started again.
  private final class Instance: PlayedInstance {
    private let world: World
    private let epochMillis: Int64
    private let disk: Mutex<MemoryFileSystem>
    /// What the process reaches of the shared disk.
    private let reach: Mutex<FaultInjectingFileSystem>
    /// From it comes which of the calls to the shared disk take long.
    private let delaysSeed: UInt64?
    let failures = Mutex<[String]>([])
    let messages = MessageLog()

    /// - Parameters:
    ///   - epochMillis: by default epochs end by the number of batches alone.
    ///   - delaysSeed: by default no call takes long.
    init(_ world: World, epochMillis: Int64 = 1 << 40, delaysSeed: UInt64? = nil) {
      self.world = world
      self.epochMillis = epochMillis
      disk = Mutex(MemoryFileSystem())
      reach = Mutex(FaultInjectingFileSystem(world.shared))
      self.delaysSeed = delaysSeed
      connect()
    }

    /// The process dies; its disk keeps what it has, or loses what was not durable.
    func kill() {
      disk.withLock { $0.stopAfterMutations = 0 }
      reach.withLock { $0.arm([.inputOutput(number: 1, isSticky: true)]) }
    }

    func revive(losingPower: Bool) {
      disk.withLock { $0 = losingPower ? $0.crashed(.nothing) : $0.clone() }
      connect()
    }

    private func connect() {
      let files = FaultInjectingFileSystem(world.shared)
      if let delaysSeed { files.delayCalls(seed: delaysSeed) }
      reach.withLock { $0 = files }
    }

    /// Lets no file go from the place where states are handed over.
    func refuseRemovals() {
      let fault = Fault.inputOutput(.remove, number: 1, isSticky: true, pathPart: "/handover")
      reach.withLock { $0.arm([fault]) }
    }

    /// Runs `body` before each call to the shared disk.
    func interrupt(_ body: @escaping FaultInjectingFileSystem.Interruption) {
      reach.withLock { $0.interrupt(body) }
    }

    /// Runs until all is read or it is killed.
    func run() {
      let (disk, reach) = (disk.withLock { $0 }, reach.withLock { $0 })
      var harness = JobHarness(disk)
      harness.options.description = JobDescription(
        origin: .topics(TopicOrigin(["t"])),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      harness.options.topics = world.group
      harness.options.targets = [.output: .directory("/shared/out")]
      harness.options.batchRecordsMax = 3
      harness.options.batchesPerEpochMax = 3
      harness.options.epochIntervalMillis = epochMillis
      harness.options.abortedRetryMillis = 0
      do {
        var partitioning = Partitioning(
          storage: try DirectoryStorage(at: "/shared/handover", fileSystem: reach), group: "g")
        partitioning.retained = 1
        // Where epochs end by time, old checkpoints go all the time, too.
        if epochMillis < 1000 { partitioning.keepMillis = 15 }
        harness.options.partitioning = partitioning
        _ = try harness.run(on: Machine(disk: disk, shared: reach), messages: messages)
      } catch {
        // Death is no failure.
        if !disk.isStopped { failures.withLock { $0.append("\(error)") } }
      }
    }
  }

  @Test func oneInstanceWritesAllPartitions() throws {
    let world = World(partitions: 3, records: 60, seed: 1)
    let instance = Instance(world)
    world.group.finish()
    instance.run()
    #expect(instance.failures.withLock { $0 } == [])
    try world.check("after the run")
    #expect(try world.leftovers() == [])
    // And again, with nothing to read.
    Instance(world).run()
    try world.check("after another run")
  }

  /// At every call of the first one to the shared disk, it sleeps, a second one takes all over and
  /// reads to the end, and the first one wakes.
  @Test(.timeLimit(.minutes(30))) func sleepersWakeAndHarmNothing() throws {
    var step = 0
    var wasReached = true
    while wasReached {
      step += 1
      let world = World(partitions: 2, records: 10, seed: UInt64(step))
      world.group.finish()
      let (first, second) = (Instance(world), Instance(world))
      let calls = Mutex(0)
      let target = step
      first.interrupt { _, _ in
        let isIt = calls.withLock { calls in
          calls += 1
          return calls == target
        }
        guard isIt else { return }
        world.group.expel(0)
        second.run()
      }
      first.run()
      wasReached = calls.withLock { $0 >= target }
      #expect(first.failures.withLock { $0 } == [], "asleep at call \(step)")
      #expect(second.failures.withLock { $0 } == [], "asleep at call \(step)")
      try world.check("asleep at call \(step)")
      Instance(world).run()
      #expect(try world.leftovers() == [], "asleep at call \(step)")
    }
    #expect(step > 100)
  }

  /// The first one dies at every call to the shared disk, and a second one goes on.
  @Test(.timeLimit(.minutes(30)), arguments: [false, true])
  func whoDiesIsFollowed(onTheSameMachine: Bool) throws {
    var step = 0
    var wasReached = true
    while wasReached {
      step += 1
      let world = World(partitions: 2, records: 10, seed: UInt64(step))
      world.group.finish()
      let first = Instance(world)
      let calls = Mutex(0)
      let target = step
      first.interrupt { [unowned first] _, _ in
        let isIt = calls.withLock { calls in
          calls += 1
          return calls == target
        }
        if isIt { first.kill() }
      }
      first.run()
      wasReached = calls.withLock { $0 >= target }
      if wasReached { world.group.expel(0) }
      first.revive(losingPower: step % 2 == 0)
      let second = onTheSameMachine ? first : Instance(world)
      second.run()
      #expect(second.failures.withLock { $0 } == [], "dead at call \(step)")
      try world.check("dead at call \(step)")
      #expect(try world.leftovers() == [], "dead at call \(step)")
    }
    #expect(step > 100)
  }

  /// With odd seeds any call to the shared disk may take long, so that others come between.
  @Test(.timeLimit(.minutes(30)), arguments: 0..<32 as Range<UInt64>)
  func instancesComeAndGoAndDieAndAreGivenUp(seed: UInt64) async throws {
    let world = World(partitions: 5, records: 300, seed: seed)
    let instances = (0..<3 as Range<UInt64>).map { number in
      Instance(world, epochMillis: 20, delaysSeed: seed % 2 == 1 ? seed << 2 + number : nil)
    }
    let play = GroupPlay(instances: instances, groups: [world.group], seed: seed)
    try await play.play { try world.isAtEnd() }
    #expect(instances.flatMap { $0.failures.withLock { $0 } } == [], "seed \(seed)")
    // Whoever died last left its promises to the next one.
    Instance(world).run()
    try world.check("seed \(seed)")
    #expect(try world.leftovers() == [], "seed \(seed)")
  }

  @Test func whatCannotBeRemovedIsToldOnceAndHarmsNothing() throws {
    let world = World(partitions: 2, records: 600, seed: 8)
    world.group.finish()
    let instance = Instance(world, epochMillis: 1)
    instance.refuseRemovals()
    instance.run()
    #expect(instance.failures.withLock { $0 } == [])
    try world.check("while nothing could be removed")
    let told = instance.messages.texts.filter { $0.contains("could not be removed") }
    #expect(told.count == 1)
  }

  @Test func oldCheckpointsGo() throws {
    let world = World(partitions: 2, records: 600, seed: 7)
    world.group.finish()
    Instance(world, epochMillis: 1).run()
    let storage = try DirectoryStorage(at: "/shared/handover", fileSystem: world.shared)
    let record = try #require(try HandoverRecord.last(of: "g", in: storage))
    for number in 0..<2 as Range<Int32> {
      let identity = record.identity(of: TopicPartition("t", number))
      let checkpoints = try StoredCheckpoints(in: storage, of: identity)
      let list = try checkpoints.list()
      let published = try #require(list.first).epoch.epoch
      // Of some hundred there are those that came since the last look.
      #expect(published > 60 && UInt64(list.count) < published / 2)
      #expect(try checkpoints.verify().isEmpty)
    }
    try world.check("while old checkpoints went")
  }
}
