// Where reading of topics stopped: the next offset of every partition ever read.
//
// The encoding, within the job's metadata of an epoch (on disk: never renumber):
//
//   varint count × (string topic │ varint count × (varint partition │ varint next offset))
//
// Topics are in order of their bytes, partitions in order of their numbers.

package import SedimentStore

/// One partition of a topic.
package struct TopicPartition: Sendable, Hashable, CustomStringConvertible {
  package var topic: String
  package var partition: Int32

  /// Most partitions that one state remembers: 15 bytes each, and their topics' names, are far less
  /// than an epoch keeps.
  package static let countMax = 65_536

  /// A partition by its number, from 0.
  package init(_ topic: String, _ partition: Int32) {
    self.topic = topic
    self.partition = partition
  }

  package var description: String { "\(topic) [\(partition)]" }
}

extension TopicPartition: Comparable {
  package static func < (left: TopicPartition, right: TopicPartition) -> Bool {
    left.topic == right.topic
      ? left.partition < right.partition
      : left.topic.utf8.lexicographicallyPrecedes(right.topic.utf8)
  }
}

/// Where reading goes on in partitions: of each the offset of the next record.
package struct TopicPositions: Sendable, Equatable {
  private var offsets: [TopicPartition: Int64]

  /// Positions of no partition.
  package init() {
    offsets = [:]
  }

  /// Whether there is none.
  package var isEmpty: Bool { offsets.isEmpty }

  /// Partitions with a position, in order.
  package var partitions: [TopicPartition] { offsets.keys.sorted() }

  /// The next offset of a partition; `nil` for one that was never read.
  package subscript(partition: TopicPartition) -> Int64? {
    get { offsets[partition] }
    set { offsets[partition] = newValue }
  }

  /// Something of each partition with a position, made of the offset.
  package func mapValues<Value>(_ transform: (Int64) -> Value) -> [TopicPartition: Value] {
    offsets.mapValues(transform)
  }

  /// The positions of some of the partitions.
  package func filter(_ isIncluded: (TopicPartition) -> Bool) -> TopicPositions {
    var some = TopicPositions()
    some.offsets = offsets.filter { isIncluded($0.key) }
    return some
  }

  /// Takes over what `other` says.
  package mutating func merge(_ other: TopicPositions) {
    offsets.merge(other.offsets) { _, new in new }
  }
}

extension TopicPositions {
  /// Writes the encoding.
  package func encode(to writer: inout ByteWriter) {
    let partitions = partitions
    var runs: [Range<Int>] = []
    for (index, partition) in partitions.enumerated() {
      if let last = runs.last, partitions[last.lowerBound].topic == partition.topic {
        runs[runs.count - 1] = last.lowerBound..<index + 1
      } else {
        runs.append(index..<index + 1)
      }
    }
    writer.writeVarint(UInt64(runs.count))
    for run in runs {
      writer.writeString(partitions[run.lowerBound].topic)
      writer.writeVarint(UInt64(run.count))
      for partition in partitions[run] {
        writer.writeVarint(UInt64(partition.partition))
        writer.writeVarint(UInt64(offsets[partition] ?? 0))
      }
    }
  }

  /// Reads the encoding.
  package init(from reader: inout ByteReader) throws(CodingError) {
    self.init()
    var last: TopicPartition?
    for _ in 0..<(try reader.readCount(itemBytes: 2)) {
      let topic = try reader.readString(maxBytes: TopicOrigin.nameBytesMax)
      let count = try reader.readCount(itemBytes: 2)
      guard count > 0 else { throw .invalid("a topic without partitions") }
      for _ in 0..<count {
        let number = try reader.readVarint()
        let offset = try reader.readVarint()
        guard number <= UInt64(Int32.max), offset <= UInt64(Int64.max) else {
          throw .invalid("a topic's position is out of its bounds")
        }
        let partition = TopicPartition(topic, Int32(number))
        if let last, last >= partition { throw .invalid("topics' positions are out of order") }
        last = partition
        offsets[partition] = Int64(offset)
        guard offsets.count <= TopicPartition.countMax else {
          throw .invalid("positions of more than \(TopicPartition.countMax) partitions")
        }
      }
    }
  }
}
