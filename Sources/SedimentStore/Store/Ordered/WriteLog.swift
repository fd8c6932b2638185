// The log of a store's ordered keyspaces: a chain of files.
//
// Records are appended to the current file. When a memtable is full and the next file is there,
// which a background thread makes ahead of time, the log goes on in that one; making a file waits
// for the disk, and writes do not wait for it. A file goes when all that is in it is in tables.
//
// Invariants
// 1. The manifest names a file before a record is in it.
// 2. Nothing in a file is told durable before all of the files before it is.
// 3. Files are dropped oldest first.
//
// Concurrency: `append`, `synchronize` and `turnOver` are for whoever leads the writes; everything
// else is for any thread.

internal import SedimentIO
internal import Synchronization

/// See the file's header.
final class WriteLog: Sendable {
  /// One file of the chain.
  private final class Segment: @unchecked Sendable {
    // @unchecked because what changes is guarded by the log's state, the writer by its own rules.
    let number: FileNumber
    let fileID: UInt64
    /// `nil` for a file of an earlier opening, which is durable and not appended to.
    let writer: RecordLogWriter?
    /// Bytes known to be durable.
    var durableLength: UInt64
    /// Bytes of a file of an earlier opening.
    private let adoptedLength: UInt64
    /// The number of the last write in it, once it is not the current one.
    var lastSequence: UInt64 = 0

    init(_ reference: LogReference, writer: RecordLogWriter?) {
      number = reference.number
      fileID = reference.fileID
      durableLength = reference.committedLength
      adoptedLength = reference.committedLength
      self.writer = writer
    }

    /// Bytes that were handed to the file.
    var writtenLength: UInt64 { writer?.writtenLength ?? adoptedLength }
  }

  private struct State {
    /// Oldest first.
    var closed: [Segment] = []
    var current: Segment?
    var next: Segment?
  }

  private let state = Mutex(State())
  /// Held while files are synchronised.
  private let synchronizing = Monitor()

  // MARK: - Files

  /// Adds a file of an earlier opening, newer than those before.
  func adopt(_ reference: LogReference, lastSequence: UInt64) {
    let segment = Segment(reference, writer: nil)
    segment.lastSequence = lastSequence
    state.withLock { $0.closed.append(segment) }
  }

  /// Adds a file that the manifest names, and that was made for what comes next.
  func provide(_ writer: RecordLogWriter, _ reference: LogReference) {
    let segment = Segment(reference, writer: writer)
    state.withLock { state in
      if state.current == nil { state.current = segment } else { state.next = segment }
    }
  }

  /// Whether a file is there to write to.
  var isOpen: Bool { state.withLock { $0.current != nil } }

  /// Whether a file may be made for what comes next.
  var hasRoom: Bool { state.withLock { $0.current == nil || $0.next == nil } }

  /// How many files are not written to any more and not dropped.
  var closedCount: Int { state.withLock { $0.closed.count } }

  /// The number of the last write in the oldest file that is not written to any more.
  var oldestClosed: UInt64? { state.withLock { $0.closed.first?.lastSequence } }

  /// Goes on in the next file, where it is there and there is anything in this one.
  func turnOver(lastSequence: UInt64) {
    let left = state.withLock { state -> RecordLogWriter? in
      guard let next = state.next, let current = state.current, let writer = current.writer,
        writer.length > UInt64(RecordLogFormat.headerBytes)
      else { return nil }
      current.lastSequence = lastSequence
      state.closed.append(current)
      state.current = next
      state.next = nil
      return writer
    }
    left?.trim()
  }

  /// The files whose last writes are not behind `sequence`, from the oldest on.
  func droppable(upTo sequence: UInt64) -> [FileNumber] {
    state.withLock { $0.closed.prefix { $0.lastSequence <= sequence }.map(\.number) }
  }

  /// Lets go of files that the manifest does not name any more.
  func drop(_ numbers: [FileNumber]) {
    // Not while somebody synchronises them.
    synchronizing.lock()
    defer { synchronizing.unlock() }
    let dropped = state.withLock { state -> [Segment] in
      let dropped = state.closed.filter { numbers.contains($0.number) }
      state.closed.removeAll { numbers.contains($0.number) }
      return dropped
    }
    for segment in dropped { segment.writer?.close() }
  }

  // MARK: - Writing

  /// Hands the records that `body` appends to the file; after an error nothing of them is there.
  ///
  /// - Returns: whether there is a file; else `body` was not called.
  func write(_ body: (RecordLogWriter) -> Void) throws -> Bool {
    guard let writer = currentWriter else { return false }
    body(writer)
    do {
      try writer.write()
    } catch let failure {
      do {
        try writer.rollBack()
      } catch {
        // What is left in the file is not known.
        throw RollbackFailure(cause: failure)
      }
      throw failure
    }
    return true
  }

  /// A write that failed, and left something behind that could not be taken back.
  struct RollbackFailure: Error, CustomStringConvertible {
    let cause: FileError

    var description: String { "the log could not be written, nor cut off where it was: \(cause)" }
  }

  private var currentWriter: RecordLogWriter? { state.withLock { $0.current?.writer } }

  /// The length of each file as of the last `write`; for any thread.
  func lengths() -> [FileNumber: UInt64] {
    state.withLock { state in
      var lengths: [FileNumber: UInt64] = [:]
      for segment in state.closed + [state.current, state.next].compactMap({ $0 }) {
        lengths[segment.number] = segment.writtenLength
      }
      return lengths
    }
  }

  /// Makes all that was written durable, and notes that it is.
  func synchronize() throws {
    let length = currentWriter?.writtenLength
    try synchronizeWritten()
    guard let length, let writer = currentWriter else { return }
    writer.acknowledge()
    writer.reserve()
    note(length, of: writer)
  }

  /// Makes all that was written before the call durable; for any thread.
  func synchronizeWritten() throws {
    // In turn, and oldest first: see invariant 2.
    synchronizing.lock()
    defer { synchronizing.unlock() }
    // Taken together: a file that is left meanwhile is the current one here.
    let (closed, current) = state.withLock { state in
      (
        state.closed.compactMap { segment in
          segment.writer.flatMap { segment.durableLength < $0.writtenLength ? $0 : nil }
        }, state.current?.writer
      )
    }
    for writer in closed {
      try writer.synchronizeWritten()
      // Nobody appends to it.
      note(writer.writtenLength, of: writer)
    }
    try current?.synchronizeWritten()
  }

  private func note(_ length: UInt64, of writer: RecordLogWriter) {
    state.withLock { state in
      for segment in state.closed + [state.current].compactMap({ $0 })
      where segment.writer === writer {
        segment.durableLength = max(segment.durableLength, length)
      }
    }
  }

  /// Closes all files.
  func close() {
    let segments = state.withLock { state in
      state.closed + [state.current, state.next].compactMap { $0 }
    }
    for segment in segments {
      segment.writer?.trim()
      segment.writer?.close()
    }
  }
}
