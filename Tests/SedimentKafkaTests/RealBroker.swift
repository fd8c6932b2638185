import Foundation
import KafkaTestKit
import Testing

/// The program and topics of its own on a real broker, which `SEDIMENT_KAFKA_BOOTSTRAP` names:
/// `SEDIMENT_KAFKA_BOOTSTRAP=localhost:9092 tools/test --filter Real`.
///
/// The topics are deleted in the end; the groups are empty then, and brokers forget them.
final class RealBroker: KafkaProgram {
  /// Addresses, apart by commas; `nil` when there is no broker, and nothing to test.
  static let bootstrap = ProcessInfo.processInfo.environment["SEDIMENT_KAFKA_BOOTSTRAP"]
  /// Why such tests are skipped.
  static let absence: Comment = "SEDIMENT_KAFKA_BOOTSTRAP names no broker"

  let topics: TestTopics
  let consumer: TestConsumer
  private var made: Set<String> = []

  init() throws {
    let brokers = try #require(Self.bootstrap)
    topics = try TestTopics(brokers: brokers)
    consumer = TestConsumer(brokers: brokers)
    // Brokers refuse shorter sessions unless they are told otherwise.
    super.init(
      root: try Self.newDirectory(), brokers: brokers, sessionMillis: 6000,
      prefix: "sediment-test-\(UUID().uuidString.prefix(8))-")
  }

  deinit {
    for topic in made {
      do {
        if try topics.partitionCount(of: topic) != nil { try topics.delete(topic) }
      } catch {
        Issue.record(error)
      }
    }
  }

  /// Makes a topic, and says what it is called.
  func topic(_ name: String, partitions: Int) throws -> String {
    let topic = prefix + name
    made.insert(topic)
    try topics.create(topic, partitions: partitions)
    return topic
  }

  /// The name of a topic that a job is to make.
  func topicToBe(_ name: String) -> String {
    made.insert(prefix + name)
    return prefix + name
  }

  /// What the group `g` committed of a topic; does not wait for a transaction that a killed job
  /// left open.
  func committed(of topic: String) throws -> [Int32: TestConsumer.CommittedOffset] {
    try consumer.committed(by: prefix + "g", of: topic, .readUncommitted)
  }

  /// What is wrong with an output where nobody writes. It and the offsets are of one transaction,
  /// so at any moment they fit.
  func flaw(of first: FirstSeen, from input: String, in output: String) throws -> String? {
    while true {
      let before = try committed(of: input)
      let values = try consumer.records(of: output).compactMap(\.value)
      // A commit that a killed job had sent may come later than its end.
      if try committed(of: input) == before {
        return first.flaw(of: values, at: before.mapValues(\.offset))
      }
    }
  }

  /// A producer without transactions, whose records keep their order.
  func producer() throws -> TestProducer {
    try TestProducer(brokers: brokers, ["enable.idempotence": "true"])
  }

  /// A producer with transactions.
  func producer(transactionalID: String) throws -> TestProducer {
    try TestProducer(brokers: brokers, transactionalID: prefix + transactionalID)
  }

  /// Produces lines as values, without a transaction.
  func produce(_ lines: [String], to topic: String, _ partition: Int = 0) throws {
    try producer().produce(lines.map { TestRecord(value: $0) }, to: topic, partition)
  }
}
