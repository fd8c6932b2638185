import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Jobs whose outputs are topics, against a model of the brokers: every moment of every step at
/// which the process may die or the brokers may abort, and every one of the run that recovers.
///
/// What is checked is stronger than the end: after every death the committed records are the first
/// ones of just the prefix that the committed offsets name.
@Suite struct TransactionJobTests {
  typealias Record = ScriptedTopics.Record
  typealias Event = ModelBrokers.Event

  /// Where a run ends early.
  enum Fault: Sendable, CustomStringConvertible {
    case broker(Int, Event)
    case disk(Int)

    var description: String {
      switch self {
      case .broker(let moment, let event): "\(event) at moment \(moment)"
      case .disk(let mutations): "death after \(mutations) changes of the disk"
      }
    }
  }

  /// A job, its input and the world around it.
  struct World {
    var harness: JobHarness
    var brokers = ModelBrokers()
    /// Values by partition.
    var input: [[String]]
    var readsTopics: Bool

    init(
      readsTopics: Bool, partitions: Int = 2, records: Int = 24, seed: UInt64 = 1
    ) throws {
      var generator = SeededGenerator(seed: seed)
      self.readsTopics = readsTopics
      input = (0..<(readsTopics ? partitions : 1)).map { partition in
        (0..<records).map { number in
          let key = Int.random(in: 0..<records / 2, using: &generator)
          return "{\"k\":\(key * partitions + partition),\"n\":\(number)}"
        }
      }
      harness = JobHarness()
      harness.options.description = JobDescription(
        format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
      if readsTopics {
        harness.options.description.origin = .topics(TopicOrigin(["t"]))
        harness.options.topics = ScriptedTopics(input.map { $0.map { Record($0) } })
      } else {
        try harness.add("in/a", lines: input[0].map { $0 + "\n" })
      }
      harness.options.targets = [.output: .topic("out")]
      harness.options.topicOutput = brokers.output()
      harness.options.batchRecordsMax = 4
      harness.options.chunkBytes = 64
      harness.options.batchesPerEpochMax = 2
      harness.options.abortedRetryMillis = 0
      harness.options.memoryBudget = StoreOptions.memoryBudgetMin
    }

    /// Runs the job with a fault; whether it came to its end.
    mutating func run(_ fault: Fault?) throws -> Bool {
      let disk = harness.disk
      var script: (moment: Int, event: Event)?
      var deathAt: Int?
      switch fault {
      case .broker(let moment, let event): script = (moment, event)
      case .disk(let mutations): deathAt = disk.mutationCount + mutations
      case nil: break
      }
      disk.stopAfterMutations = deathAt
      brokers.beginProcess(
        script, isAlive: { !disk.isStopped }, onDeath: { disk.stopAfterMutations = 0 })
      do {
        _ = try harness.run()
        return true
      } catch {
        guard disk.isStopped else { throw error }
        return false
      }
    }

    /// The system goes on, or loses its power.
    mutating func restart(_ survival: CrashSurvival?) {
      harness.disk = survival.map { harness.disk.crashed($0) } ?? harness.disk.clone()
    }

    /// The first records of every key of a prefix of the input.
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

    /// What readers see.
    var values: [String] { brokers.committed.map(\.value).sorted() }

    /// Holds what is committed against the offsets that were committed with it.
    func check(isAtEnd: Bool, _ comment: Comment) {
      let offsets = brokers.offsets
      let counts = input.indices.map { number in
        Int(offsets[TopicPartition(readsTopics ? "t" : "out", Int32(number))]?.offset ?? 0)
      }
      #expect(values == firsts(counts), comment)
      if isAtEnd { #expect(counts == input.map(\.count), comment) }
      #expect(Set(offsets.values.map(\.metadata)).count <= 1, comment)
    }
  }

  /// How many moments and changes of the disk a run without faults has.
  private func measure(readsTopics: Bool) throws -> (moments: Int, mutations: Int) {
    var world = try World(readsTopics: readsTopics)
    let before = world.harness.disk.mutationCount
    #expect(try world.run(nil))
    world.check(isAtEnd: true, "without faults")
    return (world.brokers.moments, world.harness.disk.mutationCount - before)
  }

  @Test(arguments: [true, false])
  func aRunWithoutFaultsWritesTheFirstRecordsInTransactions(readsTopics: Bool) throws {
    var world = try World(readsTopics: readsTopics)
    #expect(try world.run(nil))
    world.check(isAtEnd: true, "the end")
    #expect(world.brokers.transactions > 3)
    let (records, transactions) = (world.brokers.committed, world.brokers.transactions)
    #expect(try world.run(nil))
    #expect(world.brokers.committed == records, "nothing is left to do")
    // Of files, an opening commits where it stands, and so does the end of a file.
    #expect(world.brokers.transactions <= transactions + 2)
    world.check(isAtEnd: true, "once more")
  }

  @Test(arguments: [true, false])
  func deathAtEveryMomentAndAtEveryMomentOfTheRecovery(readsTopics: Bool) throws {
    let size = try measure(readsTopics: readsTopics)
    var faults: [Fault] = []
    for moment in 0..<size.moments {
      faults += [.broker(moment, .death), .broker(moment, .deathWithRequestOnItsWay)]
    }
    for mutation in 0..<size.mutations { faults.append(.disk(mutation)) }
    let survivals: [CrashSurvival?] = [nil, .nothing, .everything]
    for (number, first) in faults.enumerated() {
      // Each first death with a part of the second ones, every one of which is in turn.
      for second in stride(from: number % 7, to: faults.count, by: 7) {
        var world = try World(readsTopics: readsTopics)
        guard try !world.run(first) else { continue }
        world.restart(survivals[number % 3])
        world.check(isAtEnd: false, "\(first)")
        if try !world.run(faults[second]) {
          world.restart(survivals[second % 3])
          world.check(isAtEnd: false, "\(first), then \(faults[second])")
          #expect(try world.run(nil), "\(first), then \(faults[second])")
        }
        world.check(isAtEnd: true, "\(first), then \(faults[second])")
      }
    }
  }

  /// Whoever writes the next epoch's records waits while one is committed; where that fails for a
  /// reason that is none of the brokers', nothing comes but what it is told.
  @Test(arguments: [true, false])
  func aWriterThatWaitsForATransactionIsToldWhenTheEpochFails(readsTopics: Bool) throws {
    let size = try measure(readsTopics: readsTopics)
    for mutation in 0..<size.mutations {
      var world = try World(readsTopics: readsTopics)
      world.harness.options.transactionWaitingBytesMax = 0
      guard try !world.run(.disk(mutation)) else { continue }
      world.restart(.nothing)
      world.check(isAtEnd: false, "death after \(mutation) changes of the disk")
      #expect(try world.run(nil))
      world.check(isAtEnd: true, "death after \(mutation) changes of the disk")
    }
  }

  @Test(arguments: [true, false])
  func anAbortAtEveryMomentIsGoneBackFromInTheLivingProcess(readsTopics: Bool) throws {
    let size = try measure(readsTopics: readsTopics)
    for moment in 0..<size.moments {
      var world = try World(readsTopics: readsTopics)
      #expect(try world.run(.broker(moment, .abort)), "moment \(moment)")
      world.check(isAtEnd: true, "abort at moment \(moment)")
      #expect(try world.run(nil))
      world.check(isAtEnd: true, "abort at moment \(moment), and another run")
    }
  }

  /// Brokers that answer once; who opens again finds the job asked to stop.
  private final class OnceOpened: TopicOutput {
    let output: ModelBrokers.Output
    let control: JobControl
    let openings = Atomic<Int>(0)
    var topics: [OutputRole: String] { output.topics }
    var group: String { output.group }

    init(_ output: ModelBrokers.Output, _ control: JobControl) {
      self.output = output
      self.control = control
    }

    func open(_ start: TopicOutputStart) throws -> any TopicProducer {
      guard openings.wrappingAdd(1, ordering: .relaxed).oldValue > 0 else {
        return try output.open(start)
      }
      control.stop()
      throw JobError(.stopped, "no broker answers")
    }
  }

  @Test func aStopWhileTheStateIsOpenedAgainIsNoFailure() throws {
    let size = try measure(readsTopics: true)
    var world = try World(readsTopics: true)
    let control = JobControl()
    world.harness.options.topicOutput = OnceOpened(world.brokers.output(), control)
    world.brokers.beginProcess((size.moments / 2, .abort), isAlive: { true })
    let summary = try world.harness.run(control: control)
    #expect(summary.end == .stopped)
    world.check(isAtEnd: false, "stopped")
    world.harness.options.topicOutput = world.brokers.output()
    #expect(try world.run(nil))
    world.check(isAtEnd: true, "another run")
  }

  @Test(arguments: 0..<60 as Range<UInt64>)
  func deathsAndAbortsAtRandomNeitherRepeatNorLoseARecord(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var world = try World(
      readsTopics: seed % 3 != 0, partitions: 3, records: 90, seed: seed)
    for turn in 0..<14 {
      world.harness.options.batchRecordsMax = Int.random(in: 1...12, using: &generator)
      world.harness.options.batchesPerEpochMax = Int.random(in: 1...4, using: &generator)
      world.harness.options.parallelism = Int.random(in: 1...3, using: &generator)
      let events: [Event] = [.death, .deathWithRequestOnItsWay, .abort]
      let fault: Fault =
        Bool.random(using: &generator)
        ? .disk(Int.random(in: 0...80, using: &generator))
        : .broker(
          Int.random(in: 0...40, using: &generator),
          events[Int.random(in: 0..<3, using: &generator)])
      let hasEnded = try world.run(fault)
      world.check(isAtEnd: hasEnded, "seed \(seed), turn \(turn): \(fault)")
      guard world.harness.disk.isStopped else { continue }
      world.harness.disk = world.harness.disk.crashed(using: &generator)
    }
    world.harness.disk.stopAfterMutations = nil
    #expect(try world.run(nil), "seed \(seed)")
    world.check(isAtEnd: true, "seed \(seed)")
  }

  @Test func whatRecordsCarryPassesThrough() throws {
    var world = try World(readsTopics: true)
    world.harness.options.topics = ScriptedTopics([
      [
        Record(
          "{\"k\":1,\n\"n\":0}", key: "a", time: 7,
          headers: [("h", "x"), ("null", nil), ("", ""), ("h2", "y")]),
        Record("{\"k\":1}", key: "b", time: 8), Record("{\"k\":2}"),
        Record("no json", key: "c", time: 9, headers: [("h", "z")]),
      ]
    ])
    world.harness.options.targets = [
      .output: .topic("out"), .duplicates: .topic("twice"), .rejects: .topic("bad"),
    ]
    world.harness.options.topicOutput = world.brokers.output([
      .output: "out", .duplicates: "twice", .rejects: "bad",
    ])
    #expect(try world.run(nil))
    let records = world.brokers.committed
    func of(_ role: OutputRole) -> [ModelBrokers.Record] { records.filter { $0.role == role } }
    let output = of(.output)
    #expect(output.map(\.value) == ["{\"k\":1,\n\"n\":0}", "{\"k\":2}"], "newlines stay")
    #expect(output.map(\.key) == ["a", nil])
    #expect(output.map(\.time) == [7, -1])
    let headers: [String: String?] = ["h": "x", "null": nil, "": "", "h2": "y"]
    #expect(output[0].headers == headers)
    #expect(of(.duplicates).map(\.key) == ["b"])
    #expect(of(.rejects).count == 1)
    #expect(of(.rejects)[0].value.hasSuffix("\"record\":\"no json\"}"))
    // The tag of the records is the one that the offsets name.
    let mark = OffsetMark(try #require(world.brokers.offsets.values.first).metadata)
    #expect(Set(records.map(\.tag)) == [try #require(mark).tag])
  }

  @Test func filesBesideTopicsShowWhatTheBrokersTook() throws {
    let size = try measure(readsTopics: true)
    for moment in 0..<size.moments {
      var world = try World(readsTopics: true)
      world.harness.options.targets[.duplicates] = .directory("twice")
      if try !world.run(.broker(moment, .death)) {
        world.restart(.nothing)
        #expect(try world.run(nil))
      }
      world.check(isAtEnd: true, "moment \(moment)")
      let twice = try world.harness.output("twice").split(separator: "\n").map(String.init)
      let all = world.input.flatMap { $0 }
      #expect((twice + world.brokers.committed.map(\.value)).sorted() == all.sorted())
    }
  }

  // MARK: - Offsets that say nothing, or something else

  @Test func offsetsThatExpiredAreNotNeededAfterAGoodEnd() throws {
    var world = try World(readsTopics: true)
    #expect(try world.run(nil))
    world.brokers.offsets = [:]
    #expect(try world.run(nil))
    #expect(world.brokers.committed.map(\.value).sorted() == world.firsts([24, 24]))
  }

  /// Runs until a death at a moment, and on without offsets; the job before it is told what to
  /// assume, and what the first run that asks says.
  private func dieAndForget(
    at moment: Int, assuming assumption: CommitAssumption
  ) throws -> (world: World, question: String)? {
    var world = try World(readsTopics: true)
    guard try !world.run(.broker(moment, .death)) else { return nil }
    world.restart(.nothing)
    world.brokers.offsets = [:]
    world.brokers.beginProcess(nil, isAlive: { true })
    do {
      _ = try world.harness.run()
      return nil
    } catch let error as JobError {
      world.harness.options.commitAssumption = assumption
      #expect(try world.run(nil), "moment \(moment)")
      return (world, error.description)
    }
  }

  @Test func offsetsThatExpiredAfterADeathAreAQuestionThatOneAnswerIsRightFor() throws {
    let size = try measure(readsTopics: true)
    var right: Set<CommitAssumption> = []
    for moment in 0..<size.moments {
      guard let (committed, question) = try dieAndForget(at: moment, assuming: .committed),
        let (aborted, _) = try dieAndForget(at: moment, assuming: .aborted)
      else { continue }
      #expect(question.contains("--assume-committed goes on from the state's last epoch"))
      #expect(question.contains("--assume-aborted from the last confirmed one"))
      let firsts = committed.firsts([24, 24])
      let (one, other) = (committed.values, aborted.values)
      // The wrong answer is the user's: records are lost by one, and repeated by the other.
      if one == firsts { right.insert(.committed) }
      if other == firsts { right.insert(.aborted) }
      #expect(one == firsts || other == firsts, "moment \(moment)")
      #expect(Set(one).count == one.count, "moment \(moment)")
      #expect(Set(other).sorted() == firsts, "moment \(moment)")
    }
    #expect(right == [.committed, .aborted])
  }

  /// A job at its end, with more to read and offsets that say nothing of it.
  private func worldOfForeignOffsets(_ metadata: String?) throws -> World {
    var world = try World(readsTopics: true)
    #expect(try world.run(nil))
    for partition in world.input.indices {
      world.input[partition] += (0..<12).map { "{\"k\":\(900 + $0 * 2 + partition)}" }
    }
    world.harness.options.topics = ScriptedTopics(world.input.map { $0.map { Record($0) } })
    world.brokers.offsets = world.brokers.offsets.compactMapValues { found in
      metadata.map { CommittedOffset(offset: found.offset, metadata: $0) }
    }
    world.harness.options.commitAssumption = .committed
    return world
  }

  @Test(arguments: [nil, "somebody's"])
  func whatWasAssumedOnceIsNotAssumedOfAnAbortedEpoch(metadata: String?) throws {
    var world = try worldOfForeignOffsets(metadata)
    #expect(try world.run(nil))
    world.check(isAtEnd: true, "without faults")
    for moment in 0..<world.brokers.moments {
      var world = try worldOfForeignOffsets(metadata)
      #expect(try world.run(.broker(moment, .abort)), "moment \(moment)")
      world.check(isAtEnd: true, "abort at moment \(moment)")
    }
  }

  @Test func checkpointsCountAsCommittedWhateverTheyKnew() throws {
    let size = try measure(readsTopics: true)
    var count = 0
    for moment in 0..<size.moments {
      var world = try World(readsTopics: true)
      guard try !world.run(.broker(moment, .death)) else { continue }
      world.restart(.everything)
      let disk = world.harness.disk
      guard let offset = world.brokers.offsets.values.first else { continue }
      let newest = try StateStore.epochs(at: "state", fileSystem: disk).last?.metadata ?? []
      let metadata = try JobMetadata(decoding: newest)
      guard let mark = metadata.mark, !mark.isSettled, metadata.totals.events > 0,
        OffsetMark(offset.metadata)?.tag == mark.tag
      else { continue }
      count += 1
      let store = try StateStore.open(at: "state", fileSystem: disk)
      let made = try store.checkpoint(to: "backups", committing: false)
      try store.close()
      // Another group, and with it other topics.
      let before = world.values
      world.brokers = ModelBrokers()
      world.harness.options.topicOutput = world.brokers.output()
      world.harness.options.start = .checkpoint("backups/" + made.id)
      #expect(try world.run(nil), "moment \(moment)")
      #expect((before + world.values).sorted() == world.firsts([24, 24]), "moment \(moment)")
    }
    #expect(count > 3)
  }

  @Test func aNewStateDoesNotTakeAnothersGroup() throws {
    var world = try World(readsTopics: true)
    #expect(try world.run(nil))
    world.harness.options.statePath = "other"
    let error = #expect(throws: JobError.self) { _ = try world.harness.run() }
    #expect(error?.description.contains("and the state is new") == true)
    #expect(error?.description.contains("--assume-aborted begins anew all the same") == true)
    world.harness.options.commitAssumption = .aborted
    #expect(try world.run(nil))
    let values = world.brokers.committed.map(\.value)
    #expect(values.count == 2 * world.firsts([24, 24]).count, "all is there twice")
  }

  @Test func offsetsThatSomebodyMovedAreNotGoneOnWith() throws {
    var world = try World(readsTopics: true)
    #expect(try world.run(nil))
    let partition = TopicPartition("t", 1)
    let metadata = try #require(world.brokers.offsets[partition]).metadata
    world.brokers.offsets[partition] = CommittedOffset(offset: 3, metadata: metadata)
    var error = #expect(throws: JobError.self) { _ = try world.harness.run() }
    #expect(error?.description.contains("is at offset 3 in t [1]") == true)
    world.brokers.offsets[partition] = CommittedOffset(offset: 3, metadata: "")
    error = #expect(throws: JobError.self) { _ = try world.harness.run() }
    #expect(error?.description.contains("were not committed together") == true)
    world.harness.options.commitAssumption = .committed
    #expect(try world.run(nil))
    world.check(isAtEnd: true, "as the state says")
  }

  @Test func aZombieThatComesBackEndsAndChangesNothing() throws {
    let world = try World(readsTopics: true)
    let (harness, brokers) = (world.harness, world.brokers)
    // In the middle of a commit the machine stops; its disk, as it was copied before, goes on
    // elsewhere, and comes to the end.
    brokers.beginProcess(nil, isAlive: { true })
    brokers.onCommit = {
      guard brokers.transactions == 3 else { return }
      brokers.onCommit = nil
      var other = harness
      other.disk = harness.disk.crashed(.nothing)
      #expect(throws: Never.self) { _ = try other.run() }
    }
    let error = #expect(throws: JobError.self) { _ = try harness.run() }
    #expect(error?.description.contains("an epoch that this state does not hold") == true)
    world.check(isAtEnd: true, "the other one's work")
  }

  @Test func topicsOfTwoClustersAreNotOneTransaction() throws {
    var world = try World(readsTopics: true)
    world.brokers = ModelBrokers(cluster: "d")
    world.harness.options.topicOutput = world.brokers.output()
    let error = #expect(throws: JobError.self) { _ = try world.harness.run() }
    #expect(error?.description.contains("read from the cluster \"c\" and written to \"d\"") == true)
    #expect(world.brokers.committed.isEmpty)
  }

  @Test func topicsAreLeftOnlyWhenTheBrokersHaveAll() throws {
    let size = try measure(readsTopics: true)
    var refusals = 0
    for moment in 0..<size.moments {
      var world = try World(readsTopics: true)
      guard try !world.run(.broker(moment, .death)) else { continue }
      world.restart(.nothing)
      var files = world
      files.harness.options.targets = [.output: .directory("out")]
      files.harness.options.topicOutput = nil
      do {
        _ = try files.harness.run()
      } catch let error as JobError {
        #expect(error.description.contains("run its job once more, with the topics"))
        refusals += 1
        #expect(try world.run(nil), "moment \(moment)")
        _ = try files.harness.run()
      }
    }
    #expect(refusals > 5)
  }

  @Test func whatFilesGotMeanwhileIsUnknownToTheBrokers() throws {
    var world = try World(readsTopics: true)
    #expect(try world.run(nil))
    var files = world
    files.harness.options.targets = [.output: .directory("out")]
    files.harness.options.topicOutput = nil
    _ = try files.harness.run()
    let error = #expect(throws: JobError.self) { _ = try world.harness.run() }
    #expect(error?.description.contains("an epoch that this state does not hold") == true)
  }
}
