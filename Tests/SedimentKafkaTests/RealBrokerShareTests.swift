import Foundation
import KafkaTestKit
import SedimentTestKit
import Testing

/// Several instances that share the partitions of a topic on a real broker, and hand over states as
/// they are killed, paused, stopped and added.
@Suite(.enabled(if: RealBroker.bootstrap != nil, RealBroker.absence), .serialized)
final class RealBrokerShareTests {
  private let kafka: RealBroker
  private let input: String
  private let output: String
  private var instances: [Instance] = []
  /// How many machines there were.
  private var started = 0

  private static let partitions = 6

  private struct Instance {
    var process: Process
    /// Where its state is; another one on the same machine has another.
    var name: String
  }

  init() throws {
    kafka = try RealBroker()
    input = try kafka.topic("in", partitions: Self.partitions)
    output = try kafka.topic("out", partitions: 3)
  }

  deinit {
    // One that is paused would not end.
    for instance in instances where instance.process.isRunning {
      kill(instance.process.processIdentifier, SIGKILL)
    }
  }

  private func job(_ name: String, into output: String, _ more: [String] = []) -> [String] {
    kafka.job(
      input, state: name,
      [
        "--output", output, "--checkpoint-interval", "50ms", "--partitioned-by-key",
        "--handover", kafka.url("handover").path,
        // As long as a group waits for one that is paused while partitions change hands.
        "--kafka-property", "max.poll.interval.ms=10000",
      ] + more)
  }

  private func start(into output: String) throws {
    let name = "state-\(started)"
    started += 1
    let process = try kafka.start(job(name, into: output), talk: try kafka.talk(name))
    instances.append(Instance(process: process, name: name))
  }

  /// Kills an instance that is running, and starts it again on its machine, or on another.
  private func killOne(into output: String, using generator: inout SeededGenerator) throws {
    let index = Int.random(in: 0..<instances.count, using: &generator)
    kill(instances[index].process.processIdentifier, SIGKILL)
    try instances[index].process.waitForEnd()
    let (old, isMoved) = (instances.remove(at: index), Bool.random(using: &generator))
    guard !isMoved else { return try start(into: output) }
    let talk = try FileHandle(forUpdating: kafka.url(old.name + ".talk"))
    try talk.seekToEnd()
    instances.append(
      Instance(process: try kafka.start(job(old.name, into: output), talk: talk), name: old.name))
  }

  /// Pauses an instance until the others have read what was its; then it goes on.
  private func pauseOne(using generator: inout SeededGenerator) throws {
    let zombie = instances[Int.random(in: 0..<instances.count, using: &generator)].process
    kill(zombie.processIdentifier, SIGSTOP)
    try produce(500, using: &generator)
    try waitUntilAllIsRead()
    kill(zombie.processIdentifier, SIGCONT)
  }

  private func produce(_ each: Int, using generator: inout SeededGenerator) throws {
    let events = KeyedEvents(
      partitions: Self.partitions, each: each, keys: 20_000, using: &generator)
    for (partition, lines) in events.lines.enumerated() {
      try kafka.produce(lines, to: input, partition)
    }
  }

  private func waitUntilAllIsRead() throws {
    let first = try FirstSeen(of: input, kafka.consumer)
    try wait { try first.isAll(before: kafka.committed(of: input).mapValues(\.offset)) }
  }

  /// Kills, pauses and adds, while records come.
  private func play(into output: String, _ generator: inout SeededGenerator) throws {
    try produce(3000, using: &generator)
    for _ in 0..<3 { try start(into: output) }
    for round in 0..<6 {
      try produce(1000, using: &generator)
      usleep(UInt32.random(in: 0..<2_000_000, using: &generator))
      switch round % 3 {
      case 0: try killOne(into: output, using: &generator)
      case 1: try pauseOne(using: &generator)
      default: try start(into: output)
      }
      for instance in instances {
        let said = try kafka.text(of: instance.name + ".talk")
        try #require(instance.process.isRunning, "\(generator), \(instance.name): \(said)")
      }
    }
    try waitUntilAllIsRead()
    for instance in instances { kill(instance.process.processIdentifier, SIGTERM) }
    for instance in instances {
      try instance.process.waitForEnd()
      let said = try kafka.text(of: instance.name + ".talk")
      #expect(instance.process.terminationStatus == 0, "\(generator), \(instance.name): \(said)")
    }
  }

  @Test func topicsHaveTheFirstSeenSetAndOffsetsThatFitIt() throws {
    var generator = SeededGenerator.drawn()
    try play(into: "kafka://\(kafka.brokers)/\(output)", &generator)
    // What one that was killed had begun hides what is behind it until its time is over.
    try wait { try !kafka.consumer.hasOpenTransaction(in: output) }
    let first = try FirstSeen(of: input, kafka.consumer)
    let values = try kafka.consumer.records(of: output).compactMap(\.value)
    let flaw = try first.flaw(of: values) ?? kafka.flaw(of: first, from: input, in: output)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }

  @Test func filesHaveTheFirstSeenSetAndNothingIsLeftOver() throws {
    var generator = SeededGenerator.drawn()
    let directory = kafka.url("out").path
    try play(into: directory, &generator)
    // What a writer that woke up too late has begun goes with the next recovery.
    let last = try kafka.run(job("last", into: directory, ["--until-end"]))
    #expect(last.status == 0 && last.talk.contains(" 0 events"), "\(last.talk), \(generator)")
    var values: [String] = []
    for partition in 0..<Self.partitions {
      let name = "out/\(input)/partition=\(partition)"
      let files = try FileManager.default.contentsOfDirectory(atPath: kafka.url(name).path)
      let isOurs = files.allSatisfy { $0.hasPrefix("part-") || $0 == ".sediment" }
      #expect(isOurs, "\(files), \(generator)")
      values += try kafka.output(name)
    }
    let flaw = try FirstSeen(of: input, kafka.consumer).flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }
}
