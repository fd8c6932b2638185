// A member's place in its group: group, generation, name. librdkafka keeps it as an object of its
// own, which can be compared only by the bytes it is written as.

internal import CRdKafka

/// Looks at objects of librdkafka's.
enum GroupMembership {
  /// What tells one place from another; empty for none.
  static func bytes(of metadata: OpaquePointer?) -> [UInt8] {
    guard let metadata = unsafe metadata else { return [] }
    var buffer: UnsafeMutableRawPointer?
    var count = 0
    if let error = unsafe rd_kafka_consumer_group_metadata_write(metadata, &buffer, &count) {
      unsafe rd_kafka_error_destroy(error)
      return []
    }
    defer { unsafe rd_kafka_mem_free(nil, buffer) }
    return unsafe Array(UnsafeRawBufferPointer(start: buffer, count: count))
  }

  /// Ends an object that was the caller's.
  static func destroy(_ metadata: OpaquePointer?) {
    if let metadata = unsafe metadata {
      unsafe rd_kafka_consumer_group_metadata_destroy(metadata)
    }
  }
}
