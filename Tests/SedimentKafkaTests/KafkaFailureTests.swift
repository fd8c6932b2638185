import Foundation
import SedimentTestKit
import Testing

/// What a job over topics does when something is wrong, and what it refuses.
@Suite final class KafkaFailureTests {
  private let kafka: KafkaHarness

  init() throws {
    kafka = try KafkaHarness()
  }

  private func record(_ key: Int, _ more: String = "") -> String { "{\"k\":\(key)\(more)}" }

  // MARK: - Kills

  @Test func killsAtRandomMomentsLeaveTheFirstSeenSet() throws {
    try kafka.cluster.command("topic t 2")
    var generator = SeededGenerator.drawn()
    let events = KeyedEvents(partitions: 2, each: 40_000, keys: 20_000, using: &generator)
    for (partition, lines) in events.lines.enumerated() {
      try kafka.produce(lines, to: "t", partition)
    }
    let epochs = [
      "--until-end", "--output", "out/", "--duplicates", "-", "--checkpoint-interval", "5ms",
    ]
    var kills = 0
    // Another group each time: the killed one is in the old one until its session ends.
    for round in 0..<6 {
      let bytes = Int.random(in: 1...events.duplicateBytes / 4, using: &generator)
      let job = kafka.job("t", group: "g\(round)", epochs)
      guard try kafka.runAndKill(job, afterBytes: bytes) else { break }
      kills += 1
    }
    let last = try kafka.runToEnd("t", group: "last", ["--duplicates", "-"])
    #expect(last.status == 0, "\(last.talk)")
    let output = try kafka.output()
    let isRight = output.count == events.first.count && Set(output) == events.first
    #expect(isRight && kills > 0, "\(kills) kills, \(generator)")
  }

  @Test func aKilledInstanceHoldsUpItsSuccessorInTheGroupOnlyUntilItsSessionEnds() throws {
    try kafka.cluster.command("topic t 2")
    try kafka.produce([record(1), record(1, ",\"last\":1")], to: "t")
    let pipe = Pipe()
    let process = try kafka.start(
      kafka.job("t", ["--output", "out/", "--duplicates", "-"]), output: pipe)
    try LineReader(pipe.fileHandleForReading).lines(until: "last")
    kill(process.processIdentifier, SIGKILL)
    try process.waitForEnd()
    let next = try kafka.runToEnd("t", ["--duplicates", "-"])
    #expect(next.status == 0, "\(next.talk)")
    #expect(try kafka.output() == [record(1)])
  }

  // MARK: - Positions that are gone

  @Test func whatVanishedBeforeItWasReadIsNamedAndGoneOnWithoutOnlyWhenAllowed() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.produce((0..<10).map { record($0) }, to: "t")
    #expect(try kafka.runToEnd("t").status == 0)
    // The cluster keeps 5 MiB; each call is sets of messages of its own.
    for round in 0..<8 {
      let padding = String(repeating: "x", count: 1000)
      try kafka.produce(
        (0..<1000).map { record(1000 + round * 1000 + $0, ",\"p\":\"\(padding)\"") }, to: "t")
    }
    let refused = try kafka.runToEnd("t")
    #expect(refused.status == 1)
    #expect(refused.talk.contains("t [0]: offsets 10 to "), "\(refused.talk)")
    #expect(refused.talk.contains("are gone before they were read"), "\(refused.talk)")
    #expect(refused.talk.contains("--allow-gap goes on at offset"), "\(refused.talk)")
    #expect(try kafka.runToEnd("t").status == 1)
    let allowed = try kafka.runToEnd("t", ["--allow-gap"])
    #expect(allowed.status == 0, "\(allowed.talk)")
    #expect(allowed.talk.contains("warning: t [0]: offsets 10 to "), "\(allowed.talk)")
    let output = try kafka.output()
    #expect(output.prefix(10) == (0..<10).map { record($0) }[...])
    #expect(output.last?.hasPrefix("{\"k\":8999,") == true)
    #expect(output.count > 1000 && output.count < 8010 && Set(output).count == output.count)
    // The gap is behind the position now.
    #expect(try kafka.runToEnd("t").status == 0)
  }

  // MARK: - Brokers and topics

  @Test func brokersThatAreDownAreWaitedForAtTheStartAndLater() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: "t")
    try kafka.cluster.command("down")
    let (pipe, talk) = (Pipe(), Pipe())
    let process = try kafka.start(
      kafka.job("t", ["--output", "out/", "--duplicates", "-"]), output: pipe, talk: talk)
    let (duplicates, messages) = (
      LineReader(pipe.fileHandleForReading), LineReader(talk.fileHandleForReading)
    )
    try messages.lines(until: "can be reached, trying again")
    try kafka.cluster.command("up")
    try messages.lines(until: "the brokers can be reached again")
    try duplicates.lines(until: "\"n\":0")
    try kafka.cluster.command("down")
    try messages.lines(until: "can be reached, trying again")
    try kafka.cluster.command("up")
    try kafka.produce([record(1, ",\"n\":1"), record(2)], to: "t")
    try duplicates.lines(until: "\"n\":1")
    kill(process.processIdentifier, SIGINT)
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(try kafka.output() == [record(1), record(2)])
  }

  @Test func aJobThatWaitsForBrokersIsStoppedByASignal() throws {
    try kafka.cluster.command("down")
    let talk = Pipe()
    let process = try kafka.start(kafka.job("t", ["--output", "out/"]), talk: talk)
    let messages = LineReader(talk.fileHandleForReading)
    try messages.lines(until: "can be reached, trying again")
    kill(process.processIdentifier, SIGTERM)
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
  }

  @Test func aTopicThatIsNotThereAndOneThatIsForbiddenEndTheJob() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic-error t 29")
    let forbidden = try kafka.runToEnd("t")
    #expect(forbidden.status == 1)
    #expect(forbidden.talk.contains("t: Broker: Topic authorization"), "\(forbidden.talk)")
    #expect(forbidden.talk.contains("allow the user to read the topic t"), "\(forbidden.talk)")
    try kafka.cluster.command("topic-error t 3")
    let missing = try kafka.runToEnd("t")
    #expect(missing.status == 1)
    #expect(missing.talk.contains("topic t: Broker: Unknown topic or partition"), "\(missing.talk)")
    try kafka.cluster.command("topic-error t 0")
    #expect(try kafka.runToEnd("t").status == 0)
  }

  @Test func aForbiddenGroupEndsTheJob() throws {
    try kafka.cluster.command("topic t 1")
    // JoinGroup: group authorization failed.
    try kafka.cluster.command("fail 11 30 20")
    let outcome = try kafka.runToEnd("t")
    #expect(outcome.status == 1)
    #expect(outcome.talk.contains("Group authorization failed"), "\(outcome.talk)")
    #expect(outcome.talk.contains("allow the user to read the group g"), "\(outcome.talk)")
  }

  @Test func aTopicThatIsDeletedWhileItIsReadEndsTheJobWithAllThatWasRead() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: "t")
    let (pipe, talk) = (Pipe(), Pipe())
    let process = try kafka.start(
      kafka.job("t", ["--output", "out/", "--duplicates", "-"]), output: pipe, talk: talk)
    try LineReader(pipe.fileHandleForReading).lines(until: "\"n\":0")
    try kafka.cluster.command("topic-error t 3")
    try LineReader(talk.fileHandleForReading).lines(until: "it was deleted while it was read")
    try process.waitForEnd()
    #expect(process.terminationReason == .exit && process.terminationStatus == 1)
    #expect(try kafka.output() == [record(1)])
  }

  // MARK: - The group

  @Test func aSecondInstanceIsRefusedAndTheFirstGoesOn() throws {
    try kafka.cluster.command("topic t 4")
    try kafka.produce([record(1), record(1, ",\"n\":0")], to: "t")
    let pipe = Pipe()
    let process = try kafka.start(
      kafka.job("t", ["--output", "out/", "--duplicates", "-"]), output: pipe)
    let duplicates = LineReader(pipe.fileHandleForReading)
    try duplicates.lines(until: "\"n\":0")
    let second = try kafka.run(
      kafka.job("t", state: "other", ["--output", "other.out/"]))
    #expect(second.status == 1)
    #expect(second.talk.contains("the group g gave this instance 2 of 4"), "\(second.talk)")
    #expect(second.talk.contains("--partitioned-by-key"), "\(second.talk)")
    for partition in 0..<4 {
      try kafka.produce([record(1, ",\"n\":\(partition + 1)")], to: "t", partition)
      try duplicates.lines(until: "\"n\":\(partition + 1)")
    }
    kill(process.processIdentifier, SIGTERM)
    try process.waitForEnd()
    #expect(process.terminationStatus == 0)
    #expect(try kafka.output() == [record(1)] && kafka.output("other.out").isEmpty)
  }

  // MARK: - States of others

  @Test func aStateIsGoneOnWithByItsOwnTopicsOnly() throws {
    try kafka.cluster.command("topic t 1")
    try kafka.cluster.command("topic u 1")
    for topic in ["t", "u"] { try kafka.produce([record(1)], to: topic) }
    try Data((record(1) + "\n").utf8).write(to: kafka.url("in.ndjson"))
    func files(_ state: String) throws -> KafkaHarness.Outcome {
      try kafka.run(
        ["dedup", "in.ndjson", "--key", "k", "--ttl", "forever", "--state", state]
          + ["--output", "f.out/"])
    }
    #expect(try files("files").status == 0)
    let mixed = try kafka.run(kafka.job("t", state: "files", ["--until-end", "--output", "x/"]))
    #expect(mixed.status == 1)
    #expect(mixed.talk.contains("was made with input files, not topics t"), "\(mixed.talk)")

    #expect(try kafka.runToEnd("t").status == 0)
    let byFiles = try files("state")
    #expect(byFiles.status == 1)
    #expect(byFiles.talk.contains("was made with input topics t, not files"), "\(byFiles.talk)")
    let other = try kafka.runToEnd("u")
    #expect(other.status == 1)
    #expect(other.talk.contains("was made with input topics t, not topics u"), "\(other.talk)")
    let otherKey = try kafka.run(
      kafka.job("t", key: ["--key-from", "key"], ["--until-end", "--output", "out/"]))
    #expect(otherKey.status == 1)
    #expect(otherKey.talk.contains("--key-from value, not key"), "\(otherKey.talk)")

    let elsewhere = try KafkaHarness()
    try elsewhere.cluster.command("topic t 1")
    var arguments = kafka.job("t", ["--until-end", "--output", "out/"])
    arguments[1] = "kafka://\(elsewhere.cluster.brokers)/t"
    let otherCluster = try kafka.run(arguments)
    #expect(otherCluster.status == 1)
    #expect(otherCluster.talk.contains("the state was made with topics of the cluster"))
    #expect(try kafka.runToEnd("t").status == 0)
  }

  // MARK: - Words

  @Test(arguments: [
    (["kafka://a"], "it names no topic"), (["kafka://a/t", "--format", "csv"], "--format csv"),
    (["kafka://a/t", "in.ndjson"], "Topics are the only input"),
    (["kafka://a/t", "--follow"], "--follow is for files"),
    (["kafka://a/t", "--start", "soon"], "--start soon"),
    (["kafka://a/t", "--kafka-property", "x"], "--kafka-property: \"x\" is not NAME=VALUE"),
    (["kafka://a/t", "--kafka-property", "group.id=x"], "group.id cannot be set"),
    (["kafka://a/t", "--kafka-property", "x=y"], "--kafka-property: No such configuration"),
    (["kafka://a/t", "--kafka-properties", "none"], "--kafka-properties none cannot be read"),
    (["kafka://a/t", "--key-from", "head"], "--key-from"),
    (["kafka://a/t", "--key-from", "header:"], "--key-from"),
    (["kafka://a/t", "--record-time", "--time-field", "t"], "exclude each other"),
  ])
  func wrongWordsAreRefusedWithExitCodeTwo(words: [String], reason: String) throws {
    let more = words.contains("--key-from") ? [] : ["--key", "k"]
    let outcome = try kafka.run(
      ["dedup"] + words + more + ["--group", "g", "--ttl", "1d", "--state", "s", "--output", "o/"])
    #expect(outcome.status == 2 && outcome.talk.contains(reason), "\(outcome.talk)")
  }

  @Test func optionsOfTopicsNeedTopics() throws {
    let options = [
      ["--group", "g"], ["--start", "latest"], ["--kafka-property", "a=b"], ["--allow-gap"],
      ["--until-end"], ["--key-from", "key"], ["--record-time"],
    ]
    for option in options {
      let outcome = try kafka.run(
        ["dedup", "in.ndjson", "--key", "k", "--ttl", "1d", "--state", "s"] + option)
      #expect(
        outcome.status == 2 && outcome.talk.contains("\(option[0]) is for topics"),
        "\(outcome.talk)")
    }
    let without = try kafka.run(
      ["dedup", "kafka://a/t", "--key", "k", "--ttl", "1d", "--state", "s"])
    #expect(without.status == 2 && without.talk.contains("--group is missing"), "\(without.talk)")
  }
}
