import Foundation
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Jobs with a shuffle by the key in front of them: both stages of several instances, each on a
/// disk of its own, with one storage between them.
///
/// With every commit of the first stage the topic between them has the records before the committed
/// offsets, each once; with every commit of the second the output has the first ones of what the
/// offsets name of that topic.
@Suite struct RepartitionedJobTests {
  typealias Record = ScriptedTopics.Record

  private static let betweenCount = 4

  /// The input, and what the brokers have.
  private final class World: Sendable {
    let input: [[String]]
    let group: ModelGroup
    let between: ModelGroup
    /// Of the two stages, whose transactional ids and offsets are apart.
    let first = ModelBrokers()
    let second = ModelBrokers()
    let storage: DirectoryStorage
    private let complaints = Mutex<[String]>([])

    /// - Parameters:
    ///   - bad: every record of which number has no key.
    ///   - isSlow: whether any call to the storage may take long.
    init(
      partitions: Int = 3, records: Int, seed: UInt64, bad: Int = 10, isSlow: Bool = false
    ) throws {
      var generator = SeededGenerator(seed: seed)
      input = (0..<partitions).map { partition in
        (0..<records).map { number in
          let key = Int.random(in: 0..<records, using: &generator)
          return number % bad == bad - 1
            ? "bad \(partition)/\(number)" : "{\"k\":\(key),\"n\":\"\(partition)/\(number)\"}"
        }
      }
      group = ModelGroup(input)
      between = ModelGroup(
        (0..<RepartitionedJobTests.betweenCount).map { _ in [] }, topic: "between")
      let shared = FaultInjectingFileSystem(MemoryFileSystem())
      if isSlow { shared.delayCalls(seed: seed) }
      storage = try DirectoryStorage(at: "/handover", fileSystem: shared)
      let shown = Mutex(0)
      first.checkCommits { [weak self] records, offsets in
        guard let self else { return }
        checkFirst(records, offsets)
        for record in records[shown.withLock { $0 }...] {
          between.append(
            Record(record.isNull ? nil : record.value, key: record.key, time: record.time),
            to: TopicPartition("between", record.destination ?? -1))
        }
        shown.withLock { $0 = records.count }
      }
      second.checkCommits { [weak self] records, offsets in self?.checkSecond(records, offsets) }
    }

    private func checkFirst(
      _ records: [ModelBrokers.Record], _ offsets: [TopicPartition: CommittedOffset]
    ) {
      let prefixes = input.enumerated().flatMap { partition, all in
        all.prefix(Int(offsets[TopicPartition("t", Int32(partition))]?.offset ?? 0))
      }
      if records.map(\.value).sorted() != prefixes.sorted() {
        complaints.withLock { $0.append("the first stage: not what its offsets say") }
      }
    }

    private func checkSecond(
      _ records: [ModelBrokers.Record], _ offsets: [TopicPartition: CommittedOffset]
    ) {
      if values(records, .output) != firsts(offsets.mapValues(\.offset)) {
        complaints.withLock { $0.append("the second stage: not the first ones of its offsets") }
      }
    }

    func values(_ records: [ModelBrokers.Record], _ role: OutputRole) -> [String] {
      records.filter { $0.role == role }.map(\.value).sorted()
    }

    /// The first records of every key, of the first ones in each partition between the stages.
    private func firsts(_ counts: [TopicPartition: Int64]) -> [String] {
      var seen: Set<Substring> = []
      var found: [String] = []
      for (partition, all) in between.records {
        for record in all.prefix(Int(counts[partition] ?? 0)) {
          guard let value = record.value, value.hasPrefix("{") else { continue }
          if seen.insert(value.prefix { $0 != "," }).inserted { found.append(value) }
        }
      }
      return found.sorted()
    }

    /// What was wrong with commits.
    var wrong: [String] { complaints.withLock { $0 } }

    var isAtEnd: Bool {
      let isRead = input.indices.allSatisfy {
        first.offsets[TopicPartition("t", Int32($0))]?.offset == Int64(input[$0].count)
      }
      return isRead
        && between.records.allSatisfy {
          second.offsets[$0.key]?.offset ?? 0 == Int64($0.value.count)
        }
    }

    /// What is wrong at the end; `nil` for nothing.
    var flaw: String? {
      guard wrong.isEmpty else { return wrong[0] }
      let all = between.records.flatMap { $0.value }.map { $0.value ?? "" }
      guard all.sorted() == input.flatMap({ $0 }).sorted() else { return "records between" }
      var partitions: [Substring: Set<TopicPartition>] = [:]
      for (partition, records) in between.records {
        for record in records where record.value?.hasPrefix("{") == true {
          partitions[record.value?.prefix { $0 != "," } ?? "", default: []].insert(partition)
        }
      }
      guard partitions.values.allSatisfy({ $0.count == 1 }) else { return "a key is in two" }
      let written = values(second.committed, .output)
      guard written == firsts(between.records.mapValues { Int64($0.count) }),
        written.count == partitions.count
      else { return "\(written.count) were written of \(partitions.count) keys" }
      let bad = input.flatMap { $0 }.count { $0.hasPrefix("bad") }
      let rejects = values(second.committed, .rejects)
      return rejects.count == bad ? nil : "\(rejects.count) rejects of \(bad)"
    }
  }

  /// One instance, which is started, killed and started again.
  private final class Instance: PlayedInstance {
    private let world: World
    private let disk = Mutex(MemoryFileSystem())
    let control = JobControl()
    let failures = Mutex<[String]>([])
    let messages = MessageLog()

    init(_ world: World) {
      self.world = world
    }

    /// The process dies; the disk keeps what it has, or loses what was not durable.
    func kill() { disk.withLock { $0.stopAfterMutations = 0 } }

    func revive(losingPower: Bool) {
      disk.withLock { $0 = losingPower ? $0.crashed(.nothing) : $0.clone() }
    }

    func run() { _ = runToSummary() }

    /// Runs until all is read or it is killed.
    func runToSummary() -> JobSummary? {
      let disk = disk.withLock { $0 }
      var harness = JobHarness(disk)
      harness.options.description = JobDescription(
        origin: .topics(TopicOrigin(["between"])),
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      harness.options.topics = world.between
      harness.options.topicOutput = world.second.output(isAlive: { !disk.isStopped })
      harness.options.targets = [.output: .topic("out"), .rejects: .topic("bad")]
      harness.options.partitioning = Partitioning(
        storage: world.storage, group: "g", isByKeyGroup: true)
      harness.options.repartitioning = Repartitioning(
        topics: world.group, output: world.first.output(isAlive: { !disk.isStopped }),
        topic: RepartitionStageTests.ReadyTopic(
          partitionCount: RepartitionedJobTests.betweenCount))
      harness.options.batchRecordsMax = 3
      harness.options.batchesPerEpochMax = 4
      // What is left at the end is committed, too.
      harness.options.epochIntervalMillis = 20
      harness.options.abortedRetryMillis = 0
      do {
        return try harness.run(control: control, messages: messages)
      } catch {
        // Death is no failure.
        if !disk.isStopped { failures.withLock { $0.append("\(error)") } }
        return nil
      }
    }
  }

  @Test func oneInstanceReadsItsInputAndThenWhatItMadeOfItToTheEnd() throws {
    let world = try World(records: 60, seed: 1)
    let instance = Instance(world)
    world.group.finish()
    let summary = try #require(instance.runToSummary())
    #expect(instance.failures.withLock { $0 } == [])
    #expect(world.isAtEnd && world.flaw == nil, "\(world.flaw ?? "")")
    #expect(summary.end == .finished && summary.repartitioned == 180)
    #expect(summary.counters.events == 180 && summary.counters.rejected == 18)
    #expect(summary.json.contains("\"repartitioned\":180"))
  }

  @Test func aJobThatIsAskedToStopStopsBothStages() async throws {
    let world = try World(records: 60, seed: 1)
    let instance = Instance(world)
    let summary = Mutex<JobSummary?>(nil)
    let thread = Thread { summary.withLock { $0 = instance.runToSummary() } }
    thread.start()
    while !world.isAtEnd { try await Task.sleep(nanoseconds: 1_000_000) }
    instance.control.stop()
    while !thread.isFinished { try await Task.sleep(nanoseconds: 1_000_000) }
    #expect(instance.failures.withLock { $0 } == [])
    let end = summary.withLock { $0 }
    #expect(end?.end == .stopped && end?.repartitioned == 180)
    #expect(world.flaw == nil, "\(world.flaw ?? "")")
  }

  @Test func aFailureOfTheFirstStageEndsTheSecondAndIsTold() throws {
    let world = try World(records: 20, seed: 1)
    world.first.offsets[TopicPartition("t", 0)] = CommittedOffset(offset: 1, metadata: "x")
    let instance = Instance(world)
    #expect(instance.runToSummary() == nil)
    let failures = instance.failures.withLock { $0 }
    #expect(failures.count == 1 && failures[0].contains("an offset of another job in t [0]"))
  }

  @Test func aFailureOfTheSecondStageEndsTheFirstAndIsTold() throws {
    let world = try World(records: 20, seed: 1)
    for partition in 0..<Self.betweenCount {
      world.second.offsets[TopicPartition("between", Int32(partition))] = CommittedOffset(
        offset: 1, metadata: "x")
    }
    let instance = Instance(world)
    #expect(instance.runToSummary() == nil)
    let failures = instance.failures.withLock { $0 }
    #expect(failures.count == 1 && failures[0].contains("the group g has offsets"))
  }

  @Test(.timeLimit(.minutes(30)), arguments: 0..<16 as Range<UInt64>)
  func instancesComeAndGoAndDieAndAreGivenUp(seed: UInt64) async throws {
    let world = try World(records: 300, seed: seed, isSlow: seed % 2 == 1)
    let instances = (0..<3).map { _ in Instance(world) }
    let play = GroupPlay(
      instances: instances, groups: [world.group, world.between], seed: seed, turns: 300)
    try await play.play { world.isAtEnd }
    #expect(instances.flatMap { $0.failures.withLock { $0 } } == [], "seed \(seed)")
    #expect(world.flaw == nil, "seed \(seed): \(world.flaw ?? "")")
  }
}
