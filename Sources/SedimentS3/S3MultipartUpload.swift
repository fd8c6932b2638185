// A file that is put in parts: begun, its parts put, ended; then it is there at once, as a whole.
//
// One that breaks is given up, so that its parts cost nothing. One whose process ended is found by
// the collection of garbage.

internal import SedimentHTTP
internal import SedimentIO
internal import SedimentStore

/// An upload in parts of one key.
struct S3MultipartUpload {
  private let client: S3Client
  private let key: String

  init(_ client: S3Client, key: String) {
    self.client = client
    self.key = key
  }

  /// Puts the first `bytes` bytes of a file.
  func run(_ file: any File, bytes: UInt64, partBytes: UInt64) throws(StoreError) {
    let id = try reachingStorage { () throws(S3Error) in try begin() }
    do throws(StoreError) {
      var tags: [String] = []
      var offset: UInt64 = 0
      while offset < bytes {
        let end = min(offset + partBytes, bytes)
        tags.append(try put(file, offset..<end, number: tags.count + 1, of: id))
        offset = end
      }
      try reachingStorage { () throws(S3Error) in try end(id, tags, bytes: bytes) }
    } catch {
      giveUp(id)
      throw error
    }
  }

  private func begin() throws(S3Error) -> String {
    var request = S3Client.Request(method: .post, operation: "begin to put", key: key)
    request.query = [("uploads", "")]
    return try client.read(request) { body throws(XMLError) in try S3Answer.uploadID(body) }
  }

  private func put(
    _ file: any File, _ range: Range<UInt64>, number: Int, of id: String
  ) throws(StoreError) -> String {
    let digest = try file.digest(range)
    return try reachingStorage { () throws(S3Error) in
      var request = S3Client.Request(method: .put, operation: "put a part of", key: key)
      request.query = [("partNumber", "\(number)"), ("uploadId", id)]
      request.body = HTTPBody(file: file, range)
      request.bodyDigest = digest
      let answer = try client.askForSuccess(request)
      guard let tag = answer.headers["etag"], !tag.isEmpty else {
        throw client.error(.invalidAnswer, request, "a part has no ETag")
      }
      return tag
    }
  }

  private func end(_ id: String, _ tags: [String], bytes: UInt64) throws(S3Error) {
    let content = S3Answer.completion(tags)
    var request = S3Client.Request(method: .post, operation: "end putting", key: key)
    request.query = [("uploadId", id)]
    request.body = HTTPBody(content)
    request.bodyDigest = SHA256.digest(of: content).hexadecimal
    do throws(S3Error) {
      try client.askForSuccess(request)
    } catch {
      // A try whose answer was lost may have ended it.
      guard error.code == .noSuchUpload, try isThere(bytes: bytes) else { throw error }
    }
  }

  /// Whether the key holds as many bytes.
  private func isThere(bytes: UInt64) throws(S3Error) -> Bool {
    var request = S3Client.Request(method: .get, operation: "look at", key: key)
    request.headers = [("range", "bytes=\(bytes - 1)-\(bytes)")]
    let reply = try client.ask(request)
    return reply.verdict == .done && reply.answer.body.count == 1
  }

  /// Gives an upload up.
  func abort(_ id: String) throws(S3Error) {
    var request = S3Client.Request(method: .delete, operation: "give up putting", key: key)
    request.query = [("uploadId", id)]
    do throws(S3Error) {
      _ = try client.ask(request)
    } catch {
      guard error.code == .noSuchUpload else { throw error }
    }
  }

  /// The failure before is the one that counts.
  private func giveUp(_ id: String) {
    do throws(S3Error) {
      try abort(id)
    } catch {
      return
    }
  }
}

extension S3Client {
  /// Sends a request that succeeds or throws.
  @discardableResult
  func askForSuccess(_ request: Request) throws(S3Error) -> HTTPAnswer {
    let reply = try ask(request)
    switch reply.verdict {
    case .done: return reply.answer
    case .preconditionFailed: throw error(.refused, request, "a condition that nobody set")
    default: throw error(.noSuchUpload, request, "the server does not find it")
    }
  }

  /// Sends a request, and reads what it is answered with.
  func read<Value>(
    _ request: Request, _ body: ([UInt8]) throws(XMLError) -> Value
  ) throws(S3Error) -> Value {
    let answer = try askForSuccess(request)
    do throws(XMLError) {
      return try body(answer.body)
    } catch let flaw {
      throw self.error(
        .invalidAnswer, request, "that is no answer of object storage (\(flaw.description))")
    }
  }
}

extension File {
  /// Read at a time.
  private static var digestChunkBytes: UInt64 { 1 << 20 }

  /// The SHA-256 of a part, in hexadecimal.
  fileprivate func partDigest(_ range: Range<UInt64>) throws(FileError) -> String {
    var sum = SHA256()
    var offset = range.lowerBound
    while offset < range.upperBound {
      let end = min(offset + Self.digestChunkBytes, range.upperBound)
      var chunk = [UInt8](repeating: 0, count: Int(end - offset))
      guard try read(into: &chunk, at: offset) == chunk.count else {
        throw FileError(
          code: .inputOutput, operation: "read", path: path, detail: "it is shorter than it was")
      }
      sum.update(chunk)
      offset = end
    }
    return sum.finish().hexadecimal
  }

  /// The same, with the errors of a store.
  func digest(_ range: Range<UInt64>) throws(StoreError) -> String {
    try wrapping { try partDigest(range) }
  }
}
