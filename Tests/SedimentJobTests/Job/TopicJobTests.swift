import SedimentDedup
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// Jobs over topics, on a memory file system and without a broker.
@Suite struct TopicJobTests {
  typealias Record = ScriptedTopics.Record

  private func harness(_ topics: ScriptedTopics, disk: MemoryFileSystem = MemoryFileSystem())
    -> JobHarness
  {
    var harness = JobHarness(disk)
    harness.options.description = JobDescription(
      origin: .topics(TopicOrigin(["t"])),
      format: RecordFormat(kind: .ndjson, keyFields: ["k"]), timeToLive: .forever)
    harness.options.topics = topics
    return harness
  }

  private func records(_ keys: [Int]) -> [Record] { keys.map { Record("{\"k\":\($0)}") } }

  /// Of each partition the first record of each key of its own.
  private func workload(
    _ partitions: Int, _ count: Int, using generator: inout SeededGenerator
  ) -> (records: [[Record]], first: [String]) {
    var (all, first): ([[Record]], [String]) = ([], [])
    for partition in 0..<partitions {
      var seen: Set<Int> = []
      var records: [Record] = []
      for number in 0..<count {
        let key = Int.random(in: 0..<count / 2, using: &generator) * partitions + partition
        let line = "{\"k\":\(key),\"n\":\(number)}"
        records.append(Record(line))
        if seen.insert(key).inserted { first.append(line) }
      }
      all.append(records)
    }
    return (all, first.sorted())
  }

  private func lines(_ text: String) -> [String] {
    text.split(separator: "\n").map(String.init)
  }

  @Test(arguments: 0..<100 as Range<UInt64>)
  func crashesNeitherRepeatNorLoseARecord(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let (records, first) = workload(3, 80, using: &generator)
    let topics = ScriptedTopics(records)
    var harness = harness(topics)
    var crashes = 0
    while true {
      harness.options.batchRecordsMax = Int.random(in: 1...20, using: &generator)
      harness.options.batchesPerEpochMax = Int.random(in: 1...5, using: &generator)
      harness.options.parallelism = Int.random(in: 1...3, using: &generator)
      let isLast = crashes == 12
      harness.disk.stopAfterMutations =
        isLast ? nil : Int.random(in: 0...(40 + crashes * 10), using: &generator)
      do {
        _ = try harness.run()
        break
      } catch {
        #expect(harness.disk.isStopped, "seed \(seed): \(error)")
        guard harness.disk.isStopped else { return }
      }
      crashes += 1
      harness.disk = harness.disk.crashed(using: &generator)
      let visible = lines(try harness.visibleOutput())
      #expect(Set(visible).count == visible.count, "seed \(seed), crash \(crashes)")
      #expect(Set(visible).isSubset(of: first), "seed \(seed), crash \(crashes)")
    }
    #expect(lines(try harness.output()).sorted() == first, "seed \(seed)")
    harness.disk.stopAfterMutations = nil
    let again = try harness.run()
    #expect(again.counters.events == 0 && again.lag == TopicLag(partitions: 3, records: 0))
    #expect(lines(try harness.output()).sorted() == first)
  }

  @Test func theGroupIsToldOfDurablePositionsOnlyAndTheyNeverGoBack() throws {
    var generator = SeededGenerator(seed: 3)
    let (records, _) = workload(2, 60, using: &generator)
    let topics = ScriptedTopics(records)
    var harness = harness(topics)
    harness.options.batchRecordsMax = 4
    harness.options.batchesPerEpochMax = 2
    _ = try harness.run()
    let told = topics.committed
    #expect(told.count > 3)
    for partition in [TopicPartition("t", 0), TopicPartition("t", 1)] {
      let offsets = told.compactMap { $0[partition] }
      #expect(offsets == offsets.sorted() && offsets.last == 60)
    }
    let store = try StateStore.open(at: "state", fileSystem: harness.disk)
    let metadata = try JobMetadata(decoding: store.lastEpoch.metadata)
    try store.close()
    #expect(metadata.topicPositions == told.last)
    #expect(metadata.description.origin == .topics(TopicOrigin(["t"], cluster: "c")))
  }

  @Test func whereReadingBeganIsDurableBeforeAnyRecordIsRead() throws {
    let harness = harness(ScriptedTopics([[]]))
    _ = try harness.run()
    let store = try StateStore.open(at: "state", fileSystem: harness.disk)
    let metadata = try JobMetadata(decoding: store.lastEpoch.metadata)
    try store.close()
    #expect(metadata.topicPositions[TopicPartition("t", 0)] == 0)
    #expect(metadata.totals.events == 0)
    // A state without records may become another topic's, and its positions go.
    var other = harness
    other.options.description.origin = .topics(TopicOrigin(["u"]))
    _ = try other.run()
  }

  @Test func rejectsNameTopicPartitionAndOffset() throws {
    let topics = ScriptedTopics([
      records([1, 2]),
      [
        Record("{\"k\":3}"), Record("no json"), Record(nil), Record(""), Record("{\"x\":1}"),
        Record("{\"k\":\n4}"),
      ],
    ])
    var harness = harness(topics)
    harness.options.targets[.rejects] = .directory("bad")
    let summary = try harness.run()
    #expect(summary.counters.events == 8 && summary.counters.rejected == 4)
    #expect(
      Set(lines(try harness.output()))
        == ["{\"k\":1}", "{\"k\":2}", "{\"k\":3}", "{\"k\": 4}"])
    func place(_ offset: Int) -> String { "{\"topic\":\"t\",\"partition\":1,\"offset\":\(offset)," }
    #expect(
      lines(try harness.output("bad")) == [
        place(1) + "\"reason\":\"invalidJSON\",\"record\":\"no json\"}",
        place(2) + "\"reason\":\"tombstone\",\"record\":\"\"}",
        place(3) + "\"reason\":\"emptyValue\",\"record\":\"\"}",
        place(4) + "\"reason\":\"missingKey\",\"record\":\"{\\\"x\\\":1}\"}",
      ])
    harness.options.missingKey = .fail
    harness.options.statePath = "other"
    harness.options.targets = [:]
    #expect {
      try harness.run()
    } throws: { error in
      "\(error)".hasPrefix("t [1], offset 4: the record has no key (missingKey)")
    }
  }

  @Test(arguments: [RecordFormat.Kind.ndjson, .lines])
  func keysBesideTheRecordsAreTakenWhole(kind: RecordFormat.Kind) throws {
    func value(_ number: Int) -> String { kind == .ndjson ? "{\"n\":\(number)}" : "n \(number)" }
    let long = String(repeating: "x", count: KeyBatch.keyBytesMax + 1)
    let topics = ScriptedTopics([
      [
        Record(value(0), key: "a"), Record(value(1), key: "a\"{"), Record(value(2), key: "a"),
        Record(value(3)), Record(value(4), key: ""), Record(value(5), key: ""),
        Record(value(6), key: long), Record(value(7), key: "b\n"),
      ]
    ])
    var harness = harness(topics)
    harness.options.description.format = RecordFormat(kind: kind)
    harness.options.description.format.keySource = .recordKey
    let summary = try harness.run()
    #expect(summary.rejectReasons == ["missingKey": 1, "keyTooLong": 1])
    #expect(lines(try harness.output()) == [0, 1, 4, 7].map(value))
  }

  @Test func timesBesideTheRecordsAreEventTimes() throws {
    let topics = ScriptedTopics([
      [
        Record("{\"k\":1,\"n\":0}", time: 1000), Record("{\"k\":1,\"n\":1}", time: 1399),
        Record("{\"k\":1,\"n\":2}", time: 1400), Record("{\"k\":2}"),
      ]
    ])
    var harness = harness(topics)
    var format = RecordFormat(kind: .ndjson, keyFields: ["k"])
    format.usesRecordTime = true
    harness.options.description = JobDescription(
      origin: .topics(TopicOrigin(["t"])), format: format,
      timeToLive: .milliseconds(JobHarness.timeToLive))
    let summary = try harness.run()
    #expect(lines(try harness.output()) == ["{\"k\":1,\"n\":0}", "{\"k\":1,\"n\":2}"])
    #expect(summary.rejectReasons == ["timeMissing": 1])
  }

  @Test func aByteOrderMarkIsPartOfAValueWhereverItsBatchBegins() throws {
    let marked = Record("\u{FEFF}{\"k\":1}")
    var harness = harness(ScriptedTopics([[marked, marked]]))
    for batch in [1, 2] {
      harness.options.batchRecordsMax = batch
      harness.options.statePath = "state\(batch)"
      harness.options.targets = [.rejects: .directory("bad\(batch)")]
      let summary = try harness.run()
      #expect(summary.rejectReasons == ["invalidJSON": 2], "batches of \(batch)")
    }
  }

  @Test func aValueBeyondTheLimitIsARejectOfWhichTheBeginningIsKept() throws {
    let long = "{\"k\":\"" + String(repeating: "x", count: 5000) + "\"}"
    var harness = harness(ScriptedTopics([[Record(long), Record("{\"k\":1}")]]))
    harness.options.description.format.recordBytesMax = 4000
    harness.options.targets[.rejects] = .directory("bad")
    let summary = try harness.run()
    #expect(summary.rejectReasons == ["lineTooLong": 1] && summary.counters.emitted == 1)
    #expect(summary.counters.bytesIn == UInt64(long.utf8.count + 1 + 8))
    #expect(try harness.output("bad").utf8.count < 1300)
  }

  // MARK: - States of others

  @Test func statesOfFilesAndOfTopicsAreNotMixed() throws {
    var generator = SeededGenerator(seed: 1)
    var files = JobHarness()
    files.options.description.timeToLive = .forever
    files.options.description.format = RecordFormat(kind: .ndjson, keyFields: ["k"])
    files.options.description.allowedLateness = 0
    try files.addInput("in/a", records: 5, using: &generator)
    _ = try files.run()
    let topics = harness(ScriptedTopics([records([1])]), disk: files.disk)
    #expect {
      try topics.run()
    } throws: { error in
      "\(error)".contains("was made with input files, not topics t")
    }
    var other = harness(ScriptedTopics([records([1])]), disk: files.disk)
    other.options.statePath = "other"
    other.options.targets = [:]
    _ = try other.run()
    files.options.statePath = "other"
    #expect {
      try files.run()
    } throws: { error in
      "\(error)".contains("was made with input topics t, not files")
    }
  }

  @Test func anotherClusterIsNotGoneOnWith() throws {
    let first = harness(ScriptedTopics([records([1])]))
    _ = try first.run()
    let second = harness(ScriptedTopics([records([1])], cluster: "d"), disk: first.disk)
    #expect {
      try second.run()
    } throws: { error in
      "\(error)".contains("the cluster is d, and was c")
    }
    _ = try first.run()
  }
}
