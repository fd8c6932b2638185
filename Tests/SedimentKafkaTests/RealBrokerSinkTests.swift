import Foundation
import KafkaTestKit
import SedimentTestKit
import Testing

/// Topics of a real broker as the output: every record once, whatever happens to the job.
///
/// Kills come at random moments; the named steps of an epoch are walked through with a model of the
/// brokers elsewhere.
@Suite(.enabled(if: RealBroker.bootstrap != nil, RealBroker.absence), .serialized)
final class RealBrokerSinkTests {
  private let kafka: RealBroker
  private let input: String
  private let output: String

  init() throws {
    kafka = try RealBroker()
    input = try kafka.topic("in", partitions: Self.partitions)
    output = try kafka.topic("out", partitions: 3)
  }

  /// For longer runs (`tools/torture-kafka`).
  private static let eventCount = number("SEDIMENT_KAFKA_EVENTS", otherwise: 40_000)
  private static let partitions = number("SEDIMENT_KAFKA_PARTITIONS", otherwise: 4)
  private static let killCount = number("SEDIMENT_KAFKA_KILLS", otherwise: 3)

  private static func number(_ name: String, otherwise: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? otherwise
  }

  /// A job from the one topic into the other, with short epochs.
  private func job(state: String = "state", _ more: [String] = []) -> [String] {
    kafka.job(
      input, state: state,
      ["--output", "kafka://\(kafka.brokers)/\(output)", "--checkpoint-interval", "20ms"] + more)
  }

  /// Produces events into the input, in transactions, every second of which is aborted.
  private func produce(_ events: KeyedEvents) throws {
    let producer = try kafka.producer(transactionalID: "in")
    let each = events.lines.first?.count ?? 0
    let step = max(1, each / 10)
    for start in stride(from: 0, to: each, by: step) {
      for isCommitted in [false, true] {
        try producer.begin()
        for (partition, lines) in events.lines.enumerated() {
          for line in lines[start..<min(start + (isCommitted ? step : step / 8), each)] {
            let value = isCommitted ? line : line.replacing("\"n\":", with: "\"aborted\":")
            try producer.send(TestRecord(value: value), to: input, partition)
          }
        }
        if isCommitted { try producer.commit() } else { try producer.abort() }
      }
    }
  }

  private var values: [String] {
    get throws { try kafka.consumer.records(of: output).compactMap(\.value) }
  }

  // MARK: - Records

  @Test func keysHeadersAndTimesPassThroughAndTheNextRunGoesOn() throws {
    let base = Int64(Date().timeIntervalSince1970 * 1000) - 100_000
    func record(_ number: Int, _ more: String = "") -> TestRecord {
      TestRecord(
        value: "{\"k\":\(number)\(more)}", key: "key-\(number)",
        headers: [["id", "x\(number)"], ["empty", ""], ["none", nil]],
        timestamp: base + Int64(number))
    }
    let producer = try kafka.producer()
    for partition in 0..<Self.partitions {
      try producer.produce((0..<20).map { record(partition * 100 + $0) }, to: input, partition)
      try producer.produce([record(partition * 100, ",\"again\":1")], to: input, partition)
    }
    let outcome = try kafka.run(job(["--until-end", "--audit-headers"]))
    #expect(outcome.status == 0, "\(outcome.talk)")
    let offsets = try kafka.committed(of: input)
    #expect(offsets.count == Self.partitions && Set(offsets.values.map(\.metadata)).count == 1)
    #expect(offsets.values.allSatisfy { $0.metadata.hasPrefix("sediment:1:") })
    var read = try kafka.consumer.records(of: output)
    #expect(read.count == 20 * Self.partitions)
    for written in read {
      let number = try #require(written.key.flatMap { Int($0.dropFirst(4)) })
      let expected = record(number)
      #expect(written.value == expected.value && written.timestamp == expected.timestamp)
      let own = written.headers.filter { $0.first??.hasPrefix("sediment-") != true }
      #expect(own == expected.headers)
      #expect(written.headers.count == own.count + 2)
    }

    try producer.produce([record(5), record(100_000)], to: input, 0)
    let again = try kafka.run(job(["--until-end"]))
    #expect(again.status == 0 && again.talk.contains("2 events, 1 emitted"), "\(again.talk)")
    read = try kafka.consumer.records(of: output)
    #expect(read.count == 20 * Self.partitions + 1)
    #expect(Set(read.compactMap(\.value)).contains("{\"k\":100000}"))
  }

  // MARK: - Kills

  @Test func killsAtRandomMomentsLeaveTheFirstSeenSetAndOffsetsThatFitIt() throws {
    var generator = SeededGenerator.drawn()
    let each = Self.eventCount / Self.partitions
    let events = KeyedEvents(
      partitions: Self.partitions, each: each, keys: each, bytes: 200, using: &generator)
    try produce(events)
    let first = try FirstSeen(of: input, kafka.consumer)
    #expect(first.count == events.first.count)
    var kills = 0
    while kills < Self.killCount {
      // The kills are spread over about all of the work.
      let bytes = Int.random(
        in: 1...max(1, events.duplicateBytes * 2 / (Self.killCount + 1)), using: &generator)
      guard try kafka.runAndKill(job(["--until-end", "--duplicates", "-"]), afterBytes: bytes)
      else { break }
      kills += 1
      let flaw = try kafka.flaw(of: first, from: input, in: output)
      #expect(flaw == nil, "\(flaw ?? ""), after kill \(kills), \(generator)")
    }
    let last = try kafka.run(job(["--until-end"]))
    #expect(last.status == 0 && kills > 0, "\(last.talk), \(generator)")
    let written = try values
    let flaw = try kafka.flaw(of: first, from: input, in: output) ?? first.flaw(of: written)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
    print(
      "Kafka: \(Self.eventCount) events, \(kills) kills, \(generator): \(written.count) records, "
        + (flaw == nil ? "the first-seen set, and offsets that fit it" : "WRONG"))
  }

  @Test func killsOfAJobFromFilesIntoATopicLeaveTheFirstSeenSet() throws {
    var generator = SeededGenerator.drawn()
    let events = KeyedEvents(
      partitions: 1, each: 40_000, keys: 40_000, bytes: 100, using: &generator)
    let text = events.lines.joined().joined(separator: "\n") + "\n"
    try Data(text.utf8).write(to: kafka.url("in.ndjson"))
    let arguments = [
      "dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", "state", "--group",
      kafka.prefix + "files", "--output", "kafka://\(kafka.brokers)/\(output)",
      "--checkpoint-interval", "20ms",
    ]
    var kills = 0
    for _ in 0..<5 {
      let bytes = Int.random(in: 1...events.duplicateBytes / 3, using: &generator)
      guard try kafka.runAndKill(arguments + ["--duplicates", "-"], afterBytes: bytes)
      else { break }
      kills += 1
      let values = try values
      #expect(Set(values).count == values.count && events.first.isSuperset(of: values))
    }
    let last = try kafka.run(arguments)
    #expect(last.status == 0 && kills > 0, "\(last.talk), \(generator)")
    let written = try values
    let isRight = written.count == events.first.count && Set(written) == events.first
    #expect(isRight, "\(written.count) of \(events.first.count), \(generator)")
  }

  // MARK: - More than one

  /// A job of four partitions that has begun to write, and what it was given.
  private func startJob(
    _ generator: inout SeededGenerator, _ more: [String] = []
  ) throws -> (process: Process, duplicates: FileHandle, first: FirstSeen) {
    let events = KeyedEvents(
      partitions: Self.partitions, each: 10_000, keys: 10_000, using: &generator)
    try produce(events)
    let pipe = Pipe()
    let process = try kafka.start(
      job(["--duplicates", "-"] + more), output: pipe, talk: try kafka.talk("first"))
    try pipe.fileHandleForReading.readAndDrop(
      Int.random(in: 1...events.duplicateBytes / 2, using: &generator))
    try wait(for: process) { try !kafka.committed(of: input).isEmpty }
    return (process, pipe.fileHandleForReading, try FirstSeen(of: input, kafka.consumer))
  }

  /// Another machine has a copy of the state of a job that was paused, and goes on in its place.
  @Test(arguments: [true, false])
  func aZombieThatWakesUpWritesNothingAndSaysWhy(successorIsDone: Bool) throws {
    var generator = SeededGenerator.drawn()
    let (zombie, duplicates, first) = try startJob(&generator)
    kill(zombie.processIdentifier, SIGSTOP)
    try FileManager.default.copyItem(at: kafka.url("state"), to: kafka.url("other"))
    let before = try kafka.committed(of: input)
    let successor = try kafka.start(
      job(state: "other", successorIsDone ? ["--until-end"] : []), talk: try kafka.talk("second"))
    if successorIsDone {
      try successor.waitForEnd()
    } else {
      try wait(for: successor) { try kafka.committed(of: input) != before }
    }
    kill(zombie.processIdentifier, SIGCONT)
    _ = try duplicates.readToEnd()
    try zombie.waitForEnd()
    #expect(zombie.terminationReason == .exit && zombie.terminationStatus == 1)
    let said = try kafka.text(of: "first.talk")
    #expect(said.contains("another"), "\(said)")
    if !successorIsDone {
      try wait(for: successor) {
        try first.isAll(before: kafka.committed(of: input).mapValues(\.offset))
      }
      kill(successor.processIdentifier, SIGTERM)
      try successor.waitForEnd()
    }
    let told = try kafka.text(of: "second.talk")
    #expect(successor.terminationStatus == 0, "\(told)")
    let flaw = try first.flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }

  @Test func ofThreeInstancesInOneGroupOneWritesAndTheOthersAreRefused() throws {
    var generator = SeededGenerator.drawn()
    let (writer, duplicates, first) = try startJob(&generator)
    let others = try ["b", "c"].map { name in
      try kafka.start(job(state: name), talk: try kafka.talk(name))
    }
    duplicates.readabilityHandler = { _ = $0.availableData }
    for process in others {
      try process.waitForEnd()
      #expect(process.terminationReason == .exit && process.terminationStatus == 1)
    }
    try wait(for: writer) {
      try first.isAll(before: kafka.committed(of: input).mapValues(\.offset))
    }
    kill(writer.processIdentifier, SIGTERM)
    try writer.waitForEnd()
    let told = try kafka.text(of: "first.talk")
    #expect(writer.terminationStatus == 0, "\(told)")
    let flaw = try kafka.flaw(of: first, from: input, in: output) ?? first.flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }

  @Test func aJobWhoseProducerIsFencedGoesBackToWhatWasCommittedAndOn() throws {
    var generator = SeededGenerator.drawn()
    let (writer, duplicates, first) = try startJob(&generator)
    duplicates.readabilityHandler = { _ = $0.availableData }
    // What anybody does who takes the same id: the job's transaction ends, its producer is fenced.
    let usurper = try TestProducer(
      brokers: kafka.brokers, transactionalID: "sediment-\(kafka.prefix)g")
    try wait(for: writer) {
      try first.isAll(before: kafka.committed(of: input).mapValues(\.offset))
    }
    kill(writer.processIdentifier, SIGTERM)
    try writer.waitForEnd()
    withExtendedLifetime(usurper) {}
    let told = try kafka.text(of: "first.talk")
    #expect(writer.terminationStatus == 0, "\(told)")
    let flaw = try kafka.flaw(of: first, from: input, in: output) ?? first.flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }

  /// The brokers abort its transaction, and the group gives it up.
  @Test func aJobThatIsPausedForLongerThanItsTransactionGoesBackAndOn() throws {
    var generator = SeededGenerator.drawn()
    let (job, duplicates, first) = try startJob(
      &generator, ["--kafka-property", "transaction.timeout.ms=2000"])
    var isOpen = false
    for _ in 0..<50 where !isOpen {
      kill(job.processIdentifier, SIGSTOP)
      isOpen = try kafka.consumer.hasOpenTransaction(in: output)
      if isOpen { continue }
      kill(job.processIdentifier, SIGCONT)
      try duplicates.readAndDrop(2000)
    }
    try #require(isOpen, "no transaction was open at any of 50 moments")
    try wait { try !kafka.consumer.hasOpenTransaction(in: output) }
    kill(job.processIdentifier, SIGCONT)
    duplicates.readabilityHandler = { _ = $0.availableData }
    try wait(for: job) { try first.isAll(before: kafka.committed(of: input).mapValues(\.offset)) }
    kill(job.processIdentifier, SIGTERM)
    try job.waitForEnd()
    let told = try kafka.text(of: "first.talk")
    #expect(job.terminationStatus == 0 && told.contains("and was given up"), "\(told)")
    let flaw = try kafka.flaw(of: first, from: input, in: output) ?? first.flaw(of: values)
    #expect(flaw == nil, "\(flaw ?? ""), \(generator)")
  }
}
