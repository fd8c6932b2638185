// Requests to object storage, signed, each sent until it is answered.
//
// Every request may be sent again: reading changes nothing; a put writes the same bytes under the
// same key; deleting what is gone is success. Where it matters whether an earlier try was carried
// out (a put under a condition, the end of an upload in parts) the caller looks.
//
// Invariants
// 1. Messages hold no query, no header and no secret.
// 2. Answers are bounded, and read into types.
//
// Concurrency: from any thread; each request has a connection to itself. Waiting blocks the thread.

internal import SedimentHTTP
internal import SedimentIO
internal import SedimentStore

/// A client of one bucket. Thread-safe.
final class S3Client: Sendable {
  let address: S3Address
  let options: S3Options
  private let clock: any Clock
  private let connections: HTTPConnections
  private let signature: SignatureV4
  /// `scheme://host`, and what stands before keys in the path.
  private let endpoint: (scheme: String, host: String, path: String)
  /// Signalled by nobody: for pauses.
  private let pauses = Monitor()

  init(_ address: S3Address, _ options: S3Options, clock: any Clock) throws(S3AddressError) {
    self.address = address
    self.options = options
    self.clock = clock
    connections = HTTPConnections(options.http)
    signature = SignatureV4(credentials: options.credentials, region: options.region)
    endpoint = try S3Endpoint.parts(options.endpoint, bucket: address.bucket, options.region)
  }

  /// One operation on one key, or on the bucket.
  struct Request: Sendable {
    var method: HTTPRequest.Method
    /// In words, for messages.
    var operation: String
    /// Without the address's prefix; empty for the bucket.
    var key: String
    var query: [(name: String, value: String)] = []
    var headers: [(name: String, value: String)] = []
    var body: HTTPBody?
    /// In hexadecimal; that of nothing without a body.
    var bodyDigest = SHA256.digest(of: []).hexadecimal
    var answerBytesMax = 1 << 20
    /// Whether the key lies below the prefix.
    var isOfBucket = false
  }

  /// What came in the end.
  struct Reply: Sendable {
    var answer: HTTPAnswer
    var verdict: S3Verdict
    /// Whether an earlier try may have been carried out.
    var mayBeRepeated: Bool
  }

  /// Sends a request until it is answered.
  ///
  /// - Returns: an answer whose verdict is `done`, `notFound` or `preconditionFailed`.
  /// - Throws: what the answer says, or `unanswered` when all tries are used up.
  func ask(_ request: Request) throws(S3Error) -> Reply {
    var mayBeRepeated = false
    var reason = ""
    for number in 0..<options.triesMax {
      pause(before: number)
      switch send(request) {
      case .failure(let failure): reason = try text(of: failure, request)
      case .success(let answer):
        let verdict = S3Verdict(answer)
        switch verdict {
        case .later(let text): reason = text
        case .final(let code, let text): throw error(code, request, text)
        case .done, .notFound, .preconditionFailed:
          return Reply(answer: answer, verdict: verdict, mayBeRepeated: mayBeRepeated)
        }
      }
      mayBeRepeated = true
      if number + 1 == S3Options.toldTry, number + 1 < options.triesMax {
        options.report(
          "cannot \(request.operation) \(shown(request.key)) yet, and go on trying: \(reason)")
      }
    }
    throw error(
      .unanswered, request,
      "\(reason); given up after \(options.triesMax) tries: when the storage is well, start the "
        + "same command again")
  }

  private func send(_ request: Request) -> Result<HTTPAnswer, HTTPFailure> {
    do throws(HTTPFailure) {
      return .success(try connections.perform(signed(request)))
    } catch {
      return .failure(error)
    }
  }

  /// Waits before try `number`, counted from 0, for a time that is drawn: of many who were refused
  /// together, not all come again together.
  private func pause(before number: Int) {
    let most = options.delayMillisMax(before: number)
    guard most > 0 else { return }
    let nanoseconds = UInt64.random(in: most / 2...most) * 1_000_000
    pauses.withLock { _ = pauses.wait(nanoseconds: nanoseconds) }
  }

  /// The request as it is sent.
  private func signed(_ request: Request) -> HTTPRequest {
    let key = request.isOfBucket ? "" : address.prefix + request.key
    let path = endpoint.path + PercentCoding.encoded(key, keeping: "/")
    let time = SignatureV4.time(ofMillis: clock.nowMillis())
    var headers = request.headers
    headers.append(("x-amz-content-sha256", request.bodyDigest))
    headers.append(("x-amz-date", time))
    if let token = options.credentials.sessionToken {
      headers.append(("x-amz-security-token", token))
    }
    let authorization = signature.authorization(
      SignableRequest(
        method: request.method.name, path: path, query: request.query,
        headers: headers + [("host", endpoint.host)], bodyDigest: request.bodyDigest),
      time: time)
    let query = S3Query.encoded(request.query)
    var http = HTTPRequest(
      request.method,
      "\(endpoint.scheme)://\(endpoint.host)\(path)" + (query.isEmpty ? "" : "?\(query)"),
      isSecure: endpoint.scheme == "https")
    http.headers = headers.map { "\($0.name): \($0.value)" } + ["Authorization: \(authorization)"]
    http.body = request.body
    http.answerBytesMax = request.answerBytesMax
    http.mayBeSentAgain = true
    return http
  }

  // MARK: - Errors

  /// Why nothing was heard, where another try may help; throws where none does.
  private func text(of failure: HTTPFailure, _ request: Request) throws(S3Error) -> String {
    switch failure {
    case .unreachable(let text), .lost(let text): return text
    case .impossible(let text): throw error(.refused, request, text)
    case .answerTooLong(let bytesMax):
      throw error(.invalidAnswer, request, "the answer has more than \(bytesMax) bytes")
    case .body(let cause): throw error(.file(cause.code), request, "\(cause)")
    }
  }

  func error(_ code: S3Error.Code, _ request: Request, _ reason: String) -> S3Error {
    S3Error(code: code, operation: request.operation, url: shown(request.key), reason: reason)
  }

  /// A key, for messages.
  func shown(_ key: String) -> String { address.location + (key.isEmpty ? "" : "/" + key) }
}

/// Where a bucket is asked.
package enum S3Endpoint: Sendable {
  /// Scheme, host with port, and the path before keys.
  package static func parts(
    _ endpoint: String?, bucket: String, _ region: String
  ) throws(S3AddressError) -> (scheme: String, host: String, path: String) {
    guard let endpoint else {
      // A certificate holds for one component before the domain.
      return bucket.contains(".") || bucket != bucket.lowercased()
        ? ("https", "s3.\(region).amazonaws.com", "/\(bucket)/")
        : ("https", "\(bucket).s3.\(region).amazonaws.com", "/")
    }
    let words = endpoint.split(separator: "/", omittingEmptySubsequences: true)
    let scheme = endpoint.hasPrefix("https://") ? "https" : "http"
    guard endpoint.hasPrefix(scheme + "://"), words.count == 2, !words[1].contains("@"),
      words[1].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "?") })
    else { throw S3AddressError("AWS_ENDPOINT_URL is not http://host:port or https://host") }
    return (scheme, String(words[1]), "/\(bucket)/")
  }
}
