// One handle of libcurl: a connection that is kept from one request to the next, with the cookie
// that a server gives after Kerberos.
//
// Redirects are not followed, proxies of the environment are not asked, and what may not be sent
// twice goes over a connection of its own: libcurl sends a request again by itself when a kept one
// turns out to be closed, and then nobody would know how often it was sent.
//
// Concurrency: one request at a time; `HTTPConnections` sees to that.

internal import CCurl
internal import SedimentIO
internal import Synchronization

/// A handle for requests, one after another.
// @unchecked because `HTTPConnections` hands it to one thread at a time.
@safe final class HTTPConnection: @unchecked Sendable {
  private let curl: UnsafeMutableRawPointer
  private let errorText: UnsafeMutablePointer<CChar>
  private let options: HTTPOptions

  /// libcurl wants to be told once, before all else.
  private static let isReady = sediment_curl_initialize() == CURLE_OK

  init(_ options: HTTPOptions) throws(HTTPFailure) {
    guard Self.isReady, let curl = unsafe curl_easy_init() else {
      throw .impossible("libcurl cannot be used")
    }
    unsafe self.curl = curl
    unsafe errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
    unsafe errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
    self.options = options
  }

  deinit {
    unsafe curl_easy_cleanup(curl)
    unsafe errorText.deallocate()
  }

  /// Sends `request` and waits for the answer; redirects are answers.
  func perform(_ request: HTTPRequest) throws(HTTPFailure) -> HTTPAnswer {
    let exchange = HTTPExchange(request)
    unsafe curl_easy_reset(curl)
    unsafe errorText.pointee = 0
    var headers: UnsafeMutablePointer<curl_slist>?
    for header in request.headers + ["Expect:"] + (request.body == nil ? [] : Self.ofBody) {
      guard let longer = unsafe curl_slist_append(headers, header) else {
        unsafe curl_slist_free_all(headers)
        throw .impossible("no memory")
      }
      unsafe headers = longer
    }
    defer { unsafe curl_slist_free_all(headers) }
    // SAFETY: `exchange` and `headers` outlive the transfer, which ends in this call.
    let context = unsafe Unmanaged.passUnretained(exchange).toOpaque()
    var code = unsafe prepare(request, headers)
    if code == CURLE_OK { code = unsafe sediment_curl_set_writer(curl, Self.receive, context) }
    if code == CURLE_OK {
      code = unsafe sediment_curl_set_header_writer(curl, Self.receiveHeader, context)
    }
    if code == CURLE_OK {
      code = unsafe sediment_curl_set_reader(curl, Self.send, Self.seek, context)
    }
    guard code == CURLE_OK else { throw .impossible(text(of: code)) }
    code = withExtendedLifetime(exchange) { unsafe curl_easy_perform(curl) }
    if let failure = exchange.failure { throw failure }
    guard code == CURLE_OK else { throw failure(of: code) }
    let redirect = unsafe sediment_curl_redirect(curl)
    return HTTPAnswer(
      status: Int(unsafe sediment_curl_status(curl)), headers: exchange.headers,
      body: exchange.received,
      redirect: unsafe redirect.map { unsafe String(cString: $0) })
  }

  private static let ofBody = ["Content-Type: application/octet-stream"]

  /// Sets all options but the callbacks; the first code that is not `CURLE_OK`.
  @unsafe
  private func prepare(
    _ request: HTTPRequest, _ headers: UnsafeMutablePointer<curl_slist>?
  ) -> CURLcode {
    let sends = request.method == .put || request.method == .post
    let flags: [(CURLoption, Int64)] = [
      (CURLOPT_NOSIGNAL, 1), (CURLOPT_FOLLOWLOCATION, 0), (CURLOPT_TCP_NODELAY, 1),
      (CURLOPT_HTTP_VERSION, Int64(CURL_HTTP_VERSION_1_1)),
      (CURLOPT_CONNECTTIMEOUT_MS, options.connectMillis), (CURLOPT_LOW_SPEED_LIMIT, 1),
      (CURLOPT_LOW_SPEED_TIME, options.stallSeconds),
      (CURLOPT_FRESH_CONNECT, request.mayBeSentAgain ? 0 : 1), (CURLOPT_UPLOAD, sends ? 1 : 0),
    ]
    for (option, value) in flags {
      let code = unsafe sediment_curl_set_flag(curl, option, value)
      guard code == CURLE_OK else { return code }
    }
    var texts: [(CURLoption, String)] = [
      (CURLOPT_URL, request.url), (CURLOPT_USERAGENT, "sediment"), (CURLOPT_PROXY, ""),
      (CURLOPT_COOKIEFILE, ""),
    ]
    if request.method == .delete || request.method == .post {
      texts.append((CURLOPT_CUSTOMREQUEST, request.method.name))
    }
    if let authorities = options.authoritiesPath { texts.append((CURLOPT_CAINFO, authorities)) }
    for (option, text) in texts {
      let code = unsafe sediment_curl_set_text(curl, option, text)
      guard code == CURLE_OK else { return code }
    }
    var codes = [
      unsafe sediment_curl_set_error_buffer(curl, errorText),
      unsafe sediment_curl_set_headers(curl, headers),
      unsafe sediment_curl_set_protocols(curl, request.isSecure ? 1 : 0),
    ]
    if sends {
      let bytes = Int64(clamping: request.body?.bytes ?? 0)
      codes.append(unsafe sediment_curl_set_size(curl, CURLOPT_INFILESIZE_LARGE, bytes))
    }
    if request.usesKerberos { codes.append(unsafe sediment_curl_set_negotiate(curl)) }
    return codes.first { $0 != CURLE_OK } ?? CURLE_OK
  }

  // MARK: - Failures

  private func failure(of code: CURLcode) -> HTTPFailure {
    let text = text(of: code)
    return switch code {
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_SSL_CONNECT_ERROR:
      .unreachable(text)
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL, CURLE_OUT_OF_MEMORY, CURLE_LOGIN_DENIED,
      CURLE_SSL_CIPHER, CURLE_NOT_BUILT_IN, CURLE_SSL_CACERT_BADFILE:
      .impossible(text)
    case CURLE_PEER_FAILED_VERIFICATION:
      .impossible("\(text); SSL_CERT_FILE names the authorities to be trusted")
    default: .lost(text)
    }
  }

  private func text(of code: CURLcode) -> String {
    let detail = unsafe String(cString: errorText)
    return detail.isEmpty ? unsafe String(cString: curl_easy_strerror(code)) : detail
  }

  // MARK: - Callbacks

  private static let receive: sediment_curl_transfer = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let context = unsafe context else { return 0 }
    // SAFETY: the context is the exchange of `perform`, and the buffer has that many bytes.
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
    return unsafe exchange.receive(UnsafeRawBufferPointer(start: buffer, count: size * count))
  }

  private static let receiveHeader: sediment_curl_transfer = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let context = unsafe context else { return 0 }
    // SAFETY: as above.
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
    let line = unsafe UnsafeRawBufferPointer(start: buffer, count: size * count)
    return unsafe exchange.receiveHeader(Array(line)) ? size * count : 0
  }

  private static let send: sediment_curl_transfer = { buffer, size, count, context in
    guard let buffer = unsafe buffer, let context = unsafe context else {
      return sediment_curl_abort()
    }
    // SAFETY: as above.
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
    return unsafe exchange.send(UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
      ?? sediment_curl_abort()
  }

  private static let seek: sediment_curl_seek = { context, offset, origin in
    guard let context = unsafe context, origin == 0 else { return 1 }
    // SAFETY: as above.
    let exchange = unsafe Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
    return exchange.seek(to: Int64(offset)) ? 0 : 1
  }
}

/// What goes to and fro in one request.
private final class HTTPExchange {
  private(set) var received: [UInt8] = []
  private(set) var headers: [String: String] = [:]
  private(set) var failure: HTTPFailure?
  private let receivedMax: Int
  private let body: HTTPBody?
  private var sent: UInt64 = 0
  private var headerBytes = 0

  private static let headerBytesMax = 1 << 16

  init(_ request: HTTPRequest) {
    receivedMax = request.answerBytesMax
    body = request.body
  }

  /// How many bytes were taken; fewer than there are end the transfer.
  func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard bytes.count <= receivedMax - received.count else {
      failure = .answerTooLong(bytesMax: receivedMax)
      return 0
    }
    unsafe received.append(contentsOf: bytes)
    return bytes.count
  }

  /// Takes a line of the head; `false` ends the transfer.
  func receiveHeader(_ line: [UInt8]) -> Bool {
    headerBytes += line.count
    guard headerBytes <= Self.headerBytesMax else {
      failure = .answerTooLong(bytesMax: Self.headerBytesMax)
      return false
    }
    // Of several heads, as after a request for Kerberos, the last one counts.
    if line.starts(with: "HTTP/".utf8) { headers = [:] }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { return true }
    let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
    let value = line[(colon + 1)...].drop { $0 <= 0x20 }
    let end = value.lastIndex { $0 > 0x20 }.map { $0 + 1 } ?? value.startIndex
    headers[name] = String(decoding: value[value.startIndex..<end], as: UTF8.self)
    return true
  }

  /// Fills the buffer as far as there is something left; `nil` when that failed.
  func send(_ buffer: UnsafeMutableRawBufferPointer) -> Int? {
    guard let body, sent < body.bytes else { return 0 }
    do throws(FileError) {
      let count = try unsafe body.read(into: buffer, at: sent)
      sent += UInt64(count)
      return count
    } catch {
      failure = .body(error)
      return nil
    }
  }

  func seek(to offset: Int64) -> Bool {
    guard let body, offset >= 0, UInt64(offset) <= body.bytes else { return false }
    sent = UInt64(offset)
    return true
  }
}

/// Connections that wait for the next request. Thread-safe.
package final class HTTPConnections: Sendable {
  private let idle = Mutex<[HTTPConnection]>([])
  private let options: HTTPOptions

  /// No connection yet.
  package init(_ options: HTTPOptions) {
    self.options = options
  }

  /// Sends `request` over a connection that nobody uses.
  package func perform(_ request: HTTPRequest) throws(HTTPFailure) -> HTTPAnswer {
    let connection =
      if let kept = idle.withLock({ $0.popLast() }) { kept } else {
        try HTTPConnection(options)
      }
    defer { idle.withLock { if $0.count < options.idleMax { $0.append(connection) } } }
    return try connection.perform(request)
  }
}
