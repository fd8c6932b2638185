// What a directory of parts needs of HDFS, one function an operation.

internal import SedimentHTTP
internal import SedimentIO

extension WebHDFSClient {
  /// What stands at `path`; `nil` for nothing.
  func status(of path: String) throws(WebHDFSError) -> FileStatus? {
    let request = Request(
      method: .get, operation: "look at", name: "GETFILESTATUS", path: path)
    let reply: Reply
    do throws(WebHDFSError) {
      reply = try ask(request)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
    return try read(AnswerBody.Status.self, from: reply, of: request).status
  }

  /// What is in the directory at `path`, in no order; a file there is an entry without a name.
  func list(_ path: String) throws(WebHDFSError) -> [FileStatus] {
    let request = Request(
      method: .get, operation: "list", name: "LISTSTATUS", path: path,
      answerBytesMax: Self.listingBytesMax)
    return try read(AnswerBody.Listing.self, from: try ask(request), of: request)
      .statuses.list
  }

  /// Of one listing: some 250,000 names.
  private static let listingBytesMax = 64 << 20

  /// Makes the directory at `path` and those above it, where they are missing.
  func makeDirectory(_ path: String) throws(WebHDFSError) {
    let request = Request(
      method: .put, operation: "make the directory", name: "MKDIRS", path: path)
    guard try success(ask(request), of: request) else {
      throw error(.refused, request, "the NameNode does not make it, and does not say why")
    }
  }

  /// Removes a file, or an empty directory.
  ///
  /// - Throws: `notFound` when there was none.
  func remove(_ path: String) throws(WebHDFSError) {
    let request = Request(
      method: .delete, operation: "remove", name: "DELETE", path: path,
      parameters: [("recursive", "false")])
    let reply = try ask(request)
    guard try success(reply, of: request) || reply.mayBeRepeated else {
      throw error(.notFound, request, "nothing is there")
    }
  }

  /// Gives a file another name, which must be free.
  ///
  /// - Throws: `notFound` when no file has the old name; `exists` when the new one is taken.
  func rename(_ path: String, to newPath: String) throws(WebHDFSError) {
    let request = Request(
      method: .put, operation: "rename \(address.shown(path)) to", name: "RENAME", path: path,
      parameters: [("destination", newPath)])
    func failure(_ code: WebHDFSError.Code, _ reason: String) -> WebHDFSError {
      var failure = error(code, request, reason)
      failure.url = address.shown(newPath)
      return failure
    }
    guard let source = try status(of: path) else {
      throw failure(.notFound, "the old name is not there")
    }
    // A rename to the name of a directory would go into it.
    guard try status(of: newPath) == nil else { throw failure(.exists, "the name is taken") }
    guard try !isRenamed(request) else { return }
    // Refused, or done by a try whose answer was lost.
    switch (try status(of: path), try status(of: newPath)) {
    case (nil, let target?) where target.isSameFile(as: source): return
    case (_, _?): throw failure(.exists, "the name is taken")
    case (nil, nil): throw failure(.notFound, "it was taken away meanwhile")
    case (_?, nil):
      throw failure(.refused, "the NameNode refuses, and does not say why")
    }
  }

  /// Whether a NameNode says that it was done.
  private func isRenamed(_ request: Request) throws(WebHDFSError) -> Bool {
    do throws(WebHDFSError) {
      return try success(ask(request), of: request)
    } catch {
      // The same as "false", in other words: what is at both names tells.
      guard error.code == .notFound || error.code == .exists else { throw error }
      return false
    }
  }

  // MARK: - Bytes

  /// What became of a file that was sent.
  enum Sending: Sendable, Equatable {
    case whole
    /// Nothing, something or all of it may be there, now or later.
    case broken(String)
  }

  /// Sends a new file under a name that was never used. Only if all of it is there at the end it is
  /// `whole`.
  ///
  /// - Throws: what another try under another name would not mend.
  func create(_ path: String, _ body: HTTPBody) throws(WebHDFSError) -> Sending {
    let request = Request(
      method: .put, operation: "create", name: "CREATE", path: path,
      parameters: [("overwrite", "false")])
    let reply = try ask(request)
    if case .broken(let reason) = try follow(reply.answer, of: request, body: body) {
      return .broken(reason)
    }
    guard let length = try status(of: path)?.length else {
      return .broken("it was acknowledged, and is not there")
    }
    guard length == body.bytes else {
      return .broken("it was acknowledged with \(body.bytes) bytes, and has \(length)")
    }
    return .whole
  }

  /// Up to `count` bytes from `offset`; fewer at the end of the file only.
  func read(
    _ path: String, at offset: UInt64, count: Int
  ) throws(WebHDFSError) -> [UInt8] {
    let request = Request(
      method: .get, operation: "read", name: "OPEN", path: path,
      parameters: [("offset", "\(offset)"), ("length", "\(count)")],
      answerBytesMax: count + Self.exceptionBytesMax)
    var reason = ""
    for number in 0..<options.triesMax {
      pause(before: number)
      let reply = try ask(request)
      // A gateway answers itself.
      guard reply.answer.redirect != nil else {
        return try bytes(of: reply.answer, count: count, request)
      }
      switch try follow(reply.answer, of: request) {
      case .answered(let answer): return try bytes(of: answer, count: count, request)
      case .broken(let text): reason = text
      }
      tell(of: number, request, reason)
    }
    throw error(.unanswered, request, "\(reason); \(Self.howToGoOn(options.triesMax))")
  }

  /// Room for an exception where a few bytes are asked for.
  private static let exceptionBytesMax = 1 << 20

  private func bytes(
    of answer: HTTPAnswer, count: Int, _ request: Request
  ) throws(WebHDFSError) -> [UInt8] {
    guard answer.body.count <= count else {
      throw error(
        .invalidAnswer, request, "\(count) bytes were asked for, and \(answer.body.count) came")
    }
    return answer.body
  }

  // MARK: - Answers

  private func success(_ reply: Reply, of request: Request) throws(WebHDFSError) -> Bool {
    try read(AnswerBody.Success.self, from: reply, of: request).boolean
  }

  private func read<Body: Decodable>(
    _ type: Body.Type, from reply: Reply, of request: Request
  ) throws(WebHDFSError) -> Body {
    guard reply.answer.redirect == nil, let body = AnswerBody.read(type, from: reply.answer.body)
    else { throw error(.invalidAnswer, request, "that is no answer of WebHDFS") }
    return body
  }
}
