internal import SedimentIO
internal import SedimentStore

/// Why a job cannot start or go on; the message names the way out.
package struct JobError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Whose fault it is, for the exit code.
  package enum Code: Sendable, Equatable {
    /// The input as a whole, the state, or the machine.
    case failed
    /// The disk is full. What is durable stays as it was.
    case noSpace
    /// Whoever read standard output went away.
    case outputClosed
    /// The brokers did not take the epoch; what they took before stands.
    case epochAborted
    /// The job was asked to stop while its state was being opened; nothing was begun.
    case stopped
  }

  /// Whose fault it is.
  package var code: Code
  /// One or more sentences for a person.
  package var description: String
  /// What the run had made durable by then; `nil` when the state was not opened.
  package var summary: JobSummary?

  /// An error with its message.
  package init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }

  /// What an error of any layer below means to a job.
  package init(wrapping error: any Error) {
    switch error {
    case let error as JobError: self = error
    case let error as StoreError:
      // A store that a full disk has poisoned is as good as any other after it is opened again.
      if let full = error.fullDisk {
        self.init(.noSpace, full.description)
      } else {
        self.init(error.code == .noSpace ? .noSpace : .failed, error.message)
      }
    case SinkError.file(let error) where error.isBrokenPipe:
      self.init(
        .outputClosed,
        "the reader of standard output went away; start the same command again, and it goes on "
          + "from the last epoch: what was printed after that is printed once more")
    case SinkError.epochAborted(let reason): self.init(.epochAborted, reason)
    case let error as SinkError:
      self.init(error.isOutOfSpace ? .noSpace : .failed, error.description)
    case let error as FileError:
      self.init(error.code == .noSpace ? .noSpace : .failed, error.description)
    default: self.init(.failed, "\(error)")
    }
  }
}
