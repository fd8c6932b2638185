import Foundation
import KafkaTestKit
import SedimentTestKit
import Testing

/// A shuffle by the key over a real broker: keys that are in all partitions of the input, several
/// instances, and the topic between that the job makes.
@Suite(.enabled(if: RealBroker.bootstrap != nil, RealBroker.absence), .serialized)
final class RealBrokerRepartitionTests {
  private let kafka: RealBroker
  private let input: String
  private let between: String
  private let output: String

  private static let partitions = 3
  private static let betweenPartitions = 5

  init() throws {
    kafka = try RealBroker()
    input = try kafka.topic("in", partitions: Self.partitions)
    output = try kafka.topic("out", partitions: 2)
    between = kafka.topicToBe("by-key")
  }

  private func job(state: String, _ more: [String] = []) -> [String] {
    kafka.job(
      input, state: state,
      [
        "--output", "kafka://\(kafka.brokers)/\(output)", "--checkpoint-interval", "20ms",
        "--repartition-by-key", between, "--repartition-partitions", "\(Self.betweenPartitions)",
        "--handover", kafka.url("handover").path, "--audit-headers",
      ] + more)
  }

  /// Produces events whose keys are in any partition; how many keys there are.
  private func produce(
    _ count: Int, keys: Int, using generator: inout SeededGenerator
  ) throws -> Set<Int> {
    let producer = try kafka.producer()
    var seen: Set<Int> = []
    for number in 0..<count {
      let key = Int.random(in: 0..<keys, using: &generator)
      seen.insert(key)
      try producer.send(
        TestRecord(value: "{\"k\":\(key),\"n\":\(number)}", key: "\(number)"), to: input,
        Int.random(in: 0..<Self.partitions, using: &generator))
    }
    try producer.flush()
    return seen
  }

  private static func key(of value: String) -> Int? {
    Int(value.dropFirst(5).prefix { $0.isNumber })
  }

  /// What is wrong with the output when all was read; `nil` for nothing.
  private func flaw(_ keys: Set<Int>) throws -> String? {
    var places: [String: String] = [:]
    try kafka.consumer.forEachRecord(of: input) { record in
      places["\(input)/\(record.partition)/\(record.offset)"] = record.value
    }
    let written = try kafka.consumer.records(of: output)
    guard Set(written.compactMap { $0.value.flatMap(Self.key) }) == keys else {
      return "keys are missing or others"
    }
    guard written.count == keys.count else { return "\(written.count) of \(keys.count) keys" }
    for record in written {
      let sources = record.headers.filter { $0.first == "sediment-source" }
      guard sources.count == 1, let place = sources[0][1], places[place] == record.value else {
        return "\(record) is not of the place it names"
      }
    }
    return nil
  }

  @Test func oneInstanceMakesTheTopicAndReadsToTheEnd() throws {
    var generator = SeededGenerator.drawn()
    let keys = try produce(2000, keys: 700, using: &generator)
    let outcome = try kafka.run(job(state: "a", ["--until-end"]))
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(outcome.talk.contains("made the topic \(between) with 5 partitions"))
    #expect(
      outcome.talk.contains("2,000 records repartitioned through \(between)"), "\(outcome.talk)")
    let flaw = try flaw(keys)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
    #expect(try kafka.topics.partitionCount(of: between) == Self.betweenPartitions)
    // In one partition each, and not in that of the input.
    var partitions: [Int: Set<Int32>] = [:]
    for record in try kafka.consumer.records(of: between) {
      if let key = record.value.flatMap(Self.key) {
        partitions[key, default: []].insert(record.partition)
      }
    }
    #expect(partitions.values.allSatisfy { $0.count == 1 })

    let other = try kafka.run(
      job(state: "a", ["--until-end", "--repartition-partitions", "6"]))
    #expect(other.status == 1)
    #expect(other.talk.contains("\(between) has 5 partitions, not 6"), "\(other.talk)")
    let again = try kafka.run(job(state: "a", ["--until-end"]))
    #expect(again.status == 0 && again.talk.contains("0 records repartitioned"), "\(again.talk)")
  }

  @Test func instancesThatAreKilledLeaveOneRecordOfEveryKey() throws {
    var generator = SeededGenerator.drawn()
    var keys = try produce(20_000, keys: 20_000, using: &generator)
    var processes: [String: Process] = [:]
    for name in ["a", "b", "c"] {
      processes[name] = try kafka.start(job(state: name), talk: try kafka.talk(name))
    }
    for victim in ["a", "b"] {
      let before = try kafka.consumer.records(of: output).count
      keys.formUnion(try produce(5000, keys: 20_000, using: &generator))
      try wait {
        let areRunning = processes.values.allSatisfy { $0.isRunning }
        try #require(areRunning, "\(generator)")
        return try kafka.consumer.records(of: output).count > before
      }
      if let process = processes[victim] {
        kill(process.processIdentifier, SIGKILL)
        try process.waitForEnd()
      }
      processes[victim] = try kafka.start(job(state: victim), talk: try kafka.talk(victim + "2"))
    }
    for process in processes.values {
      kill(process.processIdentifier, SIGTERM)
      try process.waitForEnd()
    }
    let outcome = try kafka.run(job(state: "a", ["--until-end"]))
    #expect(outcome.status == 0, "\(outcome.talk)")
    try wait { try !kafka.consumer.hasOpenTransaction(in: output) }
    let flaw = try flaw(keys)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }
}
