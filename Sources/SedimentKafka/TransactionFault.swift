// What an error within a transaction means to a job. A pure decision.

internal import CRdKafka
package import SedimentJob

/// An error of librdkafka's transactions, with what it says of itself.
package struct TransactionFault: Sendable, Equatable {
  package var fault: KafkaFault
  /// The same call may be made again.
  package var isRetriable: Bool
  /// The transaction is to be aborted.
  package var isAbortable: Bool

  /// A fault.
  package init(_ fault: KafkaFault, isRetriable: Bool = false, isAbortable: Bool = false) {
    self.fault = fault
    self.isRetriable = isRetriable
    self.isAbortable = isAbortable
  }

  /// Takes over an error object of librdkafka.
  init(consuming error: OpaquePointer) {
    let text = unsafe rd_kafka_error_string(error).map { unsafe String(cString: $0) }
    fault = unsafe KafkaFault(rd_kafka_error_code(error), text)
    isRetriable = unsafe rd_kafka_error_is_retriable(error) != 0
    isAbortable = unsafe rd_kafka_error_txn_requires_abort(error) != 0
    unsafe rd_kafka_error_destroy(error)
  }

  /// What the job does.
  package enum Meaning: Sendable, Equatable {
    /// Makes the same call again: the result is not known yet.
    case again
    /// Goes back to the epoch before.
    case aborted
    /// Ends.
    case failed
  }

  /// What the job does.
  package var meaning: Meaning {
    switch rd_kafka_resp_err_t(rawValue: fault.code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
      RD_KAFKA_RESP_ERR__AUTHENTICATION, RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
      RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
      RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_RECORD,
      RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE,
      RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
      RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, RD_KAFKA_RESP_ERR__INVALID_ARG,
      RD_KAFKA_RESP_ERR__NOT_CONFIGURED:
      .failed
    default: isRetriable && !isAbortable ? .again : .aborted
    }
  }

  /// The same as a sink's error.
  ///
  /// - Parameters:
  ///   - what: what was to be done, as in "cannot …".
  ///   - advice: the way out, when the job ends.
  package func error(_ what: String, advice: String = "") -> SinkError {
    let text = "cannot \(what): \(fault)"
    return meaning == .failed ? .topic(text + advice) : .epochAborted(text)
  }
}
