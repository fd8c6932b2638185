// A topic as an output of a job. All topics of a job share its transactions, so there is nothing to
// prepare, to show or to recover here: `EpochCommitter` commits them, and what the brokers did not
// take never happened.

/// An output that goes to a topic.
// @unchecked because `lines` is the writing thread's.
final class TopicSink: Sink, @unchecked Sendable {
  let path: String
  let needsOwnershipEpoch = false

  private let role: OutputRole
  private let transactions: TransactionWriter
  /// Records that come as bytes only.
  private let lines = RecordBatch(recordCapacity: 64, byteCapacity: 4096)
  private var indices: [UInt32] = []

  /// A sink for the topic `name`.
  init(_ name: String, role: OutputRole, in transactions: TransactionWriter) {
    path = "the topic \(name)"
    self.role = role
    self.transactions = transactions
  }

  /// A record of a topic has no header to stand behind.
  func setHeader(_ header: [UInt8]) {}

  func write(
    _ batch: RecordBatch, records: UnsafeBufferPointer<RecordRange>,
    indices: UnsafeBufferPointer<UInt32>, path: String
  ) throws(SinkError) {
    try unsafe transactions.write(batch, indices: indices, role: role, path: path)
  }

  /// Lines, of which the line end is not sent.
  func write(
    _ buffer: UnsafeRawBufferPointer, records: UnsafeBufferPointer<RecordRange>
  ) throws(SinkError) {
    lines.removeAll()
    indices.removeAll(keepingCapacity: true)
    for place in 0..<records.count {
      let range = unsafe records[place]
      let end = range.offset + range.length
      let hasLineEnd = unsafe range.length > 0 && buffer[end - 1] == UInt8(ascii: "\n")
      let line = unsafe UnsafeRawBufferPointer(
        rebasing: buffer[range.offset..<(hasLineEnd ? end - 1 : end)])
      let start = lines.byteCount
      unsafe lines.appendBytes(line.assumingMemoryBound(to: UInt8.self))
      lines.addRecord(start: start, length: line.count, extent: line.count, line: 0)
      indices.append(UInt32(indices.count))
    }
    let (all, lines, role) = (indices, lines, role)
    let failure = unsafe all.withUnsafeBufferPointer { all -> SinkError? in
      do throws(SinkError) {
        try unsafe transactions.write(lines, indices: all, role: role, path: "")
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  func cut() throws(SinkError) -> SinkCut {
    SinkCut(
      commitment: SinkCommitment(path: path, isReleased: true, promise: .topic), unsynced: [])
  }

  func prepare(_ cut: SinkCut) throws(SinkError) -> SinkCommitment { cut.commitment }
  func publish(_ commitment: SinkCommitment) throws(SinkError) {}
  func release() throws(SinkError) -> SinkCommitment { try prepare() }
  func abortEpoch() throws(SinkError) {}

  func recover(committed: SinkCommitment?) throws(SinkError) -> SinkRecovery {
    try committed?.requireReleased(given: path)
    return SinkRecovery()
  }
}
