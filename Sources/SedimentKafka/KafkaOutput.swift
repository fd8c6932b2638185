// Topics as outputs of a job: what a user chooses of them.

internal import CRdKafka
internal import SedimentIO
package import SedimentJob
internal import SedimentStore

/// Who chooses the partition of a record.
package enum OutputPartitioner: String, Sendable, CaseIterable {
  /// The hash of the key that Java's clients take; records without a key are spread.
  case murmur2
  /// librdkafka's hash of the key.
  case crc32
  /// Another hash of the key.
  case fnv1a
  /// Chance.
  case random
  /// The number of the partition that the record was read from.
  case same

  /// What librdkafka calls it.
  var property: String {
    switch self {
    case .murmur2: "murmur2_random"
    case .crc32: "consistent_random"
    case .fnv1a: "fnv1a_random"
    case .random, .same: "random"
    }
  }
}

/// Topics of one cluster that a job writes.
///
/// ```swift
/// options.targets[.output] = .topic("clicks-unique")
/// options.topicOutput = try KafkaOutput(
///   ["localhost:9092"], topics: [.output: "clicks-unique"], group: "dedup")
/// ```
package struct KafkaOutput: TopicOutput {
  let brokers: [String]
  package let topics: [OutputRole: String]
  package let group: String
  let properties: KafkaProperties
  let partitioner: OutputPartitioner
  /// Headers that records get.
  let auditHeaders: AuditHeaderSet

  /// - Throws: `KafkaError.usage` for a group or a property that cannot be.
  package init(
    _ brokers: [String], topics: [OutputRole: String], group: String,
    properties: KafkaProperties = KafkaProperties(), partitioner: OutputPartitioner = .murmur2,
    auditHeaders: AuditHeaderSet = []
  ) throws(KafkaError) {
    guard !group.isEmpty else { throw .usage("--group is empty") }
    self.brokers = brokers
    self.topics = topics
    self.group = group
    self.properties = properties
    self.partitioner = partitioner
    self.auditHeaders = auditHeaders
    unsafe rd_kafka_conf_destroy(try configuration(epochMillis: 30_000, instance: nil))
    unsafe rd_kafka_conf_destroy(try offsetsConfiguration())
  }

  package func open(_ start: TopicOutputStart) throws -> any TopicProducer {
    let producer = try KafkaProducer(self, start)
    do {
      try producer.initialise()
    } catch {
      producer.close()
      throw error
    }
    return producer
  }

  /// By which the brokers know the producer of an instance of the job.
  func transactionalID(of instance: String?) -> String {
    "sediment-\(group)" + (instance.map { "-\($0)" } ?? "")
  }

  /// The way out of a fault that a person can mend, to go behind its text; empty for others.
  func advice(_ fault: KafkaFault, instance: String?) -> String {
    switch rd_kafka_resp_err_t(rawValue: fault.code) {
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
      "; --kafka-property transaction.timeout.ms=N asks for less, or the brokers' "
        + "transaction.max.timeout.ms allows more"
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      "; allow the user to write the transactional id \(transactionalID(of: instance))"
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      // Offsets are refused for topics of the input.
      "; allow the user to write the topic "
        + Set(topics.values).sorted().joined(separator: " and the topic ")
        + ", and to read those that are the input"
    default: fault.advice(reading: [], group: group)
    }
  }

  /// What brokers allow unless they are told otherwise (`transaction.max.timeout.ms`).
  private static let transactionMillisMax: Int64 = 900_000

  /// How long brokers wait for a transaction, in ms: a crash holds readers up for no longer.
  static func transactionMillis(epochMillis: Int64) -> Int64 {
    let wanted = min(epochMillis, transactionMillisMax) * 2 + 30_000
    return min(max(60_000, wanted), transactionMillisMax)
  }

  /// Checks that transactions may be open for as long as an epoch.
  ///
  /// - Throws: `KafkaError.usage`.
  package func requireTime(forEpochsOf epochMillis: Int64) throws(KafkaError) {
    let given = properties.all.last { $0.name == "transaction.timeout.ms" }
    let millis =
      given.flatMap { Int64($0.value) } ?? Self.transactionMillis(epochMillis: epochMillis)
    guard epochMillis >= millis else { return }
    throw .usage(
      "--checkpoint-interval \(Figure.duration(epochMillis)): a transaction is open for as long, "
        + "and brokers abort it after \(Figure.duration(millis)): give a shorter one, or a longer "
        + "--kafka-property transaction.timeout.ms=N, which the brokers must allow")
  }

  /// Of the producer; the caller's.
  func configuration(
    epochMillis: Int64, instance: String?
  ) throws(KafkaError) -> OpaquePointer {
    typealias Configuration = KafkaConfiguration
    let first = [
      Configuration.ours("client.id", "sediment"),
      Configuration.ours("linger.ms", "20"),
      Configuration.ours("batch.num.messages", "100000"),
      // What waits to be sent is beside --memory.
      Configuration.ours("queue.buffering.max.kbytes", "65536"),
      Configuration.ours("queue.buffering.max.messages", "1000000"),
      Configuration.ours(
        "transaction.timeout.ms", "\(Self.transactionMillis(epochMillis: epochMillis))"),
    ]
    let last =
      Configuration.common(brokers) + [
        Configuration.ours("transactional.id", transactionalID(of: instance)),
        Configuration.ours("delivery.report.only.error", "true"),
        // A mistyped name is to be told, and a topic's partitions are for people to choose.
        Configuration.ours("allow.auto.create.topics", "false"),
        Configuration.ours("partitioner", partitioner.property),
      ]
    return unsafe try Configuration.make(first + properties.all + last)
  }

  /// Of the client that asks for committed offsets; the caller's.
  func offsetsConfiguration() throws(KafkaError) -> OpaquePointer {
    typealias Configuration = KafkaConfiguration
    let last =
      Configuration.common(brokers) + [
        Configuration.ours("group.id", group), Configuration.ours("enable.auto.commit", "false"),
        // Offsets of transactions that are under way are waited for.
        Configuration.ours("isolation.level", "read_committed"),
      ]
    return unsafe try Configuration.make(
      [Configuration.ours("client.id", "sediment")] + properties.all + last)
  }
}
