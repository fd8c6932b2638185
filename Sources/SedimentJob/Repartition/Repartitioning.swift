// What a job needs for a first stage that brings records with one key into one partition, and the
// seams to whoever knows the brokers.

/// A first stage in front of a job: its input, and the topic that it writes and the job reads.
package struct Repartitioning: Sendable {
  /// What is read; its group is the stage's own.
  package var topics: any TopicInput
  /// Writes the topic between the stages, as the role `output`. Its group is that of `topics`.
  package var output: any TopicOutput
  /// The topic between the stages.
  package var topic: any RepartitionTopic

  /// A first stage.
  package init(
    topics: any TopicInput, output: any TopicOutput, topic: any RepartitionTopic
  ) {
    self.topics = topics
    self.output = output
    self.topic = topic
  }
}

/// The topic between the stages.
package protocol RepartitionTopic: Sendable {
  /// What it is called.
  var name: String { get }

  /// Makes the topic when it is missing, and waits until the brokers show it.
  ///
  /// - Parameters:
  ///   - report: tells a person.
  ///   - isStopping: whether the job is asked to stop, so that nothing is waited for any more.
  /// - Returns: how many partitions it has.
  /// - Throws: also when it has another number of them than was asked for.
  func prepare(
    report: @escaping @Sendable (JobMessage) -> Void, isStopping: @Sendable () -> Bool
  ) throws -> Int
}

/// What stands beside the offsets that the stage commits (at the brokers: never change it).
enum RepartitionMark {
  static let text = "sediment-repartition:1"

  /// Where a partition goes on, by what the group holds.
  enum Place: Equatable {
    /// Nobody has committed anything.
    case none
    /// The stage was there.
    case ours(Int64)
    /// Somebody has set it.
    case set(Int64)
  }

  /// Reads what the group holds of a partition.
  ///
  /// - Throws: `JobError` for what another job has committed.
  static func place(
    _ committed: CommittedOffset?, of partition: TopicPartition, group: String
  ) throws(JobError) -> Place {
    guard let committed else { return .none }
    switch committed.metadata {
    case text: return .ours(committed.offset)
    case "": return .set(committed.offset)
    default:
      throw JobError(
        .failed,
        "the group \(group) has an offset of another job in \(partition), \(committed.offset) with "
          + "\"\(committed.metadata.prefix(96))\": give another --group")
    }
  }
}

/// How far the stages before a job are.
package struct StageProgress: Sendable, Equatable {
  /// Records that are committed, of this run.
  package var records: UInt64
  /// How far reading is behind; `nil` before it began.
  package var lag: TopicLag?

  /// Progress of a stage.
  package init(records: UInt64, lag: TopicLag?) {
    self.records = records
    self.lag = lag
  }
}
