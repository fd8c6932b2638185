import Foundation
import SedimentJob
import SedimentTestKit
import Synchronization
import Testing

@Suite struct CommittedOffsetsTests {
  /// Brokers that know an offset of every other partition, and count how often they are asked.
  private final class Producer: TopicProducer {
    let cluster = "c"
    private let asked = Mutex(0)

    /// How long an answer takes, at least.
    let delayMicros: UInt32

    init(delayMicros: UInt32) { self.delayMicros = delayMicros }

    var askedCount: Int { asked.withLock { $0 } }

    static func offset(_ partition: Int32, turn: Int) -> CommittedOffset {
      CommittedOffset(offset: Int64(partition) * 1000 + Int64(turn), metadata: "")
    }

    func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset] {
      let turn = asked.withLock { count in
        count += 1
        return count
      }
      usleep(delayMicros)
      var found: [TopicPartition: CommittedOffset] = [:]
      for topic in topics {
        for number in stride(from: Int32(0), to: 64, by: 2) {
          found[TopicPartition(topic, number)] = Self.offset(number, turn: turn)
        }
      }
      return found
    }

    func begin() throws(SinkError) {}
    func produce(_ records: TopicRecords) throws(SinkError) {}
    func flush() throws(SinkError) {}
    func commit(
      _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
    ) throws(SinkError) {}
    func close() {}
  }

  @Test(arguments: [0, 50_000] as [UInt32])
  func manyAreAskedForAtOnceAndEachAnswerIsUsedOnce(delayMicros: UInt32) throws {
    let producer = Producer(delayMicros: delayMicros)
    let offsets = CommittedOffsets(producer)
    let partitions = (0..<64 as Range<Int32>).map { TopicPartition($0 < 32 ? "a" : "b", $0) }
    offsets.expect(partitions)
    let found = Mutex<[TopicPartition: [TopicPartition: CommittedOffset]]>([:])
    let threads = try (0..<8).map { thread in
      try JoinedThread {
        for partition in partitions where Int(partition.partition) % 8 == thread {
          do {
            let committed = try offsets.committed(of: partition)
            found.withLock { $0[partition] = committed }
          } catch {
            Issue.record(error)
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(producer.askedCount == 1)
    for partition in partitions {
      let number = partition.partition
      let committed = found.withLock { $0[partition] }
      #expect(
        committed == (number % 2 == 0 ? [partition: Producer.offset(number, turn: 1)] : [:]))
    }
    // It went to another instance and came back.
    offsets.expect([partitions[2]])
    #expect(
      try offsets.committed(of: partitions[2]) == [partitions[2]: Producer.offset(2, turn: 2)])
    #expect(producer.askedCount == 2)
    // Nobody expected it.
    #expect(try offsets.committed(of: partitions[4]).count == 1)
    #expect(producer.askedCount == 3)
  }
}
