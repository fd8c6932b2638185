// An output of one file that grows by every epoch.
//
// The state remembers which file it is (device and inode) and how long it was at each epoch; bytes
// beyond are of an epoch that never became durable and are cut off. On a machine that it was moved
// to, device and inode differ; then its path, and the last bytes before that length must agree.
//
// Invariants
// 1. Nothing is written before a durable epoch has made the file the state's own. So a file with
//    content that no commitment names is never ours, and is refused.
// 2. The first `bytes` bytes of a commitment are durable before it is handed out and never change.
//
// Concurrency: `lock` guards all that changes; the file is synchronised outside it.

package import SedimentIO
internal import Synchronization

/// Appends the records of a job to one file.
// @unchecked because everything that changes is touched only with `lock` held.
package final class AppendFileSink: Sink, @unchecked Sendable {
  /// The file's path.
  package let path: String

  private let directory: any Directory
  private let name: String
  private let lock = Mutex(())

  private let writer = RecordWriter()
  private var header: [UInt8] = []
  private var identity: FileMetadata?
  private var committed: SinkCommitment?
  private var committedBytes: UInt64 = 0
  /// The last bytes before `committedBytes`, once they are known.
  private var committedTail: TailHash?
  private var isOwned = false
  /// Before `recover`, and after a write that failed.
  private var hasFailed = true

  /// Opens the directory that holds `path`, which must exist; the file waits for `recover`.
  package init(_ path: String, in fileSystem: any FileSystem) throws(SinkError) {
    let (directory, name) = OutputTarget.split(path)
    self.path = path
    self.name = name
    self.directory = try reachingFiles { () throws(FileError) in
      try fileSystem.openDirectory(at: directory, creating: false)
    }
  }

  /// Until the first epoch with this file is durable, only that epoch's commitment tells the file
  /// from someone else's.
  package var needsOwnershipEpoch: Bool {
    guarded { !isOwned }
  }

  package func setHeader(_ header: [UInt8]) {
    guarded { self.header = header }
  }

  package func write(
    _ buffer: UnsafeRawBufferPointer, records: UnsafeBufferPointer<RecordRange>
  ) throws(SinkError) {
    try guarded { () throws(SinkError) in
      guard !hasFailed else { throw .epochFailed(path: path) }
      precondition(isOwned, "an epoch must own the file before it is written")
      guard !records.isEmpty else { return }
      hasFailed = true
      try reachingFiles { () throws(FileError) in
        if writer.bytes == 0 { try writer.append(header) }
        var runs = unsafe RecordRuns(buffer, records)
        while let run = unsafe runs.next(room: .max, isFirstForced: true) {
          try unsafe writer.append(run)
        }
      }
      hasFailed = false
    }
  }

  package func cut() throws(SinkError) -> SinkCut {
    try guarded { () throws(SinkError) in
      guard !hasFailed, let file = writer.current else { throw .epochFailed(path: path) }
      hasFailed = true
      let commitment = try reachingFiles { () throws(FileError) in
        try writer.flush()
        return try promise(about: file)
      }
      hasFailed = false
      let isUnchanged = writer.bytes == committedBytes
      return SinkCut(commitment: commitment, unsynced: isUnchanged ? [] : [file])
    }
  }

  package func prepare(_ cut: SinkCut) throws(SinkError) -> SinkCommitment {
    try reachingFiles { () throws(FileError) in
      for file in cut.unsynced { try file.synchronize() }
    }
    return cut.commitment
  }

  package func publish(_ commitment: SinkCommitment) throws(SinkError) {
    guard case .file(_, _, let bytes, let tail) = commitment.promise else {
      preconditionFailure("a commitment of another kind of output")
    }
    guarded {
      committed = commitment
      committedBytes = bytes
      committedTail = tail
      isOwned = true
    }
  }

  package func release() throws(SinkError) -> SinkCommitment {
    try guarded { () throws(SinkError) in
      precondition(writer.bytes == committedBytes, "output is not published")
      guard let file = writer.current else { throw .epochFailed(path: path) }
      var commitment = try reachingFiles { () throws(FileError) in try promise(about: file) }
      commitment.isReleased = true
      return commitment
    }
  }

  package func abortEpoch() throws(SinkError) {
    _ = try recover(committed: guarded { committed })
  }

  package func recover(committed: SinkCommitment?) throws(SinkError) -> SinkRecovery {
    guarded {
      writer.discard()
      hasFailed = true
    }
    let found = try reachingFiles { () throws(FileError) in try directory.metadata(of: name) }
    let hasTail = try hasTail(found, of: committed)
    let plan = try Self.plan(path: path, found: found, hasTail: hasTail, committed: committed)
    let (file, identity) = try reachingFiles { () throws(FileError) in
      try open(at: plan.bytes, isCreating: found == nil)
    }
    var recovery = SinkRecovery()
    recovery.bytesCut = (found?.size ?? 0) - min(found?.size ?? 0, plan.bytes)
    guarded {
      writer.open(file, at: plan.bytes)
      self.identity = identity
      self.committed = committed
      committedBytes = plan.bytes
      committedTail = nil
      isOwned = plan.isOwned
      hasFailed = false
    }
    return recovery
  }
}

// MARK: - Recovery

extension AppendFileSink {
  /// How to go on with the file: from where, and whether the state names it already.
  private struct Plan {
    var bytes: UInt64
    var isOwned: Bool
  }

  /// Decides from what was found and what was promised; touches nothing.
  private static func plan(
    path: String, found: FileMetadata?, hasTail: Bool, committed: SinkCommitment?
  ) throws(SinkError) -> Plan {
    if let found, found.kind != .file { throw .foreignFile(path: path) }
    guard let committed, case .file(let device, let inode, let bytes, _) = committed.promise else {
      if let committed { try committed.requireReleased(given: path) }
      return try adopting(found, path: path)
    }
    // A device's number may change when the machine starts again, the inode when the file is moved
    // to another; then the path must agree, and in the second case the content.
    let hasPath = committed.path == path
    let isOurs =
      found.map {
        $0.inode == inode ? $0.device == device || hasPath : hasPath && hasTail
      } ?? false
    guard let found, isOurs else {
      if committed.isReleased || bytes == 0 { return try adopting(found, path: path) }
      guard committed.path == path else {
        throw .otherOutput(promised: committed.path, given: path)
      }
      guard found == nil else { throw .foreignFile(path: path) }
      throw .fileTooShort(path: path, committedBytes: bytes, foundBytes: 0)
    }
    guard found.size >= bytes else {
      throw .fileTooShort(path: path, committedBytes: bytes, foundBytes: found.size)
    }
    // A released file is whole: what came after is not ours to cut.
    guard !committed.isReleased || found.size == bytes else { throw .foreignFile(path: path) }
    return Plan(bytes: bytes, isOwned: !committed.isReleased)
  }

  /// Whether the file that was found is as long as was promised, and ends there as it did.
  private func hasTail(
    _ found: FileMetadata?, of committed: SinkCommitment?
  ) throws(SinkError) -> Bool {
    guard let found, found.kind == .file,
      case .file(_, _, let bytes, let tail?) = committed?.promise,
      found.size >= bytes
    else { return false }
    return try reachingFiles { () throws(FileError) in
      try TailHash(before: bytes, in: directory.openFile(name, .read)) == tail
    }
  }

  /// A file that no commitment names may be taken only while it is empty.
  private static func adopting(
    _ found: FileMetadata?, path: String
  ) throws(SinkError) -> Plan {
    guard (found?.size ?? 0) == 0 else { throw .foreignFile(path: path) }
    return Plan(bytes: 0, isOwned: false)
  }

  private func open(
    at bytes: UInt64, isCreating: Bool
  ) throws(FileError) -> (file: any File, identity: FileMetadata) {
    let file = try directory.openFile(name, isCreating ? .create : .readWrite)
    // An empty file of someone else's making may not have a durable name either.
    if isCreating || bytes == 0 { try directory.synchronize() }
    if try file.size() > bytes {
      try file.truncate(to: bytes)
      try file.synchronize()
    }
    guard let identity = try directory.metadata(of: name) else {
      throw FileError(code: .notFound, operation: "open", path: path)
    }
    return (file, identity)
  }

  /// What is promised of the file as it is, with nothing in the buffer.
  private func promise(about file: any File) throws(FileError) -> SinkCommitment {
    let bytes = writer.bytes
    var tail = bytes == committedBytes ? committedTail : nil
    if tail == nil, bytes > 0 { tail = try TailHash(before: bytes, in: file) }
    return SinkCommitment(
      path: path, isReleased: false,
      promise: .file(
        device: identity?.device ?? 0, inode: identity?.inode ?? 0, bytes: bytes, tail: tail))
  }

  private func guarded<Value: Sendable, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try lock.withLock { _ throws(Failure) in try body() }
  }
}
