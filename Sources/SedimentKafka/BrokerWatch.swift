// What both readers do about brokers and topics that are not well: what a person is told and when,
// how a deleted topic is noticed, and which faults end the job.
//
// librdkafka tells of a deleted topic late or not at all, so one topic in turn is asked for, and
// all when one seemed to be gone. What it asks itself, every `topic.metadata.refresh.interval.ms`,
// makes the group give out partitions that were added.
//
// Concurrency: any thread may call; `state` guards what changes.

internal import SedimentIO
internal import SedimentJob
internal import Synchronization

/// See the file's header.
final class BrokerWatch: Sendable {
  private struct State {
    var outage = Outage()
    /// Since when the brokers say that a topic is not there.
    var doubtMillis: Int64?
    /// Which topic is asked for next, and when.
    var nextCheck: (millis: Int64, index: Int)
  }

  private let input: KafkaInput
  private let start: TopicStart
  private let client: KafkaClient
  private let state: Mutex<State>

  /// How long one answer is waited for.
  static let requestMillis: Int32 = 2000
  /// How long a topic may be unknown while it is read: brokers learn of topics one by one.
  private static let topicPatienceMillis: Int64 = 10_000
  /// From one topic that is asked for to the next.
  private static let checkMillis: Int64 = 5000

  init(_ input: KafkaInput, _ start: TopicStart, _ client: KafkaClient) {
    self.input = input
    self.start = start
    self.client = client
    state = Mutex(State(nextCheck: (Self.millis(start.clock) + Self.checkMillis, 0)))
  }

  private static func millis(_ clock: any Clock) -> Int64 {
    Int64(clock.monotonicNanos() / 1_000_000)
  }

  var nowMillis: Int64 { Self.millis(start.clock) }

  func tell(_ level: JobMessage.Level, _ text: String) {
    start.report(JobMessage(level, text))
  }

  // MARK: - Outages

  func tellOutage(_ text: String) {
    guard isNews else { return }
    tell(
      .warning,
      "no broker of \(input.address.brokers.joined(separator: ",")) can be reached, trying again: "
        + text)
  }

  private var isNews: Bool {
    let now = nowMillis
    return state.withLock { $0.outage.isNews(atMillis: now) }
  }

  /// Something went well.
  func tellRestored() {
    if state.withLock({ $0.outage.end() }) {
      tell(.information, "the brokers can be reached again, and know the topics")
    }
  }

  /// Tells of what passes, and throws what ends the job.
  func take(_ error: KafkaError) throws {
    switch error {
    case .usage, .failed: throw error
    case .unreachable(let text): tellOutage(text)
    case .doubtful(let text): if isNews { tell(.warning, "\(text); asking again") }
    }
  }

  // MARK: - Faults

  /// Takes what librdkafka told that concerns no partition.
  func takeFaults() throws(KafkaError) {
    for fault in client.events.takeFaults() {
      switch fault.meaning {
      case .fatal: throw .failed("\(input.name): \(fault)\(advice(fault))")
      case .allBrokersDown: tellOutage(fault.description)
      default: tell(.detail, "librdkafka: \(fault)")
      }
    }
  }

  /// Takes what came in place of a record, but for where the partition begins or ends.
  ///
  /// - Parameter offset: negative for none.
  func take(
    _ fault: KafkaFault, of partition: TopicPartition?, at offset: Int64
  ) throws(KafkaError) {
    let name = partition?.description ?? input.name
    switch fault.meaning {
    case .unknownTopic: doubt()
    case .allBrokersDown: tellOutage(fault.description)
    case .fatal:
      let place = offset >= 0 ? "\(name), offset \(offset)" : name
      throw .failed("\(place): \(fault)\(advice(fault))")
    case .nothing, .outOfRange, .endOfPartition: tell(.detail, "\(name): \(fault)")
    }
  }

  private func advice(_ fault: KafkaFault) -> String {
    fault.advice(reading: input.address.topics, group: input.group)
  }

  // MARK: - Topics

  private func doubt() {
    let now = nowMillis
    state.withLock { $0.doubtMillis = $0.doubtMillis ?? now }
  }

  /// All partitions of all topics.
  ///
  /// - Parameter wereThere: the topics were there before.
  func allPartitions(wereThere: Bool) throws(KafkaError) -> Set<TopicPartition> {
    var all: Set<TopicPartition> = []
    for topic in input.address.topics {
      let answer = try client.partitionCount(of: topic, timeoutMillis: Self.requestMillis)
      switch answer {
      case .success(let count):
        guard all.count + count <= TopicPartition.countMax else {
          throw .failed("the topics have more than \(TopicPartition.countMax) partitions")
        }
        for number in 0..<count { all.insert(TopicPartition(topic, Int32(number))) }
      case .failure(let error): try take(error, wereThere: wereThere)
      }
    }
    state.withLock { $0.doubtMillis = nil }
    return all
  }

  /// What is done about a topic that the brokers say something of.
  private func take(_ error: KafkaTopicError, wereThere: Bool) throws(KafkaError) -> Never {
    let text = "topic \(error.topic): \(error.fault)"
    switch error.fault.meaning {
    case .fatal: throw .failed(text + advice(error.fault))
    case .unknownTopic:
      let now = nowMillis
      doubt()
      let since = state.withLock { $0.doubtMillis } ?? now
      guard wereThere else { throw .failed("\(text); topics are not created by reading") }
      guard now - since < Self.topicPatienceMillis else {
        throw .failed("\(text): it was deleted while it was read")
      }
    default: break
    }
    throw .doubtful(text)
  }

  /// Asks now and then for one topic in turn, and for all when one seemed to be gone.
  func checkTopics() throws(KafkaError) {
    let (now, count) = (nowMillis, input.address.topics.count)
    let (isDoubted, index) = state.withLock { state -> (Bool, Int?) in
      if state.doubtMillis != nil { return (true, nil) }
      guard now >= state.nextCheck.millis else { return (false, nil) }
      defer { state.nextCheck = (now + Self.checkMillis, (state.nextCheck.index + 1) % count) }
      return (false, state.nextCheck.index)
    }
    if isDoubted {
      _ = try allPartitions(wereThere: true)
    } else if let index {
      let answer = try client.partitionCount(
        of: input.address.topics[index], timeoutMillis: Self.requestMillis)
      if case .failure(let error) = answer { try take(error, wereThere: true) }
    } else {
      return
    }
    tellRestored()
  }
}
