import Foundation
import SedimentJob
import Synchronization

/// Counts the times that a step is come to, and ends the process at one of them.
final class Steps: Sendable {
  private let step: String
  private let left: Mutex<Int>

  init(dyingAt step: String, number: Int) {
    self.step = step
    left = Mutex(number)
  }

  func take(_ step: String) {
    guard step == self.step else { return }
    let isNow = left.withLock { left in
      left -= 1
      return left == 0
    }
    if isNow { kill(getpid(), SIGKILL) }
  }

  /// Makes a call, with a step before it and one behind it.
  func around<Result, Failure>(
    _ name: ProducerStep, _ call: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    take("before-\(name)")
    let result = try call()
    take("after-\(name)")
    return result
  }
}

/// Calls of a producer.
enum ProducerStep {
  case initialise, offsets, begin, produce, flush, commit
}

/// Topics as outputs, with steps.
struct SteppedOutput: TopicOutput {
  let base: any TopicOutput
  let steps: Steps

  var group: String { base.group }
  var topics: [OutputRole: String] { base.topics }

  func open(_ start: TopicOutputStart) throws -> any TopicProducer {
    SteppedProducer(base: try steps.around(.initialise) { try base.open(start) }, steps: steps)
  }
}

private final class SteppedProducer: TopicProducer {
  private let base: any TopicProducer
  private let steps: Steps

  init(base: any TopicProducer, steps: Steps) {
    self.base = base
    self.steps = steps
  }

  var cluster: String { base.cluster }

  func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] {
    try steps.around(.offsets) { try base.committed(topics) }
  }

  func begin() throws(SinkError) {
    try steps.around(.begin) { () throws(SinkError) in try base.begin() }
  }

  func produce(_ records: TopicRecords) throws(SinkError) {
    try steps.around(.produce) { () throws(SinkError) in try base.produce(records) }
  }

  func flush() throws(SinkError) {
    try steps.around(.flush) { () throws(SinkError) in try base.flush() }
  }

  func commit(
    _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
  ) throws(SinkError) {
    try steps.around(.commit) { () throws(SinkError) in
      try base.commit(offsets, readBy: reader)
    }
  }

  func close() { base.close() }
}
