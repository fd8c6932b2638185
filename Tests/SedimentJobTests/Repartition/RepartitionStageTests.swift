import Foundation
import SedimentDedup
import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// The stage that brings records with one key into one partition, against models of the brokers and
/// of the group: every moment at which the process may die or the brokers may abort.
///
/// After every one of them the committed records are those before the committed offsets, each once.
@Suite struct RepartitionStageTests {
  typealias Record = ScriptedTopics.Record
  typealias Event = ModelBrokers.Event

  private static let seed = HashSeed(first: 1, second: 2)
  private static let partitionCount = 7

  /// Records whose keys are in several partitions, some of them without a key. Each has its own
  /// place as the key beside the value, which nothing is done with.
  private static func input(partitions: Int, records: Int, seed: UInt64) -> [[Record]] {
    var generator = SeededGenerator(seed: seed)
    return (0..<partitions).map { partition in
      (0..<records).map { number in
        let key = Int.random(in: 0..<records / 2, using: &generator)
        let values = [
          "{\"k\":\(key)}", "{\"k\":\(key),\n\"x\":1}", "{\"k\":\(key)}", "no json", nil, "",
        ]
        return Record(
          values[Int.random(in: 0..<values.count, using: &generator)],
          key: "\(partition)/\(number)", time: Int64(number + 1),
          headers: [("h", "\(number)"), ("none", nil)])
      }
    }
  }

  /// Where a record is to go.
  private static func destination(of record: Record, from partition: Int) -> Int32 {
    let otherwise = Int32(partition % partitionCount)
    guard let value = record.value, value.hasPrefix("{"),
      let key = Int64(value.dropFirst(5).prefix { $0.isNumber })
    else { return otherwise }
    let encoded = CompositeKey(.int(key)).bytes
    let group = unsafe UInt16(KeyHasher(seed: seed).hash(encoded.span.bytes).high >> 48)
    let ranges = KeyGroupRange.split(into: partitionCount)
    return ranges.firstIndex { $0.first <= group && group <= $0.last }.map { Int32($0) } ?? -1
  }

  /// What is wrong with what the brokers have; `nil` for nothing.
  private static func flaw(
    of committed: [ModelBrokers.Record], _ offsets: [TopicPartition: CommittedOffset],
    _ input: [[Record]]
  ) -> String? {
    guard offsets.values.allSatisfy({ $0.metadata == "sediment-repartition:1" }) else {
      return "offsets of \(offsets)"
    }
    var found: [[ModelBrokers.Record]] = input.map { _ in [] }
    for record in committed {
      guard let number = record.key.flatMap({ Int($0.prefix { $0 != "/" }) }) else {
        return "a record without its key"
      }
      found[number].append(record)
    }
    for (partition, all) in input.enumerated() {
      let count = Int(offsets[TopicPartition("t", Int32(partition))]?.offset ?? 0)
      let wanted = all.prefix(count).map { record in
        "\(record.key ?? "") \(destination(of: record, from: partition)) \(record.time)"
      }
      // Within a partition of the topic in the order of the source; the stage keeps it for all.
      let records = found[partition]
      let got = records.map { "\($0.key ?? "") \($0.destination ?? -1) \($0.time)" }
      guard got == wanted else { return "of partition \(partition) \(got), not \(wanted)" }
      for (made, record) in zip(records, all) {
        let headers = Dictionary(record.headers.map { ($0.name, $0.value) }) { $1 }
        guard made.value == record.value ?? "", made.isNull == (record.value == nil),
          made.headers == headers
        else { return "\(made) is not \(record)" }
      }
    }
    return nil
  }

  /// A topic that is there.
  struct ReadyTopic: RepartitionTopic {
    let name = "between"
    let partitionCount: Int

    func prepare(
      report: @escaping @Sendable (JobMessage) -> Void, isStopping: @Sendable () -> Bool
    ) throws -> Int { partitionCount }
  }

  /// One instance and the world around it.
  private struct World {
    var disk = MemoryFileSystem()
    let input: [[Record]]
    let group: ModelGroup
    let brokers: ModelBrokers
    var options: JobOptions

    init(
      _ input: [[Record]], group: ModelGroup? = nil, brokers: ModelBrokers = ModelBrokers()
    ) {
      self.input = input
      self.group = group ?? ModelGroup(input)
      self.brokers = brokers
      options = JobHarness().options
      options.description = JobDescription(
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      options.batchRecordsMax = 4
      options.batchesPerEpochMax = 2
      options.abortedRetryMillis = 0
    }

    func stage(_ messages: MessageLog = MessageLog()) -> RepartitionStage {
      let disk = disk
      return RepartitionStage(
        options,
        Repartitioning(
          topics: group, output: brokers.output(isAlive: { !disk.isStopped }),
          topic: ReadyTopic(partitionCount: RepartitionStageTests.partitionCount)),
        seed: RepartitionStageTests.seed,
        partitionCount: RepartitionStageTests.partitionCount,
        in: JobEnvironment(
          fileSystem: disk, inputs: InputFileSystem(disk), report: { messages.add($0) }))
    }

    /// Runs with something that happens at a moment; whether it came to its end.
    func run(_ event: (moment: Int, event: Event)?) throws -> Bool {
      let disk = disk
      brokers.beginProcess(
        event, isAlive: { !disk.isStopped }, onDeath: { disk.stopAfterMutations = 0 })
      do {
        return try stage().runToEnd()
      } catch {
        guard disk.isStopped else { throw error }
        return false
      }
    }

    mutating func restart() { disk = disk.clone() }

    func check(isAtEnd: Bool, _ comment: Comment) {
      let flaw = RepartitionStageTests.flaw(of: brokers.committed, brokers.offsets, input)
      #expect(flaw == nil, comment)
      guard isAtEnd else { return }
      let counts = input.indices.map {
        brokers.offsets[TopicPartition("t", Int32($0))]?.offset ?? 0
      }
      #expect(counts == input.map { Int64($0.count) }, comment)
    }
  }

  private func world(seed: UInt64 = 1) -> World {
    let world = World(Self.input(partitions: 3, records: 24, seed: seed))
    world.group.finish()
    return world
  }

  @Test func everyRecordIsThereOnceInThePartitionOfItsKeyWithAllItCarries() throws {
    let world = world()
    let stage = world.stage()
    world.brokers.beginProcess(nil, isAlive: { true })
    #expect(try stage.runToEnd())
    world.check(isAtEnd: true, "the end")
    #expect(stage.progress.records == 72)
    #expect(world.brokers.transactions > 5)
    let transactions = world.brokers.transactions
    #expect(try world.run(nil))
    #expect(world.brokers.transactions == transactions, "nothing is left to do")
  }

  @Test func deathAndAbortAtEveryMomentAndAtEveryMomentOfTheRecovery() throws {
    let moments = { () -> Int in
      let world = world()
      #expect(throws: Never.self) { try world.run(nil) }
      return world.brokers.moments
    }()
    let events: [Event] = [.death, .deathWithRequestOnItsWay, .abort]
    for moment in 0..<moments {
      for (number, event) in events.enumerated() {
        for second in stride(from: moment % 23, to: moments, by: 23) {
          var world = world()
          let comment: Comment = "\(event) at \(moment), then at \(second)"
          var hasEnded = try world.run((moment, event))
          world.check(isAtEnd: hasEnded, comment)
          if hasEnded { break }
          world.restart()
          hasEnded = try world.run((second, events[(number + second) % 3]))
          world.check(isAtEnd: hasEnded, comment)
          world.restart()
          #expect(try world.run(nil), comment)
          world.check(isAtEnd: true, comment)
        }
      }
    }
  }

  // MARK: - Offsets

  @Test func addedPartitionsAreReadFromTheirBeginningWhateverTheStart() throws {
    let all = Self.input(partitions: 3, records: 24, seed: 3)
    let disk = MemoryFileSystem()
    let storage = try DirectoryStorage(at: "/handover", fileSystem: disk)
    let brokers = ModelBrokers()
    // Of the first two partitions, to which nothing was written yet, the end is the beginning.
    for input in [[[], []], Array(all[..<2]), all] {
      var world = World(input, brokers: brokers)
      world.disk = disk
      world.options.partitioning = Partitioning(storage: storage, group: "g-by-key")
      world.group.startAtEnds()
      world.group.finish()
      #expect(try world.run(nil))
      world.check(isAtEnd: true, "\(input.map(\.count))")
    }
  }

  @Test func whatSomebodyHasSetIsGoneOnFromAndSaid() throws {
    let world = world()
    let partition = TopicPartition("t", 1)
    world.brokers.offsets[partition] = CommittedOffset(offset: 20, metadata: "")
    let messages = MessageLog()
    #expect(try world.stage(messages).runToEnd())
    #expect(messages.contains("t [1]: going on at offset 20, which somebody has set"))
    let own = world.brokers.committed.filter { $0.key?.hasPrefix("1/") == true }
    #expect(own.map(\.key) == (20..<24).map { "1/\($0)" })
    let metadata = world.brokers.offsets.values.map(\.metadata)
    #expect(Set(metadata) == ["sediment-repartition:1"])
  }

  @Test(arguments: ["sediment:1:0:0", "sediment-repartition:2", "x"])
  func offsetsOfAnotherJobAreRefused(metadata: String) throws {
    let world = world()
    let partition = TopicPartition("t", 1)
    world.brokers.offsets[partition] = CommittedOffset(offset: 20, metadata: metadata)
    let error = #expect(throws: JobError.self) { try world.stage().runToEnd() }
    #expect(error?.description.contains("an offset of another job in t [1]") == true)
    #expect(error?.description.contains("give another --group") == true)
    #expect(world.brokers.offsets[partition]?.metadata == metadata)
  }

  @Test func aSecondInstanceNeedsADirectoryOfItsOwn() throws {
    let world = world()
    let directory = try world.disk.openDirectory(at: "state/repartition", creating: true)
    let lock = try directory.lock(StateStore.lockName)
    let error = #expect(throws: JobError.self) { try world.stage().runToEnd() }
    #expect(error?.description.contains("each instance needs a --state of its own") == true)
    lock.unlock()
  }

  // MARK: - Several instances

  /// Instances come, go, die and are given up for dead while partitions move between them.
  @Test(.timeLimit(.minutes(30)), arguments: 0..<16 as Range<UInt64>)
  func partitionsMoveInTheMiddle(seed: UInt64) async throws {
    let input = Self.input(partitions: 5, records: 300, seed: seed)
    let group = ModelGroup(input)
    let brokers = ModelBrokers()
    let complaints = Mutex<[String]>([])
    brokers.checkCommits { records, offsets in
      if let flaw = Self.flaw(of: records, offsets, input) {
        complaints.withLock { $0.append(flaw) }
      }
    }
    var generator = SeededGenerator(seed: seed)
    var instances = (0..<3).map { _ in World(input, group: group, brokers: brokers) }
    var threads: [Int: Thread] = [:]
    func start(_ number: Int) {
      let world = instances[number]
      let thread = Thread {
        do {
          _ = try world.stage().runToEnd()
        } catch {
          // Death is no failure.
          if !world.disk.isStopped { complaints.withLock { $0.append("\(error)") } }
        }
      }
      thread.start()
      threads[number] = thread
    }
    func isAtEnd() -> Bool {
      input.indices.allSatisfy {
        brokers.offsets[TopicPartition("t", Int32($0))]?.offset == Int64(input[$0].count)
      }
    }
    for number in instances.indices { start(number) }
    var turn = 0
    while !isAtEnd() {
      turn += 1
      try await Task.sleep(nanoseconds: UInt64.random(in: 0...2_000_000, using: &generator))
      let number = Int.random(in: 0..<3, using: &generator)
      // In the end nothing happens any more, so that it comes.
      switch turn < 300 ? Int.random(in: 0..<10, using: &generator) : 10 {
      case 0:
        instances[number].disk.stopAfterMutations = 0
        group.expel(number)
      case 1: group.expel(number)
      case 2, 3: group.shuffle()
      default: break
      }
      for (number, thread) in threads where thread.isFinished {
        instances[number].restart()
        start(number)
      }
    }
    group.finish()
    while threads.values.contains(where: { !$0.isFinished }) {
      try await Task.sleep(nanoseconds: 1_000_000)
    }
    #expect(complaints.withLock { $0 } == [], "seed \(seed)")
    #expect(Self.flaw(of: brokers.committed, brokers.offsets, input) == nil, "seed \(seed)")
  }
}

/// How far two stages are behind together.
@Suite struct StageLagTests {
  private static func lag(_ topic: String, _ records: UInt64...) -> TopicLag {
    TopicLag(
      of: records.enumerated().map {
        PartitionLag(TopicPartition(topic, Int32($0.offset)), records: $0.element)
      })
  }

  @Test func theLagOfTwoStagesIsTheSumWithThePartitionsOfBoth() {
    let sum = TopicLag.sum(Self.lag("a", 1, 5), Self.lag("b", 3))
    #expect(sum?.partitions == 3 && sum?.records == 9)
    #expect(
      sum?.byPartition.map { "\($0.partition) \($0.records)" } == ["a [1] 5", "b [0] 3", "a [0] 1"])
    #expect(TopicLag.sum(nil, Self.lag("b", 3)) == Self.lag("b", 3))
    #expect(TopicLag.sum(Self.lag("a", 3), nil) == Self.lag("a", 3))
    #expect(TopicLag.sum(nil, nil) == nil)
  }

  @Test func partitionsThatAreNotNamedCount() {
    var first = Self.lag("a", 1)
    (first.partitions, first.records) = (2000, 7000)
    let sum = TopicLag.sum(first, Self.lag("b", 3))
    #expect(sum?.partitions == 2001 && sum?.records == 7003)
  }
}
