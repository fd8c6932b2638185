/// A request as it came over a connection.
struct ServerRequest: Sendable {
  var method: String
  /// Without what all paths begin with, decoded.
  var path: String
  /// Decoded; of equal names the last.
  var parameters: [String: String]
  /// With names in lower case.
  var headers: [String: String]
  /// What came of the body together with the head.
  var bodyStart: [UInt8]

  var operation: String { (parameters["op"] ?? "").uppercased() }
  var bodyBytes: Int { headers["content-length"].flatMap { Int($0) } ?? 0 }

  /// Reads the next request; `nil` when the other side has closed or sends something else.
  ///
  /// - Parameter prefix: what all paths begin with.
  static func read(
    from connection: ServerConnection, below prefix: String = "/webhdfs/v1"
  ) -> ServerRequest? {
    var bytes: [UInt8] = []
    var searched = 0
    while true {
      if let end = headEnd(in: bytes, from: searched) {
        return ServerRequest(
          head: bytes[..<end], bodyStart: Array(bytes[(end + 4)...]), below: prefix)
      }
      searched = max(0, bytes.count - 3)
      let more = connection.read(65_536)
      guard !more.isEmpty, bytes.count < 1 << 20 else { return nil }
      bytes += more
    }
  }

  private static func headEnd(in bytes: [UInt8], from start: Int) -> Int? {
    var index = start
    while index + 4 <= bytes.count {
      if bytes[index] == 13, bytes[index + 1] == 10, bytes[index + 2] == 13, bytes[index + 3] == 10
      {
        return index
      }
      index += 1
    }
    return nil
  }

  private init?(head: ArraySlice<UInt8>, bodyStart: [UInt8], below prefix: String) {
    let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
    let words = (lines.first ?? "").split(separator: " ")
    guard words.count == 3 else { return nil }
    method = String(words[0])
    let parts = words[1].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts[0].hasPrefix(prefix) else { return nil }
    let path = Self.decoded(parts[0].dropFirst(prefix.count))
    self.path = path.isEmpty ? "/" : path
    parameters = [:]
    for parameter in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
      let pair = parameter.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      parameters[Self.decoded(pair[0])] = pair.count > 1 ? Self.decoded(pair[1]) : ""
    }
    headers = [:]
    for line in lines.dropFirst() {
      let pair = line.split(separator: ":", maxSplits: 1)
      guard pair.count == 2 else { continue }
      headers[pair[0].lowercased()] = String(pair[1].drop { $0 == " " })
    }
    self.bodyStart = bodyStart
  }

  private static func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), let value = UInt8(String(rest.prefix(2)) ?? "", radix: 16) {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

/// What a server answers.
struct ServerAnswer: Sendable {
  var status: Int
  var headers: [(name: String, value: String)] = []
  var body: [UInt8] = []

  /// An answer of JSON.
  static func json(_ text: String, status: Int = 200) -> ServerAnswer {
    ServerAnswer(
      status: status, headers: [("Content-Type", "application/json")], body: Array(text.utf8))
  }

  static func exception(_ exception: HDFSException) -> ServerAnswer {
    json(exception.json, status: exception.status)
  }

  /// Whether the connection stays open, as a NameNode's does and a DataNode's does not.
  func bytes(keepsConnection: Bool) -> [UInt8] {
    var text = "HTTP/1.1 \(status) \(Self.phrases[status] ?? "Status")\r\n"
    for (name, value) in headers { text += "\(name): \(value)\r\n" }
    text += "Content-Length: \(body.count)\r\n"
    text += keepsConnection ? "\r\n" : "Connection: close\r\n\r\n"
    return Array(text.utf8) + body
  }

  private static let phrases = [
    200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 307: "TEMPORARY_REDIRECT",
    400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 500: "Internal Server Error",
  ]
}
