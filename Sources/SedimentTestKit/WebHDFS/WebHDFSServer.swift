// A server of WebHDFS in this process: NameNodes and a DataNode, over HTTP on ports of the loopback
// address. Requests, answers and exceptions are those of the Apache WebHDFS documentation; what it
// leaves open is done as Hadoop's own code does it:
//
// - an upload that is cut leaves a closed file with what had come (`HdfsWriter.channelInactive`);
// - a file that was removed or replaced while it was written cannot be closed;
// - RENAME does not replace, and goes into a directory that has the new name;
// - a DataNode closes its connection after every answer.
//
// A plan says for every request by its number what goes wrong with it.
//
// Concurrency: a thread for every port and every connection; `monitor` guards all that changes.

internal import SedimentIO

/// A request, as plans and tests see it.
public struct WebHDFSCall: Sendable, Equatable {
  /// Counted from 1, over all ports, since the plan was made.
  public var number: Int
  /// `CREATE`, `RENAME`, …
  public var operation: String
  /// On HDFS.
  public var path: String
  /// The index of the NameNode; `nil` for the DataNode.
  public var nameNode: Int?
  /// Of the query.
  public var parameters: [String: String]
}

/// What goes wrong with a request.
public enum WebHDFSFault: Sendable, Equatable {
  /// The connection is closed, and nothing was done.
  case dropBefore
  /// It was done, and the connection is closed without an answer.
  case dropAfter
  /// The connection is closed in the middle of the body; a DataNode keeps what came.
  case cut
  /// The connection is closed, and it is done later: when `performLate` is called.
  case late
  /// Nothing comes until the client gives up.
  case silence
  /// It is refused.
  case exception(HDFSException)
  /// The answer is something else.
  case answer(status: Int, location: String?, body: String)
}

/// A WebHDFS in memory.
// @unchecked because everything that changes is touched only with `monitor` held.
public final class WebHDFSServer: @unchecked Sendable {
  /// What may be wrong with requests for good.
  public struct Conduct: Sendable {
    /// NameNodes that are on stand-by.
    public var standbys: Set<Int> = []
    /// Requests without this token are refused.
    public var token: String?
    /// Whether everybody has to come with Kerberos, which this server does not know.
    public var wantsKerberos = false
    /// Whether files have ids, as they have in all but old servers.
    public var tellsFileIDs = true
    /// Whether the first NameNode is a gateway (HttpFS): it takes and gives bytes itself, takes
    /// them only as `application/octet-stream`, and tells of no ids.
    public var isGateway = false
  }

  private let nameNodes: [ListeningSocket]
  private let dataNode: ListeningSocket
  private let monitor = Monitor()
  private var namespace = HDFSNamespace()
  private var conduct = Conduct()
  private var plan: @Sendable (WebHDFSCall) -> WebHDFSFault? = { _ in nil }
  private var callsSoFar: [WebHDFSCall] = []
  private var late: [(request: ServerRequest, body: [UInt8], nameNode: Int?)] = []
  private var connections: [ObjectIdentifier: ServerConnection] = [:]
  private var threads = 0

  /// A server with nothing but its root.
  public init(nameNodes count: Int = 1) throws {
    nameNodes = try (0..<count).map { _ throws(SocketError) in try ListeningSocket() }
    dataNode = try ListeningSocket()
    for (index, socket) in nameNodes.enumerated() { try listen(socket, nameNode: index) }
    try listen(dataNode, nameNode: nil)
  }

  /// Ends all connections and waits until nobody is served any more.
  public func stop() {
    for socket in nameNodes + [dataNode] { socket.stop() }
    monitor.withLock {
      for connection in connections.values { connection.breakOff() }
      while threads > 0 { monitor.wait() }
    }
  }

  /// The address of a directory, with all NameNodes.
  public func url(_ path: String) -> String {
    "webhdfs://" + nameNodes.map { "127.0.0.1:\($0.port)" }.joined(separator: ",") + path
  }

  // MARK: - What tests set and see

  /// Asks `plan` about every request from now on, before anything is done, and counts from 1.
  public func setPlan(_ plan: @escaping @Sendable (WebHDFSCall) -> WebHDFSFault?) {
    monitor.withLock {
      self.plan = plan
      callsSoFar = []
    }
  }

  /// Nothing goes wrong any more; the count goes on.
  public func clearPlan() {
    monitor.withLock { plan = { _ in nil } }
  }

  /// Changes how it is with everybody.
  public func change(_ body: (inout Conduct) -> Void) {
    monitor.withLock { body(&conduct) }
  }

  /// The requests since the plan was made.
  public var calls: [WebHDFSCall] { monitor.withLock { callsSoFar } }

  /// The names in a directory, in byte order.
  public func names(in path: String) -> [String] {
    monitor.withLock { namespace.names(in: path) }
  }

  /// What a file holds; `nil` when there is none.
  public func contents(of path: String) -> [UInt8]? {
    monitor.withLock { if case .file(let bytes)? = namespace[path] { bytes } else { nil } }
  }

  /// Makes or replaces a file.
  public func write(_ bytes: [UInt8], to path: String) {
    monitor.withLock {
      guard case .success(let id) = namespace.create(path, overwrite: true) else { return }
      _ = namespace.close(path, id: id, with: bytes)
    }
  }

  /// Makes a directory.
  public func makeDirectory(_ path: String) {
    monitor.withLock { _ = namespace.makeDirectory(path) }
  }

  /// Removes a file.
  public func remove(_ path: String) {
    monitor.withLock { _ = namespace.delete(path, recursive: true) }
  }

  /// Does what was put off.
  public func performLate() {
    let late = monitor.withLock {
      defer { self.late = [] }
      return self.late
    }
    for (request, body, nameNode) in late {
      _ = perform(request, body: body, nameNode: nameNode)
    }
  }

  /// Waits until the connections of clients that have ended have ended, too, with all they did.
  public func waitUntilUnused() throws {
    for socket in nameNodes + [dataNode] { try socket.waitForQueue() }
    monitor.withLock { while !connections.isEmpty { monitor.wait() } }
  }

  // MARK: - Connections

  private func listen(_ socket: ListeningSocket, nameNode: Int?) throws {
    try start("webhdfs") { [self] in
      while let descriptor = socket.accept() {
        let connection = ServerConnection(descriptor)
        monitor.withLock { connections[ObjectIdentifier(connection)] = connection }
        do {
          try start("webhdfs-serve") { [self] in
            serve(connection, nameNode: nameNode)
            forget(connection)
          }
        } catch {
          forget(connection)
        }
      }
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
    monitor.withLock {
      connections[ObjectIdentifier(connection)] = nil
      monitor.broadcast()
    }
  }

  private func serve(_ connection: ServerConnection, nameNode: Int?) {
    while let request = ServerRequest.read(from: connection) {
      guard let answer = answer(request, over: connection, nameNode: nameNode) else { return }
      connection.write(answer.bytes(keepsConnection: nameNode != nil))
      if nameNode == nil { return }
    }
  }

  /// The answer to a request; `nil` when there is to be none.
  private func answer(
    _ request: ServerRequest, over connection: ServerConnection, nameNode: Int?
  ) -> ServerAnswer? {
    let (call, plan) = monitor.withLock {
      let call = WebHDFSCall(
        number: callsSoFar.count + 1, operation: request.operation, path: request.path,
        nameNode: nameNode, parameters: request.parameters)
      callsSoFar.append(call)
      return (call, self.plan)
    }
    switch plan(call) {
    case nil: return perform(request, over: connection, nameNode: nameNode)
    case .dropBefore?: return nil
    case .dropAfter?:
      _ = perform(request, over: connection, nameNode: nameNode)
      return nil
    case .cut?:
      guard request.bodyBytes > 0 else { return nil }
      _ = perform(request, over: connection, nameNode: nameNode, cutAt: request.bodyBytes / 2)
      return nil
    case .late?:
      let body = Self.body(of: request, over: connection, count: request.bodyBytes)
      monitor.withLock { late.append((request, body, nameNode)) }
      return nil
    case .silence?:
      while !connection.read(65_536).isEmpty {}
      return nil
    case .exception(let exception)?:
      _ = Self.body(of: request, over: connection, count: request.bodyBytes)
      return .exception(exception)
    case .answer(let status, let location, let body)?:
      _ = Self.body(of: request, over: connection, count: request.bodyBytes)
      return ServerAnswer(
        status: status, headers: location.map { [("Location", $0)] } ?? [],
        body: Array(body.utf8))
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

  /// - Parameter cutAt: how much of the body is read; `nil` for all.
  private func perform(
    _ request: ServerRequest, over connection: ServerConnection, nameNode: Int?,
    cutAt: Int? = nil
  ) -> ServerAnswer? {
    if let refusal = refusal(of: request, nameNode: nameNode) { return refusal }
    guard nameNode == nil || takesBytes(request), request.operation == "CREATE" else {
      let body = Self.body(of: request, over: connection, count: request.bodyBytes)
      return perform(request, body: body, nameNode: nameNode)
    }
    // The file is there from the first byte on.
    let overwrite = request.parameters["overwrite"] == "true"
    let made = monitor.withLock { namespace.create(request.path, overwrite: overwrite) }
    switch made {
    case .failure(let exception):
      _ = Self.body(of: request, over: connection, count: request.bodyBytes)
      return .exception(exception)
    case .success(let id):
      let body = Self.body(of: request, over: connection, count: cutAt ?? request.bodyBytes)
      let failure = monitor.withLock { namespace.close(request.path, id: id, with: body) }
      guard body.count == request.bodyBytes else { return nil }
      if let failure { return .exception(failure) }
      return created(request)
    }
  }

  /// Whether a gateway gets the bytes with this request.
  private func takesBytes(_ request: ServerRequest) -> Bool {
    monitor.withLock { conduct.isGateway } && request.parameters["data"] == "true"
  }

  /// What holds for everybody.
  private func refusal(of request: ServerRequest, nameNode: Int?) -> ServerAnswer? {
    let conduct = monitor.withLock { self.conduct }
    if let nameNode, conduct.standbys.contains(nameNode) { return .exception(.standby) }
    if conduct.wantsKerberos, nameNode != nil {
      return ServerAnswer(
        status: 401, headers: [("WWW-Authenticate", "Negotiate"), ("Content-Type", "text/html")],
        body: Array("<html><h2>HTTP ERROR 401 Authentication required</h2></html>".utf8))
    }
    if conduct.isGateway, request.parameters["data"] == "true",
      request.headers["content-type"] != "application/octet-stream"
    {
      return .exception(
        .illegalArgument(
          "Data upload requests must have content-type set to "
            + "'application/octet-stream'"))
    }
    guard let token = conduct.token, request.parameters["delegation"] != token else { return nil }
    return .exception(
      HDFSException(
        status: 403, className: "org.apache.hadoop.security.token.SecretManager$InvalidToken",
        message: "token \(request.parameters["delegation"] ?? "") can't be found in cache"))
  }

  private func perform(
    _ request: ServerRequest, body: [UInt8], nameNode: Int?
  ) -> ServerAnswer {
    let parameters = request.parameters
    return monitor.withLock {
      // A gateway has the bytes itself.
      let hasBytes = conduct.isGateway && request.operation == "OPEN"
      switch (request.method, request.operation, hasBytes ? nil : nameNode) {
      case ("PUT", "CREATE", _?), ("POST", "APPEND", _?), ("GET", "OPEN", _?):
        return redirect(request)
      case ("PUT", "CREATE", nil): return create(request, body)
      case ("POST", "APPEND", nil): return append(request, body)
      case ("GET", "OPEN", nil): return open(request)
      case ("PUT", "MKDIRS", _?):
        if let exception = namespace.makeDirectory(request.path) { return .exception(exception) }
        return .boolean(true)
      case ("PUT", "RENAME", _?):
        return .boolean(namespace.rename(request.path, to: parameters["destination"] ?? ""))
      case ("DELETE", "DELETE", _?):
        let recursive = parameters["recursive"] == "true"
        switch namespace.delete(request.path, recursive: recursive) {
        case .success(let wasThere): return .boolean(wasThere)
        case .failure(let exception): return .exception(exception)
        }
      case ("GET", "GETFILESTATUS", _?): return status(request)
      case ("GET", "LISTSTATUS", _?): return list(request)
      default:
        return .exception(
          .illegalArgument("Invalid value for webhdfs parameter \"op\": \(request.operation)"))
      }
    }
  }

  private func redirect(_ request: ServerRequest) -> ServerAnswer {
    if request.operation != "CREATE", namespace[request.path] == nil {
      return .exception(.fileNotFound(request.path))
    }
    var parameters = request.parameters
    var port = dataNode.port
    if conduct.isGateway {
      parameters["data"] = "true"
      port = nameNodes[0].port
    } else {
      parameters["namenoderpcaddress"] = "localhost:8020"
    }
    let query = parameters.sorted { $0.key < $1.key }
      .map { "\($0.key)=\(Self.encoded($0.value))" }.joined(separator: "&")
    let path = request.path.split(separator: "/").map { "/" + Self.encoded(String($0)) }.joined()
    return ServerAnswer(
      status: 307,
      headers: [
        ("Location", "http://127.0.0.1:\(port)/webhdfs/v1\(path)?\(query)")
      ])
  }

  private static func encoded(_ text: String) -> String {
    text.utf8.map { byte in
      let scalar = Unicode.Scalar(byte)
      let isPlain =
        scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
      return isPlain || "-._~".unicodeScalars.contains(scalar)
        ? String(scalar)
        : (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
    }.joined()
  }

  private func create(_ request: ServerRequest, _ body: [UInt8]) -> ServerAnswer {
    let overwrite = request.parameters["overwrite"] == "true"
    switch namespace.create(request.path, overwrite: overwrite) {
    case .failure(let exception): return .exception(exception)
    case .success(let id):
      if let exception = namespace.close(request.path, id: id, with: body) {
        return .exception(exception)
      }
      return created(request)
    }
  }

  private func created(_ request: ServerRequest) -> ServerAnswer {
    ServerAnswer(
      status: 201, headers: [("Location", "hdfs://localhost:8020\(request.path)")])
  }

  private func append(_ request: ServerRequest, _ body: [UInt8]) -> ServerAnswer {
    guard case .file(let bytes)? = namespace[request.path],
      let id = namespace.id(of: request.path)
    else { return .exception(.fileNotFound(request.path)) }
    _ = namespace.close(request.path, id: id, with: bytes + body)
    return ServerAnswer(status: 200)
  }

  private func open(_ request: ServerRequest) -> ServerAnswer {
    guard case .file(let bytes)? = namespace[request.path] else {
      return .exception(.fileNotFound(request.path))
    }
    let offset = min(request.parameters["offset"].flatMap { Int($0) } ?? 0, bytes.count)
    let length = request.parameters["length"].flatMap { Int($0) } ?? bytes.count
    return ServerAnswer(
      status: 200, headers: [("Content-Type", "application/octet-stream")],
      body: Array(bytes[offset...].prefix(length)))
  }

  // MARK: - Statuses

  private func status(_ request: ServerRequest) -> ServerAnswer {
    guard namespace[request.path] != nil else { return .exception(.fileNotFound(request.path)) }
    return .json("{\"FileStatus\":\(statusText(request.path, suffix: ""))}")
  }

  private func list(_ request: ServerRequest) -> ServerAnswer {
    let path = request.path
    let statuses: [String]
    switch namespace[path] {
    case nil: return .exception(.fileNotFound(path))
    case .file?: statuses = [statusText(path, suffix: "")]
    case .directory?:
      statuses = namespace.names(in: path).map {
        statusText(path == "/" ? "/" + $0 : path + "/" + $0, suffix: $0)
      }
    }
    return .json(
      "{\"FileStatuses\":{\"FileStatus\":[\n\(statuses.joined(separator: ",\n"))\n]}}\n")
  }

  private func statusText(_ path: String, suffix: String) -> String {
    var (length, type) = (0, "DIRECTORY")
    if case .file(let bytes)? = namespace[path] { (length, type) = (bytes.count, "FILE") }
    let isFile = type == "FILE"
    let id =
      conduct.tellsFileIDs && !conduct.isGateway ? "\"fileId\":\(namespace.id(of: path) ?? 0)," : ""
    return "{\"accessTime\":0,\"blockSize\":\(isFile ? 134_217_728 : 0),\"childrenNum\":0,\(id)"
      + "\"group\":\"supergroup\",\"length\":\(length),\"modificationTime\":1320173277227,"
      + "\"owner\":\"webuser\",\"pathSuffix\":\(JSONText.quoted(suffix)),"
      + "\"permission\":\"\(isFile ? 644 : 755)\",\"replication\":\(isFile ? 1 : 0),"
      + "\"storagePolicy\":0,\"type\":\"\(type)\"}"
  }
}

extension ServerAnswer {
  /// What MKDIRS, RENAME and DELETE answer.
  fileprivate static func boolean(_ value: Bool) -> ServerAnswer {
    .json("{\"boolean\":\(value)}")
  }
}

extension WebHDFSFault {
  /// A plan that breaks `percent` of all requests off: before, after, or in the middle. The same
  /// seed breaks requests of the same numbers.
  public static func drops(
    percent: UInt64, seed: UInt64
  ) -> @Sendable (WebHDFSCall) -> WebHDFSFault? {
    { call in
      var generator = SeededGenerator(seed: seed &+ UInt64(call.number) &* 0x9e37_79b9)
      guard UInt64.random(in: 0..<100, using: &generator) < percent else { return nil }
      return [WebHDFSFault.dropBefore, .dropAfter, .cut].randomElement(using: &generator)
    }
  }

  /// A plan in which one request fails.
  public static func once(
    _ fault: WebHDFSFault, number: Int
  ) -> @Sendable (WebHDFSCall) -> WebHDFSFault? {
    { $0.number == number ? fault : nil }
  }

  /// A plan in which one request fails and nobody is there afterwards, as to a client that died.
  public static func last(
    _ fault: WebHDFSFault, number: Int
  ) -> @Sendable (WebHDFSCall) -> WebHDFSFault? {
    { $0.number < number ? nil : $0.number == number ? fault : .dropBefore }
  }
}
