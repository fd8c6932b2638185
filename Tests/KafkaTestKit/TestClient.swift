// What all clients of tests share: properties in, an address of librdkafka out.

package import CRdKafka
import Foundation

/// Why something that a test needs could not be done.
package struct KafkaTestError: Error, CustomStringConvertible {
  package var description: String

  package init(_ description: String) {
    self.description = description
  }

  /// Throws what a code says, unless it says that all is well.
  static func check(_ code: rd_kafka_resp_err_t, _ what: String) throws {
    guard code != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
    throw KafkaTestError("\(what): \(unsafe String(cString: rd_kafka_err2str(code)))")
  }

  /// The same of an error that is ours to free.
  static func check(_ error: OpaquePointer?, _ what: String) throws {
    guard let error = unsafe error else { return }
    defer { unsafe rd_kafka_error_destroy(error) }
    throw KafkaTestError("\(what): \(unsafe String(cString: rd_kafka_error_string(error)))")
  }
}

/// One client of librdkafka, destroyed with this.
@safe
package final class TestClient {
  /// How long anything is waited for that a broker is asked.
  package static let patienceMillis: Int32 = 60_000

  /// For calls of librdkafka, as long as this lives.
  package let pointer: OpaquePointer
  private let failures: DeliveryFailures?

  /// A client with these properties.
  ///
  /// - Parameter failures: counts a producer's messages that the cluster did not take.
  package init(
    _ kind: rd_kafka_type_t, _ properties: [String: String], failures: DeliveryFailures? = nil
  ) throws {
    guard let configuration = unsafe rd_kafka_conf_new() else {
      throw KafkaTestError("no memory")
    }
    var reason = [CChar](repeating: 0, count: 256)
    for (name, value) in properties {
      let result = unsafe rd_kafka_conf_set(configuration, name, value, &reason, reason.count)
      guard result == RD_KAFKA_CONF_OK else {
        unsafe rd_kafka_conf_destroy(configuration)
        throw KafkaTestError("\(name)=\(value) is no property")
      }
    }
    if let failures { unsafe failures.register(in: configuration) }
    guard let client = unsafe rd_kafka_new(kind, configuration, &reason, reason.count) else {
      unsafe rd_kafka_conf_destroy(configuration)
      throw KafkaTestError("no client")
    }
    unsafe pointer = client
    self.failures = failures
  }

  deinit {
    unsafe rd_kafka_destroy(pointer)
  }

  /// How many partitions a topic has that can be used; `nil` for a topic that there is not.
  package func partitionCount(of topic: String) throws -> Int? {
    guard let handle = unsafe rd_kafka_topic_new(pointer, topic, nil) else {
      throw KafkaTestError("\(topic) is no topic")
    }
    defer { unsafe rd_kafka_topic_destroy(handle) }
    var answer: UnsafePointer<rd_kafka_metadata>?
    let code = unsafe rd_kafka_metadata(pointer, 0, handle, &answer, Self.patienceMillis)
    guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let answer = unsafe answer else {
      try KafkaTestError.check(code, topic)
      return nil
    }
    defer { unsafe rd_kafka_metadata_destroy(answer) }
    for index in unsafe 0..<Int(answer.pointee.topic_cnt) {
      // SAFETY: the answer has `topic_cnt` topics, and each `partition_cnt` partitions.
      let found = unsafe answer.pointee.topics[index]
      guard unsafe String(cString: found.topic) == topic,
        unsafe found.err == RD_KAFKA_RESP_ERR_NO_ERROR
      else { continue }
      return unsafe (0..<Int(found.partition_cnt)).count {
        unsafe found.partitions[$0].err == RD_KAFKA_RESP_ERR_NO_ERROR
      }
    }
    return nil
  }
}

/// Counts what the cluster did not take.
package final class DeliveryFailures {
  package private(set) var count = 0

  package init() {}

  fileprivate func register(in configuration: OpaquePointer) {
    // SAFETY: the client keeps this alive, and calls back only from its own calls.
    unsafe rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(self).toOpaque())
    unsafe rd_kafka_conf_set_dr_msg_cb(configuration) { _, message, opaque in
      guard let message = unsafe message, let opaque = unsafe opaque,
        unsafe message.pointee.err != RD_KAFKA_RESP_ERR_NO_ERROR
      else { return }
      unsafe Unmanaged<DeliveryFailures>.fromOpaque(opaque).takeUnretainedValue().count += 1
    }
  }
}
