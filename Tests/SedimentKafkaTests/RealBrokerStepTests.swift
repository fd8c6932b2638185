import Foundation
import KafkaTestKit
import SedimentTestKit
import Testing

/// A job over a real broker that dies at each named step of an epoch, and is started again.
///
/// What a broker does with a death at a step shows here; every moment in between, and every moment
/// of the recovery, is walked through with a model of the brokers elsewhere.
@Suite(.enabled(if: RealBroker.bootstrap != nil, RealBroker.absence), .serialized)
final class RealBrokerStepTests {
  private let kafka: RealBroker
  private let input: String
  private let output: String

  private static let partitions = 4

  init() throws {
    kafka = try RealBroker()
    input = try kafka.topic("in", partitions: Self.partitions)
    output = try kafka.topic("out", partitions: 3)
  }

  private static let calls = ["initialise", "offsets", "begin", "produce", "flush", "commit"]
    .flatMap { ["before-\($0)", "after-\($0)"] }
  private static let fileSteps = [
    "createFile", "write", "synchronizeFile", "rename", "synchronizeDirectory",
  ]

  /// Runs a job that dies at the step, if it comes there so often.
  ///
  /// - Returns: whether it did.
  private func run(_ step: String, _ number: Int, handover: String) throws -> Bool {
    let process = try kafka.start(
      [
        kafka.brokers, kafka.prefix + "g", input, output, kafka.url("state").path, handover, step,
        "\(number)",
      ], of: "stepped-dedup", talk: try kafka.talk(step))
    try process.waitForEnd()
    if process.terminationReason == .uncaughtSignal { return true }
    let said = try kafka.text(of: step + ".talk")
    try #require(process.terminationStatus == 0, "\(step): \(said)")
    return false
  }

  @Test(arguments: [false, true])
  func aJobThatDiesAtAStepLeavesTheFirstSeenSet(isShared: Bool) throws {
    var generator = SeededGenerator.drawn()
    let handover = isShared ? kafka.url("handover").path : "-"
    var steps = Self.calls + Self.fileSteps.map { "state-\($0)" }
    if isShared { steps += Self.fileSteps.map { "handover-\($0)" } }
    // The first ones come once an opening.
    let isRare = Set(Self.calls.prefix(4))
    var deaths = 0
    for step in steps.shuffled(using: &generator) {
      let events = KeyedEvents(
        partitions: Self.partitions, each: 300, keys: 5000, using: &generator)
      for (partition, lines) in events.lines.enumerated() {
        try kafka.produce(lines, to: input, partition)
      }
      let number = isRare.contains(step) ? 1 : Int.random(in: 1...6, using: &generator)
      let isDead = try run(step, number, handover: handover)
      if isDead { deaths += 1 }
      let flaw = try kafka.flaw(
        of: FirstSeen(of: input, kafka.consumer), from: input, in: output)
      #expect(flaw == nil, "\(flaw ?? ""), after \(step) \(number), \(generator)")
    }
    #expect(deaths > steps.count / 2, "\(deaths) of \(steps.count), \(generator)")
    #expect(try !run("none", 1, handover: handover))
    let first = try FirstSeen(of: input, kafka.consumer)
    let values = try kafka.consumer.records(of: output).compactMap(\.value)
    let flaw = first.flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
    print("Kafka: died at \(deaths) of \(steps.count) steps, \(generator)")
  }
}
