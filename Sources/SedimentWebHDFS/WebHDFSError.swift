internal import SedimentIO

/// An operation on HDFS that failed; says how to go on.
struct WebHDFSError: Error, Sendable, Equatable {
  /// What a caller can branch on.
  enum Code: Sendable, Equatable {
    /// Nothing has that path.
    case notFound
    case exists
    case notDirectory
    /// Who asks may not, or is not known.
    case permissionDenied
    /// A quota is used up.
    case noSpace
    /// No NameNode answered, or none but with a request to come again.
    case unanswered
    /// The server refuses for another reason.
    case refused
    /// What came is no answer of WebHDFS.
    case invalidAnswer
    /// The local copy of what is sent could not be read.
    case spool(FileError.Code)
  }

  var code: Code
  /// In words: "list", "create".
  var operation: String
  /// The address in full, without options.
  var url: String
  /// What the server said and what can be done; one line.
  var reason: String

  /// The same as an error of a file system.
  var fileError: FileError {
    let fileCode: FileError.Code =
      switch code {
      case .notFound: .notFound
      case .exists: .exists
      case .notDirectory: .notDirectory
      case .permissionDenied: .permissionDenied
      case .noSpace: .noSpace
      case .spool(let code): code
      case .unanswered, .refused, .invalidAnswer: .inputOutput
      }
    return FileError(code: fileCode, operation: operation, path: url, detail: reason)
  }
}
