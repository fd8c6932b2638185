package import SedimentIO

/// What went wrong with a store, for callers: a code to branch on, a message, and the cause.
public struct StoreError: Error, Sendable, CustomStringConvertible {
  /// What a caller can branch on, and what to do about it.
  public enum Code: Sendable, Equatable {
    /// Nothing is there to open. Give another path, or create.
    case notFound
    /// Something is there already that would be overwritten. Give another path.
    case alreadyExists
    /// Another process, or another opener in this one, has the store. Wait, or stop it.
    case locked(process: Int32?)
    /// The keyspace was made with other options. Open it with those, or use the call that changes
    /// them.
    case optionsDiffer
    /// The arguments cannot be right. Mend the caller.
    case invalidArgument
    /// The file system is full. Nothing durable was lost; make room and try again.
    case noSpace
    /// A file is damaged. Restore a checkpoint; `verify` lists all damage.
    case corrupted
    /// Made by a newer version of Sediment. Use that version.
    case unsupportedFormat
    /// An earlier failure left what is on disk unknown. Close and open again: the last epoch
    /// stands.
    case poisoned
    /// The store was closed.
    case closed
    /// Any other failure of the machine.
    case inputOutput
  }

  public var code: Code
  public var message: String
  /// The error it came from, where there is one.
  public var cause: (any Error)?

  public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.cause = cause
  }

  public var description: String { message }

  /// The write that found the disk full, when that is what is behind the error, at whatever remove:
  /// a store that it poisoned may do again once it is opened anew and there is room.
  package var fullDisk: FileError? {
    switch cause {
    case let cause as FileError: cause.code == .noSpace ? cause : nil
    case let cause as StoreError: cause.fullDisk
    case let cause as ManifestFailure: StoreError(wrapping: cause.cause).fullDisk
    default: nil
    }
  }

  /// The public face of any error of the layers below.
  package init(wrapping error: any Error) {
    switch error {
    case let error as StoreError: self = error
    case let error as FileError: self.init(Self.code(of: error), "\(error)", cause: error)
    case let error as Corruption: self.init(.corrupted, "\(error)", cause: error)
    case let error as UnsupportedFormat:
      self.init(
        .unsupportedFormat,
        "\(error.file) has format version \(error.version), and this build reads up to "
          + "\(error.supported): use a newer version of sediment", cause: error)
    case let error as KeyBatch.LimitError: self.init(.invalidArgument, "\(error)", cause: error)
    default: self.init(.inputOutput, "\(error)", cause: error)
    }
  }

  private static func code(of error: FileError) -> Code {
    switch error.code {
    case .noSpace: .noSpace
    case .locked(let process): .locked(process: process)
    case .notFound: .notFound
    case .exists: .alreadyExists
    default: .inputOutput
    }
  }
}

/// Runs `body` and turns what it throws into a `StoreError`.
package func wrapping<Answer>(_ body: () throws -> Answer) throws(StoreError) -> Answer {
  do {
    return try body()
  } catch {
    throw StoreError(wrapping: error)
  }
}
