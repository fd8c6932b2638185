import Foundation
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Several instances of a job that share topics, each on a disk of its own, with one storage
/// between them. With every commit the committed records are the first ones of just the prefixes
/// that the committed offsets name.
@Suite struct PartitionedJobTests {
  private static let partitions = 5

  /// The input, and what the brokers have.
  private final class World: Sendable {
    let input: [[String]]
    let group: ModelGroup
    let brokers = ModelBrokers()
    let storage: DirectoryStorage
    private let complaints = Mutex<[String]>([])

    /// - Parameter isSlow: whether any call to the storage may take long.
    init(records: Int, seed: UInt64, isSlow: Bool = false) throws {
      var generator = SeededGenerator(seed: seed)
      input = (0..<PartitionedJobTests.partitions).map { partition in
        (0..<records).map { number in
          let key = Int.random(in: 0..<records / 2, using: &generator)
          return "{\"k\":\(key * PartitionedJobTests.partitions + partition),\"n\":\(number)}"
        }
      }
      group = ModelGroup(input)
      let shared = FaultInjectingFileSystem(MemoryFileSystem())
      if isSlow { shared.delayCalls(seed: seed) }
      storage = try DirectoryStorage(at: "/handover", fileSystem: shared)
      brokers.checkCommits { [weak self] records, offsets in self?.check(records, offsets) }
    }

    private func check(
      _ records: [ModelBrokers.Record], _ offsets: [TopicPartition: CommittedOffset]
    ) {
      let counts = input.indices.map { Int(offsets[TopicPartition("t", Int32($0))]?.offset ?? 0) }
      if records.map(\.value).sorted() != firsts(counts) {
        complaints.withLock { $0.append("not the first ones of \(counts)") }
      }
    }

    /// What was wrong with commits.
    var wrong: [String] { complaints.withLock { $0 } }

    func firsts(_ counts: [Int]) -> [String] {
      var seen: Set<Substring> = []
      var found: [String] = []
      for (values, count) in zip(input, counts) {
        for value in values.prefix(count) where seen.insert(value.prefix { $0 != "," }).inserted {
          found.append(value)
        }
      }
      return found.sorted()
    }

    var isAtEnd: Bool { isCommitted(.max) }

    /// Whether so many records of each partition are committed, or all.
    func isCommitted(_ count: Int) -> Bool {
      input.indices.allSatisfy {
        brokers.offsets[TopicPartition("t", Int32($0))]?.offset
          == Int64(min(count, input[$0].count))
      }
    }
  }

  /// One instance, which is started, killed and started again.
  private final class Instance: PlayedInstance {
    private let world: World
    private let assumption: CommitAssumption?
    private let disk: Mutex<MemoryFileSystem>
    let failures = Mutex<[String]>([])

    init(_ world: World, assuming assumption: CommitAssumption? = nil) {
      self.world = world
      self.assumption = assumption
      disk = Mutex(MemoryFileSystem())
    }

    /// The process dies; the disk keeps what it has, or loses what was not durable.
    func kill() { disk.withLock { $0.stopAfterMutations = 0 } }

    func revive(losingPower: Bool) {
      disk.withLock { $0 = losingPower ? $0.crashed(.nothing) : $0.clone() }
    }

    /// Runs until all is read or it is killed.
    func run() {
      let disk = disk.withLock { $0 }
      var harness = JobHarness(disk)
      harness.options.description = JobDescription(
        origin: .topics(TopicOrigin(["t"])),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      harness.options.topics = world.group
      harness.options.topicOutput = world.brokers.output()
      harness.options.targets = [.output: .topic("out")]
      harness.options.commitAssumption = assumption
      var partitioning = Partitioning(storage: world.storage, group: "g")
      partitioning.retained = 1
      partitioning.keepMillis = 25
      harness.options.partitioning = partitioning
      harness.options.batchRecordsMax = 3
      harness.options.batchesPerEpochMax = 4
      // What is left at the end is committed, too.
      harness.options.epochIntervalMillis = 20
      harness.options.abortedRetryMillis = 0
      do {
        _ = try harness.run()
      } catch {
        // Death is no failure.
        if !disk.isStopped { failures.withLock { $0.append("\(error)") } }
      }
    }
  }

  @Test func oneInstanceHasAllPartitions() throws {
    let world = try World(records: 60, seed: 1)
    let instance = Instance(world)
    world.group.finish()
    instance.run()
    #expect(instance.failures.withLock { $0 } == [])
    #expect(world.isAtEnd && world.wrong == [])
    #expect(world.brokers.committed.map(\.value).sorted() == world.firsts(world.input.map(\.count)))
  }

  /// The machine is another one, and the brokers have forgotten the group: what the storage has is
  /// asked about, and never begun anew in silence.
  @Test func offsetsThatExpiredMakeNoNewPartition() throws {
    let world = try World(records: 60, seed: 2)
    world.group.finish()
    Instance(world).run()
    world.brokers.offsets = [:]
    let second = Instance(world)
    second.run()
    let failures = second.failures.withLock { $0 }
    #expect(failures.count == 1 && failures[0].contains("--assume-committed"), "\(failures)")
    let third = Instance(world, assuming: .committed)
    third.run()
    #expect(third.failures.withLock { $0 } == [])
    #expect(world.brokers.committed.map(\.value).sorted() == world.firsts(world.input.map(\.count)))
  }

  @Test(.timeLimit(.minutes(30)), arguments: 0..<24 as Range<UInt64>)
  func instancesComeAndGoAndDieAndAreGivenUp(seed: UInt64) async throws {
    let world = try World(records: 400, seed: seed, isSlow: seed % 2 == 1)
    let instances = (0..<3).map { _ in Instance(world) }
    let play = GroupPlay(instances: instances, groups: [world.group], seed: seed)
    try await play.play { world.isAtEnd }
    #expect(world.wrong == [], "seed \(seed)")
    #expect(instances.flatMap { $0.failures.withLock { $0 } } == [], "seed \(seed)")
    let values = world.brokers.committed.map(\.value).sorted()
    #expect(values == world.firsts(world.input.map(\.count)), "seed \(seed)")
  }

  /// The group gives a member up that is about to send offsets, and another one has asked for them
  /// before: what comes now would be committed twice.
  @Test(.timeLimit(.minutes(30)))
  func aMemberThatIsGivenUpInTheMiddleOfACommitCommitsNothing() throws {
    let world = try World(records: 200, seed: 3)
    let instances = (0..<2).map { _ in Instance(world) }
    let threads = instances.map { instance in Thread { instance.run() } }
    world.group.show(10)
    for thread in threads { thread.start() }
    world.group.waitUntil { $0.isSettled(members: 2) && world.isCommitted(10) }
    let isGivenUp = Mutex(false)
    world.brokers.onOffsets = { [weak world] member in
      let isFirst = isGivenUp.withLock { isGivenUp in
        defer { isGivenUp = true }
        return !isGivenUp
      }
      guard let world, isFirst else { return }
      member.expel()
      world.group.waitUntil { $0.isAllBegun && member.hasTakenLoss }
    }
    // A batch a partition, so that the deciding thread does not wait for the commit.
    world.group.show(13)
    world.group.waitUntil { _ in world.isCommitted(13) }
    world.group.show(.max)
    world.group.waitUntil { _ in world.isAtEnd }
    world.group.finish()
    world.group.waitUntil { _ in threads.allSatisfy(\.isFinished) }
    #expect(isGivenUp.withLock { $0 })
    #expect(world.wrong == [])
    #expect(instances.flatMap { $0.failures.withLock { $0 } } == [])
    #expect(world.brokers.committed.map(\.value).sorted() == world.firsts(world.input.map(\.count)))
  }
}
