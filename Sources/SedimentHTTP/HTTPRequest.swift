package import SedimentIO

/// What is asked of a server, once.
package struct HTTPRequest: Sendable {
  /// What is to be done.
  package enum Method: Sendable {
    case get, put, post, delete

    /// As it is sent.
    package var name: String {
      switch self {
      case .get: "GET"
      case .put: "PUT"
      case .post: "POST"
      case .delete: "DELETE"
      }
    }
  }

  /// What is to be done.
  package var method: Method
  /// With query, which may hold a token: for the server alone.
  package var url: String
  /// Lines `name: value` beside those that every request has.
  package var headers: [String] = []
  /// What is sent; `nil` for nothing.
  package var body: HTTPBody?
  /// Whether a redirect to anything but HTTPS, and HTTP itself, is refused.
  package var isSecure: Bool
  /// Whether Kerberos says who asks.
  package var usesKerberos = false
  /// An answer that is longer is an error.
  package var answerBytesMax = 1 << 20
  /// Whether it may be sent twice without anybody knowing, which happens on a kept connection that
  /// turns out to be closed.
  package var mayBeSentAgain: Bool

  /// A request; one that only reads may be sent again.
  package init(_ method: Method, _ url: String, isSecure: Bool) {
    self.method = method
    self.url = url
    self.isSecure = isSecure
    mayBeSentAgain = method == .get
  }
}

/// What is sent with a request: a part of a file, or a few bytes.
package struct HTTPBody: Sendable {
  private enum Source: Sendable {
    case file(any File, offset: UInt64)
    case bytes([UInt8])
  }

  private let source: Source
  /// How many bytes.
  package let bytes: UInt64

  /// The first `bytes` bytes of a file.
  package init(file: any File, bytes: UInt64) { self.init(file: file, 0..<bytes) }

  /// A part of a file.
  package init(file: any File, _ range: Range<UInt64>) {
    source = .file(file, offset: range.lowerBound)
    bytes = range.upperBound - range.lowerBound
  }

  /// A few bytes.
  package init(_ content: [UInt8]) {
    source = .bytes(content)
    bytes = UInt64(content.count)
  }

  /// Fills the buffer from `offset`; fewer bytes at the end only.
  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    let wanted = Int(clamping: min(UInt64(buffer.count), bytes - min(offset, bytes)))
    guard wanted > 0 else { return 0 }
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<wanted])
    switch source {
    case .file(let file, let start): return try unsafe file.read(into: room, at: start + offset)
    case .bytes(let content):
      unsafe room.copyBytes(from: content[Int(offset)..<Int(offset) + wanted])
      return wanted
    }
  }
}

/// What a server said.
package struct HTTPAnswer: Sendable, Equatable {
  /// The code.
  package var status: Int
  /// Of the answer; values of one name that comes twice are the last one.
  package var headers: [String: String] = [:]
  /// The content.
  package var body: [UInt8] = []
  /// Where it leads to, absolute; only of redirects.
  package var redirect: String?

  /// An answer of these parts. Names of headers are in lower case.
  package init(
    status: Int, headers: [String: String] = [:], body: [UInt8] = [], redirect: String? = nil
  ) {
    self.status = status
    self.headers = headers
    self.body = body
    self.redirect = redirect
  }
}

/// Why there is no answer.
package enum HTTPFailure: Error, Sendable, Equatable {
  /// Nobody was reached, so nothing was done.
  case unreachable(String)
  /// The connection broke or was still for too long: it may have been done.
  case lost(String)
  /// Trying again is of no use: TLS, an address that is none.
  case impossible(String)
  /// The answer has more bytes than may be.
  case answerTooLong(bytesMax: Int)
  /// The body could not be read.
  case body(FileError)
}

/// What holds for all requests of a client.
package struct HTTPOptions: Sendable, Equatable {
  /// For a connection to be made.
  package var connectMillis: Int64
  /// In which not a byte moves, before the connection counts as broken.
  package var stallSeconds: Int64
  /// A file of certificates that are trusted; those of the system without.
  package var authoritiesPath: String?
  /// Connections that are kept for the next request.
  package var idleMax: Int

  /// Options of these parts.
  package init(
    connectMillis: Int64, stallSeconds: Int64, authoritiesPath: String? = nil, idleMax: Int
  ) {
    self.connectMillis = connectMillis
    self.stallSeconds = stallSeconds
    self.authoritiesPath = authoritiesPath
    self.idleMax = idleMax
  }
}
