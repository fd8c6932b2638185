// What object storage answers, read into types: pure functions of the bytes.

package import SedimentHTTP

/// A page of a listing.
package struct S3Listing: Equatable, Sendable {
  package var objects: [(key: String, bytes: UInt64)] = []
  /// Where the next page begins; `nil` on the last one.
  package var continuation: String?

  package init(_ body: [UInt8]) throws(XMLError) {
    let root = try S3Answer.root(of: body, "ListBucketResult")
    // Keys may hold what XML cannot: they come encoded.
    for element in root.all("Contents") {
      guard let key = element.text(of: "Key").flatMap({ PercentCoding.decoded($0) }),
        let bytes = element.text(of: "Size").flatMap({ UInt64($0) })
      else { throw XMLError(offset: 0, description: "an object without a key or a size") }
      objects.append((key, bytes))
    }
    guard root.text(of: "IsTruncated") == "true" else { return }
    guard let next = root.text(of: "NextContinuationToken"), !next.isEmpty else {
      throw XMLError(offset: 0, description: "a listing without its next page")
    }
    continuation = next
  }

  package static func == (left: S3Listing, right: S3Listing) -> Bool {
    left.continuation == right.continuation
      && left.objects.elementsEqual(right.objects) { $0 == $1 }
  }
}

/// A page of uploads in parts that were not ended.
package struct S3Uploads: Equatable, Sendable {
  /// One of them.
  package struct Upload: Equatable, Sendable {
    package var key: String
    package var id: String
    /// In milliseconds since 1970.
    package var begunMillis: Int64

    /// An upload of these parts.
    package init(key: String, id: String, begunMillis: Int64) {
      self.key = key
      self.id = id
      self.begunMillis = begunMillis
    }
  }

  package var uploads: [Upload] = []
  /// Where the next page begins; `nil` on the last one.
  package var next: (key: String, id: String)?

  package init(_ body: [UInt8]) throws(XMLError) {
    let root = try S3Answer.root(of: body, "ListMultipartUploadsResult")
    for element in root.all("Upload") {
      guard let key = element.text(of: "Key").flatMap({ PercentCoding.decoded($0) }),
        let id = element.text(of: "UploadId"), !id.isEmpty,
        let begun = element.text(of: "Initiated").flatMap({ S3Answer.millis(of: $0) })
      else { throw XMLError(offset: 0, description: "an upload without a key, an id or a time") }
      uploads.append(Upload(key: key, id: id, begunMillis: begun))
    }
    guard root.text(of: "IsTruncated") == "true" else { return }
    guard let key = root.text(of: "NextKeyMarker").flatMap({ PercentCoding.decoded($0) }),
      let id = root.text(of: "NextUploadIdMarker")
    else { throw XMLError(offset: 0, description: "a listing without its next page") }
    next = (key, id)
  }

  package static func == (left: S3Uploads, right: S3Uploads) -> Bool {
    left.uploads == right.uploads && left.next?.key == right.next?.key
      && left.next?.id == right.next?.id
  }
}

/// Small answers.
package enum S3Answer: Sendable {
  /// The element of an answer, which must have a name.
  package static func root(of body: [UInt8], _ name: String) throws(XMLError) -> XMLElement {
    let root = try XMLReader.read(body)
    guard root.name == name else {
      throw XMLError(offset: 0, description: "'\(root.name)' where \(name) was expected")
    }
    return root
  }

  /// The id of an upload in parts.
  package static func uploadID(_ body: [UInt8]) throws(XMLError) -> String {
    let root = try root(of: body, "InitiateMultipartUploadResult")
    guard let id = root.text(of: "UploadId"), !id.isEmpty else {
      throw XMLError(offset: 0, description: "an upload without an id")
    }
    return id
  }

  /// Code and message of an error; `nil` where the answer is none.
  package static func failure(_ body: [UInt8]) -> (code: String, message: String)? {
    do throws(XMLError) {
      let root = try root(of: body, "Error")
      guard let code = root.text(of: "Code") else { return nil }
      let message = root.text(of: "Message") ?? ""
      return (
        code, String(message.split(whereSeparator: \.isNewline).joined(separator: " ").prefix(300))
      )
    } catch {
      return nil
    }
  }

  /// The end of an upload in parts, as it is asked for.
  package static func completion(_ tags: [String]) -> [UInt8] {
    let parts = tags.enumerated().map { index, tag in
      "<Part><PartNumber>\(index + 1)</PartNumber><ETag>\(escaped(tag))</ETag></Part>"
    }
    return Array(
      "<CompleteMultipartUpload>\(parts.joined())</CompleteMultipartUpload>".utf8)
  }

  private static func escaped(_ text: String) -> String {
    text.map { character in
      switch character {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      default: String(character)
      }
    }.joined()
  }

  /// Reads `2026-11-29T15:04:05.000Z`; `nil` for anything else.
  package static func millis(of text: String) -> Int64? {
    let parts = text.utf8.split(whereSeparator: { $0 < 0x30 || $0 > 0x39 })
    guard text.hasSuffix("Z"), (6...7).contains(parts.count) else { return nil }
    var fields: [Int64] = []
    for part in parts.prefix(6) {
      guard part.count <= 4, let field = Int64(String(decoding: Array(part), as: UTF8.self)) else {
        return nil
      }
      fields.append(field)
    }
    guard (1...12).contains(fields[1]), (1...31).contains(fields[2]), fields[3] < 24,
      fields[4] < 60, fields[5] < 61
    else { return nil }
    let days = CivilDate(year: fields[0], month: fields[1], day: fields[2]).daysSince1970
    return (((days * 24 + fields[3]) * 60 + fields[4]) * 60 + fields[5]) * 1_000
  }
}

/// What to do after an answer: a pure function.
package enum S3Verdict: Equatable, Sendable {
  case done
  /// Nothing is under the key.
  case notFound
  /// A condition of the request did not hold.
  case preconditionFailed
  /// It may go better later.
  case later(String)
  /// It will not go better.
  case final(S3Error.Code, String)

  /// Longer answers are what was asked for.
  private static let failureBytesMax = 1 << 16

  package init(_ answer: HTTPAnswer) {
    let isShort = answer.body.count <= Self.failureBytesMax
    let failure = isShort ? S3Answer.failure(answer.body) : nil
    // Some answers begin with 200, to keep a connection alive, and then fail.
    if (200..<300).contains(answer.status), failure == nil {
      self = .done
      return
    }
    let code = failure?.code ?? ""
    let text = failure.map { "\($0.code): \($0.message)" } ?? "HTTP \(answer.status)"
    switch (answer.status, code) {
    case (_, "NoSuchBucket"): self = .final(.notFound, text)
    case (404, "NoSuchUpload"): self = .final(.noSuchUpload, text)
    case (404, _): self = .notFound
    case (412, _): self = .preconditionFailed
    case (416, _): self = .final(.rangeNotSatisfiable, text)
    case (409, "ConditionalRequestConflict"), (409, "OperationAborted"), (400, "RequestTimeout"),
      (200..<300, _), (408, _), (429, _), (500, _), (502...504, _), (_, "SlowDown"):
      self = .later(text)
    case (507, _): self = .final(.noSpace, text)
    case (300..<400, _):
      self = .final(.refused, "\(text): the bucket is in another region: AWS_REGION names it")
    case (401, _), (403, _):
      self = .final(
        .permissionDenied,
        "\(text); who asks is told by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    case (501, _), (505..., _): self = .final(.refused, text)
    default: self = .final(.refused, text)
    }
  }
}
