// Topics as the input of sediment dedup.

import ArgumentParser
import Foundation
import SedimentJob
import SedimentKafka

struct KafkaOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The consumer group, by which a second instance is noticed, and whose offsets show monitors "
        + "how far the state is. Required for topics.", valueName: "name"))
  var group: String?

  @Option(
    help: ArgumentHelp(
      "Where the first run begins: earliest, latest, timestamp:MS, or "
        + "offsets:TOPIC:PARTITION=OFFSET,… (default: earliest)", valueName: "place"))
  var start: String?

  @Option(
    help: ArgumentHelp(
      "A property of librdkafka, such as security.protocol=SSL. May be repeated.",
      valueName: "name=value"))
  var kafkaProperty: [String] = []

  @Option(
    help: ArgumentHelp(
      "A file of such properties, one a line; # begins a comment. --kafka-property goes before it.",
      valueName: "file"))
  var kafkaProperties: String?

  @Flag(help: "Go on where records are gone that were not read, and say which.")
  var allowGap = false

  @Flag(help: "Stop where the partitions end at the start, instead of reading for ever.")
  var untilEnd = false
}

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
        address, group: group, properties: try kafkaProperties(),
        startPoint: start ?? .earliest, allowsGaps: kafka.allowGap,
        endsAtEnds: kafka.untilEnd)
      return (input, TopicOrigin(address.topics))
    } catch let error as KafkaError {
      throw ValidationError("\(error).")
    }
  }

  /// The file's properties, then those of the command line.
  private func kafkaProperties() throws -> KafkaProperties {
    var properties = KafkaProperties()
    if let path = kafka.kafkaProperties {
      let text: String
      do {
        text = try String(contentsOfFile: path, encoding: .utf8)
      } catch {
        throw ValidationError(
          "--kafka-properties \(path) cannot be read: \(error.localizedDescription)")
      }
      try properties.add(fileText: text, path: path)
    }
    for property in kafka.kafkaProperty {
      try properties.add(property, from: "--kafka-property")
    }
    return properties
  }

  private func refuseTopicOptions() throws {
    let given: [(String, Bool)] = [
      ("--group", kafka.group != nil), ("--start", kafka.start != nil),
      ("--kafka-property", !kafka.kafkaProperty.isEmpty),
      ("--kafka-properties", kafka.kafkaProperties != nil), ("--allow-gap", kafka.allowGap),
      ("--until-end", kafka.untilEnd), ("--key-from", records.keyFrom != .value),
      ("--record-time", times.recordTime),
    ]
    if let option = given.first(where: \.1)?.0 {
      throw ValidationError("\(option) is for topics: kafka://broker/topic.")
    }
  }
}
