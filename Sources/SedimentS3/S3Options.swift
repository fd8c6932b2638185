internal import SedimentHTTP

/// Who asks. A secret: it is in no message.
public struct S3Credentials: Sendable, Equatable {
  /// The public half.
  public var accessKeyID: String
  /// The secret half.
  public var secretAccessKey: String
  /// Of credentials that are lent for some time.
  public var sessionToken: String?

  /// Credentials of these parts.
  public init(accessKeyID: String, secretAccessKey: String, sessionToken: String? = nil) {
    self.accessKeyID = accessKeyID
    self.secretAccessKey = secretAccessKey
    self.sessionToken = sessionToken
  }
}

/// How object storage is asked.
public struct S3Options: Sendable {
  /// `http://host:port` or `https://host` of a server that is not Amazon's, whose buckets are
  /// components of the path; Amazon's of the region without.
  public var endpoint: String?
  /// The region, which signatures name.
  public var region = "us-east-1"
  /// Who asks.
  public var credentials: S3Credentials
  /// A file of certificates that are trusted over TLS; those of the system without.
  public var authoritiesPath: String?
  /// A larger file is put in parts of this many bytes; 5 MiB at least.
  public var partBytes: UInt64 = 64 << 20
  /// How often a request is sent before it has failed; with the delays below about a minute.
  public var triesMax = 16
  /// Up to this long before the second try; doubled from one to the next.
  public var delayMillis: UInt64 = 100
  /// What it is doubled up to.
  public var delayMillisMax: UInt64 = 8_000
  /// For a connection to be made.
  public var connectMillis: Int64 = 10_000
  /// In which not a byte moves, before a connection counts as broken.
  public var stallSeconds: Int64 = 60
  /// Told once what is waited for, in a sentence without a full stop, when a request has failed
  /// `toldTry` times; from any thread.
  public var report: @Sendable (String) -> Void = { _ in }

  static let toldTry = 5
  /// The server's limits.
  static let partBytesMin: UInt64 = 5 << 20
  static let partsMax: UInt64 = 10_000

  /// Options with their defaults.
  public init(credentials: S3Credentials) { self.credentials = credentials }

  /// The longest wait before try `number`, counted from 0.
  func delayMillisMax(before number: Int) -> UInt64 {
    guard number > 0 else { return 0 }
    return min(delayMillis << UInt64(min(number - 1, 20)), delayMillisMax)
  }

  /// How large the parts of a file are.
  package func partBytes(of bytes: UInt64) -> UInt64 {
    let least = max(partBytes, Self.partBytesMin)
    return max(least, (bytes + Self.partsMax - 1) / Self.partsMax)
  }

  var http: HTTPOptions {
    HTTPOptions(
      connectMillis: connectMillis, stallSeconds: stallSeconds, authoritiesPath: authoritiesPath,
      // As many as objects that are transferred at once by default.
      idleMax: 4)
  }
}
