import Foundation
import Testing

/// What a job with topics as outputs does when brokers refuse something, go away and come back. The
/// mock cluster shows records at once, also those of transactions that are aborted.
@Suite final class TopicOutputFailureTests {
  /// Kinds of requests, by their numbers in Kafka's protocol.
  private enum Request: Int {
    case produce = 0
    case offsetFetch = 9
    case findCoordinator = 10
    case initProducer = 22
    case addPartitions = 24
    case addOffsets = 25
    case endTransaction = 26
    case commitOffsets = 28
  }

  /// What a request is answered, likewise.
  private enum Answer: Int {
    case coordinatorNotAvailable = 15
    case illegalGeneration = 22
    case topicForbidden = 29
    case groupForbidden = 30
    case transactionalIDForbidden = 53
  }

  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic out 1")
  }

  private func record(_ key: Int) -> String { "{\"k\":\(key)}" }

  private func fail(_ request: Request, _ answer: Answer, _ count: Int = 1) throws {
    try kafka.cluster.command("fail \(request.rawValue) \(answer.rawValue) \(count)")
  }

  private func values(_ harness: KafkaHarness? = nil, partitions: Int = 1) throws -> [String] {
    try (harness ?? kafka).records(of: "out", partitions: partitions).compactMap(\.value)
  }

  private func job(_ more: [String]) -> [String] {
    kafka.job("t", ["--output", kafka.address("out")] + more)
  }

  // MARK: - Not allowed

  @Test(arguments: [Request.produce.rawValue, Request.addPartitions.rawValue])
  func aTopicThatMustNotBeWrittenEndsTheJobWithItsNameAndTheWayOut(request: Int) throws {
    try kafka.produce([record(1)], to: "t")
    try kafka.cluster.command("fail \(request) \(Answer.topicForbidden.rawValue) 1")
    let outcome = try kafka.run(job(["--until-end"]))
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("authorization failed"), "\(outcome.talk)")
    #expect(outcome.talk.contains("allow the user to write the topic out"), "\(outcome.talk)")
    // This cluster forgets what groups committed.
    let next = try kafka.run(job(["--until-end", "--assume-aborted"]))
    #expect(next.status == 0, "\(next.talk)")
    #expect(try Set(values()) == [record(1)])
  }

  @Test func aTopicThatMustNotBeSeenEndsTheJobWithItsName() throws {
    try kafka.cluster.command("topic-error out \(Answer.topicForbidden.rawValue)")
    let outcome = try kafka.run(job(["--until-end"]))
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("topic out: "), "\(outcome.talk)")
    #expect(outcome.talk.contains("allow the user to write the topic out"), "\(outcome.talk)")
  }

  @Test func aTransactionalIDThatIsNotAllowedEndsTheJobWithItsNameAndTheWayOut() throws {
    try fail(.initProducer, .transactionalIDForbidden)
    let outcome = try kafka.run(job(["--until-end"]))
    #expect(outcome.status == 1)
    #expect(
      outcome.talk.contains("allow the user to write the transactional id sediment-g"),
      "\(outcome.talk)")
  }

  @Test(arguments: [
    Request.offsetFetch.rawValue, Request.addOffsets.rawValue, Request.commitOffsets.rawValue,
  ])
  func aGroupThatIsNotAllowedEndsTheJobWithItsNameAndTheWayOut(request: Int) throws {
    try kafka.produce([record(1)], to: "t")
    try kafka.cluster.command("fail \(request) \(Answer.groupForbidden.rawValue) 1")
    let outcome = try kafka.run(job(["--until-end"]))
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("allow the user to read the group g"), "\(outcome.talk)")
    let next = try kafka.run(job(["--until-end"]))
    #expect(next.status == 0, "\(next.talk)")
    #expect(try Set(values()) == [record(1)])
  }

  /// Who may not even look for a group's coordinator is told so beside the answer, which never
  /// comes.
  @Test func aGroupWhoseCoordinatorMustNotBeKnownEndsTheJobWithItsName() throws {
    // The first one that is looked for is that of the transactions.
    try kafka.cluster.command("fail \(Request.findCoordinator.rawValue) 0 1")
    try fail(.findCoordinator, .groupForbidden, 10_000)
    let outcome = try kafka.run(job(["--until-end"]))
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("allow the user to read the group g"), "\(outcome.talk)")
  }

  // MARK: - Brokers that go away and come back

  @Test func brokersThatGoAwayInsideATransactionAreWaitedFor() throws {
    try kafka.produce([record(1)], to: "t")
    let talk = Pipe()
    let process = try kafka.start(job(["--checkpoint-interval", "100ms"]), talk: talk)
    let lines = LineReader(talk.fileHandleForReading)
    try wait { try !values().isEmpty }
    // A transaction that cannot end before it is allowed to.
    try fail(.endTransaction, .coordinatorNotAvailable, 10_000)
    try kafka.produce([record(2)], to: "t")
    try lines.lines(until: "waiting for the brokers")
    try wait { try values().count >= 2 }
    try kafka.cluster.command("down")
    try lines.lines(until: "no broker of ")
    try kafka.cluster.command("mend \(Request.endTransaction.rawValue)")
    try kafka.cluster.command("up")
    try lines.lines(until: "the brokers answer again")
    try kafka.produce([record(1), record(3)], to: "t")
    try wait { try values().count >= 3 }
    kill(process.processIdentifier, SIGTERM)
    let rest = try lines.lines(until: "stopped; all of it is durable")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(rest.contains { $0.contains("4 events, 3 emitted, 1 duplicates") }, "\(rest)")
    #expect(try values() == [record(1), record(2), record(3)])
  }

  /// Each broker leads a partition of both topics, and is away while the others get records.
  @Test func aRollingRestartOfThreeBrokersLosesAndRepeatsNothing() throws {
    let kafka = try KafkaHarness(brokerCount: 3, sessionMillis: 30_000)
    for topic in ["t", "out"] {
      try kafka.cluster.command("topic \(topic) 3")
      for partition in 0..<3 {
        try kafka.cluster.command("leader \(topic) \(partition) \(partition + 1)")
      }
    }
    let talk = kafka.url("talk")
    try Data().write(to: talk)
    let process = try kafka.start(
      kafka.job("t", ["--output", kafka.address("out"), "--checkpoint-interval", "50ms"]),
      talk: try FileHandle(forWritingTo: talk))
    var expected: Set<String> = []
    func produce(_ partition: Int) throws {
      let lines = (0..<100).map { record(expected.count + $0) }
      try kafka.produce(lines + lines, to: "t", partition)
      expected.formUnion(lines)
    }
    for _ in 0..<2 {
      for broker in 1...3 {
        for partition in 0..<3 { try produce(partition) }
        try kafka.cluster.command("down \(broker)")
        for partition in 0..<3 where partition + 1 != broker { try produce(partition) }
        try kafka.cluster.command("up \(broker)")
        try wait(for: process) { try values(kafka, partitions: 3).count >= expected.count }
      }
    }
    kill(process.processIdentifier, SIGTERM)
    try process.waitForEnd()
    let said = try kafka.text(of: "talk")
    #expect(process.terminationReason == .exit && process.terminationStatus == 0, "\(said)")
    #expect(!said.contains("given up"), "\(said)")
    let written = try values(kafka, partitions: 3)
    #expect(written.count == expected.count && Set(written) == expected)
  }

  // MARK: - A stop

  @Test func aJobThatIsStoppedWhileItWaitsForBrokersToGoBackEndsAsAStop() throws {
    let talk = Pipe()
    let process = try kafka.start(job(["--checkpoint-interval", "100ms"]), talk: talk)
    let lines = LineReader(talk.fileHandleForReading)
    try lines.lines(until: "reading 1 partitions")
    // The next epoch is aborted, and the opening behind it finds no coordinator.
    try fail(.initProducer, .coordinatorNotAvailable, 10_000)
    try fail(.commitOffsets, .illegalGeneration)
    try kafka.produce([record(1)], to: "t")
    try lines.lines(until: "and was given up")
    try lines.lines(until: "waiting for the brokers")
    kill(process.processIdentifier, SIGTERM)
    try lines.lines(until: "stopped; all of it is durable")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
  }

  // MARK: - Several instances

  @Test func aSharedTopicThatIsDeletedWhileItIsReadEndsTheJob() throws {
    try kafka.produce([record(1)], to: "t")
    let talk = Pipe()
    let process = try kafka.start(
      job(["--partitioned-by-key", "--handover", "handover", "--checkpoint-interval", "100ms"]),
      talk: talk)
    let lines = LineReader(talk.fileHandleForReading)
    try lines.lines(until: "assigned: t [0]")
    try wait { try !values().isEmpty }
    try kafka.cluster.command("topic-error t 3")
    try lines.lines(until: "it was deleted while it was read")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 1)
  }
}
