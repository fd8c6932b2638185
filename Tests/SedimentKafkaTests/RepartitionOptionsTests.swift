import Foundation
import SedimentJob
import SedimentKafka
import Testing

/// A shuffle by the key on the command line, and what is decided of its topic.
@Suite final class RepartitionOptionsTests {
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

  @Test func whatDoesNotGoTogetherIsRefusedByName() throws {
    let base = ["kafka://b/t,u", "--group", "g", "--output", "kafka://b/o"]
    let handover = ["--handover", "place"]
    for (arguments, reason) in [
      (["--repartition-by-key", "r"], "--repartition-by-key needs --handover: a place all"),
      (
        ["--repartition-by-key", "r", "--partitioned-by-key"] + handover,
        "--partitioned-by-key and --repartition-by-key exclude each other"
      ),
      (
        ["--repartition-by-key", "u"] + handover,
        "--repartition-by-key u: the topic u is read"
      ),
      (
        ["--repartition-by-key", "o"] + handover,
        "--repartition-by-key o: an output goes to this topic"
      ),
      (
        ["--repartition-by-key", "kafka://b/r"] + handover,
        "\"kafka://b/r\" is no name of a topic"
      ),
      (
        ["--repartition-by-key", "r", "--repartition-partitions", "0"] + handover,
        "a topic has from 1 to 65536 partitions"
      ),
      (
        ["--repartition-partitions", "4"],
        "--repartition-partitions is for --repartition-by-key"
      ),
      (["--repartition-by-key", "r", "--fresh"] + handover, "--fresh and --from are for one"),
      (handover, "--partitioned-by-key where records with one key are in one partition"),
      (handover, "--repartition-by-key where they are not"),
    ] {
      let talk = try refusal(base + arguments).replacing("\n", with: " ")
      #expect(talk.contains(reason), "\(arguments): \(talk)")
    }
  }

  @Test func itIsForTopics() throws {
    for option in [["--repartition-by-key", "r"], ["--repartition-partitions", "4"]] {
      let talk = try refusal(["in.ndjson", "--output", "out/"] + option)
      #expect(talk.contains("\(option[0]) is for topics"), "\(talk)")
    }
  }

  @Test func aTopicHasAsManyPartitionsAsTheLargestThatIsReadAndTwelveAtLeast() {
    #expect(KafkaRepartitionTopic.defaultPartitions([]) == 12)
    #expect(KafkaRepartitionTopic.defaultPartitions([1, 11]) == 12)
    #expect(KafkaRepartitionTopic.defaultPartitions([3, 40, 30]) == 40)
    #expect(KafkaRepartitionTopic.defaultPartitions([100_000]) == 65_536)
  }

  // MARK: - Records that are done with

  private func positions(_ offsets: [Int32: Int64]) -> TopicPositions {
    var positions = TopicPositions()
    for (number, offset) in offsets { positions[TopicPartition("r", number)] = offset }
    return positions
  }

  private func offsets(_ due: [TopicPartition: Int64]?) -> [Int32: Int64]? {
    due.map { Dictionary($0.map { ($0.key.partition, $0.value) }) { $1 } }
  }

  @Test func whatWasCommittedIsRemovedOneIntervalLaterAndOnce() {
    let interval = CommittedRecords.intervalMillis
    var records = CommittedRecords()
    #expect(records.due(atMillis: 5) == nil, "time begins")
    records.note(positions([0: 10]))
    #expect(records.due(atMillis: interval + 4) == nil)
    #expect(records.due(atMillis: interval + 5) == nil, "it was committed just now")
    records.note(positions([0: 20, 1: 0]))
    #expect(offsets(records.due(atMillis: 2 * interval + 5)) == [0: 10])
    #expect(records.due(atMillis: 2 * interval + 6) == nil)
    #expect(offsets(records.due(atMillis: 3 * interval + 5)) == [0: 20], "of 1 there is nothing")
    #expect(records.due(atMillis: 4 * interval + 5) == nil, "that is gone already")
    records.note(positions([1: 7]))
    #expect(records.due(atMillis: 5 * interval + 5) == nil)
    #expect(offsets(records.due(atMillis: 6 * interval + 5)) == [1: 7])
  }
}
