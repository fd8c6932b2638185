internal import SedimentIO

/// What is asked of a server, once.
struct HTTPRequest: Sendable {
  enum Method: Sendable { case get, put, delete }

  var method: Method
  /// With query, which may hold a token: for the server alone.
  var url: String
  /// What is sent; `nil` for nothing.
  var body: HTTPBody?
  /// Whether a redirect to anything but HTTPS, and HTTP itself, is refused.
  var isSecure: Bool
  /// Whether Kerberos says who asks.
  var usesKerberos = false
  /// An answer that is longer is an error.
  var answerBytesMax = 1 << 20

  init(_ method: Method, _ url: String, isSecure: Bool) {
    self.method = method
    self.url = url
    self.isSecure = isSecure
  }
}

/// The bytes of a file, from its beginning.
struct HTTPBody: Sendable {
  var file: any File
  var bytes: UInt64
}

/// What a server said.
struct HTTPAnswer: Sendable, Equatable {
  var status: Int
  var body: [UInt8] = []
  /// Where it leads to, absolute; only of redirects.
  var redirect: String?
}

/// Why there is no answer.
enum HTTPFailure: Error, Sendable, Equatable {
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
struct HTTPOptions: Sendable, Equatable {
  /// For a connection to be made.
  var connectMillis: Int64
  /// In which not a byte moves, before the connection counts as broken.
  var stallSeconds: Int64
  /// A file of certificates that are trusted; those of the system without.
  var authoritiesPath: String?
}
