import CRdKafka
import Foundation

/// The cluster, and a producer to it.
@safe
final class MockCluster {
  private let host: OpaquePointer
  private let cluster: OpaquePointer
  private let producer: OpaquePointer
  /// Of the producer's messages that the cluster did not take.
  private let failures = Failures()

  private final class Failures {
    var count = 0
  }

  /// Addresses, apart by commas.
  let brokers: String

  init() throws {
    unsafe host = try Self.client([:])
    guard let cluster = unsafe rd_kafka_mock_cluster_new(host, 1) else {
      throw MockError("no cluster")
    }
    unsafe self.cluster = cluster
    brokers = unsafe String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
    unsafe producer = try Self.client(
      [
        "bootstrap.servers": brokers, "linger.ms": "5", "topic.metadata.refresh.interval.ms": "500",
      ],
      failures)
  }

  static func client(
    _ properties: [String: String], kind: rd_kafka_type_t
  ) throws -> OpaquePointer {
    unsafe try client(properties, nil, kind)
  }

  private static func client(
    _ properties: [String: String], _ failures: Failures? = nil,
    _ kind: rd_kafka_type_t = RD_KAFKA_PRODUCER
  ) throws -> OpaquePointer {
    guard let configuration = unsafe rd_kafka_conf_new() else { throw MockError("no memory") }
    var reason = [CChar](repeating: 0, count: 256)
    for (name, value) in properties {
      guard
        unsafe rd_kafka_conf_set(configuration, name, value, &reason, reason.count)
          == RD_KAFKA_CONF_OK
      else { throw MockError("\(name): \(value)") }
    }
    if let failures {
      unsafe rd_kafka_conf_set_opaque(
        configuration, Unmanaged.passUnretained(failures).toOpaque())
      unsafe rd_kafka_conf_set_dr_msg_cb(configuration) { _, message, opaque in
        guard let message = unsafe message, let opaque = unsafe opaque,
          unsafe message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR
        else { return }
        unsafe Unmanaged<Failures>.fromOpaque(opaque).takeUnretainedValue().count += 1
      }
    }
    guard let client = unsafe rd_kafka_new(kind, configuration, &reason, reason.count)
    else { throw MockError("no client") }
    return unsafe client
  }

  func run(_ words: [String]) throws {
    func number(_ index: Int) throws -> Int {
      guard index < words.count, let number = Int(words[index]) else {
        throw MockError("a number is missing")
      }
      return number
    }
    switch (words.first, words.count) {
    case ("topic", 3):
      try check(
        unsafe rd_kafka_mock_topic_create(cluster, words[1], Int32(try number(2)), 1))
    case ("lines", 4):
      try produce(
        try lines(of: words[3]).map { MockRecord(value: String($0)) }, words[1], try number(2))
    case ("records", 4):
      let records = try lines(of: words[3])
        .map { try JSONDecoder().decode(MockRecord.self, from: Data($0.utf8)) }
      try produce(records, words[1], try number(2))
    case ("read", 4): try read(words[1], partitions: try number(2), to: words[3])
    case ("fail", 4):
      let errors = [rd_kafka_resp_err_t](
        repeating: rd_kafka_resp_err_t(rawValue: Int32(try number(2))), count: try number(3))
      unsafe rd_kafka_mock_push_request_errors_array(
        cluster, Int16(try number(1)), errors.count, errors)
    case ("topic-error", 3):
      unsafe rd_kafka_mock_topic_set_error(
        cluster, words[1], rd_kafka_resp_err_t(rawValue: Int32(try number(2))))
    case ("down", 1): try check(unsafe rd_kafka_mock_broker_set_down(cluster, -1))
    case ("up", 1): try check(unsafe rd_kafka_mock_broker_set_up(cluster, -1))
    default: throw MockError("no such command")
    }
  }

  private func lines(of path: String) throws -> [Substring] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
  }

  func check(_ code: rd_kafka_resp_err_t) throws {
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
      throw MockError(unsafe String(cString: rd_kafka_err2str(code)))
    }
  }

  // MARK: - Producing

  private func produce(_ records: [MockRecord], _ topic: String, _ partition: Int) throws {
    failures.count = 0
    for record in records {
      var code = RD_KAFKA_RESP_ERR__QUEUE_FULL
      while code == RD_KAFKA_RESP_ERR__QUEUE_FULL {
        code = try send(record, topic, Int32(partition))
        unsafe rd_kafka_poll(producer, code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 20 : 0)
      }
      try check(code)
    }
    try check(unsafe rd_kafka_flush(producer, 60_000))
    guard failures.count == 0 else { throw MockError("\(failures.count) records were refused") }
  }

  private func send(
    _ record: MockRecord, _ topic: String, _ partition: Int32
  ) throws -> rd_kafka_resp_err_t {
    var parts = unsafe [rd_kafka_vu_t]()
    // Copies that live until the call has made its own.
    var copies = unsafe [UnsafeMutablePointer<CChar>]()
    defer { while let made = unsafe copies.popLast() { unsafe free(made) } }
    func copy(_ text: String) throws -> UnsafeMutablePointer<CChar> {
      guard let made = unsafe strdup(text) else { throw MockError("no memory") }
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
    guard let error = unsafe rd_kafka_produceva(producer, &parts, parts.count) else {
      return RD_KAFKA_RESP_ERR_NO_ERROR
    }
    defer { unsafe rd_kafka_error_destroy(error) }
    return unsafe rd_kafka_error_code(error)
  }
}

/// A record as a file of the command `records` has it.
struct MockRecord: Decodable {
  var value: String?
  var key: String?
  var headers: [[String?]]?
  var timestamp: Int64?
}
