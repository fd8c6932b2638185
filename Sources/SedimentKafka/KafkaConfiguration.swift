// How a client of librdkafka is configured: what a user may change, then what the user gave, then
// what is ours to decide.

internal import CRdKafka
internal import SedimentJob

/// Configurations of clients.
enum KafkaConfiguration {
  typealias Property = KafkaProperties.Property

  static let reasonBytes = 512

  /// A property that we set.
  static func ours(_ name: String, _ value: String) -> Property {
    Property(name: name, value: value, origin: name)
  }

  /// What goes for every client.
  static func common(_ brokers: [String]) -> [Property] {
    [ours("bootstrap.servers", brokers.joined(separator: ","))]
  }

  /// Makes a configuration, which is the caller's.
  ///
  /// - Throws: `KafkaError.usage` for a property that there is not or that has a wrong value.
  static func make(_ properties: [Property]) throws(KafkaError) -> OpaquePointer {
    guard let configuration = unsafe rd_kafka_conf_new() else { throw .failed("out of memory") }
    for property in properties {
      var reason = [CChar](repeating: 0, count: reasonBytes)
      let result = unsafe rd_kafka_conf_set(
        configuration, property.name, property.value, &reason, reason.count)
      guard result == RD_KAFKA_CONF_OK else {
        unsafe rd_kafka_conf_destroy(configuration)
        throw .usage("\(property.origin): \(text(reason))")
      }
    }
    return unsafe configuration
  }

  /// Makes a client of a configuration, which it owns afterwards.
  static func client(
    _ kind: rd_kafka_type_t, _ configuration: OpaquePointer
  ) throws(KafkaError) -> OpaquePointer {
    var reason = [CChar](repeating: 0, count: reasonBytes)
    guard let client = unsafe rd_kafka_new(kind, configuration, &reason, reason.count) else {
      unsafe rd_kafka_conf_destroy(configuration)
      throw .usage("these properties do not go together: \(text(reason))")
    }
    return unsafe client
  }

  private static func text(_ characters: [CChar]) -> String {
    String(
      decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// Lists of partitions as librdkafka has them.
enum KafkaList {
  /// A list of the caller's, of partitions with an offset or a time.
  static func make(
    _ elements: [(TopicPartition, Int64)]
  ) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
    let list = unsafe rd_kafka_topic_partition_list_new(Int32(elements.count))
    guard let list = unsafe list else { preconditionFailure("out of memory") }
    for (partition, offset) in elements {
      let element = unsafe rd_kafka_topic_partition_list_add(
        list, partition.topic, partition.partition)
      unsafe element?.pointee.offset = offset
    }
    return unsafe list
  }

  /// A list of the caller's, of offsets with their metadata.
  static func make(
    _ offsets: [TopicPartition: CommittedOffset]
  ) -> UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
    let sorted = offsets.sorted { $0.key < $1.key }
    let list = unsafe make(sorted.map { ($0.key, $0.value.offset) })
    for (index, offset) in sorted.enumerated() {
      let bytes = Array(offset.value.metadata.utf8)
      guard !bytes.isEmpty, let copy = unsafe rd_kafka_mem_malloc(nil, bytes.count) else {
        continue
      }
      // SAFETY: the list has an element for each; it frees the copy, which has `bytes.count` bytes.
      unsafe copy.copyMemory(from: bytes, byteCount: bytes.count)
      unsafe list.pointee.elems[index].metadata = copy
      unsafe list.pointee.elems[index].metadata_size = bytes.count
    }
    return unsafe list
  }

  /// The offsets of a list that have some, with their metadata.
  static func offsets(
    in list: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>
  ) -> [TopicPartition: CommittedOffset] {
    var found: [TopicPartition: CommittedOffset] = [:]
    for index in unsafe 0..<Int(list.pointee.cnt) {
      // SAFETY: the list has `cnt` elements, whose metadata have the size that stands beside.
      let element = unsafe list.pointee.elems[index]
      guard unsafe element.offset >= 0 else { continue }
      let metadata = unsafe UnsafeRawBufferPointer(
        start: element.metadata, count: element.metadata == nil ? 0 : element.metadata_size)
      let partition = unsafe TopicPartition(String(cString: element.topic), element.partition)
      found[partition] = unsafe CommittedOffset(
        offset: element.offset, metadata: String(decoding: metadata, as: UTF8.self))
    }
    return found
  }
}
