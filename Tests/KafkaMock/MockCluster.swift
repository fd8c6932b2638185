import CRdKafka
import Foundation
import KafkaTestKit

/// The cluster, and a producer to it.
@safe
final class MockCluster {
  private let host: TestClient
  private let cluster: OpaquePointer
  private let producer: TestProducer

  /// Addresses, apart by commas.
  let brokers: String

  init(brokerCount: Int32) throws {
    host = try TestClient(RD_KAFKA_PRODUCER, [:])
    guard let cluster = unsafe rd_kafka_mock_cluster_new(host.pointer, brokerCount) else {
      throw MockError("no cluster")
    }
    unsafe self.cluster = cluster
    brokers = unsafe String(cString: rd_kafka_mock_cluster_bootstraps(cluster))
    producer = try TestProducer(brokers: brokers)
  }

  deinit {
    unsafe rd_kafka_mock_cluster_destroy(cluster)
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
      try producer.produce(
        try lines(of: words[3]).map { TestRecord(value: String($0)) }, to: words[1],
        try number(2))
    case ("records", 4):
      let records = try lines(of: words[3])
        .map { try JSONDecoder().decode(TestRecord.self, from: Data($0.utf8)) }
      try producer.produce(records, to: words[1], try number(2))
    case ("read", 4): try read(words[1], partitions: try number(2), to: words[3])
    case ("fail", 4):
      let errors = [rd_kafka_resp_err_t](
        repeating: rd_kafka_resp_err_t(rawValue: Int32(try number(2))), count: try number(3))
      unsafe rd_kafka_mock_push_request_errors_array(
        cluster, Int16(try number(1)), errors.count, errors)
    case ("mend", 2):
      unsafe rd_kafka_mock_clear_request_errors(cluster, Int16(try number(1)))
    case ("leader", 4):
      try check(
        unsafe rd_kafka_mock_partition_set_leader(
          cluster, words[1], Int32(try number(2)), Int32(try number(3))))
    case ("topic-error", 3):
      unsafe rd_kafka_mock_topic_set_error(
        cluster, words[1], rd_kafka_resp_err_t(rawValue: Int32(try number(2))))
    case ("down", 1...2):
      let broker = words.count == 2 ? Int32(try number(1)) : -1
      try check(unsafe rd_kafka_mock_broker_set_down(cluster, broker))
    case ("up", 1...2):
      let broker = words.count == 2 ? Int32(try number(1)) : -1
      try check(unsafe rd_kafka_mock_broker_set_up(cluster, broker))
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
}
