// Whether the place where reading of a partition should go on is still there.

package import SedimentJob

/// The beginning and the end that a partition has.
package struct PartitionEnds: Sendable, Equatable {
  /// The first record's offset; all before it is gone.
  package var low: Int64
  /// The offset of the record that will be written next.
  package var high: Int64

  /// Ends, as the broker tells them.
  package init(low: Int64, high: Int64) {
    self.low = low
    self.high = high
  }
}

/// Where to begin.
package enum PartitionStart: Sendable, Equatable {
  /// At an offset that is there.
  case at(Int64)
  /// Records that should have been read are gone.
  case gap(PartitionGap)

  /// Decides for a partition.
  ///
  /// - Parameter wanted: where reading should go on; `nil` for the beginning.
  package static func decide(
    _ partition: TopicPartition, wanted: Int64?, ends: PartitionEnds
  ) -> PartitionStart {
    guard let wanted else { return .at(ends.low) }
    if wanted < ends.low || wanted > ends.high {
      return .gap(PartitionGap(partition: partition, wanted: wanted, ends: ends))
    }
    return .at(wanted)
  }
}

/// A position that a partition does not reach.
package struct PartitionGap: Sendable, Equatable, CustomStringConvertible {
  package var partition: TopicPartition
  /// Where reading should have gone on.
  package var wanted: Int64
  package var ends: PartitionEnds

  /// Where reading goes on with `--allow-gap`: behind the end there may be a topic that was made
  /// anew, so it begins at the beginning, and the state drops what it knows.
  package var resumption: Int64 { ends.low }

  package var description: String {
    if wanted < ends.low {
      return "\(partition): offsets \(wanted) to \(ends.low - 1) are gone before they were read "
        + "(\(ends.low - wanted) offsets; the partition begins at \(ends.low) now)"
    }
    return "\(partition): reading stopped at offset \(wanted), and the partition ends at "
      + "\(ends.high): the topic was made anew, or has lost records"
  }

  /// The same as an error.
  package var error: KafkaError {
    .failed(
      "\(self); --allow-gap goes on at offset \(resumption)"
        + (wanted < ends.low ? " without them" : ", and the state drops what it knows"))
  }
}
