// The seam between the job and what writes topics. The job knows no broker: it opens a producer,
// asks it what was committed, and gives it records and the positions that go with them.
//
// A producer has one transaction at a time, and one thread at a time calls it, but for `close`:
//
//     begin ─▶ produce … ─▶ flush ─▶ commit
//        └─────────┴──────────┴────────┴──▶ SinkError.epochAborted: it never happened
//
// The errors of all calls are `SinkError.epochAborted`, after which the producer is of no more use
// and the job goes back to what was committed, or `SinkError.topic`, which ends the job.

/// Topics that a job writes. Opened anew whenever the state is.
package protocol TopicOutput: Sendable {
  /// The group whose offsets say what was committed.
  var group: String { get }
  /// The topics by role, for messages.
  var topics: [OutputRole: String] { get }

  /// Connects and ends what an earlier producer of this job left open, whose commits fail from then
  /// on. Waits until that is done.
  ///
  /// - Throws: also when the job is stopped meanwhile.
  func open(_ start: TopicOutputStart) throws -> any TopicProducer
}

/// What a producer needs of the job.
package struct TopicOutputStart: Sendable {
  /// How long a transaction is open as a rule, in ms.
  package var epochMillis: Int64
  /// Tells a person; from any thread.
  package var report: @Sendable (JobMessage) -> Void
  /// Whether the job is asked to stop, so that nothing is waited for any more.
  package var isStopping: @Sendable () -> Bool

  /// A start.
  package init(
    epochMillis: Int64, report: @escaping @Sendable (JobMessage) -> Void,
    isStopping: @escaping @Sendable () -> Bool
  ) {
    self.epochMillis = epochMillis
    self.report = report
    self.isStopping = isStopping
  }
}

/// Records on their way to a topic: some of a batch. Good during the call that it is given to.
// @safe because whoever is given one neither keeps it nor changes the batch.
@safe
package struct TopicRecords {
  /// Holds them.
  package var batch: RecordBatch
  /// Of the batch's records, rising.
  package var indices: UnsafeBufferPointer<UInt32>
  /// Which topic they go to.
  package var role: OutputRole
  /// The epoch they belong to.
  package var tag: EpochTag
  /// The source's name, where that is a file.
  package var path: String

  /// Records `indices` of a batch.
  package init(
    _ batch: RecordBatch, indices: UnsafeBufferPointer<UInt32>, role: OutputRole, tag: EpochTag,
    path: String
  ) {
    self.batch = batch
    unsafe self.indices = indices
    self.role = role
    self.tag = tag
    self.path = path
  }
}

/// Writes topics in transactions. See the file's header.
package protocol TopicProducer: AnyObject, Sendable {
  /// The id of the cluster; empty for brokers that have no name for it.
  var cluster: String { get }

  /// What the group has committed in the partitions of topics, transactions that are under way
  /// waited for.
  func committed(_ topics: [String]) throws -> [TopicPartition: CommittedOffset]

  /// Begins a transaction.
  func begin() throws(SinkError)

  /// Takes records into the transaction; their memory is the caller's again afterwards.
  func produce(_ records: TopicRecords) throws(SinkError)

  /// Waits until the brokers have all records of the transaction.
  func flush() throws(SinkError)

  /// Adds offsets to the transaction and commits it. Does not return before the result is known.
  ///
  /// - Parameter reader: who read what the offsets stand for, whose place in the group must be
  ///   good; `nil` where no group reads.
  func commit(
    _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
  ) throws(SinkError)

  /// Aborts what is open, as far as that is possible in a few seconds, and disconnects. As often as
  /// you like.
  func close()
}
