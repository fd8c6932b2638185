// A first stage that brings records with one key into one partition of a topic.

import ArgumentParser
import SedimentJob
import SedimentKafka
import SedimentStore

extension Dedup {
  /// The option by which several instances share the topics; `nil` for one instance.
  var sharingOption: String? {
    if kafka.repartitionByKey != nil { return "--repartition-by-key" }
    return kafka.partitionedByKey ? "--partitioned-by-key" : nil
  }

  /// The group of the job behind the first stage, where there is one.
  var dedupGroup: String? {
    kafka.group.map { kafka.repartitionByKey == nil ? $0 : $0 + "-by-key" }
  }

  /// Puts the first stage in front of a job that would read `input`.
  ///
  /// - Throws: `ValidationError`.
  func addRepartitioning(to options: inout JobOptions, reading input: KafkaInput) throws {
    guard let topic = kafka.repartitionByKey else {
      guard kafka.repartitionPartitions == nil else {
        throw ValidationError("--repartition-partitions is for --repartition-by-key.")
      }
      return
    }
    for target in options.targets.values where target == .topic(topic) {
      throw ValidationError("--repartition-by-key \(topic): an output goes to this topic.")
    }
    do throws(KafkaError) {
      let address = try KafkaAddress(inputs[0])
      let between = try KafkaRepartitionTopic(
        topic, behind: input, partitions: kafka.repartitionPartitions)
      options.topics = try KafkaInput(
        KafkaAddress(KafkaAddress.scheme + address.brokers.joined(separator: ",") + "/" + topic),
        group: dedupGroup ?? "", properties: input.properties, allowsGaps: kafka.allowGap,
        removesCommitted: true)
      options.description.origin = .topics(TopicOrigin([topic]))
      options.repartitioning = Repartitioning(
        topics: input,
        output: try KafkaOutput(
          address.brokers, topics: [.output: topic], group: kafka.group ?? "",
          properties: input.properties, auditHeaders: kafka.auditHeaders ? .source : []),
        topic: between)
    } catch {
      throw ValidationError("--repartition-by-key \(topic): \(error).")
    }
  }
}
