// Properties of librdkafka that a user gives, for all that we do not decide: TLS, SASL, sizes.

/// Names and values, in the order in which they are set.
package struct KafkaProperties: Sendable, Equatable {
  /// A property, and where it was given.
  package struct Property: Sendable, Equatable {
    package var name: String
    package var value: String
    /// Such as `--kafka-property`, for messages.
    package var origin: String
  }

  /// In order; later ones win.
  package private(set) var all: [Property] = []

  /// No properties.
  package init() {}

  /// What decides in the place of a property, by its name.
  private static let owned: [String: String] = [
    "bootstrap.servers": "the address names the brokers",
    "metadata.broker.list": "the address names the brokers",
    "group.id": "--group names the group",
    "enable.auto.commit": "positions are those of the state's epochs",
    "auto.commit.enable": "positions are those of the state's epochs",
    "auto.commit.interval.ms": "positions are those of the state's epochs",
    "enable.auto.offset.store": "positions are those of the state's epochs",
    "auto.offset.reset": "--start and --allow-gap say where reading begins",
    "enable.partition.eof": "--until-end needs it",
    "partition.assignment.strategy": "the job's options say how partitions are shared",
    "group.instance.id": "a member that is given up for dead must be told so",
    "group.protocol": "how partitions are given out is the job's to know",
    "group.remote.assignor": "how partitions are given out is the job's to know",
    "api.version.request": "brokers of before transactions are not supported",
    "broker.version.fallback": "brokers of before transactions are not supported",
    "enabled_events": "the job handles events itself",
    "transactional.id": "it is made of the group's name",
    "enable.idempotence": "topics are written in transactions",
    "delivery.report.only.error": "topics are written in transactions",
    "partitioner": "--output-partitioner chooses",
    "allow.auto.create.topics": "topics are not created by reading or writing",
  ]

  /// Properties with one sensible value, which files of other clients may name.
  private static let only: [String: (value: String, reason: String)] = [
    "isolation.level": (
      "read_committed", "records of aborted transactions would make others duplicates"
    )
  ]

  /// Properties that turn off what the job needs with 0 and below.
  private static let positive: [String: String] = [
    "topic.metadata.refresh.interval.ms": "added partitions would not be noticed"
  ]

  /// Adds `name=value`.
  ///
  /// - Throws: `KafkaError.usage`; also for a property that is not the user's to set.
  package mutating func add(_ text: String, from origin: String) throws(KafkaError) {
    guard let equals = text.firstIndex(of: "=") else {
      throw .usage("\(origin): \"\(text)\" is not NAME=VALUE")
    }
    let name = Self.trimmed(text[..<equals])
    guard !name.isEmpty else { throw .usage("\(origin): \"\(text)\" is not NAME=VALUE") }
    if let reason = Self.owned[name] {
      throw .usage("\(origin): \(name) cannot be set: \(reason)")
    }
    let value = Self.trimmed(text[text.index(after: equals)...])
    if let only = Self.only[name], value != only.value {
      throw .usage("\(origin): \(name) can only be \(only.value): \(only.reason)")
    }
    if let reason = Self.positive[name], (Int(value) ?? 0) < 1 {
      throw .usage("\(origin): \(name) is 1 or more, not \"\(value)\": \(reason)")
    }
    all.append(Property(name: name, value: value, origin: origin))
  }

  /// Adds the properties of a file: one a line; blank lines and those that begin with # are
  /// comments.
  package mutating func add(fileText text: String, path: String) throws(KafkaError) {
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (index, line) in lines.enumerated() {
      let line = Self.trimmed(line)
      if line.isEmpty || line.hasPrefix("#") { continue }
      try add(line, from: "--kafka-properties \(path), line \(index + 1)")
    }
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first.isWhitespace { text.removeFirst() }
    while let last = text.last, last.isWhitespace { text.removeLast() }
    return String(text)
  }

  private static func trimmed(_ text: String) -> String { trimmed(text[...]) }
}
