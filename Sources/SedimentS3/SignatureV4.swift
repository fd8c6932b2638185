// The signature of a request, Amazon's Signature Version 4: a pure function of the request, the
// time and the credentials.
//
//   canonical request   method, path, query, headers, names of the headers, SHA-256 of the body
//   string to sign      algorithm, time, scope (day/region/service/aws4_request), SHA-256 of that
//   key                 HMAC of the secret over day, region, service and aws4_request in turn

package import SedimentStore

/// What is signed.
package struct SignableRequest: Sendable {
  /// `GET`, `PUT`, …
  package var method: String
  /// Percent-encoded but for slashes.
  package var path: String
  /// Names and values, not encoded.
  package var query: [(name: String, value: String)]
  /// Names and values of all headers that are to be signed, `host` among them.
  package var headers: [(name: String, value: String)]
  /// In hexadecimal.
  package var bodyDigest: String

  /// A request of these parts.
  package init(
    method: String, path: String, query: [(name: String, value: String)],
    headers: [(name: String, value: String)], bodyDigest: String
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.bodyDigest = bodyDigest
  }
}

/// A signer of one region and service.
package struct SignatureV4: Sendable {
  /// Who signs.
  package var credentials: S3Credentials
  /// Where.
  package var region: String
  /// For what.
  package var service: String

  private static let algorithm = "AWS4-HMAC-SHA256"

  /// A signer of these parts.
  package init(credentials: S3Credentials, region: String, service: String = "s3") {
    self.credentials = credentials
    self.region = region
    self.service = service
  }

  /// The value of the header `Authorization`.
  ///
  /// - Parameter time: `20130524T000000Z`, as in the header `x-amz-date`.
  package func authorization(_ request: SignableRequest, time: String) -> String {
    let (canonical, names) = Self.canonical(request)
    let day = String(time.prefix(8))
    let scope = "\(day)/\(region)/\(service)/aws4_request"
    let text = [
      Self.algorithm, time, scope, SHA256.digest(of: Array(canonical.utf8)).hexadecimal,
    ].joined(separator: "\n")
    var key = Array("AWS4\(credentials.secretAccessKey)".utf8)
    for part in [day, region, service, "aws4_request"] {
      key = SHA256.authenticationCode(of: Array(part.utf8), key: key).bytes
    }
    let signature = SHA256.authenticationCode(of: Array(text.utf8), key: key).hexadecimal
    return "\(Self.algorithm) Credential=\(credentials.accessKeyID)/\(scope),"
      + "SignedHeaders=\(names),Signature=\(signature)"
  }

  /// The canonical request, and the names of its headers.
  package static func canonical(_ request: SignableRequest) -> (text: String, names: String) {
    let query = S3Query.encoded(request.query)
    let headers = request.headers.map { (name: $0.name.lowercased(), value: trimmed($0.value)) }
      .sorted { $0.name < $1.name }
    let names = headers.map(\.name).joined(separator: ";")
    let lines = headers.map { "\($0.name):\($0.value)\n" }.joined()
    let text = [request.method, request.path, query, lines, names, request.bodyDigest]
      .joined(separator: "\n")
    return (text, names)
  }

  /// A value without spaces around it, and with one where there are several.
  private static func trimmed(_ value: String) -> String {
    value.split(separator: " ").joined(separator: " ")
  }

  /// A moment as signatures name it.
  package static func time(ofMillis millis: Int64) -> String {
    let seconds = millis / 1_000 - (millis % 1_000 < 0 ? 1 : 0)
    let day = seconds / 86_400 - (seconds % 86_400 < 0 ? 1 : 0)
    let rest = seconds - day * 86_400
    let date = CivilDate(daysSince1970: day)
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let year = String(repeating: "0", count: max(0, 4 - "\(date.year)".utf8.count)) + "\(date.year)"
    return year + two(date.month) + two(date.day) + "T" + two(rest / 3_600)
      + two(rest / 60 % 60) + two(rest % 60) + "Z"
  }
}

extension SHA256 {
  /// HMAC-SHA-256 (RFC 2104).
  package static func authenticationCode(of bytes: [UInt8], key: [UInt8]) -> Digest {
    let blockBytes = 64
    var block = key.count > blockBytes ? digest(of: key).bytes : key
    block += [UInt8](repeating: 0, count: blockBytes - block.count)
    let inner = digest(of: block.map { $0 ^ 0x36 } + bytes).bytes
    return digest(of: block.map { $0 ^ 0x5C } + inner)
  }
}

/// A day of the Gregorian calendar; Howard Hinnant's algorithms.
struct CivilDate: Equatable {
  var year: Int64
  var month: Int64
  var day: Int64

  init(year: Int64, month: Int64, day: Int64) {
    self.year = year
    self.month = month
    self.day = day
  }

  init(daysSince1970 days: Int64) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra =
      (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  }

  var daysSince1970: Int64 {
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
