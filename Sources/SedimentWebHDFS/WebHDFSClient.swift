// Requests to an HDFS, each sent until it is answered.
//
// ARCHITECTURE.md §4.3 says of every request why it may be sent again. Here is how: `ask` sends one
// to a NameNode, and again after a pause, to the next NameNode when this one is on stand-by or
// silent; it tells whether an earlier try may have been carried out. What goes on from there to a
// DataNode goes once.
//
// Invariants
// 1. A request that changes something is sent again by `ask` alone, and its caller learns of it.
// 2. Bytes go to a DataNode once for every name.
// 3. No error holds a query, in which the token is.
//
// Concurrency: from any thread; each request has a connection to itself. Waiting blocks the thread.

internal import SedimentHTTP
internal import SedimentIO
internal import Synchronization

/// A client of one HDFS. Thread-safe.
final class WebHDFSClient: Sendable {
  let address: WebHDFSAddress
  let options: WebHDFSOptions
  private let connections: HTTPConnections
  /// Which NameNode is asked first.
  private let active = Atomic<Int>(0)
  /// Signalled by nobody: for pauses.
  private let pauses = Monitor()

  init(_ address: WebHDFSAddress, _ options: WebHDFSOptions) {
    self.address = address
    self.options = options
    connections = HTTPConnections(options.http)
  }

  /// One operation on one path.
  struct Request: Sendable {
    var method: HTTPRequest.Method
    /// In words, for messages.
    var operation: String
    /// What WebHDFS calls it.
    var name: String
    var path: String
    var parameters: [(name: String, value: String)] = []
    var answerBytesMax = 1 << 20
  }

  /// What a NameNode answered in the end.
  struct Reply: Sendable {
    var answer: HTTPAnswer
    /// Whether an earlier try may have been carried out.
    var mayBeRepeated: Bool
  }

  /// Tells of a request that has failed in tries up to `number`, if it is time.
  func tell(of number: Int, _ request: Request, _ reason: String) {
    let failure = error(.unanswered, request, reason)
    options.tell(of: number, failure.operation, failure.url, failure.reason)
  }

  /// Waits before try `number`, counted from 0.
  func pause(before number: Int) {
    let nanoseconds = options.delayMillis(before: number) * 1_000_000
    guard nanoseconds > 0 else { return }
    pauses.withLock { _ = pauses.wait(nanoseconds: nanoseconds) }
  }

  // MARK: - NameNodes

  /// Sends `request` until it is answered.
  ///
  /// - Throws: what the answer says, or `unanswered` when all tries are used up.
  func ask(_ request: Request) throws(WebHDFSError) -> Reply {
    var mayBeRepeated = false
    var reason = ""
    for number in 0..<options.triesMax {
      pause(before: number)
      let index = active.load(ordering: .relaxed)
      let node = address.nameNodes[index]
      switch send(httpRequest(request, to: node)) {
      case .failure(let failure):
        reason = "\(node): \(try text(of: failure, request))"
        if case .lost = failure { mayBeRepeated = true }
        leave(index)
      case .success(let answer):
        switch Verdict(answer) {
        case .done: return Reply(answer: answer, mayBeRepeated: mayBeRepeated)
        case .final(let code, let text): throw error(code, request, text)
        case .standby(let text):
          reason = "\(node): \(text)"
          leave(index)
        case .later(let text):
          reason = "\(node): \(text)"
          mayBeRepeated = true
        }
      }
      tell(of: number, request, reason)
    }
    throw error(.unanswered, request, "\(reason); \(Self.howToGoOn(options.triesMax))")
  }

  /// The end of a message after the last try.
  static func howToGoOn(_ tries: Int) -> String {
    "given up after \(tries) tries: when HDFS is well, start the same command again"
  }

  /// Asks another NameNode first, unless somebody has moved on already.
  private func leave(_ index: Int) {
    let next = (index + 1) % address.nameNodes.count
    _ = active.compareExchange(expected: index, desired: next, ordering: .relaxed)
  }

  /// Of the filter against forged requests, which some clusters have on.
  private static let headers = ["X-XSRF-HEADER: sediment"]

  private func httpRequest(_ request: Request, to node: String) -> HTTPRequest {
    var parameters = [(name: "op", value: request.name)] + request.parameters
    if let token = options.token {
      parameters.append((name: "delegation", value: token))
    } else if let user = address.userName {
      parameters.append((name: "user.name", value: user))
    }
    let query = parameters.map { "\($0.name)=\(PercentCoding.encoded($0.value))" }
    let scheme = address.isSecure ? "https" : "http"
    var http = HTTPRequest(
      request.method,
      "\(scheme)://\(node)/webhdfs/v1\(PercentCoding.encoded(request.path, keeping: "/"))?"
        + query.joined(separator: "&"),
      isSecure: address.isSecure)
    http.headers = Self.headers
    http.usesKerberos = address.usesKerberos
    http.answerBytesMax = request.answerBytesMax
    return http
  }

  // MARK: - DataNodes

  /// What became of a request to a DataNode.
  enum DataReply: Sendable {
    case answered(HTTPAnswer)
    /// It may be carried out, or not, or in part.
    case broken(String)
  }

  /// Sends `request` on to where the NameNode's answer leads, once.
  ///
  /// - Throws: what will not go better.
  func follow(
    _ answer: HTTPAnswer, of request: Request, body: HTTPBody? = nil
  ) throws(WebHDFSError) -> DataReply {
    guard let url = answer.redirect else {
      throw error(.invalidAnswer, request, "the NameNode names no DataNode")
    }
    let node = Self.server(of: url)
    guard !address.isSecure || node.hasPrefix("https://") else {
      throw error(
        .refused, request,
        "the NameNode leads to \(node), which is without TLS: the cluster's dfs.http.policy has to "
          + "be HTTPS_ONLY, or use webhdfs://")
    }
    var http = HTTPRequest(request.method, url, isSecure: address.isSecure)
    http.headers = Self.headers
    http.body = body
    http.answerBytesMax = request.answerBytesMax
    // A gateway is its own DataNode; with others, what the query holds says who asks.
    let isNameNode = address.nameNodes.contains { node.hasSuffix("://\($0)") }
    http.usesKerberos = address.usesKerberos && isNameNode
    switch send(http) {
    case .failure(let failure): return .broken("\(node): \(try text(of: failure, request))")
    case .success(let answer) where answer.redirect != nil:
      throw error(.invalidAnswer, request, "the DataNode \(node) leads on to another")
    case .success(let answer):
      switch Verdict(answer) {
      case .done: return .answered(answer)
      case .standby(let text), .later(let text): return .broken("\(node): \(text)")
      case .final(.exists, let text): return .broken("\(node): \(text)")
      case .final(let code, let text): throw error(code, request, "\(node): \(text)")
      }
    }
  }

  /// `scheme://host:port` of a URL.
  private static func server(of url: String) -> String {
    guard let scheme = url.firstRange(of: "://") else { return "a DataNode without an address" }
    let end = url[scheme.upperBound...].firstIndex { "/?#".contains($0) }
    return String(url[..<(end ?? url.endIndex)])
  }

  // MARK: - Errors

  private func send(_ request: HTTPRequest) -> Result<HTTPAnswer, HTTPFailure> {
    do throws(HTTPFailure) {
      return .success(try connections.perform(request))
    } catch {
      return .failure(error)
    }
  }

  /// Why nothing was heard, where another try may help; throws where none does.
  private func text(of failure: HTTPFailure, _ request: Request) throws(WebHDFSError) -> String {
    switch failure {
    case .unreachable(let text), .lost(let text): return text
    case .impossible(let text): throw error(.refused, request, text)
    case .answerTooLong(let bytesMax):
      throw error(.invalidAnswer, request, "the answer has more than \(bytesMax) bytes")
    case .body(let cause): throw error(.spool(cause.code), request, "\(cause)")
    }
  }

  /// An error of `request`, without the token wherever a server repeats it.
  func error(_ code: WebHDFSError.Code, _ request: Request, _ reason: String) -> WebHDFSError {
    var reason = reason
    if let token = options.token, !token.isEmpty {
      for secret in [token, PercentCoding.encoded(token)] {
        reason = reason.split(separator: secret, omittingEmptySubsequences: false)
          .joined(separator: "(token)")
      }
    }
    return WebHDFSError(
      code: code, operation: request.operation, url: address.shown(request.path), reason: reason)
  }
}

extension WebHDFSAddress {
  /// A path of this HDFS, for messages.
  func shown(_ path: String) -> String {
    var other = self
    other.path = path
    return other.location
  }
}
