// sediment rescale kafka://broker/topic: states for another number of partitions.
//
//   the group has no members ─▶ states are claimed ─▶ all that the old partitions hold was read
//   ─▶ partitions are added, if asked for ─▶ states of the next generation
//
// Partitions are added last, for with them the job cannot go on without the states.

import ArgumentParser
import SedimentIO
import SedimentInspection
import SedimentJob
import SedimentKafka
import SedimentStore

struct RescaledTopicOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The consumer group of the job.", valueName: "name"))
  var group: String?

  @Option(
    help: ArgumentHelp(
      "Where the states of the job are: a directory, or s3://bucket/prefix.", valueName: "place"))
  var handover: String?

  @Option(
    help: ArgumentHelp(
      "Adds partitions to the topic first, until it has so many.", valueName: "n"))
  var partitions: Int?

  @Flag(
    help: ArgumentHelp(
      "Goes on although records of the old partitions are unread. Of a key that is among them and "
        + "that producers put elsewhere by now, a record may come out twice."))
  var allowUnread = false

  @OptionGroup var client: KafkaClientOptions

  /// The most that brokers take in one topic, and more than anybody has.
  private static let partitionsMax = 10_000

  /// Refuses what is for topics.
  func refuse() throws {
    let given: [(String, Bool)] = [
      ("--group", group != nil), ("--handover", handover != nil),
      ("--partitions", partitions != nil), ("--allow-unread", allowUnread),
      ("--kafka-property", !client.kafkaProperty.isEmpty),
      ("--kafka-properties", client.kafkaProperties != nil),
    ]
    if let option = given.first(where: \.1)?.0 {
      throw ValidationError("\(option) is for topics: kafka://broker/topic.")
    }
  }

  /// Checks what is given for a topic.
  func validate(_ word: String) throws {
    let address: KafkaAddress
    do throws(KafkaError) {
      address = try KafkaAddress(word)
    } catch {
      throw ValidationError("\(error).")
    }
    guard address.topics.count == 1 else {
      throw ValidationError("\(word): one topic at a time.")
    }
    guard group != nil else { throw ValidationError("--group is missing, and has no default.") }
    guard handover != nil else {
      throw ValidationError("--handover is missing: the place where the job's states are.")
    }
    if let partitions, !(1...Self.partitionsMax).contains(partitions) {
      throw ValidationError(
        "--partitions \(partitions): 1 to \(Self.partitionsMax) are possible.")
    }
  }
}

extension Rescale {
  func rescalePartitions() throws {
    let address = try KafkaAddress(path)
    guard let name = address.topics.first, let group = topic.group, let place = topic.handover
    else { return }
    let storage = try StorageArgument.handover(place, creating: false)
    let record = try Self.record(of: group, in: storage, reads: name)
    let survey = try KafkaSurvey(
      address, group: record.group, properties: try topic.client.properties(),
      report: { _ in })
    // Whoever fills the topic, where the job does it itself.
    let groups = group == record.group ? [group] : [group, record.group]
    for group in groups { try requireNobody(in: group, survey) }
    let before = record.partitions[name] ?? 0
    let present = try survey.partitionCount(of: name)
    let count = try partitionCount(of: name, present: present, before: before)
    let rescaling = try PartitionRescaling(
      of: record.group, in: storage,
      committed: try survey.committed(of: record.allPartitions))
    defer { rescaling.release() }
    try requireRead(rescaling, survey, canGoOn: present == before)
    // Whoever came since has read on.
    for group in groups { try requireNobody(in: group, survey) }
    if count > present { try survey.addPartitions(to: name, total: count) }
    let parts = try rescaling.make([name: count])
    let outcome = PartitionsOutcome(
      topic: name, before: before, count: count, isSplit: record.isByKeyGroup,
      bytesBefore: rescaling.bytes, parts: parts)
    try report.print(text: outcome.text, json: outcome.json)
  }

  /// Of the group, or of the one that reads what the group has put in order by the key.
  private static func record(
    of group: String, in storage: any CheckpointStorage, reads topic: String
  ) throws -> HandoverRecord {
    let found = try [group, group + "-by-key"].compactMap {
      try HandoverRecord.last(of: $0, in: storage)
    }
    guard let record = found.first(where: { $0.partitions[topic] != nil }) ?? found.first else {
      throw JobError(.failed, "\(storage.location) holds no states of the group \(group)")
    }
    guard record.partitions[topic] != nil else {
      let topics = record.partitions.keys.sorted().joined(separator: ", ")
      throw JobError(.failed, "the group \(group) does not read \(topic), but \(topics)")
    }
    return record
  }

  private func requireNobody(in group: String, _ survey: KafkaSurvey) throws {
    let members = try survey.memberCount(of: group)
    guard members == 0 else {
      throw JobError(
        .failed,
        "the group \(group) has \(members) \(members == 1 ? "member" : "members"): stop all "
          + "instances first (one that died leaves it when its session ends)")
    }
  }

  /// How many partitions the topic is to have.
  private func partitionCount(
    of name: String, present: Int, before: Int
  ) throws -> Int {
    let count = topic.partitions ?? present
    guard count >= present else {
      throw JobError(
        .failed, "topic \(name) has \(present) partitions: they are never taken away")
    }
    guard count != before else {
      throw JobError(
        .failed,
        "topic \(name) has \(count) partitions, as many as there are states for: --partitions "
          + "adds some")
    }
    return count
  }

  /// - Parameter canGoOn: whether the job runs with as many partitions as the topic has.
  private func requireRead(
    _ rescaling: PartitionRescaling, _ survey: KafkaSurvey, canGoOn: Bool
  ) throws {
    let positions = rescaling.positions
    var unread: [(TopicPartition, UInt64)] = []
    for partition in rescaling.record.allPartitions {
      let count = try survey.unread(of: partition, from: positions[partition])
      if count > 0 { unread.append((partition, UInt64(count))) }
    }
    guard !unread.isEmpty, !topic.allowUnread else { return }
    let total = unread.reduce(0) { $0 + $1.1 }
    let examples = unread.prefix(3).map { "\($0.0): \(Figure.count($0.1))" }
      .joined(separator: ", ")
    let advice =
      canGoOn
      ? "pause the producers, let the job read to the end (--until-end), let it end, and rescale "
        + "then; "
      : ""
    throw JobError(
      .failed,
      "up to \(Figure.count(total)) records are unread (\(examples)"
        + (unread.count > 3 ? ", …" : "") + "): \(advice)--allow-unread goes on, and of keys among "
        + "them that are in other partitions by now a record may come out twice")
  }
}

/// What there is after a change of the number of partitions.
private struct PartitionsOutcome {
  var topic: String
  var before: Int
  var count: Int
  var isSplit: Bool
  var bytesBefore: UInt64
  var parts: [PartitionRescaling.Part]

  private var copied: UInt64 { parts.reduce(0) { $0 &+ $1.bytes } }

  var text: String {
    let own = parts.filter { $0.partition.topic == topic }
    let sizes = own.map(\.bytes)
    let range =
      sizes.min() == sizes.max()
      ? Figure.bytes(sizes.max() ?? 0)
      : "\(Figure.bytes(sizes.min() ?? 0)) to \(Figure.bytes(sizes.max() ?? 0))"
    return """
      Topic \(topic)
        partitions \(count), before \(before)
        states     \(isSplit ? "each has its range of keys" : "each has all keys that there were")
        each       refers to \(range)
        in all     \(Figure.bytes(copied)), before \(Figure.bytes(bytesBefore))
        copied     \(Figure.bytes(copied)), within the storage
        then       start the instances, and then the producers

      """
  }

  var json: JSONValue {
    .object([
      .init("topic", .string(topic)), .init("partitions_before", .count(before)),
      .init("partitions", .count(count)), .init("split", .bool(isSplit)),
      .init("bytes_before", .unsigned(bytesBefore)), .init("bytes_copied", .unsigned(copied)),
      .init(
        "states",
        .array(
          parts.map { part in
            .object([
              .init("topic", .string(part.partition.topic)),
              .init("partition", .count(Int(part.partition.partition))),
              .init("sources", .count(part.sources)), .init("bytes", .unsigned(part.bytes)),
            ])
          })),
    ])
  }
}
