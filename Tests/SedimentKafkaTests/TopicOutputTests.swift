import Foundation
import Testing

/// `sediment dedup … --output kafka://…` against a mock cluster, whose transactions are a front: it
/// answers, and shows records at once. What a crash means is `TransactionJobTests`'.
@Suite final class TopicOutputTests {
  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
  }

  private typealias Record = WrittenRecord

  private func records(of topic: String, partitions: Int) throws -> [Record] {
    try kafka.records(of: topic, partitions: partitions)
  }

  private func address(_ topic: String) -> String { kafka.address(topic) }

  private func runToEnd(_ more: [String] = []) throws -> KafkaHarness.Outcome {
    try kafka.run(kafka.job("t", ["--until-end", "--output", address("out")] + more))
  }

  @Test func keysHeadersAndTimesPassThroughAndTheNextRunGoesOn() throws {
    try kafka.cluster.command("topic t 2")
    for topic in ["out 2", "again 1", "bad 1"] { try kafka.cluster.command("topic \(topic)") }
    try kafka.produce(
      records: [
        #"{"value":"{\"k\":1,\n\"a\":1}","key":"x","headers":[["h","1"],["h",null],["e",""]]"#
          + #","timestamp":1700000000000}"#,
        #"{"value":"{\"k\":1}","key":"y","timestamp":1700000000001}"#,
        #"{"value":"no json","key":"z","timestamp":1700000000002}"#,
      ], to: "t")
    try kafka.produce(
      records: [#"{"value":"{\"k\":2}","key":"","timestamp":5}"#, #"{"value":"{\"k\":3}"}"#],
      to: "t", 1)
    let outputs = [
      "--duplicates", address("again"), "--rejects", address("bad"), "--output-partitioner", "same",
    ]
    let first = try runToEnd(outputs)
    #expect(first.status == 0, "\(first.talk)")
    #expect(first.talk.contains("5 events, 3 emitted, 1 duplicates"), "\(first.talk)")
    let output = try records(of: "out", partitions: 2)
    try #require(output.count == 3)
    #expect(
      output[0]
        == Record(
          partition: 0, value: "{\"k\":1,\n\"a\":1}", key: "x",
          headers: [["h", "1"], ["h", nil], ["e", ""]], timestamp: 1_700_000_000_000))
    #expect(
      output[1] == Record(partition: 1, value: "{\"k\":2}", key: "", headers: [], timestamp: 5))
    #expect(output[2].partition == 1 && output[2].value == "{\"k\":3}" && output[2].key == nil)
    #expect(try records(of: "again", partitions: 1).map(\.key) == ["y"])
    let bad = try #require(try records(of: "bad", partitions: 1).first)
    #expect(bad.value?.contains("\"offset\":2,\"reason\":\"invalidJSON\"") == true)
    #expect(bad.value?.hasSuffix("}") == true && bad.key == nil)

    // This cluster forgets what transactions commit to groups, as one that was idle for long.
    try kafka.produce(["{\"k\":3}", "{\"k\":4}"], to: "t")
    let next = try runToEnd(outputs)
    #expect(next.status == 0, "\(next.talk)")
    #expect(next.talk.contains("2 events, 1 emitted, 1 duplicates"), "\(next.talk)")
    #expect(!next.talk.contains("and was given up"), "\(next.talk)")
    #expect(try records(of: "out", partitions: 2).count == 4)
  }

  @Test func auditHeadersSayWhereARecordComesFrom() throws {
    try kafka.cluster.command("topic t 2")
    try kafka.cluster.command("topic out 1")
    try kafka.produce(["{\"k\":0}", "{\"k\":0}", "{\"k\":1}"], to: "t", 1)
    let outcome = try runToEnd(["--audit-headers"])
    #expect(outcome.status == 0, "\(outcome.talk)")
    let headers = try records(of: "out", partitions: 1).map(\.headers)
    try #require(headers.count == 2)
    for names in headers.map({ $0.map { $0[0] } }) {
      #expect(names == ["sediment-epoch", "sediment-source"])
    }
    #expect(headers.map { $0.last?[1] } == ["t/1/0", "t/1/2"])
    let epochs = headers.compactMap { $0.first?[1] }
    #expect(Set(epochs).count == 1 && epochs.allSatisfy { $0.utf8.count == 32 })
  }

  @Test func filesGoIntoTopicsOnce() throws {
    try kafka.cluster.command("topic out 3")
    let lines = (0..<5000).map { "{\"k\":\($0 % 1700),\"n\":\($0)}" }
    try Data(lines.joined(separator: "\n").utf8).write(to: kafka.url("in.ndjson"))
    let job = [
      "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "state", "--group", "g",
      "--output", address("out"), "--audit-headers",
    ]
    for round in 0..<2 {
      let outcome = try kafka.run(job)
      #expect(outcome.status == 0, "\(outcome.talk)")
      let output = try records(of: "out", partitions: 3)
      #expect(output.compactMap(\.value).sorted() == lines.prefix(1700).sorted(), "round \(round)")
      let first = try #require(output.first { $0.value == lines[41] })
      #expect(first.headers.last == ["sediment-source", "in.ndjson:42"])
    }
  }

  @Test func linesOfFilesBesideTopicsStayLines() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic again 1")
    try kafka.produce(
      records: [1, 1, 2].map { #"{"value":"{\"k\":\n\#($0)}","key":"a"}"# }, to: "t")
    let outcome = try kafka.runToEnd("t", ["--duplicates", address("again")])
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(try kafka.output() == ["{\"k\": 1}", "{\"k\": 2}"])
    #expect(try records(of: "again", partitions: 1).map(\.key) == ["a"])
  }

  // MARK: - What cannot be written

  /// This cluster makes topics that are asked for, whatever a client says, so it is told not to
  /// know this one (3).
  @Test func aTopicThatIsNotThereEndsTheJob() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic-error out 3")
    let outcome = try runToEnd()
    #expect(outcome.status == 1)
    #expect(
      outcome.talk.contains("topics are not created by writing: create it"), "\(outcome.talk)")
    try kafka.cluster.command("topic-error out 0")
    #expect(try runToEnd().status == 0)
  }

  @Test func aTopicWithoutLeaderIsWaitedFor() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic out 1")
    try kafka.cluster.command("topic-error out 5")
    let talk = Pipe()
    let process = try kafka.start(
      kafka.job("t", ["--until-end", "--output", address("out")]), talk: talk)
    try LineReader(talk.fileHandleForReading).lines(until: "waiting for the brokers")
    try kafka.cluster.command("topic-error out 0")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
  }

  @Test(arguments: [
    (
      "message.max.bytes=1000",
      "t [1], offset 2: the record has 1500 bytes, and producers send less"
    ),
    (
      "queue.buffering.max.kbytes=1",
      "t [1], offset 2: the record has 1500 bytes, and all records that wait have less"
    ),
  ])
  func aRecordThatIsTooLargeIsNamedWithItsPlaceAndTheWayOut(
    property: String, reason: String
  ) throws {
    try kafka.cluster.command("topic t 2")
    try kafka.cluster.command("topic out 2")
    let padding = String(repeating: "x", count: 1500 - "{\"k\":2,\"p\":\"\"}".count)
    try kafka.produce(
      ["{\"k\":0}", "{\"k\":1}", "{\"k\":2,\"p\":\"\(padding)\"}"], to: "t", 1)
    let outcome = try runToEnd(["--kafka-property", property])
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains(reason), "\(outcome.talk)")
    let name = property.prefix { $0 != "=" }
    #expect(outcome.talk.contains("--kafka-property \(name)=N allows more"), "\(outcome.talk)")
    // Nothing was decided for good.
    let next = try runToEnd()
    #expect(next.status == 0, "\(next.talk)")
    let values = try records(of: "out", partitions: 2).compactMap(\.value)
    #expect(Set(values).count == 3)
  }

  @Test func aPartitionThatTheOutputHasNotIsNamed() throws {
    try kafka.cluster.command("topic t 3")
    try kafka.cluster.command("topic out 2")
    try kafka.produce(["{\"k\":0}"], to: "t", 2)
    let outcome = try runToEnd(["--output-partitioner", "same"])
    #expect(outcome.status == 1)
    #expect(
      outcome.talk.contains("t [2], offset 0: the topic out has 2 partitions"), "\(outcome.talk)")
  }

  @Test func aJobThatWaitsForBrokersIsStoppedAtOnce() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic out 1")
    try kafka.cluster.command("down")
    let talk = Pipe()
    let process = try kafka.start(kafka.job("t", ["--output", address("out")]), talk: talk)
    let lines = LineReader(talk.fileHandleForReading)
    try lines.lines(until: "waiting for the brokers")
    kill(process.processIdentifier, SIGTERM)
    try lines.lines(until: "the job was stopped before it began")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 1)
    try kafka.cluster.command("up")
  }
}
