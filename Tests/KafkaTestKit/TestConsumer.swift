// Records out of topics, to the end of every partition: the end is what the broker says it is,
// never a count of offsets, some of which belong to markers of transactions.

import CRdKafka
import Foundation

/// A consumer of one cluster, in no group.
package final class TestConsumer {
  /// Which records are seen.
  package enum Isolation: String, Sendable {
    /// Those of transactions that were committed, and those that are in none.
    case readCommitted = "read_committed"
    /// All.
    case readUncommitted = "read_uncommitted"
  }

  /// What a group committed of a partition.
  package struct CommittedOffset: Sendable, Hashable {
    package var offset: Int64
    package var metadata: String
  }

  private let brokers: String

  /// Connects to nothing yet.
  package init(brokers: String) {
    self.brokers = brokers
  }

  private func client(_ isolation: Isolation, group: String) throws -> TestClient {
    let client = try TestClient(
      RD_KAFKA_CONSUMER,
      [
        "bootstrap.servers": brokers, "group.id": group, "isolation.level": isolation.rawValue,
        "enable.auto.commit": "false", "enable.partition.eof": "true",
        "auto.offset.reset": "error", "log_level": "2",
      ])
    _ = unsafe rd_kafka_poll_set_consumer(client.pointer)
    return client
  }

  /// All records that a topic has now, those of a partition in order.
  package func records(
    of topic: String, _ isolation: Isolation = .readCommitted
  ) throws -> [ReadRecord] {
    var records: [ReadRecord] = []
    try forEachRecord(of: topic, isolation) { records.append($0) }
    return records
  }

  /// Calls back with every record that a topic has now, those of a partition in order.
  package func forEachRecord(
    of topic: String, _ isolation: Isolation = .readCommitted, _ body: (ReadRecord) -> Void
  ) throws {
    let client = try client(isolation, group: "sediment-test-reader")
    guard let count = try client.partitionCount(of: topic), count > 0 else {
      throw KafkaTestError("\(topic): there is no such topic")
    }
    try assign(topic, count, client)
    var ended: Set<Int32> = []
    while ended.count < count {
      guard
        let message = unsafe rd_kafka_consumer_poll(client.pointer, TestClient.patienceMillis)
      else { throw KafkaTestError("\(topic): nothing comes any more") }
      defer { unsafe rd_kafka_message_destroy(message) }
      let code = unsafe message.pointee.err
      if code == RD_KAFKA_RESP_ERR__PARTITION_EOF {
        ended.insert(unsafe message.pointee.partition)
      } else if code == RD_KAFKA_RESP_ERR_NO_ERROR {
        unsafe body(Self.record(message))
      } else if code != RD_KAFKA_RESP_ERR__TRANSPORT {
        try KafkaTestError.check(code, topic)
      }
    }
  }

  private func assign(_ topic: String, _ count: Int, _ client: TestClient) throws {
    guard let list = unsafe rd_kafka_topic_partition_list_new(Int32(count)) else {
      throw KafkaTestError("no memory")
    }
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    for partition in 0..<Int32(count) {
      let element = unsafe rd_kafka_topic_partition_list_add(list, topic, partition)
      unsafe element?.pointee.offset = Int64(RD_KAFKA_OFFSET_BEGINNING)
    }
    try KafkaTestError.check(unsafe rd_kafka_assign(client.pointer, list), topic)
  }

  private static func record(_ message: UnsafeMutablePointer<rd_kafka_message_t>) -> ReadRecord {
    // SAFETY: payload and key are `len` and `key_len` bytes until the message is destroyed.
    ReadRecord(
      partition: unsafe message.pointee.partition, offset: unsafe message.pointee.offset,
      value: unsafe text(message.pointee.payload, message.pointee.len),
      key: unsafe text(message.pointee.key, message.pointee.key_len),
      headers: unsafe headers(of: message),
      timestamp: unsafe rd_kafka_message_timestamp(message, nil))
  }

  private static func text(_ start: UnsafeRawPointer?, _ count: Int) -> String? {
    guard let start = unsafe start else { return nil }
    return unsafe String(
      decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  }

  private static func headers(
    of message: UnsafeMutablePointer<rd_kafka_message_t>
  ) -> [[String?]] {
    var headers: OpaquePointer?
    guard unsafe rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR else {
      return []
    }
    var pairs: [[String?]] = []
    var name: UnsafePointer<CChar>?
    var value: UnsafeRawPointer?
    var length = 0
    while unsafe rd_kafka_header_get_all(headers, pairs.count, &name, &value, &length)
      == RD_KAFKA_RESP_ERR_NO_ERROR
    {
      pairs.append([unsafe name.map { unsafe String(cString: $0) }, unsafe text(value, length)])
    }
    return pairs
  }

  /// Whether a transaction is open that has written to a topic.
  package func hasOpenTransaction(in topic: String) throws -> Bool {
    let ends = try [Isolation.readCommitted, .readUncommitted].map { isolation in
      let client = try client(isolation, group: "sediment-test-reader")
      guard let count = try client.partitionCount(of: topic) else {
        throw KafkaTestError("\(topic): there is no such topic")
      }
      return try (0..<Int32(count)).map { partition in
        var (low, high): (Int64, Int64) = (0, 0)
        try KafkaTestError.check(
          unsafe rd_kafka_query_watermark_offsets(
            client.pointer, topic, partition, &low, &high, TestClient.patienceMillis), topic)
        return high
      }
    }
    // What is behind the first record of an open transaction is not committed; asked in this order,
    // an end that moves looks like one, too, but one that is open never looks closed.
    return ends.first != ends.last
  }

  // MARK: - Groups

  /// What a group has committed of a topic, partition by partition; none for what it has not.
  ///
  /// - Parameter isolation: read committed waits for offsets in a transaction that is open.
  package func committed(
    by group: String, of topic: String, _ isolation: Isolation = .readCommitted
  ) throws -> [Int32: CommittedOffset] {
    let client = try client(isolation, group: group)
    guard let count = try client.partitionCount(of: topic),
      let list = unsafe rd_kafka_topic_partition_list_new(Int32(count))
    else { throw KafkaTestError("\(topic): there is no such topic") }
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    for partition in 0..<Int32(count) {
      _ = unsafe rd_kafka_topic_partition_list_add(list, topic, partition)
    }
    try KafkaTestError.check(
      unsafe rd_kafka_committed(client.pointer, list, TestClient.patienceMillis), group)
    var offsets: [Int32: CommittedOffset] = [:]
    for index in unsafe 0..<Int(list.pointee.cnt) {
      // SAFETY: the list has `cnt` elements.
      let element = unsafe list.pointee.elems[index]
      try KafkaTestError.check(unsafe element.err, group)
      guard unsafe element.offset >= 0 else { continue }
      let metadata = unsafe text(element.metadata, element.metadata_size) ?? ""
      unsafe offsets[element.partition] = CommittedOffset(
        offset: element.offset, metadata: metadata)
    }
    return offsets
  }

  private func text(_ start: UnsafeMutableRawPointer?, _ count: Int) -> String? {
    unsafe Self.text(start.map { UnsafeRawPointer($0) }, count)
  }
}
