import Foundation
import KafkaTestKit
import SedimentTestKit
import Testing

/// Topics of a real broker as the input: what the mock cluster cannot show.
@Suite(.enabled(if: RealBroker.bootstrap != nil, RealBroker.absence), .serialized)
final class RealBrokerSourceTests {
  private let kafka: RealBroker

  init() throws {
    kafka = try RealBroker()
  }

  private func record(_ key: Int, _ more: String = "") -> String { "{\"k\":\(key)\(more)}" }

  private func records(_ keys: Range<Int>) -> [TestRecord] {
    keys.map { TestRecord(value: record($0)) }
  }

  // MARK: - Transactions

  @Test func whatWasAbortedIsNotReadAndMarkersAtTheEndAreNoRecords() throws {
    let topic = try kafka.topic("t", partitions: 2)
    let producer = try kafka.producer(transactionalID: "in")
    var expected: Set<String> = []
    for round in 0..<6 {
      let isCommitted = round % 2 == 0
      try producer.begin()
      for partition in 0..<2 {
        let first = (round * 2 + partition) * 100
        let lines = records(first..<first + 100)
        try producer.produce(lines, to: topic, partition)
        if isCommitted { expected.formUnion(lines.compactMap(\.value)) }
      }
      if isCommitted { try producer.commit() } else { try producer.abort() }
    }
    let read = try kafka.consumer.records(of: topic)
    #expect(Set(read.compactMap(\.value)) == expected && read.count == 600)
    #expect(try kafka.consumer.records(of: topic, .readUncommitted).count == 1200)
    let outcome = try kafka.runToEnd(topic)
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(outcome.talk.contains("600 events, 600 emitted"), "\(outcome.talk)")
    #expect(outcome.talk.contains("2 partitions, 0 records behind their ends"), "\(outcome.talk)")
    let output = try kafka.output()
    #expect(output.count == 600 && Set(output) == expected)
    let again = try kafka.runToEnd(topic)
    #expect(again.talk.contains("0 events, 0 emitted"), "\(again.talk)")
  }

  @Test func anOpenTransactionIsWaitedForBeforeTheEndIsReached() throws {
    let topic = try kafka.topic("t", partitions: 1)
    let producer = try kafka.producer(transactionalID: "in")
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: topic)
    try producer.begin()
    try producer.produce(records(2..<12), to: topic)
    let pipe = Pipe()
    let process = try kafka.start(
      kafka.job(topic, ["--until-end", "--output", "out/", "--duplicates", "-"]), output: pipe)
    try LineReader(pipe.fileHandleForReading).lines(until: "\"n\":0")
    #expect(process.isRunning)
    try producer.commit()
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(try kafka.output() == (1..<12).map { record($0) })
  }

  @Test func monitorsSeeHowFarTheStateIs() throws {
    let topic = try kafka.topic("t", partitions: 2)
    try kafka.produce((0..<10).map { record($0) }, to: topic, 1)
    #expect(try kafka.runToEnd(topic).status == 0)
    let group = kafka.prefix + "g"
    #expect(try kafka.consumer.committed(by: group, of: topic).mapValues(\.offset)[1] == 10)
    #expect(try kafka.consumer.committed(by: group + "-other", of: topic).isEmpty)
  }

  // MARK: - Where the first run begins

  @Test func theFirstRunBeginsWhereItIsAskedForAlsoAtATime() throws {
    let topic = try kafka.topic("t", partitions: 2)
    let producer = try kafka.producer()
    let base = Int64(Date().timeIntervalSince1970 * 1000) - 100_000
    for partition in 0..<2 {
      try producer.produce(
        (0..<10).map {
          TestRecord(value: record(partition * 10 + $0), timestamp: base + Int64($0) * 10)
        }, to: topic, partition)
    }
    func keys(_ start: String, _ state: String) throws -> [Int] {
      let outcome = try kafka.run(
        kafka.job(
          topic, group: state, state: state,
          ["--until-end", "--output", state + ".out/", "--start", start]))
      #expect(outcome.status == 0, "\(outcome.talk)")
      return try kafka.output(state + ".out").map { Int($0.dropFirst(5).dropLast()) ?? -1 }.sorted()
    }
    #expect(try keys("earliest", "a") == Array(0..<20))
    #expect(try keys("latest", "b").isEmpty)
    #expect(try keys("timestamp:\(base + 70)", "c") == [7, 8, 9, 17, 18, 19])
    #expect(try keys("timestamp:\(base + 71)", "d") == [8, 9, 18, 19])
    #expect(try keys("timestamp:\(base + 91)", "e").isEmpty)
    #expect(try keys("offsets:\(topic):1=8", "f") == Array(0..<10) + [18, 19])
    try kafka.produce([record(50)], to: topic, 1)
    #expect(try keys("earliest", "b") == [50])
    #expect(try keys("earliest", "e") == [50])
  }

  // MARK: - Topics that change

  @Test func partitionsThatAreAddedAreReadFromTheirBeginning() throws {
    let topic = try kafka.topic("t", partitions: 1)
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: topic)
    let pipe = Pipe()
    let process = try kafka.start(
      kafka.job(topic, ["--output", "out/", "--duplicates", "-"]), output: pipe)
    let duplicates = LineReader(pipe.fileHandleForReading)
    try duplicates.lines(until: "\"n\":0")
    try kafka.topics.addPartitions(to: topic, upTo: 3)
    for partition in 0..<3 {
      try kafka.produce(
        [record(10 + partition), record(1, ",\"n\":\(partition + 1)")], to: topic, partition)
    }
    var seen: [String] = []
    while seen.count < 3 { seen += [try #require(try duplicates.next())] }
    #expect(Set(seen) == Set((1...3).map { record(1, ",\"n\":\($0)") }))
    kill(process.processIdentifier, SIGTERM)
    try process.waitForEnd()
    #expect(process.terminationStatus == 0)
    #expect(try Set(kafka.output()) == Set([1, 10, 11, 12].map { record($0) }))
    let rest = try kafka.runToEnd(topic)
    #expect(rest.status == 0 && rest.talk.contains("reading 3 partitions"), "\(rest.talk)")
    #expect(rest.talk.contains("0 events"), "\(rest.talk)")
  }

  @Test func aTopicThatWasMadeAnewIsReadFromItsBeginningOnlyWhenAllowed() throws {
    let topic = try kafka.topic("t", partitions: 1)
    try kafka.produce((0..<10).map { record($0) }, to: topic)
    #expect(try kafka.runToEnd(topic).status == 0)
    try kafka.topics.delete(topic)
    _ = try kafka.topic("t", partitions: 1)
    try kafka.produce([record(5), record(20), record(21)], to: topic)
    let refused = try kafka.runToEnd(topic)
    #expect(refused.status == 1)
    #expect(refused.talk.contains("the partition ends at 3: the topic was made"), "\(refused.talk)")
    let allowed = try kafka.runToEnd(topic, ["--allow-gap"])
    #expect(allowed.status == 0, "\(allowed.talk)")
    #expect(allowed.talk.contains("3 events, 2 emitted, 1 duplicates"), "\(allowed.talk)")
    #expect(try kafka.output() == (Array(0..<10) + [20, 21]).map { record($0) })
  }

  @Test func aTopicThatIsDeletedWhileItIsReadEndsTheJobWithAllThatWasRead() throws {
    let topic = try kafka.topic("t", partitions: 1)
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: topic)
    let (pipe, talk) = (Pipe(), Pipe())
    let process = try kafka.start(
      kafka.job(topic, ["--output", "out/", "--duplicates", "-"]), output: pipe, talk: talk)
    try LineReader(pipe.fileHandleForReading).lines(until: "\"n\":0")
    try kafka.topics.delete(topic)
    try LineReader(talk.fileHandleForReading).lines(until: "it was deleted while it was read")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 1)
    #expect(try kafka.output() == [record(1)])
  }

  @Test func whatRetentionRemovedIsNamedAndGoneOnWithoutOnlyWhenAllowed() throws {
    let topic = try kafka.topic("t", partitions: 1)
    try kafka.produce((0..<10).map { record($0) }, to: topic)
    #expect(try kafka.runToEnd(topic).status == 0)
    try kafka.produce((10..<20).map { record($0) }, to: topic)
    try kafka.topics.deleteRecords(of: topic, 0, before: 15)
    let refused = try kafka.runToEnd(topic)
    #expect(refused.status == 1)
    #expect(
      refused.talk.contains("\(topic) [0]: offsets 10 to 14 are gone before"), "\(refused.talk)")
    let allowed = try kafka.runToEnd(topic, ["--allow-gap"])
    #expect(allowed.status == 0, "\(allowed.talk)")
    #expect(try kafka.output() == (Array(0..<10) + Array(15..<20)).map { record($0) })
  }

  // MARK: - Kills and the group

  @Test func killsAtRandomMomentsLeaveTheFirstSeenSetOfWhatWasCommitted() throws {
    let topic = try kafka.topic("t", partitions: 2)
    var generator = SeededGenerator.drawn()
    let events = KeyedEvents(partitions: 2, each: 40_000, keys: 20_000, using: &generator)
    let producer = try kafka.producer(transactionalID: "in")
    for start in stride(from: 0, to: 40_000, by: 4000) {
      for isCommitted in [false, true] {
        try producer.begin()
        for (partition, lines) in events.lines.enumerated() {
          // What is aborted has keys of its own and of others.
          for line in lines[start..<start + 4000] {
            let value = isCommitted ? line : line.replacing("\"n\":", with: "\"aborted\":")
            try producer.send(TestRecord(value: value), to: topic, partition)
          }
        }
        if isCommitted { try producer.commit() } else { try producer.abort() }
      }
    }
    let epochs = [
      "--until-end", "--output", "out/", "--duplicates", "-", "--checkpoint-interval", "5ms",
    ]
    var kills = 0
    // Another group each time: the killed one is in the old one until its session ends.
    for round in 0..<6 {
      let bytes = Int.random(in: 1...events.duplicateBytes / 4, using: &generator)
      let job = kafka.job(topic, group: "g\(round)", epochs)
      guard try kafka.runAndKill(job, afterBytes: bytes) else { break }
      kills += 1
    }
    let last = try kafka.runToEnd(topic, group: "last", ["--duplicates", "-"])
    #expect(last.status == 0, "\(last.talk)")
    let output = try kafka.output()
    let isRight = output.count == events.first.count && Set(output) == events.first
    #expect(isRight && kills > 0, "\(kills) kills, \(generator)")
  }

  @Test func ofThreeInstancesInOneGroupTwoAreRefusedAndTheFirstGoesOn() throws {
    let topic = try kafka.topic("t", partitions: 4)
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: topic)
    let pipe = Pipe()
    let first = try kafka.start(
      kafka.job(topic, ["--output", "out/", "--duplicates", "-"]), output: pipe)
    let duplicates = LineReader(pipe.fileHandleForReading)
    try duplicates.lines(until: "\"n\":0")
    let others = try ["b", "c"].map { name in
      let talk = Pipe()
      let process = try kafka.start(
        kafka.job(topic, state: name, ["--output", name + ".out/"]), talk: talk)
      return (process, LineReader(talk.fileHandleForReading))
    }
    for (process, talk) in others {
      try talk.lines(until: "of 4 partitions, without ")
      try process.waitForEnd()
      #expect(process.terminationStatus == 1)
    }
    for partition in 0..<4 {
      try kafka.produce([record(1, ",\"n\":\(partition + 1)")], to: topic, partition)
      try duplicates.lines(until: "\"n\":\(partition + 1)")
    }
    kill(first.processIdentifier, SIGTERM)
    try first.waitForEnd()
    #expect(first.terminationStatus == 0)
    #expect(try kafka.output() == [record(1)])
  }
}
