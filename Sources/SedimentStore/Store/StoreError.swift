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
    /// The operands of a key cannot be merged: the keyspace was opened without its merge operator,
    /// or the operator refused them. Open it with the operator, or mend that; nothing is lost.
    case mergeFailed
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
    /// The task that asked was cancelled before the call was begun, by the asynchronous face alone.
    /// Nothing was done.
    case cancelled
    /// Another store has published a checkpoint of the same state, and later: this one's work no
    /// longer counts. Stop it, and go on from what the other one published.
    case superseded
    /// Any other failure of the machine.
    case inputOutput
  }

  /// What a caller can branch on.
  public var code: Code
  /// One sentence for people, with the file or directory it is about.
  public var message: String
  /// The error it came from, where there is one.
  public var cause: (any Error)?

  /// An error of these parts.
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
    case let error as FileError: self.init(error)
    case let error as Corruption: self.init(.corrupted, "\(error)", cause: error)
    case let error as UnsupportedFormat:
      self.init(
        .unsupportedFormat,
        "\(error.file) has format version \(error.version), and this build reads up to "
          + "\(error.supported): use a newer version of sediment", cause: error)
    case let error as MergeFailure: self.init(.mergeFailed, "\(error)", cause: error)
    case let error as KeyBatch.LimitError: self.init(.invalidArgument, "\(error)", cause: error)
    default: self.init(.inputOutput, "\(error)", cause: error)
    }
  }

  /// Directories that a caller names are opened by `openNamed`, so what is missing here, or there
  /// against expectation, is a file that the store named itself: damage, never a reason to create.
  private init(_ error: FileError) {
    switch error.code {
    case .noSpace: self.init(.noSpace, "\(error)", cause: error)
    case .locked(let process): self.init(.locked(process: process), "\(error)", cause: error)
    case .notFound: self.init(wrapping: Corruption.missing(error))
    case .exists:
      self.init(
        wrapping: Corruption(
          file: PathName.last(error.path), offset: 0, what: "name", expected: "free",
          found: "taken"))
    default: self.init(.inputOutput, "\(error)", cause: error)
    }
  }
}

extension Corruption {
  /// The damage that a file is missing which something else names.
  package static func missing(_ error: FileError) -> Corruption {
    Corruption(
      file: PathName.last(error.path), offset: 0, what: "file", expected: "there",
      found: "missing")
  }
}

extension FileSystem {
  /// Opens a directory that a caller named: that it is missing is the caller's to mend.
  ///
  /// - Throws: `StoreError` with code `notFound`, or `FileError`.
  package func openNamed(_ path: String, creating: Bool) throws -> any Directory {
    do {
      return try openDirectory(at: path, creating: creating)
    } catch {
      guard error.code == .notFound else { throw error }
      throw StoreError(.notFound, "\(error)", cause: error)
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

extension Directory {
  /// Takes a lock, and says what a caller can do where another has it.
  ///
  /// - Throws: `StoreError` with code `locked`, or `FileError`.
  func lock(_ name: String, advice: String) throws -> any DirectoryLock {
    do {
      return try lock(name)
    } catch {
      guard case .locked(let process) = error.code else { throw error }
      let holder = process.map { "process \($0)" } ?? "another process"
      throw StoreError(
        .locked(process: process), "\(path) is in use by \(holder): \(advice)", cause: error)
    }
  }
}
