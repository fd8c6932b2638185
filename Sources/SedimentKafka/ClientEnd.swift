// The end of a client of librdkafka, which may not come: version 2.0 waits for ever for partitions
// of a topic that was deleted while it was read. So it has a thread of its own, which is waited for
// a while and then left alone; the job says why it ends, and so does the process.

internal import CRdKafka
internal import SedimentIO

/// A client that nobody uses any more.
// @unchecked because the addresses go to one thread, and `monitor` guards what changes.
@safe
final class ClientEnd: @unchecked Sendable {
  private let client: OpaquePointer
  private let queue: OpaquePointer
  /// Called back until the client is gone.
  private let events: KafkaEvents
  private let monitor = Monitor()
  private var isDone = false

  /// How long the end is waited for.
  private static let patienceNanos: UInt64 = 3_000_000_000

  init(client: OpaquePointer, queue: OpaquePointer, events: KafkaEvents) {
    unsafe self.client = client
    unsafe self.queue = queue
    self.events = events
  }

  /// Destroys the client, and waits for it as long as is sensible.
  func destroy() {
    do {
      let thread = try SystemThread(name: "sediment-kafka") { [self] in destroyNow() }
      _ = consume thread
    } catch {
      return destroyNow()
    }
    monitor.withLock {
      var isInTime = true
      while !isDone, isInTime { isInTime = monitor.wait(nanoseconds: Self.patienceNanos) }
    }
  }

  private func destroyNow() {
    unsafe rd_kafka_queue_destroy(queue)
    // Whoever wanted to leave the group in order has closed it before.
    unsafe rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
    withExtendedLifetime(events) {}
    monitor.withLock {
      isDone = true
      monitor.broadcast()
    }
  }
}
