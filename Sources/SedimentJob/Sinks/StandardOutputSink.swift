// Records on standard output. What was printed cannot be taken back, so after a crash the records
// of the epoch that was lost are printed again: at least once.

package import SedimentIO
internal import Synchronization

/// Where bytes go one after another: `StandardStream.output`, or memory in tests.
package protocol OutputStream: Sendable {
  /// Writes all of `bytes` or throws.
  func write(_ bytes: UnsafeRawBufferPointer) throws(FileError)
}

extension StandardStream: OutputStream {}

/// Prints the records of a job, each batch when it is decided.
// @unchecked because everything that changes is touched only with `lock` held.
package final class StandardOutputSink: Sink, @unchecked Sendable {
  /// What messages call it.
  package let path = "standard output"
  /// Nothing to own.
  package let needsOwnershipEpoch = false

  private let stream: any OutputStream
  private let lock = Mutex(())
  private let writer: RecordWriter
  private var header: [UInt8] = []
  private var isHeaderWritten = false

  /// A sink that prints to `stream`.
  package init(_ stream: any OutputStream = StandardStream.output) {
    self.stream = stream
    writer = RecordWriter()
    writer.open(StreamFile(stream: stream), at: 0)
  }

  package func setHeader(_ header: [UInt8]) {
    lock.withLock { _ in self.header = header }
  }

  package func write(
    _ buffer: UnsafeRawBufferPointer, records: UnsafeBufferPointer<RecordRange>
  ) throws(SinkError) {
    try lock.withLock { _ throws(SinkError) in
      try reachingFiles { () throws(FileError) in
        guard !records.isEmpty else { return }
        if !isHeaderWritten { try writer.append(header) }
        isHeaderWritten = true
        var runs = unsafe RecordRuns(buffer, records)
        while let run = unsafe runs.next(room: .max, isFirstForced: true) {
          try unsafe writer.append(run)
        }
        // A reader at the other end of a pipe is not kept waiting for an epoch.
        try writer.flush()
      }
    }
  }

  package func cut() throws(SinkError) -> SinkCut {
    SinkCut(
      commitment: SinkCommitment(path: path, isReleased: true, promise: .standardOutput),
      unsynced: [])
  }

  package func prepare(_ cut: SinkCut) throws(SinkError) -> SinkCommitment { cut.commitment }
  package func publish(_ commitment: SinkCommitment) throws(SinkError) {}
  package func release() throws(SinkError) -> SinkCommitment { try prepare() }

  /// Nothing can be taken back; what has not been printed is dropped.
  package func abortEpoch() throws(SinkError) {
    lock.withLock { _ in writer.open(StreamFile(stream: stream), at: 0) }
  }

  package func recover(committed: SinkCommitment?) throws(SinkError) -> SinkRecovery {
    try committed?.requireReleased(given: path)
    return SinkRecovery()
  }
}

/// A stream as the file that `RecordWriter` writes; offsets only rise and are not needed.
private final class StreamFile: File {
  let stream: any OutputStream

  init(stream: any OutputStream) {
    self.stream = stream
  }

  let path = "standard output"

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try unsafe stream.write(bytes)
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(FileError) -> Int
  {
    throw unsupported("read")
  }
  func size() throws(FileError) -> UInt64 { throw unsupported("measure") }
  func truncate(to size: UInt64) throws(FileError) { throw unsupported("truncate") }
  func synchronize() throws(FileError) {}
  func close() {}

  private func unsupported(_ operation: String) -> FileError {
    FileError(code: .inputOutput, operation: operation, path: path)
  }
}
