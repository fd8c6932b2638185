// What an error code of librdkafka means to a job. A pure decision.

internal import CRdKafka

/// A code with its text.
package struct KafkaFault: Sendable, Equatable, CustomStringConvertible {
  /// Of `rd_kafka_resp_err_t`; negative ones are librdkafka's own.
  package var code: Int32
  package var description: String

  /// A fault.
  package init(code: Int32, _ description: String) {
    self.code = code
    self.description = description
  }

  init(_ code: rd_kafka_resp_err_t, _ detail: String? = nil) {
    self.code = code.rawValue
    let text = unsafe rd_kafka_err2str(code).map { unsafe String(cString: $0) } ?? "error"
    description = detail.map { "\($0) (\(text))" } ?? text
  }

  /// What the job does about it.
  package enum Meaning: Sendable, Equatable {
    /// Nothing: librdkafka mends it, or it concerns us no more.
    case nothing
    /// librdkafka tries again; a person should know that no broker answers.
    case allBrokersDown
    /// The position is not there.
    case outOfRange
    /// The partition was read to its end.
    case endOfPartition
    /// The brokers say that the topic is not there.
    case unknownTopic
    /// The job ends.
    case fatal
  }

  /// What the job does about it.
  package var meaning: Meaning {
    switch rd_kafka_resp_err_t(rawValue: code) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: .endOfPartition
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: .outOfRange
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN: .allBrokersDown
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
      RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      .unknownTopic
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, RD_KAFKA_RESP_ERR__AUTHENTICATION,
      RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
      RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR__FATAL,
      RD_KAFKA_RESP_ERR__BAD_MSG, RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
      RD_KAFKA_RESP_ERR_INVALID_MSG, RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED,
      RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
      RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT,
      RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL,
      RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
      .fatal
    default: .nothing
    }
  }

  /// The way out of what a reader is forbidden, to go behind its text; empty for other faults.
  func advice(reading topics: [String], group: String) -> String {
    switch rd_kafka_resp_err_t(rawValue: code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      "; allow the user to read the topic " + topics.joined(separator: " and the topic ")
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      "; allow the user to read the group \(group)"
    default: ""
    }
  }
}
