import CRdKafka
import Foundation
import KafkaTestKit

extension MockCluster {
  /// Writes all records of a topic to a file, one JSON object a line: partition by partition, in
  /// the order of their offsets. Of transactions that are open, too.
  func read(_ topic: String, partitions: Int, to path: String) throws {
    let client = try TestClient(
      RD_KAFKA_CONSUMER,
      [
        "bootstrap.servers": brokers, "group.id": "reader", "enable.partition.eof": "true",
        "isolation.level": "read_uncommitted", "enable.auto.commit": "false",
      ])
    let reader = unsafe client.pointer
    defer { unsafe rd_kafka_consumer_close(reader) }
    let list = unsafe rd_kafka_topic_partition_list_new(Int32(partitions))
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    for partition in 0..<partitions {
      let element = unsafe rd_kafka_topic_partition_list_add(list, topic, Int32(partition))
      unsafe element?.pointee.offset = 0
    }
    try check(unsafe rd_kafka_assign(reader, list))
    var records = [[MockOutput]](repeating: [], count: partitions)
    var open = Set(0..<Int32(partitions))
    while !open.isEmpty {
      guard let message = unsafe rd_kafka_consumer_poll(reader, 10_000) else {
        throw MockError("no answer")
      }
      defer { unsafe rd_kafka_message_destroy(message) }
      let (code, partition) = unsafe (message.pointee.err, message.pointee.partition)
      if code == RD_KAFKA_RESP_ERR__PARTITION_EOF {
        open.remove(partition)
      } else {
        try check(code)
        records[Int(partition)].append(unsafe MockOutput(message))
      }
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let lines = try records.joined().map { try encoder.encode($0) + Data("\n".utf8) }
    try Data(lines.joined()).write(to: URL(fileURLWithPath: path))
  }
}

/// A record as the command `read` tells it.
struct MockOutput: Encodable {
  var partition: Int32
  var value: String?
  var key: String?
  var headers: [[String?]] = []
  var timestamp: Int64

  @unsafe
  init(_ message: UnsafeMutablePointer<rd_kafka_message_t>) {
    func text(_ start: UnsafeRawPointer?, _ count: Int) -> String? {
      unsafe start.map {
        unsafe String(decoding: UnsafeRawBufferPointer(start: $0, count: count), as: UTF8.self)
      }
    }
    unsafe partition = message.pointee.partition
    unsafe value = text(message.pointee.payload, message.pointee.len)
    unsafe key = text(message.pointee.key, message.pointee.key_len)
    unsafe timestamp = rd_kafka_message_timestamp(message, nil)
    var list: OpaquePointer?
    guard unsafe rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR else {
      return
    }
    for index in 0..<(unsafe rd_kafka_header_cnt(list)) {
      var name: UnsafePointer<CChar>?
      var value: UnsafeRawPointer?
      var length = 0
      unsafe rd_kafka_header_get_all(list, index, &name, &value, &length)
      headers.append([unsafe name.map { unsafe String(cString: $0) }, unsafe text(value, length)])
    }
  }
}
