// A member's place in its group: group, generation, name. librdkafka keeps it as an object of its
// own, which can be compared only by the bytes it is written as.

internal import CRdKafka
internal import SedimentIO
internal import SedimentJob

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

  /// What the group calls a client; empty for one that is not in it.
  static func name(of client: OpaquePointer) -> String {
    guard let name = unsafe rd_kafka_memberid(client) else { return "" }
    defer { unsafe rd_kafka_mem_free(client, name) }
    return unsafe String(cString: name)
  }

  /// The present place of a client.
  static func place(of client: OpaquePointer) -> [UInt8] {
    let metadata = unsafe rd_kafka_consumer_group_metadata(client)
    defer { unsafe destroy(metadata) }
    return unsafe bytes(of: metadata)
  }

  /// Ends an object that was the caller's.
  static func destroy(_ metadata: OpaquePointer?) {
    if let metadata = unsafe metadata {
      unsafe rd_kafka_consumer_group_metadata_destroy(metadata)
    }
  }

  /// How long a commit waits for the job to know of a change.
  private static let patienceMillis: UInt64 = 5000

  /// The place in the group that the job knows of, which the caller destroys; `nil` for none. When
  /// the group has gone on, what the job does not know yet may be that partitions are another's: it
  /// is waited for to know, for a while.
  ///
  /// - Parameter known: as of now; `nil` when the client is closed.
  static func known(
    of client: KafkaClient, clock: any Clock, _ known: () -> KnownMembership?
  ) -> OpaquePointer? {
    let waiting = Monitor()
    let end = clock.monotonicNanos() &+ patienceMillis * 1_000_000
    repeat {
      guard let membership = known(), let metadata = unsafe client.groupMetadata() else {
        return nil
      }
      switch unsafe membership.verdict(present: bytes(of: metadata)) {
      case .commit: return unsafe metadata
      case .wait: unsafe destroy(metadata)
      case .refuse:
        unsafe destroy(metadata)
        return nil
      }
      waiting.withLock { _ = waiting.wait(nanoseconds: 20_000_000) }
    } while clock.monotonicNanos() < end
    return nil
  }
}
