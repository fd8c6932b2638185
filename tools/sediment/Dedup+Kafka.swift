// Topics as the input and the outputs of sediment dedup.

import ArgumentParser
import Foundation
import SedimentJob
import SedimentKafka
import SedimentStore

struct KafkaOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The consumer group, by which a second instance is noticed. Its offsets show monitors how "
        + "far the state is, and where outputs are topics they say what was committed. Required "
        + "for topics.", valueName: "name"))
  var group: String?

  @Option(
    help: ArgumentHelp(
      "Where the first run begins: earliest, latest, timestamp:MS, or "
        + "offsets:TOPIC:PARTITION=OFFSET,… (default: earliest)", valueName: "place"))
  var start: String?

  @OptionGroup var client: KafkaClientOptions

  @Flag(help: "Go on where records are gone that were not read, and say which.")
  var allowGap = false

  @Flag(help: "Stop where the partitions end at the start, instead of reading for ever.")
  var untilEnd = false

  @Flag(
    help: ArgumentHelp(
      "Records with one key are in one partition of each topic that is read, and instances share "
        + "the partitions: each has the state of those that the group gives it. Needs --handover. "
        + "Outputs are topics, or directories that all instances reach."))
  var partitionedByKey = false

  @Option(
    help: ArgumentHelp(
      "The same where records with one key are in several partitions: each instance first brings "
        + "its share of them into this topic, which is made when it is missing and the job's own, "
        + "and reads its partitions of it. Offsets of that are under the group NAME-by-key.",
      valueName: "topic"))
  var repartitionByKey: String?

  @Option(
    help: ArgumentHelp(
      "How many partitions that topic has; as many instances can share it. (default: as the "
        + "largest topic that is read, and 12 at least)", valueName: "count"))
  var repartitionPartitions: Int?

  @Option(
    help: ArgumentHelp(
      "Where states of partitions go from one instance to another: a directory that all reach, or "
        + "s3://bucket/prefix.", valueName: "place"))
  var handover: String?

  @Option(
    help: ArgumentHelp(
      "For topics that are written: who chooses the partition. murmur2 is what Java's clients do "
        + "with the key; same is the input's number.", valueName: "name"))
  var outputPartitioner: OutputPartitioner?

  @Flag(
    help: ArgumentHelp(
      "For topics that are written: add the headers sediment-epoch and sediment-source."))
  var auditHeaders = false

  @Flag(help: "Where the group cannot say it: the brokers took the state's last epoch.")
  var assumeCommitted = false

  @Flag(help: "Where the group cannot say it: they did not. What it held is read again.")
  var assumeAborted = false
}

extension OutputPartitioner: ExpressibleByArgument {}

extension KeySource: ExpressibleByArgument {
  public init?(argument: String) {
    switch argument {
    case "value": self = .value
    case "key": self = .recordKey
    default:
      guard argument.hasPrefix("header:"), argument.utf8.count > "header:".utf8.count,
        !argument.unicodeScalars.contains("\0")
      else { return nil }
      self = .header(String(argument.dropFirst("header:".count)))
    }
  }

  public static var allValueStrings: [String] { ["value", "key", "header:NAME"] }
  public var defaultValueDescription: String { text }
}

extension Dedup {
  /// The topics that are to be read, if the input names topics.
  ///
  /// - Throws: `ValidationError`.
  func topics() throws -> (input: KafkaInput, origin: TopicOrigin)? {
    guard inputs.contains(where: KafkaAddress.isMeant(by:)) else {
      try refuseTopicOptions()
      return nil
    }
    guard inputs.count == 1 else {
      throw ValidationError("Topics are the only input: one address, with commas between topics.")
    }
    guard !running.follow else {
      throw ValidationError(
        "--follow is for files: a topic is followed unless --until-end is given.")
    }
    guard records.format != .csv else {
      throw ValidationError("--format csv is for files: the records of a topic have no header.")
    }
    guard times.timeField == nil || !times.recordTime else {
      throw ValidationError("--time-field and --record-time exclude each other.")
    }
    guard let group = kafka.group else {
      throw ValidationError("--group is missing, and has no default.")
    }
    do {
      let address = try KafkaAddress(inputs[0])
      let start = try kafka.start.map { (text) throws(KafkaError) in
        try KafkaStartPoint(text, topics: address.topics)
      }
      let input = try KafkaInput(
        address, group: group, properties: try kafka.client.properties(),
        startPoint: start ?? .earliest, allowsGaps: kafka.allowGap,
        endsAtEnds: kafka.untilEnd)
      return (input, TopicOrigin(address.topics))
    } catch let error as KafkaError {
      throw ValidationError("\(error).")
    }
  }

  /// How the topics are shared with other instances.
  ///
  /// - Parameter targets: the outputs, as they were read.
  func partitioning(_ targets: [OutputRole: OutputTarget]) throws -> Partitioning? {
    guard let option = sharingOption else {
      guard kafka.handover == nil else {
        throw ValidationError(
          "--handover is for several instances: --partitioned-by-key where records with one key "
            + "are in one partition, --repartition-by-key where they are not.")
      }
      return nil
    }
    guard !kafka.partitionedByKey || kafka.repartitionByKey == nil else {
      throw ValidationError("--partitioned-by-key and --repartition-by-key exclude each other.")
    }
    guard let place = kafka.handover else {
      throw ValidationError("\(option) needs --handover: a place all instances reach.")
    }
    guard !state.fresh, state.checkpoint == nil else {
      throw ValidationError(
        "--fresh and --from are for one instance: with several, give another --group.")
    }
    try checkShared(targets, by: option)
    guard let group = dedupGroup else { return nil }
    var partitioning = Partitioning(
      storage: try StorageArgument.handover(place, creating: true), group: group,
      isByKeyGroup: kafka.repartitionByKey != nil)
    partitioning.retained = state.retain
    return partitioning
  }

  /// Instances share outputs that are topics, or directories that all of them reach: one arbiter
  /// says what happened, so not some of these and some of those.
  private func checkShared(
    _ targets: [OutputRole: OutputTarget], by option: String
  ) throws {
    guard outputWords.contains(where: { $0.0 == .output }) else {
      throw ValidationError("\(option) needs --output.")
    }
    var areTopics: Bool?
    for (role, word) in outputWords {
      let isTopic: Bool
      switch targets[role] {
      case .topic: isTopic = true
      case .directory: isTopic = false
      case .file, .standardOutput, nil:
        throw ValidationError(
          "\(role.option) \(word): instances share outputs that are topics "
            + "(kafka://broker/topic), or directories that all of them reach.")
      }
      guard areTopics ?? isTopic == isTopic else {
        throw ValidationError(
          "\(role.option) \(word): with \(option) outputs are topics, all of them, or directories.")
      }
      areTopics = isTopic
    }
  }

  private func refuseTopicOptions() throws {
    var given: [(String, Bool)] = [
      ("--partitioned-by-key", kafka.partitionedByKey), ("--handover", kafka.handover != nil),
      ("--repartition-by-key", kafka.repartitionByKey != nil),
      ("--repartition-partitions", kafka.repartitionPartitions != nil),
      ("--start", kafka.start != nil), ("--allow-gap", kafka.allowGap),
      ("--until-end", kafka.untilEnd), ("--key-from", records.keyFrom != .value),
      ("--record-time", times.recordTime),
    ]
    if !writesTopics {
      given += [
        ("--group", kafka.group != nil), ("--kafka-property", !kafka.client.kafkaProperty.isEmpty),
        ("--kafka-properties", kafka.client.kafkaProperties != nil),
      ]
    }
    if let option = given.first(where: \.1)?.0 {
      throw ValidationError("\(option) is for topics: kafka://broker/topic.")
    }
  }
}

// MARK: - Topics that are written

extension Dedup {
  /// The outputs as they were given.
  private var outputWords: [(OutputRole, String)] {
    let words: [(OutputRole, String?)] = [
      (.output, output.output), (.duplicates, output.duplicates), (.rejects, output.rejects),
    ]
    return words.compactMap { role, word in word.map { (role, $0) } }
  }

  private var writesTopics: Bool { outputWords.contains { KafkaAddress.isMeant(by: $0.1) } }

  /// The topics that are to be written, if outputs name some.
  ///
  /// - Throws: `ValidationError`.
  func topicOutput() throws -> KafkaOutput? {
    guard writesTopics else {
      let given: [(String, Bool)] = [
        ("--output-partitioner", kafka.outputPartitioner != nil),
        ("--audit-headers", kafka.auditHeaders), ("--assume-committed", kafka.assumeCommitted),
        ("--assume-aborted", kafka.assumeAborted),
      ]
      if let option = given.first(where: \.1)?.0 {
        throw ValidationError("\(option) is for outputs that are topics: kafka://broker/topic.")
      }
      return nil
    }
    guard !kafka.assumeCommitted || !kafka.assumeAborted else {
      throw ValidationError("--assume-committed and --assume-aborted exclude each other.")
    }
    guard let group = dedupGroup else {
      throw ValidationError("--group is missing: its offsets say what was committed.")
    }
    let partitioner = kafka.outputPartitioner ?? .murmur2
    let readsTopics = inputs.contains(where: KafkaAddress.isMeant(by:))
    guard partitioner != .same || readsTopics else {
      throw ValidationError("--output-partitioner same is for inputs that are topics.")
    }
    let (brokers, topics) = try outputTopics()
    do {
      let output = try KafkaOutput(
        brokers, topics: topics, group: group, properties: try kafka.client.properties(),
        partitioner: partitioner, auditHeaders: auditHeaders)
      try output.requireTime(forEpochsOf: state.checkpointInterval)
      return output
    } catch let error as KafkaError {
      throw ValidationError("\(error).")
    }
  }

  /// What the first stage of two has said of a record's source is passed on.
  private var auditHeaders: AuditHeaderSet {
    guard kafka.auditHeaders else { return [] }
    return kafka.repartitionByKey == nil ? [.epoch, .source] : .epoch
  }

  private func outputTopics() throws -> (brokers: [String], topics: [OutputRole: String]) {
    var brokers: [String]?
    var topics: [OutputRole: String] = [:]
    for (role, word) in outputWords where KafkaAddress.isMeant(by: word) {
      let address: KafkaAddress
      do throws(KafkaError) {
        address = try KafkaAddress(word)
      } catch {
        throw ValidationError("\(role.option) \(error).")
      }
      guard address.topics.count == 1 else {
        throw ValidationError("\(role.option) \(word): an output is one topic.")
      }
      guard brokers ?? address.brokers == address.brokers else {
        throw ValidationError(
          "\(role.option) \(word): all topics are written by the same brokers, in one transaction.")
      }
      brokers = address.brokers
      let topic = address.topics[0]
      guard !topics.values.contains(topic) else {
        throw ValidationError("\(role.option) \(word): another output goes to this topic.")
      }
      try refuseInput(topic, role, word)
      topics[role] = topic
    }
    return (brokers ?? [], topics)
  }

  /// What is written must not be read again.
  private func refuseInput(_ topic: String, _ role: OutputRole, _ word: String) throws {
    for input in inputs where KafkaAddress.isMeant(by: input) {
      do throws(KafkaError) {
        guard try KafkaAddress(input).topics.contains(topic) else { continue }
      } catch {
        // Said where inputs are looked at.
        continue
      }
      throw ValidationError("\(role.option) \(word): this topic is read.")
    }
  }
}
