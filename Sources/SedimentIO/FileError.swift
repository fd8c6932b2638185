/// An operation on a file or directory that failed.
public struct FileError: Error, Sendable, Equatable {
  /// What a caller can branch on.
  public enum Code: Sendable, Equatable {
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

  public var code: Code
  /// The operation in words: "open", "write", "synchronize directory".
  public var operation: String
  public var path: String
  /// The system's error number; 0 where the error is not the system's.
  public var systemError: Int32

  public init(code: Code, operation: String, path: String, systemError: Int32 = 0) {
    self.code = code
    self.operation = operation
    self.path = path
    self.systemError = systemError
  }
}
