// What brokers say of topics and a group, for whoever changes the number of partitions while nobody
// reads. It joins no group.
//
// Concurrency: one thread.

internal import CRdKafka
internal import SedimentIO
package import SedimentJob

/// See the file's header.
package final class KafkaSurvey {
  private let client: KafkaClient
  private let clock: any Clock

  /// How long an answer is waited for.
  private static let requestMillis: Int32 = 15_000
  /// The same for the end of a partition.
  private static let endMillis: Int64 = 30_000

  /// - Throws: `KafkaError.usage` for a property that cannot be.
  package init(
    _ address: KafkaAddress, group: String, properties: KafkaProperties,
    report: @escaping @Sendable (JobMessage) -> Void
  ) throws(KafkaError) {
    guard !group.isEmpty else { throw .usage("--group is empty") }
    client = try KafkaClient(
      address, group: group, properties: properties, events: KafkaEvents(report: report))
    clock = SystemClock()
  }

  /// How many partitions a topic has.
  package func partitionCount(of topic: String) throws -> Int {
    switch try client.partitionCount(of: topic, timeoutMillis: Self.requestMillis) {
    case .success(let count) where count > 0: return count
    case .success: throw KafkaError.failed("topic \(topic): it has no partitions")
    case .failure(let error): throw KafkaError.failed("topic \(topic): \(error.fault)")
    }
  }

  /// Adds partitions to a topic, and waits until brokers tell of them.
  package func addPartitions(to topic: String, total: Int) throws {
    try client.addPartitions(to: topic, total: total, timeoutMillis: Self.requestMillis)
    let end = clock.monotonicNanos() &+ UInt64(Self.requestMillis) * 1_000_000
    let pause = Monitor()
    while try partitionCount(of: topic) < total {
      guard clock.monotonicNanos() < end else {
        throw KafkaError.failed("topic \(topic): brokers do not tell of its new partitions yet")
      }
      pause.withLock { _ = pause.wait(nanoseconds: 100_000_000) }
    }
  }

  /// How many members a group has.
  package func memberCount(of group: String) throws -> Int {
    try client.memberCount(of: group, timeoutMillis: Self.requestMillis)
  }

  /// What the group holds of partitions.
  package func committed(
    of partitions: [TopicPartition]
  ) throws -> [TopicPartition: CommittedOffset] {
    try client.committed(of: partitions, timeoutMillis: Self.requestMillis)
  }

  /// How many records of a partition lie behind a position, or may: what stands between the first
  /// one and the end. None where only markers of transactions do.
  ///
  /// - Parameter position: `nil` for the beginning.
  package func unread(of partition: TopicPartition, from position: Int64?) throws -> Int64 {
    let ends = try client.ends(of: partition, timeoutMillis: Self.requestMillis)
    let start = max(position ?? ends.low, ends.low)
    guard start < ends.high else { return 0 }
    try client.assign([StartPlan.TopicPosition(partition, start)])
    let message = KafkaClient.Messages.allocate(capacity: 1)
    defer { unsafe message.deallocate() }
    let end = clock.monotonicNanos() &+ UInt64(Self.endMillis) * 1_000_000
    while clock.monotonicNanos() < end {
      guard unsafe client.consume(into: message, count: 1, timeoutMillis: 500) == 1,
        let found = unsafe message.pointee
      else { continue }
      defer { unsafe rd_kafka_message_destroy(found) }
      let code = unsafe found.pointee.err
      // An open transaction holds up what lies behind it.
      if code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR__PARTITION_EOF {
        guard unsafe found.pointee.partition == partition.partition else { continue }
        return max(0, ends.high - (unsafe found.pointee.offset))
      }
      let fault = KafkaFault(code, "\(partition)")
      if fault.meaning == .fatal || fault.meaning == .outOfRange {
        throw KafkaError.failed(fault.description)
      }
    }
    throw KafkaError.failed("\(partition): no broker said what lies behind offset \(start)")
  }
}
