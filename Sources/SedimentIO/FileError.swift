/// An operation on a file or directory that failed.
public struct FileError: Error, Sendable, Equatable {
  /// What a caller can branch on.
  public enum Code: Sendable, Equatable {
    /// Nothing has that name.
    case notFound
    case exists
    case permissionDenied
    case noSpace
    case readOnlyFileSystem
    case isDirectory
    case notDirectory
    case notEmpty
    case symbolicLink
    case crossDevice
    case tooManyOpenFiles
    case invalidName
    case closed
    /// Another holder has the lock; its process id when it could be read.
    case locked(process: Int32?)
    /// Anything else, EIO first of all.
    case inputOutput
  }

  /// The kind of failure.
  public var code: Code
  /// The operation in words: "open", "write", "synchronize directory".
  public var operation: String
  /// The file or directory it was about.
  public var path: String
  /// The system's error number; 0 where the error is not the system's.
  public var systemError: Int32
  /// What there is to say beyond the code, with the way out; of file systems that are not this
  /// machine's.
  public var detail: String?

  /// An error made by hand; what failed system calls throw is made from their number.
  public init(
    code: Code, operation: String, path: String, systemError: Int32 = 0, detail: String? = nil
  ) {
    self.code = code
    self.operation = operation
    self.path = path
    self.systemError = systemError
    self.detail = detail
  }
}

extension FileError {
  /// The operation that makes a file durable.
  package static let synchronizeFile = "synchronize"
  /// The operation that makes a directory's entries durable.
  package static let synchronizeDirectory = "synchronize directory"

  /// Whether it came from making something durable, after which nothing is known.
  package var isFromSynchronize: Bool {
    operation == Self.synchronizeFile || operation == Self.synchronizeDirectory
  }
}

extension FileError: CustomStringConvertible {
  /// One line for people, as in
  /// `cannot open db/CURRENT: it does not exist (No such file or directory, error 2)`.
  public var description: String {
    let system = systemError == 0 ? "" : " (\(systemErrorText(systemError)), error \(systemError))"
    return "cannot \(operation) \(path): \(detail ?? code.words)\(system)"
  }
}

extension FileError.Code {
  /// What the code means, in words.
  var words: String {
    switch self {
    case .notFound: "it does not exist"
    case .exists: "the name is already taken"
    case .permissionDenied: "permission denied"
    case .noSpace: "no space left on the device"
    case .readOnlyFileSystem: "the file system is read-only"
    case .isDirectory: "it is a directory"
    case .notDirectory: "it is not a directory"
    case .notEmpty: "the directory is not empty"
    case .symbolicLink: "it is a symbolic link, and links are not followed"
    case .crossDevice: "the two are on different file systems"
    case .tooManyOpenFiles: "too many open files"
    case .invalidName: "it is not a valid name"
    case .closed: "it is closed"
    case .locked(let process?): "it is in use by process \(process)"
    case .locked(nil): "it is in use by another process"
    case .inputOutput: "input/output error"
    }
  }
}
