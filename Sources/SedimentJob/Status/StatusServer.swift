// The HTTP server of a job's status.
//
// It answers GET and HEAD of a few short pages, one connection after the other, each closed behind
// its answer: what scrapes and checks ask for. There is no TLS and no password: it is for loopback,
// or a network that is trusted. A client that says nothing, or does not take its answer, holds up
// others for a few seconds.
//
// Invariants
// 1. A request of over 8 KiB, or that takes longer than it may, is refused.
// 2. Nothing that a client sends reaches the job.

internal import SedimentIO
internal import Synchronization

/// Serves a board until it is stopped.
package final class StatusServer: Sendable {
  private let board: StatusBoard
  private let isStopping = Atomic(false)
  private let thread: Mutex<SystemThread?>
  /// The port it listens on.
  package let port: UInt16

  private static let requestBytesMax = 8 << 10
  private static let patienceMillis: Int32 = 2_000
  /// How often it looks whether it is to stop.
  private static let waitMillis: Int32 = 100

  /// Listens and serves.
  ///
  /// - Parameter address: the port may be 0 for any.
  /// - Throws: `JobError` when the address cannot be had.
  package init(_ board: StatusBoard, at address: StatusAddress) throws(JobError) {
    self.board = board
    thread = Mutex(nil)
    let listener: SocketListener
    do throws(SocketListener.ListenError) {
      listener = try SocketListener(host: address.host, port: address.port)
    } catch {
      throw JobError(.failed, "\(error): choose another address with --http")
    }
    port = listener.port
    let shared = SharedListener(listener)
    do throws(SystemThread.StartError) {
      try thread.withLock { thread throws(SystemThread.StartError) in
        thread = try SystemThread(name: "sediment-http") { [self] in serve(shared) }
      }
    } catch {
      throw JobError(.failed, "\(error)")
    }
  }

  /// A listener that a thread's closure can hold.
  private final class SharedListener: Sendable {
    let listener: SocketListener

    init(_ listener: consuming SocketListener) { self.listener = listener }
  }

  /// Ends; whoever is being answered gets the answer.
  package func stop() {
    isStopping.store(true, ordering: .releasing)
    let started = thread.withLock { $0.take() }
    started?.join()
  }

  private func serve(_ shared: SharedListener) {
    while !isStopping.load(ordering: .acquiring) {
      let connection = shared.listener.accept(
        waitingMillis: Self.waitMillis, patienceMillis: Self.patienceMillis)
      if let connection { answer(connection) }
    }
  }

  private func answer(_ connection: borrowing SocketConnection) {
    var request: [UInt8] = []
    let clock = SystemClock()
    let start = clock.monotonicNanos()
    var piece = [UInt8](repeating: 0, count: 1024)
    while !Self.isWhole(request) {
      let count = unsafe piece.withUnsafeMutableBytes { unsafe connection.read(into: $0) }
      let age = (clock.monotonicNanos() &- start) / 1_000_000
      guard count > 0, request.count + count <= Self.requestBytesMax,
        age < UInt64(Self.patienceMillis)
      else {
        if !request.isEmpty { _ = connection.write(Self.response(Self.bad, hasBody: true)) }
        return
      }
      request += piece[..<count]
    }
    _ = connection.write(respond(to: request))
  }

  private static let bad = StatusPage(code: 400, text: "this is no request of HTTP\n")

  /// Whether the head of a request is there: up to an empty line.
  private static func isWhole(_ request: [UInt8]) -> Bool {
    var isLineEmpty = false
    for byte in request {
      if byte == 10, isLineEmpty { return true }
      isLineEmpty = byte == 10 || (isLineEmpty && byte == 13)
    }
    return false
  }

  /// The answer to a request, as bytes.
  package func respond(to request: [UInt8]) -> [UInt8] {
    let line = String(decoding: request.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3, words[2].hasPrefix("HTTP/1."), words[1].hasPrefix("/") else {
      return Self.response(Self.bad, hasBody: true)
    }
    guard words[0] == "GET" || words[0] == "HEAD" else {
      let page = StatusPage(code: 405, text: "only GET and HEAD are answered\n")
      return Self.response(page, hasBody: true)
    }
    let path = words[1].prefix { $0 != "?" }
    return Self.response(board.page(String(path)), hasBody: words[0] == "GET")
  }

  private static func response(_ page: StatusPage, hasBody: Bool) -> [UInt8] {
    let reason =
      switch page.code {
      case 200: "OK"
      case 400: "Bad Request"
      case 404: "Not Found"
      case 405: "Method Not Allowed"
      default: "Service Unavailable"
      }
    let head =
      [
        "HTTP/1.1 \(page.code) \(reason)", "Content-Type: \(page.contentType)",
        "Content-Length: \(page.text.utf8.count)", "Cache-Control: no-store", "Connection: close",
      ] + (page.code == 405 ? ["Allow: GET, HEAD"] : [])
    return Array((head.joined(separator: "\r\n") + "\r\n\r\n" + (hasBody ? page.text : "")).utf8)
  }
}

/// Where a job's status is served.
package struct StatusAddress: Sendable, Equatable {
  /// A name, or an address in digits.
  package var host: String
  /// 0 for any that is free.
  package var port: UInt16

  /// Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`, which is loopback; `nil` for anything else.
  package init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"),
      let port = UInt16(text[text.index(after: colon)...])
    else { return nil }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
    } else if host.contains(":") {
      return nil
    }
    self.host = host.isEmpty ? "127.0.0.1" : host
    self.port = port
  }

  /// The host as it stands in a URL.
  package var urlHost: String { host.contains(":") ? "[\(host)]" : host }

  /// Whether only this machine can ask.
  package var isLoopback: Bool {
    host == "localhost" || host == "::1"
      || (host.hasPrefix("127.") && host.allSatisfy(Self.isDigit))
  }

  private static func isDigit(_ character: Character) -> Bool {
    character == "." || character.isASCII && character.isNumber
  }
}
