// The end of a client of librdkafka, which may not come. Version 2.0 waits for ever for partitions
// of a topic that was deleted while it was read, and for the answer to a question that was asked at
// the moment at which a client had left its group. And it waits as long as the group's coordinator
// takes: the request to leave stands behind one to join, which Kafka answers when all have come.
//
// So leaving and destroying have threads of their own, which are waited for a while and then left
// alone. One that is left alone goes on: a client that has not left its group is a member, to which
// partitions are given that nobody reads. The process ends with such threads, or without.
//
// Before version 2.3.0 librdkafka aborts the process (its issue 4312) when a client is destroyed
// that its group has made its leader for the first time, and that has given out no partitions yet.
// Who the leader is cannot be asked. So one that has left in the middle of a round is not destroyed
// there: its idle threads cost less.

internal import CRdKafka
internal import SedimentIO

/// A client that nobody uses any more.
// @unchecked because the addresses go to one thread.
@safe
struct ClientEnd: @unchecked Sendable {
  private let client: OpaquePointer
  private let queue: OpaquePointer
  /// Called back until the client is gone.
  private let events: KafkaEvents

  /// How long the end is waited for.
  private static let patienceMillis: Int64 = 3000

  init(client: OpaquePointer, queue: OpaquePointer, events: KafkaEvents) {
    unsafe self.client = client
    unsafe self.queue = queue
    self.events = events
  }

  /// Whether destroying a client that has left in the middle of a round may end the process.
  static var mayAbort: Bool { rd_kafka_version() < 0x0203_0000 }

  /// Keeps what a client that is not destroyed may call.
  static func keepForEver(_ events: KafkaEvents) {
    _ = unsafe Unmanaged.passRetained(events)
  }

  /// Destroys the client, and waits for it as long as is sensible.
  func destroy() {
    Self.run(forAtMost: Self.patienceMillis) { [self] in
      unsafe rd_kafka_queue_destroy(queue)
      // Whoever wanted to leave the group in order has closed it before.
      unsafe rd_kafka_destroy_flags(client, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
      withExtendedLifetime(events) {}
    }
  }

  /// Runs `body` on a thread of its own, and waits for it for at most `millis`.
  static func run(forAtMost millis: Int64, _ body: @escaping @Sendable () -> Void) {
    let outcome = Outcome()
    do {
      let thread = try SystemThread(name: "sediment-kafka") {
        body()
        outcome.finish()
      }
      _ = consume thread
    } catch {
      return body()
    }
    outcome.wait(forAtMost: UInt64(millis) * 1_000_000)
  }

  /// Whether something has ended.
  // @unchecked because `monitor` guards what changes.
  private final class Outcome: @unchecked Sendable {
    private let monitor = Monitor()
    private var isDone = false

    func finish() {
      monitor.withLock {
        isDone = true
        monitor.broadcast()
      }
    }

    func wait(forAtMost nanos: UInt64) {
      monitor.withLock {
        var isInTime = true
        while !isDone, isInTime { isInTime = monitor.wait(nanoseconds: nanos) }
      }
    }
  }
}
