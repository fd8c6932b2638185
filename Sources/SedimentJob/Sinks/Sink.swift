// What the job needs of an output, whatever it is made of.
//
// An epoch goes through a sink in four steps. The manifest of the state is the arbiter: what it
// names was promised, all else never happened.
//
//     write … write │ cut │ prepare ─▶ commitment ─▶ state durable ─▶ publish
//                   └ next epoch's writes begin here
//
// Invariants
// 1. When `prepare` has returned, everything its commitment promises survives a loss of power.
// 2. Nothing of an epoch is visible under its final name before the state that promises it is
//    durable. (A single file and standard output show bytes early; the file is cut back.)
// 3. `recover` with the durable commitment makes the output hold the promised bytes, no more, no
//    less, except for what its reader has taken away. It may be interrupted and repeated.
//
// Concurrency: one `write` or `cut` at a time (in the job, the writing thread and, when that has
// nothing to do, the deciding one), and one `prepare` or `publish`; the two pairs may overlap.
// `recover` and `abortEpoch` run alone.

internal import SedimentIO

/// Where a record lies in its batch's buffer; its line end is part of it.
package struct RecordRange: Sendable, Equatable, BitwiseCopyable {
  /// From the start of the buffer.
  package var offset: Int
  /// In bytes.
  package var length: Int

  /// A record at `offset`.
  @inline(__always)
  package init(offset: Int, length: Int) {
    self.offset = offset
    self.length = length
  }
}

/// An output that takes part in epochs.
package protocol Sink: AnyObject, Sendable {
  /// What messages call it.
  var path: String { get }
  /// Whether an epoch must make this output the state's own before the first record is written.
  var needsOwnershipEpoch: Bool { get }
  /// What stands before the first record of every file; CSV's first line. Before the first write.
  func setHeader(_ header: [UInt8])
  /// Appends records of one batch in the order given. Ranges lie inside `buffer`.
  func write(
    _ buffer: UnsafeRawBufferPointer, records: UnsafeBufferPointer<RecordRange>
  ) throws(SinkError)
  /// Appends some records of a batch, for outputs that take more of them than their bytes.
  ///
  /// - Parameters:
  ///   - records: their bytes, inside the batch's.
  ///   - indices: the same records by their number.
  ///   - path: the source's name, where that is a file.
  func write(
    _ batch: RecordBatch, records: UnsafeBufferPointer<RecordRange>,
    indices: UnsafeBufferPointer<UInt32>, path: String
  ) throws(SinkError)
  /// Ends the epoch: what is written from now on belongs to the next one.
  func cut() throws(SinkError) -> SinkCut
  /// Makes what was cut durable and says what the state's epoch must remember.
  func prepare(_ cut: SinkCut) throws(SinkError) -> SinkCommitment
  /// Shows what `commitment` promises; the state that names it is durable. May be repeated.
  func publish(_ commitment: SinkCommitment) throws(SinkError)
  /// Brings the output to what the durable `committed` promises and drops all else of this job.
  func recover(committed: SinkCommitment?) throws(SinkError) -> SinkRecovery
  /// Drops what was written since the last published or recovered commitment. Used when the disk is
  /// full; the job then goes on from that epoch.
  func abortEpoch() throws(SinkError)
  /// What the last epoch of a clean end remembers: all is published, and another output may follow.
  func release() throws(SinkError) -> SinkCommitment
  /// Removes what writers before this one left there since `recover`: one that slept may write on
  /// before it learns that it was followed.
  func sweep() throws(SinkError)
}

extension Sink {
  /// Nothing: nobody else writes there.
  package func sweep() throws(SinkError) {}

  /// Cuts and prepares in one step.
  package func prepare() throws(SinkError) -> SinkCommitment {
    try prepare(try cut())
  }

  /// Takes the bytes of the records, and no more of them.
  package func write(
    _ batch: RecordBatch, records: UnsafeBufferPointer<RecordRange>,
    indices: UnsafeBufferPointer<UInt32>, path: String
  ) throws(SinkError) {
    try unsafe write(UnsafeRawBufferPointer(batch.input), records: records)
  }
}

/// An epoch's output that was cut off and is not durable yet.
package struct SinkCut: Sendable {
  let commitment: SinkCommitment
  let unsynced: [any File]
}

/// What recovery found and did.
package struct SinkRecovery: Sendable, Equatable {
  /// Parts that were promised and got their final names now.
  package var published: [String] = []
  /// Parts that were promised and are gone: their reader has taken them.
  package var taken: [String] = []
  /// Temporaries that no epoch promised.
  package var removed: [String] = []
  /// Bytes that were cut off the end of a file.
  package var bytesCut: UInt64 = 0

  /// Nothing to tell.
  package init() {}
}
