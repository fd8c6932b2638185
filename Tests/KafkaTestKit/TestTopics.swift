// Topics made, changed and deleted through the administration's requests.

import CRdKafka
import Foundation

/// The topics of one cluster. Every call returns when the cluster shows what it did.
package final class TestTopics {
  private let client: TestClient

  /// Connects to nothing yet.
  package init(brokers: String) throws {
    client = try TestClient(
      RD_KAFKA_PRODUCER, ["bootstrap.servers": brokers, "log_level": "2"])
  }

  /// How many partitions a topic has; `nil` for one that there is not.
  package func partitionCount(of topic: String) throws -> Int? {
    try client.partitionCount(of: topic)
  }

  /// Makes a topic, with as many replicas as the cluster makes by default.
  package func create(_ topic: String, partitions: Int) throws {
    var reason = [CChar](repeating: 0, count: 256)
    var request = unsafe rd_kafka_NewTopic_new(
      topic, Int32(partitions), -1, &reason, reason.count)
    guard unsafe request != nil else { throw KafkaTestError("\(topic) cannot be made") }
    defer { unsafe rd_kafka_NewTopic_destroy(request) }
    try unsafe ask(topic) { queue in
      unsafe rd_kafka_CreateTopics(client.pointer, &request, 1, nil, queue)
    } results: { event, count in
      unsafe rd_kafka_CreateTopics_result_topics(event, &count)
    }
    try wait(topic) { $0 == partitions }
  }

  /// Gives a topic more partitions, up to a number of them.
  package func addPartitions(to topic: String, upTo total: Int) throws {
    var reason = [CChar](repeating: 0, count: 256)
    var request = unsafe rd_kafka_NewPartitions_new(topic, total, &reason, reason.count)
    guard unsafe request != nil else { throw KafkaTestError("\(topic) gets no partitions") }
    defer { unsafe rd_kafka_NewPartitions_destroy(request) }
    try unsafe ask(topic) { queue in
      unsafe rd_kafka_CreatePartitions(client.pointer, &request, 1, nil, queue)
    } results: { event, count in
      unsafe rd_kafka_CreatePartitions_result_topics(event, &count)
    }
    try wait(topic) { $0 == total }
  }

  /// Deletes a topic.
  package func delete(_ topic: String) throws {
    var request = unsafe rd_kafka_DeleteTopic_new(topic)
    defer { unsafe rd_kafka_DeleteTopic_destroy(request) }
    try unsafe ask(topic) { queue in
      unsafe rd_kafka_DeleteTopics(client.pointer, &request, 1, nil, queue)
    } results: { event, count in
      unsafe rd_kafka_DeleteTopics_result_topics(event, &count)
    }
    try wait(topic) { $0 == nil }
  }

  /// Deletes the records of a partition before an offset, as retention does.
  package func deleteRecords(of topic: String, _ partition: Int, before offset: Int64) throws {
    guard let list = unsafe rd_kafka_topic_partition_list_new(1) else {
      throw KafkaTestError("no memory")
    }
    defer { unsafe rd_kafka_topic_partition_list_destroy(list) }
    let element = unsafe rd_kafka_topic_partition_list_add(list, topic, Int32(partition))
    unsafe element?.pointee.offset = offset
    var request = unsafe rd_kafka_DeleteRecords_new(list)
    defer { unsafe rd_kafka_DeleteRecords_destroy(request) }
    let event = try unsafe answer(topic) { queue in
      unsafe rd_kafka_DeleteRecords(client.pointer, &request, 1, nil, queue)
    }
    defer { unsafe rd_kafka_event_destroy(event) }
    guard let answered = unsafe rd_kafka_DeleteRecords_result_offsets(event),
      unsafe answered.pointee.cnt == 1
    else { throw KafkaTestError("\(topic): no answer") }
    // SAFETY: the list has one element.
    try KafkaTestError.check(unsafe answered.pointee.elems[0].err, topic)
  }

  // MARK: - Requests

  /// What a request is answered with; the caller destroys it.
  private func answer(
    _ topic: String, _ send: (_ queue: OpaquePointer) -> Void
  ) throws -> OpaquePointer {
    guard let queue = unsafe rd_kafka_queue_new(client.pointer) else {
      throw KafkaTestError("no memory")
    }
    defer { unsafe rd_kafka_queue_destroy(queue) }
    unsafe send(queue)
    guard let event = unsafe rd_kafka_queue_poll(queue, TestClient.patienceMillis) else {
      throw KafkaTestError("\(topic): no answer")
    }
    do {
      try KafkaTestError.check(unsafe rd_kafka_event_error(event), topic)
    } catch {
      unsafe rd_kafka_event_destroy(event)
      throw error
    }
    return unsafe event
  }

  /// Sends a request of one topic, and throws what its result says.
  private func ask(
    _ topic: String, _ send: (_ queue: OpaquePointer) -> Void,
    results: (_ event: OpaquePointer, _ count: inout Int) -> UnsafeMutablePointer<OpaquePointer?>?
  ) throws {
    let event = try unsafe answer(topic, send)
    defer { unsafe rd_kafka_event_destroy(event) }
    var count = 0
    guard let topics = unsafe results(event, &count), count == 1 else {
      throw KafkaTestError("\(topic): no result")
    }
    // SAFETY: there is one result.
    try KafkaTestError.check(unsafe rd_kafka_topic_result_error(topics[0]), topic)
  }

  /// Brokers learn of topics one by one: waits until one shows what was asked for.
  private func wait(_ topic: String, until isDone: (Int?) -> Bool) throws {
    let end = Date().addingTimeInterval(Double(TestClient.patienceMillis) / 1000)
    while !isDone(try client.partitionCount(of: topic)) {
      guard Date() < end else { throw KafkaTestError("\(topic): the cluster does not show it") }
      unsafe rd_kafka_poll(client.pointer, 50)
    }
  }
}
