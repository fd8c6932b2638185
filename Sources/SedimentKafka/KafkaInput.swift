internal import SedimentIO
package import SedimentJob

/// Topics of a Kafka cluster as the input of a job.
///
/// ```swift
/// let address = try KafkaAddress("kafka://localhost:9092/clicks")
/// options.description.origin = .topics(TopicOrigin(address.topics))
/// options.topics = try KafkaInput(address, group: "dedup")
/// ```
package struct KafkaInput: TopicInput {
  let address: KafkaAddress
  let group: String
  /// Of librdkafka.
  package let properties: KafkaProperties
  /// Where a state that never read begins.
  let startPoint: KafkaStartPoint
  /// Records that are gone are gone on without.
  let allowsGaps: Bool
  /// Reading ends where the partitions end when it begins.
  let endsAtEnds: Bool
  /// The topics are between two stages of this job: what is committed is removed after a while.
  let removesCommitted: Bool

  package var name: String { "topics " + address.topics.joined(separator: ",") }

  /// - Throws: `KafkaError.usage` for a group or a property that cannot be.
  package init(
    _ address: KafkaAddress, group: String, properties: KafkaProperties = KafkaProperties(),
    startPoint: KafkaStartPoint = .earliest, allowsGaps: Bool = false, endsAtEnds: Bool = false,
    removesCommitted: Bool = false
  ) throws(KafkaError) {
    guard !group.isEmpty else { throw .usage("--group is empty") }
    try KafkaClient.check(address, group: group, properties)
    self.address = address
    self.group = group
    self.properties = properties
    self.startPoint = startPoint
    self.allowsGaps = allowsGaps
    self.endsAtEnds = endsAtEnds
    self.removesCommitted = removesCommitted
  }

  package func open(_ start: TopicStart) throws -> any TopicReader {
    try KafkaReader(self, start)
  }

  package func openShare(_ start: TopicStart) throws -> any GroupReader {
    try KafkaShareReader(self, start)
  }
}
