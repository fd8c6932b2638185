// The seam between the job and what reads topics. The job knows no broker: it opens a reader at the
// positions of its last durable epoch, takes batches from it as from files, and tells it which
// positions became durable.

package import SedimentIO

/// Topics that a job reads. Opened anew whenever the state is.
package protocol TopicInput: Sendable {
  /// For messages.
  var name: String { get }

  /// Begins to read all partitions; returns before a broker was reached.
  func open(_ start: TopicStart) throws -> any TopicReader

  /// Begins to read those partitions that the group gives; the start has no positions.
  func openShare(_ start: TopicStart) throws -> any GroupReader
}

/// Where and how to begin.
package struct TopicStart: Sendable {
  /// The topics, and the cluster that the state's records are of, if it has any.
  package var origin: TopicOrigin
  /// Where reading goes on; empty for a state that never read.
  package var positions: TopicPositions
  package var limits: BatchLimits
  /// Where keys and times of records are.
  package var format: RecordFormat
  /// Whether records go to topics, with all that they carry.
  package var passesOn: Bool
  /// Whether records go to files, where each is a line.
  package var writesLines: Bool
  package var clock: any Clock
  /// Tells a person; from any thread.
  package var report: @Sendable (JobMessage) -> Void

  /// A start.
  package init(
    origin: TopicOrigin, positions: TopicPositions, limits: BatchLimits, format: RecordFormat,
    passesOn: Bool = false, writesLines: Bool = true, clock: any Clock,
    report: @escaping @Sendable (JobMessage) -> Void
  ) {
    self.origin = origin
    self.positions = positions
    self.limits = limits
    self.format = format
    self.passesOn = passesOn
    self.writesLines = writesLines
    self.clock = clock
    self.report = report
  }

  /// How records become those of a batch.
  package var rules: TopicRecordRules {
    TopicRecordRules(format, passesOn: passesOn, writesLines: writesLines)
  }
}

/// Reads topics. `next` is called by one thread at a time, all else from any.
package protocol TopicReader: InputReader, Sendable {
  /// How far reading is behind; `nil` before it began.
  var lag: TopicLag? { get }

  /// Told by the deciding thread that it takes a change into account from here on. Commits are made
  /// in the name of the last change that was taken: of one that it does not know, the partitions
  /// may be another's.
  func took(_ change: GroupChange)

  /// Told that an epoch with these positions is durable.
  func epochCommitted(_ positions: TopicPositions)

  /// Leaves the cluster; `next` is not called any more. As often as you like.
  func close()
}

/// How far reading of topics is behind what was written.
package struct TopicLag: Sendable, Equatable {
  /// Partitions that are read.
  package var partitions: Int
  /// Offsets from where reading stands to the partitions' ends, in all: about as many records.
  package var records: UInt64
  /// The same of single partitions: `namedMax` at the most, the largest first.
  package var byPartition: [PartitionLag] = []

  /// Partitions that are named.
  package static let namedMax = 1000

  /// A lag of which nothing is known by partition.
  package init(partitions: Int, records: UInt64) {
    self.partitions = partitions
    self.records = records
  }

  /// The lag of all partitions.
  package init(of all: [PartitionLag]) {
    partitions = all.count
    records = all.reduce(0) { $0 + $1.records }
    let sorted = all.sorted {
      $0.records != $1.records ? $0.records > $1.records : $0.partition < $1.partition
    }
    byPartition = Array(sorted.prefix(Self.namedMax))
  }

  /// The lag over two stages; `nil` while neither knows its own.
  package static func sum(_ first: TopicLag?, _ second: TopicLag?) -> TopicLag? {
    guard let first, let second else { return first ?? second }
    var sum = TopicLag(of: first.byPartition + second.byPartition)
    // Either may have more partitions than it names.
    sum.partitions = first.partitions + second.partitions
    sum.records = first.records + second.records
    return sum
  }
}

/// How far reading of one partition is behind.
package struct PartitionLag: Sendable, Equatable {
  package var partition: TopicPartition
  /// Offsets from where reading stands to its end.
  package var records: UInt64

  /// A lag.
  package init(_ partition: TopicPartition, records: UInt64) {
    self.partition = partition
    self.records = records
  }
}
