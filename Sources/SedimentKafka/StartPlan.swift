// Where reading of all partitions begins, given what is remembered and what there is. A pure
// decision: the brokers' answers are its arguments.

package import SedimentJob

/// Where each partition begins.
package struct StartPlan: Sendable, Equatable {
  /// Partitions in order, and the offset of the first record to read.
  package private(set) var starts: [TopicPosition] = []
  /// What a person should know.
  package private(set) var messages: [JobMessage] = []

  /// A partition and an offset in it.
  package struct TopicPosition: Sendable, Equatable {
    package var partition: TopicPartition
    package var offset: Int64

    /// A place.
    package init(_ partition: TopicPartition, _ offset: Int64) {
      self.partition = partition
      self.offset = offset
    }
  }

  /// Plans the start.
  ///
  /// - Parameters:
  ///   - ends: of all partitions that are to be read.
  ///   - positions: where reading goes on; none if the state never read.
  ///   - startPoint: where a state that never read begins.
  ///   - found: of a start at a time, the offsets that the brokers found.
  ///   - isAdded: partitions without a position were not there when the job began.
  ///   - allowsGaps: whether records that are gone are gone on without.
  /// - Throws: `KafkaError.failed` for records that are gone.
  package init(
    ends: [TopicPartition: PartitionEnds], positions: TopicPositions,
    startPoint: KafkaStartPoint, found: [TopicPartition: Int64] = [:], isAdded: Bool = false,
    allowsGaps: Bool
  ) throws(KafkaError) {
    for (partition, ends) in ends.sorted(by: { $0.key < $1.key }) {
      var wanted = positions[partition]
      if positions.isEmpty, !isAdded {
        switch startPoint {
        case .earliest: break
        case .latest: wanted = ends.high
        case .timestamp: wanted = found[partition] ?? ends.high
        case .offsets(let offsets): wanted = offsets[partition]
        }
      } else if wanted == nil {
        messages.append(
          JobMessage(.information, "\(partition) is new: it is read from its beginning"))
      }
      switch PartitionStart.decide(partition, wanted: wanted, ends: ends) {
      case .at(let offset): starts.append(TopicPosition(partition, offset))
      case .gap(let gap):
        guard allowsGaps else { throw gap.error }
        messages.append(JobMessage(.warning, "\(gap); going on at offset \(gap.resumption)"))
        starts.append(TopicPosition(partition, gap.resumption))
      }
    }
  }
}
