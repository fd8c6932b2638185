// Records into topics, with all that records have, in transactions or without.
//
// Concurrency: one thread at a time.

import CRdKafka
import Foundation

/// A producer to one cluster.
package final class TestProducer {
  private let client: TestClient
  private let failures: DeliveryFailures

  /// Connects, and with an id of transactions ends what another of that id left open.
  package init(
    brokers: String, transactionalID: String? = nil, _ more: [String: String] = [:]
  ) throws {
    var properties = [
      "bootstrap.servers": brokers, "linger.ms": "5", "topic.metadata.refresh.interval.ms": "500",
    ]
    properties["transactional.id"] = transactionalID
    failures = DeliveryFailures()
    client = try TestClient(
      RD_KAFKA_PRODUCER, properties.merging(more) { $1 }, failures: failures)
    guard transactionalID != nil else { return }
    try unsafe KafkaTestError.check(
      rd_kafka_init_transactions(client.pointer, TestClient.patienceMillis),
      "initialising transactions")
  }

  /// Produces to a partition, and waits until the cluster has all.
  package func produce(_ records: [TestRecord], to topic: String, _ partition: Int = 0) throws {
    for record in records { try send(record, to: topic, partition) }
    try flush()
  }

  /// Hands one record over; it may wait.
  package func send(_ record: TestRecord, to topic: String, _ partition: Int) throws {
    var code = RD_KAFKA_RESP_ERR__QUEUE_FULL
    while code == RD_KAFKA_RESP_ERR__QUEUE_FULL {
      code = try enqueue(record, topic, Int32(partition))
      unsafe rd_kafka_poll(client.pointer, code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 20 : 0)
    }
    try KafkaTestError.check(code, topic)
  }

  /// Waits until the cluster has all.
  package func flush() throws {
    let before = failures.count
    try KafkaTestError.check(
      unsafe rd_kafka_flush(client.pointer, TestClient.patienceMillis), "flushing")
    guard failures.count == before else {
      throw KafkaTestError("\(failures.count - before) records were refused")
    }
  }

  private func enqueue(
    _ record: TestRecord, _ topic: String, _ partition: Int32
  ) throws -> rd_kafka_resp_err_t {
    var parts = unsafe [rd_kafka_vu_t]()
    // Copies that live until the call has made its own.
    var copies = unsafe [UnsafeMutablePointer<CChar>]()
    defer { while let made = unsafe copies.popLast() { unsafe free(made) } }
    func copy(_ text: String) throws -> UnsafeMutablePointer<CChar> {
      guard let made = unsafe strdup(text) else { throw KafkaTestError("no memory") }
      unsafe copies.append(made)
      return unsafe made
    }
    func add(_ kind: rd_kafka_vtype_t, _ set: (inout rd_kafka_vu_t) throws -> Void) rethrows {
      var part = unsafe rd_kafka_vu_t()
      unsafe part.vtype = kind
      try unsafe set(&part)
      unsafe parts.append(part)
    }
    try unsafe add(RD_KAFKA_VTYPE_TOPIC) { try unsafe $0.u.cstr = UnsafePointer(copy(topic)) }
    unsafe add(RD_KAFKA_VTYPE_PARTITION) { unsafe $0.u.i32 = partition }
    unsafe add(RD_KAFKA_VTYPE_MSGFLAGS) { unsafe $0.u.i = RD_KAFKA_MSG_F_COPY }
    for (kind, text) in [(RD_KAFKA_VTYPE_VALUE, record.value), (RD_KAFKA_VTYPE_KEY, record.key)] {
      guard let text else { continue }
      try unsafe add(kind) {
        try unsafe $0.u.mem.ptr = UnsafeMutableRawPointer(copy(text))
        unsafe $0.u.mem.size = text.utf8.count
      }
    }
    if let timestamp = record.timestamp {
      unsafe add(RD_KAFKA_VTYPE_TIMESTAMP) { unsafe $0.u.i64 = timestamp }
    }
    for pair in record.headers ?? [] where pair.count == 2 {
      try unsafe add(RD_KAFKA_VTYPE_HEADER) {
        try unsafe $0.u.header.name = UnsafePointer(copy(pair[0] ?? ""))
        try unsafe $0.u.header.val = pair[1].map { try unsafe UnsafeRawPointer(copy($0)) }
        unsafe $0.u.header.size = pair[1]?.utf8.count ?? -1
      }
    }
    guard let error = unsafe rd_kafka_produceva(client.pointer, &parts, parts.count) else {
      return RD_KAFKA_RESP_ERR_NO_ERROR
    }
    defer { unsafe rd_kafka_error_destroy(error) }
    return unsafe rd_kafka_error_code(error)
  }

  // MARK: - Transactions

  /// Begins a transaction, to which all belongs that is produced until it ends.
  package func begin() throws {
    try unsafe KafkaTestError.check(
      rd_kafka_begin_transaction(client.pointer), "beginning a transaction")
  }

  /// Makes all of it visible.
  package func commit() throws {
    try unsafe KafkaTestError.check(
      rd_kafka_commit_transaction(client.pointer, TestClient.patienceMillis), "committing")
  }

  /// Makes all of it void.
  package func abort() throws {
    try unsafe KafkaTestError.check(
      rd_kafka_abort_transaction(client.pointer, TestClient.patienceMillis), "aborting")
  }
}
