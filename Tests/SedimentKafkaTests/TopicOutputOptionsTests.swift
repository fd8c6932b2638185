import Foundation
import SedimentJob
import SedimentKafka
import Testing

/// Topics as outputs on the command line: what is refused before anything is connected to.
@Suite final class TopicOutputOptionsTests {
  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
    try Data("{\"k\":1}\n".utf8).write(to: kafka.url("in.ndjson"))
  }

  private func refusal(_ arguments: [String]) throws -> String {
    let outcome = try kafka.run(
      ["dedup", "--key", "k", "--ttl", "forever", "--state", "state"] + arguments)
    #expect(outcome.status == 2, "\(arguments): \(outcome.talk)")
    #expect(!FileManager.default.fileExists(atPath: kafka.url("state").path), "\(arguments)")
    return outcome.talk
  }

  @Test func whatCannotBeWrittenTogetherIsRefusedByName() throws {
    let base = ["kafka://b/t,u", "--group", "g"]
    for (arguments, reason) in [
      (["--output", "kafka://b/u"], "--output kafka://b/u: this topic is read"),
      (["--output", "kafka://b/o,p"], "--output kafka://b/o,p: an output is one topic"),
      (
        ["--output", "kafka://b/o", "--duplicates", "kafka://c/d"],
        "--duplicates kafka://c/d: all topics are written by the same brokers"
      ),
      (
        ["--output", "kafka://b/o", "--rejects", "kafka://b/o"],
        "--rejects kafka://b/o: another output goes to this topic"
      ),
      (["--output", "kafka://b"], "--output kafka://b: it names no topic"),
      (["--output", "kafkas://b/o"], "--output kafkas://b/o: there is no output kafkas://"),
      (
        ["--output", "kafka://b/o", "--assume-committed", "--assume-aborted"],
        "--assume-committed and --assume-aborted exclude each other"
      ),
      (
        ["--output", "kafka://b/o", "--kafka-property", "transactional.id=x"],
        "transactional.id cannot be set: it is made of the group's name"
      ),
      (
        ["--output", "kafka://b/o", "--kafka-property", "linger.ms=soon"],
        "--kafka-property: Invalid value"
      ),
    ] {
      let talk = try refusal(base + arguments)
      #expect(talk.contains(reason), "\(arguments): \(talk)")
    }
  }

  @Test func whatIsForTopicsOnlySaysSo() throws {
    for option in [
      ["--output-partitioner", "same"], ["--audit-headers"], ["--assume-committed"],
      ["--assume-aborted"],
    ] {
      let talk = try refusal(["kafka://b/t", "--group", "g", "--output", "out/"] + option)
      #expect(talk.contains("\(option[0]) is for outputs that are topics"), "\(talk)")
    }
    let files = ["in.ndjson", "--output", "kafka://b/o"]
    #expect(try refusal(files).contains("--group is missing: its offsets say what was committed"))
    #expect(
      try refusal(files + ["--group", "g", "--output-partitioner", "same"])
        .contains("--output-partitioner same is for inputs that are topics"))
    #expect(
      try refusal(["in.ndjson", "--output", "out/", "--group", "g"])
        .contains("--group is for topics"))
  }

  @Test func anEpochMustEndBeforeItsTransactionTimesOut() throws {
    let base = ["in.ndjson", "--output", "kafka://b/o", "--group", "g", "--checkpoint-interval"]
    let talk = try refusal(base + ["15m"])
    #expect(talk.contains("a transaction is open for as long"), "\(talk)")
    #expect(
      try refusal(base + ["5s", "--kafka-property", "transaction.timeout.ms=5000"])
        .contains("a longer --kafka-property transaction.timeout.ms=N"))
  }

  @Test func timeoutsFollowTheEpochs() throws {
    func output(_ properties: String...) throws -> KafkaOutput {
      var all = KafkaProperties()
      for property in properties { try all.add(property, from: "--kafka-property") }
      return try KafkaOutput(["b"], topics: [.output: "o"], group: "g", properties: all)
    }
    for millis: Int64 in [1, 30_000, 60_000, 899_999] {
      try output().requireTime(forEpochsOf: millis)
    }
    for millis: Int64 in [900_000, .max] {
      #expect(throws: KafkaError.self) { try output().requireTime(forEpochsOf: millis) }
    }
    let longer = try output("transaction.timeout.ms=3600000")
    try longer.requireTime(forEpochsOf: 3_599_999)
    #expect(throws: KafkaError.self) { try longer.requireTime(forEpochsOf: 3_600_000) }
    #expect(throws: KafkaError.self) { try KafkaOutput(["b"], topics: [:], group: "") }
  }
}
