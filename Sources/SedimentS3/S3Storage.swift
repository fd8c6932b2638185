// Checkpoint storage in a bucket of S3, or of a server that speaks its protocol.
//
// | operation | request | when an answer is lost |
// | put | PUT, or an upload in parts that ends at once | sent again: the same bytes |
// | put if absent | PUT with If-None-Match: * | sent again; 412 is resolved by reading the key |
// | copy | PUT with x-amz-copy-source | sent again: the same bytes |
// | read | GET with Range | sent again |
// | list | ListObjectsV2, page by page | sent again |
// | delete | DELETE | sent again: what is gone is gone |
//
// A server that does not know If-None-Match would overwrite: so the first conditional put is tried
// out on a key of its own.
//
// Concurrency: from any thread.

internal import SedimentHTTP
public import SedimentIO
public import SedimentStore
internal import Synchronization

/// Checkpoint storage in a bucket of S3, or of a server that speaks its protocol.
///
/// ```swift
/// let credentials = S3Credentials(accessKeyID: "…", secretAccessKey: "…")
/// let storage = try S3Storage(
///   try S3Address("s3://backups/clicks"), S3Options(credentials: credentials))
/// try store.checkpoint(to: storage)
/// ```
///
/// The server must show at once what was put, and know `If-None-Match`. Thread-safe.
public final class S3Storage: CheckpointStorage {
  public var location: String { client.address.location }
  private let client: S3Client
  private let clock: any Clock
  /// Whether the server was seen to refuse a put of what is there.
  private let knowsConditions = Mutex(false)

  private static let listingBytesMax = 16 << 20
  private static let pagesMax = 100_000
  private static let exceptionBytesMax = 1 << 20
  /// Servers copy no more in one request.
  private static let copyBytesMax: UInt64 = 5 << 30

  /// Storage at an address.
  ///
  /// - Throws: `invalidArgument` when the endpoint is none.
  public init(
    _ address: S3Address, _ options: S3Options, clock: any Clock = SystemClock()
  ) throws(StoreError) {
    self.clock = clock
    do throws(S3AddressError) {
      client = try S3Client(address, options, clock: clock)
    } catch {
      throw StoreError(.invalidArgument, "\(error)", cause: error)
    }
  }

  // MARK: - Putting

  public func put(_ file: any File, bytes: UInt64, as key: String) throws(StoreError) {
    let partBytes = client.options.partBytes(of: bytes)
    if bytes <= partBytes {
      try putWhole(file, 0..<bytes, as: key)
    } else {
      try S3MultipartUpload(client, key: key).run(file, bytes: bytes, partBytes: partBytes)
    }
  }

  private func putWhole(
    _ file: any File, _ range: Range<UInt64>, as key: String
  ) throws(StoreError) {
    let digest = try file.digest(range)
    try reachingStorage { () throws(S3Error) in
      var request = S3Client.Request(method: .put, operation: "put", key: key)
      request.body = HTTPBody(file: file, range)
      request.bodyDigest = digest
      _ = try client.askForSuccess(request)
    }
  }

  public func put(_ content: [UInt8], as key: String) throws(StoreError) {
    try reachingStorage { () throws(S3Error) in
      _ = try client.askForSuccess(Self.request(toPut: content, as: key))
    }
  }

  public func putIfAbsent(_ content: [UInt8], as key: String) throws(StoreError) -> Bool {
    try checkThatConditionsAreKnown()
    return try reachingStorage { () throws(S3Error) in try putIfNoneMatches(content, as: key) }
  }

  private static func request(toPut content: [UInt8], as key: String) -> S3Client.Request {
    var request = S3Client.Request(method: .put, operation: "put", key: key)
    request.body = HTTPBody(content)
    request.bodyDigest = SHA256.digest(of: content).hexadecimal
    return request
  }

  private func putIfNoneMatches(
    _ content: [UInt8], as key: String
  ) throws(S3Error) -> Bool {
    var request = Self.request(toPut: content, as: key)
    request.headers = [("if-none-match", "*")]
    let reply = try client.ask(request)
    switch reply.verdict {
    case .done: return true
    case .notFound: throw client.error(.refused, request, "HTTP 404 to a put")
    default:
      // Taken by another, or by a try whose answer was lost, or that the connection sent again.
      return try get(key, 0..<UInt64(content.count) + 1) == content
    }
  }

  private func checkThatConditionsAreKnown() throws(StoreError) {
    guard !knowsConditions.withLock({ $0 }) else { return }
    let key = "probes/\(UploadID(millis: clock.nowMillis()))"
    let isRefused = try reachingStorage { () throws(S3Error) in
      guard try putIfNoneMatches([1], as: key) else { return true }
      return try !putIfNoneMatches([2], as: key)
    }
    try delete([key])
    guard isRefused else {
      throw StoreError(
        .invalidArgument,
        "\(location) is on a server that does not know If-None-Match, without which two writers "
          + "could publish over each other")
    }
    knowsConditions.withLock { $0 = true }
  }

  public func copy(_ key: String, bytes: UInt64, to target: String) throws(StoreError) {
    guard bytes <= Self.copyBytesMax else {
      return try copyThroughMemory(key, bytes: bytes, to: target)
    }
    try reachingStorage { () throws(S3Error) in
      let source = "\(client.address.bucket)/\(client.address.prefix)\(key)"
      var request = S3Client.Request(method: .put, operation: "copy to", key: target)
      request.headers = [("x-amz-copy-source", "/" + PercentCoding.encoded(source, keeping: "/"))]
      let reply = try client.ask(request)
      guard reply.verdict == .done else {
        throw client.error(.notFound, request, "there is nothing under \(client.shown(key))")
      }
    }
  }

  // MARK: - Reading

  public func read(_ key: String, _ range: Range<UInt64>) throws(StoreError) -> [UInt8]? {
    try reachingStorage { () throws(S3Error) in try get(key, range) }
  }

  private func get(_ key: String, _ range: Range<UInt64>) throws(S3Error) -> [UInt8]? {
    guard !range.isEmpty else { return [] }
    var request = S3Client.Request(method: .get, operation: "read", key: key)
    request.headers = [("range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")]
    request.answerBytesMax = Int(clamping: range.count) + Self.exceptionBytesMax
    let reply: S3Client.Reply
    do throws(S3Error) {
      reply = try client.ask(request)
    } catch {
      // Nothing is there, behind the end.
      guard error.code == .rangeNotSatisfiable else { throw error }
      return []
    }
    guard reply.verdict == .done else { return nil }
    guard reply.answer.body.count <= range.count else {
      throw client.error(
        .invalidAnswer, request, "\(range.count) bytes were asked for, and more came")
    }
    return reply.answer.body
  }

  public func list(_ prefix: String) throws(StoreError) -> [StoredObject] {
    try reachingStorage { () throws(S3Error) in
      var objects: [StoredObject] = []
      var continuation: String?
      for _ in 0..<Self.pagesMax {
        let page = try page(of: prefix, from: continuation)
        for (key, bytes) in page.objects where key.hasPrefix(client.address.prefix + prefix) {
          objects.append(
            StoredObject(key: String(key.dropFirst(client.address.prefix.count)), bytes: bytes))
        }
        guard let next = page.continuation, next != continuation else { return objects }
        continuation = next
      }
      return objects
    }
  }

  private func page(of prefix: String, from token: String?) throws(S3Error) -> S3Listing {
    var request = S3Client.Request(method: .get, operation: "list", key: prefix)
    request.isOfBucket = true
    request.query = [
      ("list-type", "2"), ("prefix", client.address.prefix + prefix), ("encoding-type", "url"),
    ]
    if let token { request.query.append(("continuation-token", token)) }
    request.answerBytesMax = Self.listingBytesMax
    return try client.read(request) { body throws(XMLError) in try S3Listing(body) }
  }

  // MARK: - Removing

  public func delete(_ keys: [String]) throws(StoreError) {
    try reachingStorage { () throws(S3Error) in
      for key in keys {
        _ = try client.ask(S3Client.Request(method: .delete, operation: "delete", key: key))
      }
    }
  }

  public func unfinished(
    _ prefix: String, before millis: Int64, removing: Bool
  ) throws(StoreError) -> [StoredObject] {
    try reachingStorage { () throws(S3Error) in
      var found: [S3Uploads.Upload] = []
      var marker: (key: String, id: String)?
      for _ in 0..<Self.pagesMax {
        let page = try uploads(of: prefix, from: marker)
        found += page.uploads.filter {
          $0.begunMillis < millis && $0.key.hasPrefix(client.address.prefix + prefix)
        }
        guard let next = page.next, marker.map({ $0 != next }) ?? true else { break }
        marker = next
      }
      return try found.map { upload throws(S3Error) in
        let key = String(upload.key.dropFirst(client.address.prefix.count))
        if removing { try S3MultipartUpload(client, key: key).abort(upload.id) }
        return StoredObject(key: "\(key) (upload in parts)", bytes: 0)
      }
    }
  }

  private func uploads(
    of prefix: String, from marker: (key: String, id: String)?
  ) throws(S3Error) -> S3Uploads {
    var request = S3Client.Request(method: .get, operation: "list uploads to", key: prefix)
    request.isOfBucket = true
    request.query = [
      ("uploads", ""), ("prefix", client.address.prefix + prefix), ("encoding-type", "url"),
    ]
    if let marker {
      request.query += [("key-marker", marker.key), ("upload-id-marker", marker.id)]
    }
    request.answerBytesMax = Self.listingBytesMax
    return try client.read(request) { body throws(XMLError) in try S3Uploads(body) }
  }
}
