// A server of S3 in this process, over HTTP on a port of the loopback address: buckets are the
// first components of paths, objects are in memory. It knows what `SedimentS3` asks: PUT with
// If-None-Match or a source to copy, GET with Range, ListObjectsV2, DELETE, and uploads in parts.
// Nobody's signature is checked; `tools/test-s3` asks a server that others have written.
//
// A plan says for every request by its number what goes wrong with it.
//
// Concurrency: a thread for the port and every connection; `monitor` guards all that changes.

internal import SedimentIO

/// A request, as plans and tests see it.
public struct S3Call: Sendable, Equatable {
  /// Counted from 1 since the plan was made.
  public var number: Int
  /// `GET`, `PUT`, …
  public var method: String
  /// `/bucket/key`.
  public var path: String
  /// Of the query.
  public var parameters: [String: String]
  /// With names in lower case.
  public var headers: [String: String]
}

/// What goes wrong with a request.
public enum S3Fault: Sendable, Equatable {
  /// The connection is closed, and nothing was done.
  case dropBefore
  /// It was done, and the connection is closed without an answer.
  case dropAfter
  /// The connection is closed in the middle of the body.
  case cut
  /// The answer ends in the middle.
  case cutAnswer
  /// The answer is something else, and nothing was done.
  case answer(status: Int, body: String)
  /// It was done, and the answer is something else.
  case answerAfter(status: Int, body: String)
}

/// An S3 in memory, with the bucket `bucket`.
// @unchecked because everything that changes is touched only with `monitor` held.
public final class S3Server: @unchecked Sendable {
  private struct Upload {
    var key: String
    var parts: [Int: [UInt8]] = [:]
  }

  private let socket: ListeningSocket
  private let monitor = Monitor()
  private var objects: [String: [UInt8]] = [:]
  private var uploads: [String: Upload] = [:]
  private var uploadCount = 0
  private var plan: @Sendable (S3Call) -> S3Fault? = { _ in nil }
  private var callsSoFar: [S3Call] = []
  private var ignoresConditions = false
  private var pageSize = 1_000
  private var connections: [ObjectIdentifier: ServerConnection] = [:]
  private var threads = 0

  /// A server with an empty bucket.
  public init() throws {
    socket = try ListeningSocket()
    let socket = socket
    try start("s3") { [self] in
      while let descriptor = socket.accept() { accept(ServerConnection(descriptor)) }
    }
  }

  /// Ends all connections and waits until nobody is served any more.
  public func stop() {
    socket.stop()
    monitor.withLock {
      for connection in connections.values { connection.breakOff() }
      while threads > 0 { monitor.wait() }
    }
  }

  /// What clients are told.
  public var endpoint: String { "http://127.0.0.1:\(socket.port)" }

  // MARK: - What tests set and see

  /// Asks `plan` about every request from now on, before anything is done, and counts from 1.
  public func setPlan(_ plan: @escaping @Sendable (S3Call) -> S3Fault?) {
    monitor.withLock {
      self.plan = plan
      callsSoFar = []
    }
  }

  /// The requests since the plan was made.
  public var calls: [S3Call] { monitor.withLock { callsSoFar } }

  /// Whether If-None-Match is passed over, as by old servers.
  public func setIgnoringConditions(_ value: Bool) {
    monitor.withLock { ignoresConditions = value }
  }

  /// How many objects a page of a listing has.
  public func setPageSize(_ size: Int) { monitor.withLock { pageSize = size } }

  /// All keys, in byte order.
  public var keys: [String] { monitor.withLock { objects.keys.sorted(by: PathName.precedes) } }

  /// What a key holds; `nil` for nothing.
  public func content(_ key: String) -> [UInt8]? { monitor.withLock { objects[key] } }

  /// Uploads in parts that were not ended.
  public var uploadsInParts: Int { monitor.withLock { uploads.count } }

  // MARK: - Connections

  private func accept(_ connection: ServerConnection) {
    monitor.withLock { connections[ObjectIdentifier(connection)] = connection }
    do {
      try start("s3-serve") { [self] in
        serve(connection)
        forget(connection)
      }
    } catch {
      forget(connection)
    }
  }

  private func start(_ name: String, _ body: @escaping @Sendable () -> Void) throws {
    monitor.withLock { threads += 1 }
    let thread = try SystemThread(name: name) { [self] in
      body()
      monitor.withLock {
        threads -= 1
        monitor.broadcast()
      }
    }
    _ = consume thread
  }

  private func forget(_ connection: ServerConnection) {
    connection.breakOff()
    monitor.withLock { connections[ObjectIdentifier(connection)] = nil }
  }

  private func serve(_ connection: ServerConnection) {
    while let request = ServerRequest.read(from: connection, below: "") {
      guard let bytes = answer(request, over: connection) else { return }
      connection.write(bytes)
    }
  }

  /// The answer to a request; `nil` when there is to be none.
  private func answer(_ request: ServerRequest, over connection: ServerConnection) -> [UInt8]? {
    let (call, plan) = monitor.withLock {
      let call = S3Call(
        number: callsSoFar.count + 1, method: request.method, path: request.path,
        parameters: request.parameters, headers: request.headers)
      callsSoFar.append(call)
      return (call, self.plan)
    }
    let fault = plan(call)
    if fault == .dropBefore { return nil }
    let count = fault == .cut ? request.bodyBytes / 2 : request.bodyBytes
    let body = Self.body(of: request, over: connection, count: count)
    if fault == .cut || body.count < count { return nil }
    if case .answer(let status, let text)? = fault {
      return ServerAnswer(status: status, body: Array(text.utf8)).bytes(keepsConnection: true)
    }
    let answer = monitor.withLock { perform(request, body) }
    let bytes = answer.bytes(keepsConnection: true)
    switch fault {
    case .dropAfter?: return nil
    case .cutAnswer?:
      connection.write(Array(bytes.prefix(bytes.count - max(1, answer.body.count / 2))))
      return nil
    case .answerAfter(let status, let text)?:
      return ServerAnswer(status: status, body: Array(text.utf8)).bytes(keepsConnection: true)
    default: return bytes
    }
  }

  private static func body(
    of request: ServerRequest, over connection: ServerConnection, count: Int
  ) -> [UInt8] {
    var body = Array(request.bodyStart.prefix(count))
    while body.count < count {
      let more = connection.read(min(count - body.count, 1 << 18))
      guard !more.isEmpty else { break }
      body += more
    }
    return body
  }

  // MARK: - Operations

  /// The caller holds the monitor.
  private func perform(_ request: ServerRequest, _ body: [UInt8]) -> ServerAnswer {
    let parts = request.path.split(separator: "/", maxSplits: 1)
    guard parts.first == "bucket" else { return Self.failure(404, "NoSuchBucket") }
    let key = parts.count > 1 ? String(parts[1]) : ""
    let parameters = request.parameters
    switch request.method {
    case "GET" where key.isEmpty && parameters["uploads"] != nil: return listUploads(parameters)
    case "GET" where key.isEmpty: return list(parameters)
    case "GET": return get(key, request)
    case "PUT":
      if let id = parameters["uploadId"] { return putPart(id, parameters, body) }
      if objects[key] != nil, request.headers["if-none-match"] == "*", !ignoresConditions {
        return Self.failure(412, "PreconditionFailed")
      }
      if let source = request.headers["x-amz-copy-source"] { return copy(source, to: key) }
      objects[key] = body
      return ServerAnswer(status: 200, headers: [("ETag", "\"\(body.count)\"")])
    case "POST": return post(key, parameters)
    case "DELETE":
      if let id = parameters["uploadId"] {
        guard uploads.removeValue(forKey: id) != nil else {
          return Self.failure(404, "NoSuchUpload")
        }
      } else {
        objects[key] = nil
      }
      return ServerAnswer(status: 204)
    default: return Self.failure(405, "MethodNotAllowed")
    }
  }

  private func get(_ key: String, _ request: ServerRequest) -> ServerAnswer {
    guard let content = objects[key] else { return Self.failure(404, "NoSuchKey") }
    guard let range = request.headers["range"] else {
      return ServerAnswer(status: 200, body: content)
    }
    let ends = range.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
    guard ends.count == 2, ends[0] < content.count else {
      return Self.failure(416, "InvalidRange")
    }
    return ServerAnswer(
      status: 206, body: Array(content[ends[0]..<min(ends[1] + 1, content.count)]))
  }

  private func copy(_ source: String, to key: String) -> ServerAnswer {
    guard source.hasPrefix("/bucket/"), let content = objects[String(source.dropFirst(8))] else {
      return Self.failure(404, "NoSuchKey")
    }
    objects[key] = content
    let text = "<CopyObjectResult><ETag>\(content.count)</ETag></CopyObjectResult>"
    return ServerAnswer(status: 200, body: Array(text.utf8))
  }

  private func list(_ parameters: [String: String]) -> ServerAnswer {
    let prefix = parameters["prefix"] ?? ""
    let start = parameters["continuation-token"] ?? ""
    let keys = objects.keys.filter { $0.hasPrefix(prefix) && PathName.precedes(start, $0) }
      .sorted(by: PathName.precedes)
    let page = keys.prefix(pageSize)
    var text = "<ListBucketResult><IsTruncated>\(keys.count > page.count)</IsTruncated>"
    if keys.count > page.count, let last = page.last {
      text += "<NextContinuationToken>\(last)</NextContinuationToken>"
    }
    for key in page {
      text += "<Contents><Key>\(key)</Key><Size>\(objects[key]?.count ?? 0)</Size></Contents>"
    }
    return ServerAnswer(status: 200, body: Array((text + "</ListBucketResult>").utf8))
  }

  private func listUploads(_ parameters: [String: String]) -> ServerAnswer {
    let prefix = parameters["prefix"] ?? ""
    var text = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>"
    for (id, upload) in uploads.sorted(by: { $0.key < $1.key })
    where upload.key.hasPrefix(prefix) {
      text += "<Upload><Key>\(upload.key)</Key><UploadId>\(id)</UploadId>"
      text += "<Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
    }
    return ServerAnswer(status: 200, body: Array((text + "</ListMultipartUploadsResult>").utf8))
  }

  private func putPart(
    _ id: String, _ parameters: [String: String], _ body: [UInt8]
  ) -> ServerAnswer {
    guard uploads[id] != nil else { return Self.failure(404, "NoSuchUpload") }
    guard let number = parameters["partNumber"].flatMap({ Int($0) }) else {
      return Self.failure(400, "InvalidArgument")
    }
    uploads[id]?.parts[number] = body
    return ServerAnswer(status: 200, headers: [("ETag", "\"\(id)-\(number)\"")])
  }

  private func post(_ key: String, _ parameters: [String: String]) -> ServerAnswer {
    if parameters["uploads"] != nil {
      uploadCount += 1
      let id = "upload-\(uploadCount)"
      uploads[id] = Upload(key: key)
      let text =
        "<InitiateMultipartUploadResult><UploadId>\(id)</UploadId></InitiateMultipartUploadResult>"
      return ServerAnswer(status: 200, body: Array(text.utf8))
    }
    guard let id = parameters["uploadId"], let upload = uploads.removeValue(forKey: id) else {
      return Self.failure(404, "NoSuchUpload")
    }
    objects[key] = upload.parts.sorted { $0.key < $1.key }.flatMap(\.value)
    let text = "<CompleteMultipartUploadResult/>"
    return ServerAnswer(status: 200, body: Array(text.utf8))
  }

  private static func failure(_ status: Int, _ code: String) -> ServerAnswer {
    let text = "<Error><Code>\(code)</Code><Message>so it is</Message></Error>"
    return ServerAnswer(status: status, body: Array(text.utf8))
  }
}
