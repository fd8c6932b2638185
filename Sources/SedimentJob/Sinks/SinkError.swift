package import SedimentIO

/// Why an output cannot be used, or failed; each says how to go on.
package enum SinkError: Error, Sendable, Equatable {
  /// The file system failed.
  case file(FileError)
  /// The directory belongs to another job.
  case foreignDirectory(path: String, owner: String, job: String)
  /// The directory holds parts, but nothing that says whose.
  case unownedParts(path: String, part: String)
  /// The file that names a directory's owner cannot be read.
  case damagedOwner(path: String)
  /// The state's last epoch promised records in another output, and they may not be there yet.
  case otherOutput(promised: String, given: String)
  /// The output holds a part that the state does not know yet: the state is older.
  case outputAhead(path: String, part: String, nextSequence: UInt64)
  /// A promised part is there with another size.
  case damagedPart(path: String, expectedBytes: UInt64, foundBytes: UInt64)
  /// Something else has a part's final name.
  case nameTaken(path: String)
  /// The file has content that this state did not write.
  case foreignFile(path: String)
  /// The file has lost bytes that the state knows to be written.
  case fileTooShort(path: String, committedBytes: UInt64, foundBytes: UInt64)
  /// An earlier write of this epoch failed; the epoch must be aborted first.
  case epochFailed(path: String)
  /// The bytes that the state keeps about its output make no sense.
  case damagedCommitment(String)
  /// The brokers did not take the epoch: what was written since the one before never happened.
  case epochAborted(String)
  /// A topic cannot be written.
  case topic(String)

  /// Whether the same epoch can succeed once there is room on the disk again.
  package var isOutOfSpace: Bool {
    if case .file(let error) = self { return error.code == .noSpace }
    return false
  }
}

extension SinkError: CustomStringConvertible {
  /// What happened and the way out, for a person.
  package var description: String {
    switch self {
    case .file(let error):
      return "\(error)"
    case .foreignDirectory(let path, let owner, let job):
      return "\(path) is the output of job \(owner), and this state is of job \(job): "
        + "give another --output, or the --state that belongs to it"
    case .unownedParts(let path, let part):
      return "\(path) holds \(part), which no known job wrote: give an empty or a new directory"
    case .damagedOwner(let path):
      return "\(path) does not say which job it belongs to: give another --output, or remove the "
        + "file if the directory is this state's"
    case .otherOutput(let promised, let given):
      return "the last epoch of this state promised records in \(promised), not in \(given): run "
        + "once more with that output, or make a new job with --fresh"
    case .outputAhead(let path, let part, let nextSequence):
      return "\(path) already holds \(part), but the state would write part \(nextSequence) next: "
        + "the state is older than the output; give another --output"
    case .damagedPart(let path, let expectedBytes, let foundBytes):
      return "\(path) has \(foundBytes) bytes where \(expectedBytes) were committed: it was "
        + "changed; restore it, or make a new job with --fresh"
    case .nameTaken(let path):
      return "\(path) is already there and is not this job's: move it away and start again"
    case .foreignFile(let path):
      return "\(path) exists and was not written by this state: give another --output"
    case .fileTooShort(let path, let committedBytes, let foundBytes):
      return "\(path) has \(foundBytes) bytes where \(committedBytes) were committed: restore it, "
        + "or make a new job with --fresh"
    case .epochFailed(let path):
      return "an earlier write to \(path) failed; the epoch has to be aborted first"
    case .damagedCommitment(let reason):
      return "what the state keeps about its output is damaged: \(reason)"
    case .epochAborted(let reason), .topic(let reason):
      return reason
    }
  }
}

/// Runs file system calls, turning their errors into the sink's.
func reachingFiles<Value>(
  _ body: () throws(FileError) -> Value
) throws(SinkError) -> Value {
  do throws(FileError) {
    return try body()
  } catch {
    throw .file(error)
  }
}
