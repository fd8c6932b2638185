import Foundation
import SedimentIO
import SedimentJob
import SedimentKafka
import SedimentStore
import Testing

/// `sediment rescale kafka://…` before any broker is asked.
@Suite final class RescaleTopicTests {
  private let kafka: KafkaHarness

  init() throws { kafka = try KafkaHarness() }

  private func refusal(_ arguments: [String], status: Int32) throws -> String {
    let outcome = try kafka.run(["rescale"] + arguments)
    #expect(outcome.status == status, "\(arguments): \(outcome.talk)")
    return outcome.talk
  }

  @Test func whatDoesNotGoTogetherIsRefusedByName() throws {
    let topic = "kafka://b/t"
    for (arguments, reason) in [
      (["state"], "--shards is missing"),
      (["state", "--shards", "2", "--group", "g"], "--group is for topics"),
      (["state", "--shards", "2", "--allow-unread"], "--allow-unread is for topics"),
      (["state", "--shards", "2", "--kafka-property", "a=b"], "--kafka-property is for topics"),
      ([topic, "--handover", "h"], "--group is missing"),
      ([topic, "--group", "g"], "--handover is missing"),
      ([topic, "--group", "g", "--handover", "h", "--shards", "2"], "--shards is for states"),
      ([topic, "--group", "g", "--handover", "h", "--partitions", "0"], "--partitions 0: 1 to"),
      (["kafka://b/t,u", "--group", "g", "--handover", "h"], "one topic at a time"),
      (["kafka://b", "--group", "g", "--handover", "h"], "it names no topic"),
    ] {
      let talk = try refusal(arguments, status: 2)
      #expect(talk.contains(reason), "\(arguments): \(talk)")
    }
  }

  @Test func withoutStatesThereIsNothingToRescale() throws {
    let place = kafka.url("handover").path
    let arguments = ["kafka://b/t", "--group", "g", "--handover", place]
    #expect(try refusal(arguments, status: 1).contains("--handover \(place)"))
    let storage = try DirectoryStorage(at: place)
    #expect(try refusal(arguments, status: 1).contains("holds no states of the group g"))
    // Of the group itself, or of the one that reads what it has put in order.
    for group in ["g", "h-by-key"] {
      let record = HandoverRecord(
        group: group, job: .random(), seed: .random(), generation: 1, partitions: ["u": 2],
        isByKeyGroup: false)
      #expect(try record.put(in: storage))
    }
    #expect(try refusal(arguments, status: 1).contains("the group g does not read t, but u"))
    #expect(
      try refusal(["kafka://b/t", "--group", "h", "--handover", place], status: 1)
        .contains("the group h does not read t, but u"))
  }
}
