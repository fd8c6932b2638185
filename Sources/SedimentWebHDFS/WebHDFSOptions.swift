internal import SedimentHTTP

/// How a client of WebHDFS asks.
package struct WebHDFSOptions: Sendable {
  /// A delegation token that says who asks. A secret: it is in no message.
  package var token: String?
  /// A file of certificates that are trusted over TLS; those of the system without.
  package var authoritiesPath: String?
  /// How often a request is sent before it has failed; with the delays below two minutes, which
  /// outlast the failover of a NameNode.
  package var triesMax = 30
  /// Between the first two tries; doubled from one to the next.
  package var delayMillis: UInt64 = 100
  /// What it is doubled up to.
  package var delayMillisMax: UInt64 = 5_000
  /// For a connection to be made.
  package var connectMillis: Int64 = 10_000
  /// In which not a byte moves, before a connection counts as broken.
  package var stallSeconds: Int64 = 60

  /// Told once what is waited for, in a sentence without a full stop, when a request has failed
  /// `toldTry` times; from any thread.
  package var report: @Sendable (String) -> Void = { _ in }

  /// A moment of failure is nobody's concern: with the delays above it is more than a second.
  static let toldTry = 5

  /// Options with their defaults.
  package init() {}

  /// How long to wait before try `number`, counted from 0.
  func delayMillis(before number: Int) -> UInt64 {
    guard number > 0 else { return 0 }
    return min(delayMillis << UInt64(min(number - 1, 20)), delayMillisMax)
  }

  /// Tells of a request that has failed in tries up to `number`, counted from 0, if it is time.
  func tell(of number: Int, _ operation: String, _ url: String, _ reason: String) {
    guard number + 1 == Self.toldTry, number + 1 < triesMax else { return }
    report("cannot \(operation) \(url) yet, and go on trying: \(reason)")
  }

  var http: HTTPOptions {
    HTTPOptions(
      connectMillis: connectMillis, stallSeconds: stallSeconds, authoritiesPath: authoritiesPath,
      // As many as threads use a directory: the one that writes, and the one that commits.
      idleMax: 2)
  }
}
