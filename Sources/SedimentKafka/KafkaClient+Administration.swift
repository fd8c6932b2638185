// Requests that change topics: making one, and having records removed that nobody needs any more.

internal import CRdKafka
internal import SedimentJob

extension KafkaClient {
  /// Makes a topic, with as many replicas as the brokers make by default.
  ///
  /// - Parameter settings: properties of the topic.
  /// - Returns: what the brokers say against it; `nil` when it is made.
  /// - Throws: `KafkaError.unreachable` when there was no answer.
  func createTopic(
    _ name: String, partitions: Int, _ settings: [(name: String, value: String)],
    timeoutMillis: Int32
  ) throws(KafkaError) -> KafkaFault? {
    var reason = [CChar](repeating: 0, count: KafkaConfiguration.reasonBytes)
    var request = unsafe rd_kafka_NewTopic_new(
      name, Int32(clamping: partitions), Self.replicasByDefault, &reason, reason.count)
    guard let topic = unsafe request else {
      throw .failed("the topic \(name) cannot be made with \(partitions) partitions")
    }
    defer { unsafe rd_kafka_NewTopic_destroy(topic) }
    for (name, value) in settings {
      _ = unsafe rd_kafka_NewTopic_set_config(topic, name, value)
    }
    guard let answers = unsafe rd_kafka_queue_new(client) else { throw .failed("out of memory") }
    defer { unsafe rd_kafka_queue_destroy(answers) }
    unsafe rd_kafka_CreateTopics(client, &request, 1, nil, answers)
    guard let event = unsafe rd_kafka_queue_poll(answers, timeoutMillis) else {
      throw .unreachable("no broker answers whether it makes the topic \(name)")
    }
    defer { unsafe rd_kafka_event_destroy(event) }
    let code = unsafe rd_kafka_event_error(event)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else { throw Self.error(KafkaFault(code)) }
    var count = 0
    guard let results = unsafe rd_kafka_CreateTopics_result_topics(event, &count), count == 1,
      // SAFETY: there is one result.
      let result = unsafe results[0]
    else { throw .unreachable("the brokers say nothing of the topic \(name)") }
    let answer = unsafe rd_kafka_topic_result_error(result)
    guard answer != RD_KAFKA_RESP_ERR_NO_ERROR else { return nil }
    let text = unsafe rd_kafka_topic_result_error_string(result)
    return unsafe KafkaFault(answer, text.map { unsafe String(cString: $0) })
  }

  private static let replicasByDefault: Int32 = -1
}

/// Requests to remove records, whose answers come later.
// @unchecked because librdkafka is thread-safe and the addresses never change.
@safe
final class RecordRemoval: @unchecked Sendable {
  private let client: KafkaClient
  private let answers: OpaquePointer

  init(_ client: KafkaClient) throws(KafkaError) {
    guard let queue = unsafe rd_kafka_queue_new(client.client) else {
      throw .failed("out of memory")
    }
    self.client = client
    unsafe answers = queue
  }

  deinit {
    unsafe rd_kafka_queue_destroy(answers)
  }

  /// Asks that all before some offsets be removed.
  func ask(_ offsets: [TopicPartition: Int64]) {
    let list = unsafe KafkaList.make(offsets.sorted { $0.key < $1.key }.map { ($0, $1) })
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    var request = unsafe rd_kafka_DeleteRecords_new(list)
    guard unsafe request != nil else { return }
    defer { unsafe rd_kafka_DeleteRecords_destroy(request) }
    unsafe rd_kafka_DeleteRecords(client.client, &request, 1, nil, answers)
  }

  /// What the brokers have said against earlier requests since this was called last.
  func takeFault() -> KafkaFault? {
    var fault: KafkaFault?
    while let event = unsafe rd_kafka_queue_poll(answers, 0) {
      defer { unsafe rd_kafka_event_destroy(event) }
      var code = unsafe rd_kafka_event_error(event)
      if let list = unsafe rd_kafka_DeleteRecords_result_offsets(event) {
        for index in unsafe 0..<Int(list.pointee.cnt) where code == RD_KAFKA_RESP_ERR_NO_ERROR {
          // SAFETY: the list has `cnt` elements.
          code = unsafe list.pointee.elems[index].err
        }
      }
      if code != RD_KAFKA_RESP_ERR_NO_ERROR { fault = KafkaFault(code) }
    }
    return fault
  }
}
