// What an answer means for the request that it answers: a pure function.
//
// HTTP status and exception are those of the server's `ExceptionHandler`: all that is an
// IOException comes with 403, so the exception's name decides. Names that are not known are tried
// again: a server that has a passing problem gives it many names, and a lasting one only takes
// longer to be told.

internal import SedimentHTTP

/// What to do after an answer.
enum Verdict: Sendable, Equatable {
  /// It is done, or leads to a DataNode.
  case done
  /// This NameNode is not the active one.
  case standby(String)
  /// It may go better later.
  case later(String)
  /// It will not go better.
  case final(WebHDFSError.Code, String)

  init(_ answer: HTTPAnswer) {
    if (200..<300).contains(answer.status) || answer.redirect != nil && answer.status == 307 {
      self = .done
      return
    }
    guard let failure = AnswerBody.read(AnswerBody.Failure.self, from: answer.body) else {
      self = Self.unexplained(answer.status)
      return
    }
    self = Self.explained(failure.exception)
  }

  /// An answer without an exception, such as those of filters before WebHDFS.
  private static func unexplained(_ status: Int) -> Verdict {
    switch status {
    case 401:
      .final(.permissionDenied, "the server wants to know who asks, by \(identities)")
    case 403: .final(.permissionDenied, "HTTP 403; who asks is told by \(identities)")
    case 404:
      .final(.invalidAnswer, "HTTP 404 without an exception: WebHDFS does not answer there")
    case 408, 429, 500...: .later("HTTP \(status)")
    default:
      .final(.invalidAnswer, "HTTP \(status): that is no answer of WebHDFS; is the port right?")
    }
  }

  /// The ways to say who asks.
  private static let identities =
    "?user.name=NAME, ?auth=kerberos with a ticket, or SEDIMENT_WEBHDFS_TOKEN"

  private static func explained(_ exception: RemoteException) -> Verdict {
    let text = exception.text
    switch exception.exception {
    case "StandbyException": return .standby(text)
    case "FileNotFoundException": return .final(.notFound, text)
    case "FileAlreadyExistsException": return .final(.exists, text)
    case "ParentNotDirectoryException", "PathIsNotDirectoryException":
      return .final(.notDirectory, text)
    case "AccessControlException", "AuthorizationException", "SnapshotAccessControlException":
      return .final(.permissionDenied, "\(text); who asks is told by \(identities)")
    case "SecurityException", "AuthenticationException", "InvalidToken":
      return .final(.permissionDenied, "\(text); a token ends, and a new one is needed then")
    case "DSQuotaExceededException", "NSQuotaExceededException", "QuotaExceededException",
      "QuotaByStorageTypeExceededException":
      return .final(.noSpace, text)
    case "IllegalArgumentException", "UnsupportedOperationException", "InvalidPathException",
      "HadoopIllegalArgumentException", "PathIsNotEmptyDirectoryException",
      "PathComponentTooLongException", "MaxDirectoryItemsExceededException":
      return .final(.refused, text)
    default: return .later(text)
    }
  }
}

extension RemoteException {
  /// `exception: the first line of the message`, without control characters, bounded.
  fileprivate var text: String {
    let line = (message ?? "").split(whereSeparator: \.isNewline).first ?? ""
    let visible = (exception + (line.isEmpty ? "" : ": ") + line).unicodeScalars
      .filter { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) }.prefix(400)
    return String(String.UnicodeScalarView(visible))
  }
}
