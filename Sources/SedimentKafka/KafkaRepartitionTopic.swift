// The topic between the stages of a job that brings records with one key into one partition. Its
// partitions are chosen once: another number of them would send keys elsewhere.

internal import CRdKafka
internal import SedimentIO
package import SedimentJob
internal import Synchronization

/// A topic that is made when it is missing.
package struct KafkaRepartitionTopic: RepartitionTopic {
  package let name: String
  /// What is read before it, from the same brokers.
  private let input: KafkaInput
  /// How many partitions are asked for; `nil` for as many as there are, or are made by default.
  private let partitions: Int?

  /// As many instances as that can share the job at least: it is a multiple of many numbers.
  package static let partitionsMin = 12

  /// - Throws: `KafkaError.usage` for a name or a number that cannot be.
  package init(
    _ name: String, behind input: KafkaInput, partitions: Int? = nil
  ) throws(KafkaError) {
    if let reason = KafkaAddress.flaw(ofTopic: name) { throw .usage(reason) }
    guard !input.address.topics.contains(name) else { throw .usage("the topic \(name) is read") }
    if let partitions {
      guard partitions >= 1, partitions <= KeyPartitioner.partitionsMax else {
        throw .usage("a topic has from 1 to \(KeyPartitioner.partitionsMax) partitions")
      }
    }
    self.name = name
    self.input = input
    self.partitions = partitions
  }

  /// The number of partitions of a topic that is made, unless another is asked for.
  ///
  /// - Parameter inputs: the numbers of those that are read.
  package static func defaultPartitions(_ inputs: [Int]) -> Int {
    min(max(inputs.max() ?? 0, partitionsMin), KeyPartitioner.partitionsMax)
  }

  package func prepare(
    report: @escaping @Sendable (JobMessage) -> Void, isStopping: @Sendable () -> Bool
  ) throws -> Int {
    let client = try KafkaClient(
      input.address, group: input.group, properties: input.properties,
      events: KafkaEvents(report: report))
    var preparation = Preparation(client: client, report: report, topic: self)
    while !isStopping() {
      do throws(KafkaError) {
        if let count = try preparation.step() {
          if preparation.outage.end() {
            report(JobMessage(.information, "the brokers can be reached again"))
          }
          return count
        }
      } catch {
        switch error {
        case .usage, .failed: throw error
        case .unreachable(let text), .doubtful(let text): preparation.tellOutage(text)
        }
      }
      preparation.pause()
    }
    throw JobError(.failed, "the job was stopped before it began")
  }

  /// Steps until the brokers show the topic.
  private struct Preparation {
    let client: KafkaClient
    let report: @Sendable (JobMessage) -> Void
    let topic: KafkaRepartitionTopic
    var outage = Outage()
    private var isMade = false
    private var shownCount = 0
    /// Whoever asks next may ask a broker that learns of a new topic later than others.
    private static let shownMin = 10
    private let waiting = Monitor()

    init(
      client: KafkaClient, report: @escaping @Sendable (JobMessage) -> Void,
      topic: KafkaRepartitionTopic
    ) {
      self.client = client
      self.report = report
      self.topic = topic
    }

    /// The number of partitions; `nil` while the topic is not shown.
    mutating func step() throws(KafkaError) -> Int? {
      if let count = try count(of: topic.name) {
        guard count <= KeyPartitioner.partitionsMax else {
          throw .failed("the topic \(topic.name) has \(count) partitions, which are too many")
        }
        guard count == topic.partitions ?? count else {
          throw .failed(
            "the topic \(topic.name) has \(count) partitions, not \(topic.partitions ?? count): "
              + "leave --repartition-partitions away, or name another topic")
        }
        shownCount += 1
        return isMade && shownCount < Self.shownMin ? nil : count
      }
      shownCount = 0
      if !isMade { try make() }
      return nil
    }

    private mutating func make() throws(KafkaError) {
      var inputs: [Int] = []
      for name in topic.input.address.topics {
        guard let count = try count(of: name) else {
          throw .failed("there is no topic \(name), and topics are not created by reading")
        }
        inputs.append(count)
      }
      let partitions = topic.partitions ?? KafkaRepartitionTopic.defaultPartitions(inputs)
      let fault = try client.createTopic(
        topic.name, partitions: partitions,
        [
          ("cleanup.policy", "delete"), ("message.timestamp.type", "CreateTime"),
          ("retention.ms", "-1"),
        ], timeoutMillis: BrokerWatch.requestMillis * 5)
      if let fault, fault.code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS.rawValue {
        throw .failed(
          "the topic \(topic.name) cannot be made (\(fault)): make it, with about "
            + "\(partitions) partitions, message.timestamp.type=CreateTime and a retention that "
            + "suits the times of the input")
      }
      isMade = true
      if fault == nil {
        report(
          JobMessage(
            .information, "made the topic \(topic.name) with \(partitions) partitions"))
      }
    }

    /// The number of partitions of a topic; `nil` for one that there is not.
    private func count(of name: String) throws(KafkaError) -> Int? {
      switch try client.partitionCount(of: name, timeoutMillis: BrokerWatch.requestMillis) {
      case .success(let count): return count > 0 ? count : nil
      case .failure(let error):
        switch error.fault.meaning {
        case .unknownTopic: return nil
        case .fatal: throw .failed("topic \(name): \(error.fault)")
        default: throw .doubtful("topic \(name): \(error.fault)")
        }
      }
    }

    mutating func tellOutage(_ text: String) {
      guard outage.isNews(atMillis: Int64(SystemClock().monotonicNanos() / 1_000_000)) else {
        return
      }
      report(
        JobMessage(
          .warning,
          "waiting for the brokers \(topic.input.address.brokers.joined(separator: ",")): \(text)"))
    }

    func pause() { waiting.withLock { _ = waiting.wait(nanoseconds: 100_000_000) } }
  }
}
