// An output of parts: `part-<sequence>-<writer epoch>.<extension>` in a directory of the job's own.
//
// A part is written under a temporary name with a dot in front. It ends when it reaches the roll
// size or when the epoch is cut, is synchronised, and gets its final name when the state that
// promises it is durable. So a reader may take any part that it sees.
//
// Invariants
// 1. A final name appears only after the state that promises it is durable, and in order of
//    sequence.
// 2. A temporary that no durable state promises is removed by the next recovery.
// 3. Sequence numbers rise by one over all parts ever published by the job.
// 4. Of several writers that believe the output to be theirs the one with the largest epoch is not
//    harmed: the others show only what it has shown or is about to, and remove nothing of its own.
//
// Concurrency: `lock` guards all that changes; files are synchronised and renamed outside it, so
// that the next epoch's writes go on meanwhile.

package import SedimentIO
internal import Synchronization

/// Writes the records of a job as parts in a directory.
// @unchecked because everything that changes is touched only with `lock` held.
package final class PartDirectorySink: Sink, @unchecked Sendable {
  /// What one opening of a state needs to write parts.
  package struct Options: Sendable {
    /// The job's id in printable characters without spaces.
    package var jobID: String
    /// The number of this opening of the state; larger than that of any before it.
    package var writerEpoch: UInt64
    /// A random number that becomes the directory's id if it has none.
    package var newOutputID: UInt64
    /// Of the parts' names, without its dot.
    package var fileExtension: String
    /// A part ends before it grows longer, unless it is a single record.
    package var rollBytes: UInt64
    /// Ended parts that are kept open until the epoch is cut. Beyond it the oldest is synchronised
    /// at once, so that small parts in a long epoch do not use up the process's descriptors; the
    /// last ones stay, so that the directory's own sync comes with theirs.
    package var unsyncedMax: Int
    /// Whether another writer may have been given the output since, as happens to an instance that
    /// slept. What writers of larger epochs have begun is left alone then. Otherwise such files are
    /// leftovers: of a state that was set back to an earlier one.
    package var isShared: Bool

    /// Options with parts of 256 MiB.
    package init(
      jobID: String, writerEpoch: UInt64, newOutputID: UInt64, fileExtension: String,
      rollBytes: UInt64 = 256 << 20, unsyncedMax: Int = 16, isShared: Bool = false
    ) {
      precondition(PartName.isValid(fileExtension: fileExtension), "not a file extension")
      precondition(
        !jobID.isEmpty && jobID.utf8.count <= 128
          && jobID.utf8.allSatisfy { $0 > UInt8(ascii: " ") && $0 < 0x7F },
        "a job id is 1 to 128 printable characters")
      self.jobID = jobID
      self.writerEpoch = writerEpoch
      self.newOutputID = newOutputID
      self.fileExtension = fileExtension
      self.rollBytes = max(rollBytes, 1)
      self.unsyncedMax = unsyncedMax
      self.isShared = isShared
    }
  }

  /// The directory's path.
  package let path: String
  /// A directory says itself whose it is.
  package let needsOwnershipEpoch = false

  private let directory: any Directory
  private let options: Options
  private let outputID: UInt64
  private let lock = Mutex(())

  private let writer = RecordWriter()
  private var header: [UInt8] = []
  private var nextSequence: UInt64 = 1
  /// Ended in this epoch.
  private var ended: [PartsPromise.Part] = []
  /// The files of the last of them, still to be synchronised.
  private var unsynced: [any File] = []
  /// Cut, and not known to be published.
  private var promised: [PartsPromise.Part] = []
  /// What `abortEpoch` goes back to.
  private var committed: SinkCommitment?
  /// Before `recover`, and after a write that failed.
  private var hasFailed = true

  /// Opens or makes the directory at `path` and makes sure that it is this job's.
  ///
  /// Throws `foreignDirectory` or `unownedParts` when it is not. Until `recover` nothing is written
  /// but whose it is.
  package init(
    _ path: String, in fileSystem: any FileSystem, options: Options
  ) throws(SinkError) {
    let directory = try reachingFiles { () throws(FileError) in
      try fileSystem.openDirectory(at: path, creating: true)
    }
    // As the file system shows it: an address has options that are no part of a path.
    let path = directory.path
    self.path = path
    self.directory = directory
    self.options = options
    let owner = try Self.owner(of: directory, options)
    guard owner.jobID == options.jobID else {
      throw .foreignDirectory(path: path, owner: owner.jobID, job: options.jobID)
    }
    outputID = owner.outputID
  }

  /// Whose the directory is; it becomes ours if it is nobody's.
  private static func owner(
    of directory: any Directory, _ options: Options
  ) throws(SinkError) -> OutputOwner {
    if let owner = try OutputOwner.read(in: directory) { return owner }
    let entries = try reachingFiles { () throws(FileError) in try directory.entries() }
    let part = entries.first {
      PartName(final: $0.name) != nil || PartName(temporary: $0.name) != nil
    }
    guard let part else {
      return try OutputOwner(jobID: options.jobID, outputID: options.newOutputID).claim(directory)
    }
    // Another instance may have begun between the two looks.
    guard let owner = try OutputOwner.read(in: directory) else {
      throw .unownedParts(path: directory.path, part: part.name)
    }
    return owner
  }

  package func setHeader(_ header: [UInt8]) {
    guarded { self.header = header }
  }

  package func write(
    _ buffer: UnsafeRawBufferPointer, records: UnsafeBufferPointer<RecordRange>
  ) throws(SinkError) {
    try guarded { () throws(SinkError) in
      guard !hasFailed else { throw .epochFailed(path: path) }
      hasFailed = true
      var runs = unsafe RecordRuns(buffer, records)
      let rollBytes = options.rollBytes
      while true {
        let used = writer.isOpen ? writer.bytes : UInt64(header.count)
        let isEmpty = used == UInt64(header.count)
        let room = rollBytes > used ? rollBytes - used : 0
        guard let run = unsafe runs.next(room: room, isFirstForced: isEmpty) else { break }
        if run.count == 0, !isEmpty {
          try endPart()
        } else {
          if !writer.isOpen { try beginPart() }
          try reachingFiles { () throws(FileError) in try unsafe writer.append(run) }
        }
      }
      hasFailed = false
    }
  }

  package func cut() throws(SinkError) -> SinkCut {
    try guarded { () throws(SinkError) in
      guard !hasFailed else { throw .epochFailed(path: path) }
      hasFailed = true
      try endPart()
      hasFailed = false
      promised += ended
      let files = unsynced
      (ended, unsynced) = ([], [])
      return SinkCut(commitment: commitment(promising: promised), unsynced: files)
    }
  }

  package func prepare(_ cut: SinkCut) throws(SinkError) -> SinkCommitment {
    try reachingFiles { () throws(FileError) in
      for file in cut.unsynced {
        try file.synchronize()
        file.close()
      }
      if !cut.unsynced.isEmpty { try directory.synchronize() }
    }
    return cut.commitment
  }

  package func publish(_ commitment: SinkCommitment) throws(SinkError) {
    guard case .parts(let promise) = commitment.promise else {
      preconditionFailure("a commitment of another kind of output")
    }
    let waiting = guarded {
      committed = commitment
      let last = promise.parts.last?.sequence ?? 0
      return promised.filter { $0.sequence <= last }
    }
    guard !waiting.isEmpty else { return }
    for part in waiting { try showPart(part.name(in: promise)) }
    try reachingFiles { () throws(FileError) in try directory.synchronize() }
    let last = waiting[waiting.count - 1].sequence
    guarded { promised.removeAll { $0.sequence <= last } }
  }

  package func release() throws(SinkError) -> SinkCommitment {
    guarded {
      precondition(promised.isEmpty && ended.isEmpty && !writer.isOpen, "output is not published")
      var commitment = commitment(promising: [])
      commitment.isReleased = true
      return commitment
    }
  }

  package func sweep() throws(SinkError) {
    let entries = try reachingFiles { () throws(FileError) in try directory.entries() }
    for entry in entries {
      guard let name = PartName(temporary: entry.name), name.writerEpoch < options.writerEpoch
      else { continue }
      _ = try remove(entry.name)
    }
  }

  package func abortEpoch() throws(SinkError) {
    _ = try recover(committed: guarded { committed })
  }

  package func recover(committed: SinkCommitment?) throws(SinkError) -> SinkRecovery {
    guarded {
      writer.discard()
      (ended, unsynced) = ([], [])
      promised = []
      hasFailed = true
    }
    let promise = try ownPromise(in: committed)
    var recovery = SinkRecovery()
    let next = Self.nextSequence(after: committed)
    let entries = try reachingFiles { () throws(FileError) in try directory.entries() }
    try refuseNewerParts(entries, nextSequence: next)
    if let promise { try publish(promise, recovery: &recovery) }
    try removeTemporaries(entries, keeping: promise, recovery: &recovery)
    try reachingFiles { () throws(FileError) in try directory.synchronize() }
    guarded {
      self.committed = committed
      nextSequence = next
      hasFailed = false
    }
    return recovery
  }
}

// MARK: - Writing

extension PartDirectorySink {
  private func guarded<Value: Sendable, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    try lock.withLock { _ throws(Failure) in try body() }
  }

  private func beginPart() throws(SinkError) {
    let name = PartName(
      sequence: nextSequence, writerEpoch: options.writerEpoch,
      fileExtension: options.fileExtension)
    try reachingFiles { () throws(FileError) in
      writer.open(try directory.openFile(name.temporary, .create), at: 0)
      try writer.append(header)
    }
  }

  private func endPart() throws(SinkError) {
    let finished = try reachingFiles { () throws(FileError) in try writer.finish() }
    guard let finished else { return }
    ended.append(PartsPromise.Part(sequence: nextSequence, bytes: finished.bytes))
    nextSequence += 1
    unsynced.append(finished.file)
    guard unsynced.count > options.unsyncedMax else { return }
    let oldest = unsynced.removeFirst()
    try reachingFiles { () throws(FileError) in try oldest.synchronize() }
    oldest.close()
  }

  private func commitment(promising parts: [PartsPromise.Part]) -> SinkCommitment {
    SinkCommitment(
      path: path, isReleased: false,
      promise: .parts(
        PartsPromise(
          outputID: outputID, writerEpoch: options.writerEpoch, nextSequence: nextSequence,
          fileExtension: options.fileExtension, parts: parts)))
  }

  /// Gives a part its final name; one that has it already is left alone.
  private func showPart(_ name: PartName) throws(SinkError) {
    do throws(FileError) {
      try directory.rename(name.temporary, to: name.final, replacing: false)
    } catch {
      switch error.code {
      case .exists: try removeSecondName(name)
      case .notFound: return
      default: throw .file(error)
      }
    }
  }

  /// Removes a part's temporary name where its final one is there. A rename that is half done shows
  /// one file under both: a crash left that, or another writer that knows of the same promise is at
  /// it, or was.
  private func removeSecondName(_ name: PartName) throws(SinkError) {
    let (temporary, final) = try look(at: name)
    guard let temporary else { return }
    guard let final, temporary.inode == final.inode, temporary.device == final.device else {
      throw .nameTaken(path: path + "/" + name.final)
    }
    _ = try remove(name.temporary)
  }

  private func look(
    at name: PartName
  ) throws(SinkError) -> (temporary: FileMetadata?, final: FileMetadata?) {
    try reachingFiles { () throws(FileError) in
      (try directory.metadata(of: name.temporary), try directory.metadata(of: name.final))
    }
  }
}

// MARK: - Recovery

extension PartDirectorySink {
  /// What `committed` promises in this directory. A promise in another output is refused unless
  /// that one was released.
  private func ownPromise(in committed: SinkCommitment?) throws(SinkError) -> PartsPromise? {
    guard let committed else { return nil }
    guard case .parts(let promise) = committed.promise, promise.outputID == outputID else {
      if !Self.isComplete(committed) { try committed.requireReleased(given: path) }
      return nil
    }
    return promise
  }

  /// A commitment without parts in doubt leaves nothing behind elsewhere.
  private static func isComplete(_ commitment: SinkCommitment) -> Bool {
    if case .parts(let promise) = commitment.promise { return promise.parts.isEmpty }
    return false
  }

  private static func nextSequence(after committed: SinkCommitment?) -> UInt64 {
    if case .parts(let promise)? = committed?.promise { return promise.nextSequence }
    return 1
  }

  private func refuseNewerParts(
    _ entries: [DirectoryEntry], nextSequence: UInt64
  ) throws(SinkError) {
    for entry in entries {
      guard let name = PartName(final: entry.name), name.sequence >= nextSequence else { continue }
      guard !options.isShared || name.writerEpoch <= options.writerEpoch else {
        throw .epochAborted("\(path) is written by another instance by now")
      }
      throw .outputAhead(path: path, part: entry.name, nextSequence: nextSequence)
    }
  }

  /// Gives promised parts their final names. Sizes are checked first: a part is shown whole or not
  /// at all.
  private func publish(
    _ promise: PartsPromise, recovery: inout SinkRecovery
  ) throws(SinkError) {
    for part in promise.parts {
      let name = part.name(in: promise)
      switch try look(at: name) {
      case (nil, nil): recovery.taken.append(name.final)
      case (nil, _?): break
      case (let temporary?, nil):
        guard temporary.size == part.bytes else {
          throw .damagedPart(
            path: path + "/" + name.temporary, expectedBytes: part.bytes,
            foundBytes: temporary.size)
        }
        try showPart(name)
        recovery.published.append(name.final)
      case (_?, _?): try removeSecondName(name)
      }
    }
  }

  private func removeTemporaries(
    _ entries: [DirectoryEntry], keeping promise: PartsPromise?, recovery: inout SinkRecovery
  ) throws(SinkError) {
    // By the whole name: a file system may have tried a promised part under other ones before.
    var promised: Set<String> = []
    if let promise { promised.formUnion(promise.parts.map { $0.name(in: promise).temporary }) }
    for entry in entries where !promised.contains(entry.name) {
      if let name = PartName(temporary: entry.name) {
        guard !options.isShared || name.writerEpoch <= options.writerEpoch else { continue }
      } else {
        guard OutputOwner.isTemporary(entry.name) else { continue }
      }
      if try remove(entry.name) { recovery.removed.append(entry.name) }
    }
  }

  private func remove(_ name: String) throws(SinkError) -> Bool {
    try reachingFiles { () throws(FileError) in try directory.removeIfThere(name) }
  }
}

extension PartsPromise.Part {
  fileprivate func name(in promise: PartsPromise) -> PartName {
    PartName(
      sequence: sequence, writerEpoch: promise.writerEpoch, fileExtension: promise.fileExtension)
  }
}
