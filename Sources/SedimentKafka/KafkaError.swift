/// Why topics cannot be read; the message names the way out.
package enum KafkaError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A wrong option.
  case usage(String)
  /// What a broker or librdkafka says that ends the job.
  case failed(String)
  /// A request had no answer; it may have one when it is made again.
  case unreachable(String)
  /// The answer was one that may change.
  case doubtful(String)

  package var description: String {
    switch self {
    case .usage(let text), .failed(let text), .unreachable(let text), .doubtful(let text): text
    }
  }
}
