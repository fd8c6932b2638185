import SedimentIO
import SedimentS3
import SedimentStore
import SedimentTestKit
import Testing

/// Every request of every operation, met by everything that can go wrong with it once: the outcome
/// is as if nothing had.
@Suite struct S3FaultTests {
  private static let secret = "wJalrXUtnFEMIK7MDENG"

  private static let faults: [S3Fault] = [
    .dropBefore, .dropAfter, .cut, .cutAnswer, .answer(status: 503, body: ""),
    .answer(status: 200, body: "<Error><Code>InternalError</Code><Message>m</Message></Error>"),
    .answer(status: 429, body: "<Error><Code>SlowDown</Code></Error>"),
    .answerAfter(status: 500, body: ""),
    .answer(status: 409, body: "<Error><Code>ConditionalRequestConflict</Code></Error>"),
  ]

  private static func storage(_ server: S3Server, partBytes: UInt64 = 64 << 20) throws -> S3Storage
  {
    var options = S3Options(
      credentials: S3Credentials(
        accessKeyID: "AKIAEXAMPLE", secretAccessKey: secret, sessionToken: "token-\(secret)"))
    options.endpoint = server.endpoint
    options.delayMillis = 0
    options.triesMax = 4
    options.partBytes = partBytes
    return try S3Storage(S3Address("s3://bucket/jobs"), options)
  }

  /// Runs `body` with each of its requests met by each fault.
  private func atEveryRequest(
    _ body: (S3Storage, S3Server) throws -> Void
  ) throws {
    let server = try S3Server()
    defer { server.stop() }
    try body(try Self.storage(server, partBytes: 5 << 20), server)
    for fault in Self.faults {
      for number in 1..<200 {
        let server = try S3Server()
        defer { server.stop() }
        let storage = try Self.storage(server, partBytes: 5 << 20)
        server.setPlan { $0.number == number ? fault : nil }
        do {
          try body(storage, server)
        } catch {
          Issue.record("\(fault) at \(number): \(error)")
        }
        if server.calls.count < number { break }
      }
    }
  }

  private static func file(_ content: [UInt8]) throws -> any File {
    let directory = try MemoryFileSystem().openDirectory(at: "/", creating: false)
    let file = try directory.openFile("f", .create)
    try file.write(content, at: 0)
    return file
  }

  @Test func whatIsPutAndReadAndDeletedIs() throws {
    try atEveryRequest { storage, server in
      try storage.put([1, 2, 3], as: "a")
      #expect(server.content("jobs/a") == [1, 2, 3])
      #expect(try storage.read("a", 1..<9) == [2, 3])
      #expect(try storage.read("a", 3..<9) == [])
      #expect(try storage.read("b", 0..<9) == nil)
      try storage.delete(["a", "b"])
      #expect(server.content("jobs/a") == nil)
    }
  }

  @Test func whatIsCopiedIsThereUnderBothKeys() throws {
    try atEveryRequest { storage, server in
      try storage.put([1, 2, 3], as: "a")
      try storage.copy("a", bytes: 3, to: "x/b")
      #expect(server.content("jobs/x/b") == [1, 2, 3])
      #expect(throws: StoreError.self) { try storage.copy("none", bytes: 3, to: "c") }
      #expect(server.keys == ["jobs/a", "jobs/x/b"])
    }
  }

  @Test func ofConditionalPutsExactlyOneSucceeds() throws {
    try atEveryRequest { (storage: S3Storage, server: S3Server) throws in
      #expect(try storage.putIfAbsent([1], as: "log/1"))
      #expect(try storage.putIfAbsent([2], as: "log/1") == false)
      #expect(server.content("jobs/log/1") == [1])
      #expect(server.keys == ["jobs/log/1"])
    }
  }

  @Test func filesInPartsAreWholeAndNothingIsLeft() throws {
    let content = (0..<(11 << 20)).map { UInt8(truncatingIfNeeded: $0 >> 4) }
    let file = try Self.file(content)
    try atEveryRequest { storage, server in
      try storage.put(file, bytes: UInt64(content.count), as: "f")
      #expect(server.content("jobs/f") == content)
    }
  }

  @Test func listingsAreWhole() throws {
    try atEveryRequest { storage, server in
      server.setPageSize(2)
      for name in ["a/1", "a/2", "a/3", "a/4", "a/5", "b"] { try storage.put([7], as: name) }
      #expect(try storage.list("a/").map(\.key) == ["a/1", "a/2", "a/3", "a/4", "a/5"])
    }
  }

  @Test func anUploadInPartsThatBreaksIsGivenUpOrFoundLater() throws {
    let server = try S3Server()
    defer { server.stop() }
    let storage = try Self.storage(server, partBytes: 5 << 20)
    let file = try Self.file([UInt8](repeating: 1, count: 6 << 20))
    server.setPlan { $0.parameters["partNumber"] == "2" ? .dropBefore : nil }
    #expect(throws: StoreError.self) { try storage.put(file, bytes: 6 << 20, as: "f") }
    #expect(server.uploadsInParts == 0 && server.keys.isEmpty)
    server.setPlan {
      $0.parameters["partNumber"] == "2" || $0.method == "DELETE" ? .dropBefore : nil
    }
    #expect(throws: StoreError.self) { try storage.put(file, bytes: 6 << 20, as: "f") }
    #expect(server.uploadsInParts == 1)
    server.setPlan { _ in nil }
    #expect(try storage.unfinished("", before: 0, removing: true).isEmpty)
    #expect(try storage.unfinished("g", before: .max, removing: true).isEmpty)
    #expect(try storage.unfinished("", before: .max, removing: false).count == 1)
    #expect(server.uploadsInParts == 1)
    #expect(try storage.unfinished("", before: .max, removing: true).count == 1)
    #expect(server.uploadsInParts == 0)
  }

  @Test func aServerThatKnowsNoConditionsIsRefused() throws {
    let server = try S3Server()
    defer { server.stop() }
    server.setIgnoringConditions(true)
    let storage = try Self.storage(server)
    let error = #expect(throws: StoreError.self) { try storage.putIfAbsent([1], as: "log/1") }
    #expect(error?.code == .invalidArgument)
    #expect(server.keys.isEmpty)
  }

  @Test func whoeverGivesUpSaysWhyAndTellsNoSecret() throws {
    let server = try S3Server()
    let storage = try Self.storage(server)
    let body = "<Error><Code>SlowDown</Code><Message>come again</Message></Error>"
    server.setPlan { _ in .answer(status: 503, body: body) }
    let busy = #expect(throws: StoreError.self) { try storage.put([1], as: "a") }
    #expect(busy?.message.contains("SlowDown: come again; given up after 4 tries") == true)
    #expect(server.calls.count == 4)
    let denied = "<Error><Code>InvalidAccessKeyId</Code></Error>"
    server.setPlan { _ in .answer(status: 403, body: denied) }
    let refused = #expect(throws: StoreError.self) { try storage.list("x/") }
    #expect(refused?.message.contains("s3://bucket/jobs/x/") == true)
    #expect(server.calls.count == 1)
    server.setPlan { _ in .answer(status: 200, body: "<html>") }
    let odd = #expect(throws: StoreError.self) { try storage.list("x/") }
    #expect(odd?.message.contains("no answer of object storage") == true)
    server.stop()
    let gone = #expect(throws: StoreError.self) { try storage.read("a", 0..<1) }
    for error in [busy, refused, odd, gone] {
      let text = String(describing: error)
      #expect(error?.code == .inputOutput && !text.contains(Self.secret) && !text.contains("AKIA"))
    }
  }

  @Test func requestsAreSignedAndNameTheToken() throws {
    let server = try S3Server()
    defer { server.stop() }
    try Self.storage(server).put([1], as: "a")
    let call = try #require(server.calls.first)
    let authorization = try #require(call.headers["authorization"])
    #expect(authorization.hasPrefix("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/"))
    for name in ["host", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"] {
      #expect(authorization.contains(name) && call.headers[name] != nil)
    }
    #expect(call.headers["x-amz-content-sha256"] == SHA256.digest(of: [1]).hexadecimal)
  }

  @Test(arguments: 0..<UInt64(6))
  func aStoreGoesThroughOnABadConnection(seed: UInt64) throws {
    let server = try S3Server()
    defer { server.stop() }
    server.setPlan { call in
      var generator = SeededGenerator(seed: seed &* 10_007 &+ UInt64(call.number))
      guard Int.random(in: 0..<12, using: &generator) == 0 else { return nil }
      return Self.faults.randomElement(using: &generator)
    }
    let storage = try Self.storage(server)
    let clock = ManualClock(millis: SystemClock().nowMillis())
    var options = StoreOptions(memoryBudget: 8 << 20, shards: 2, backgroundThreads: 1)
    options.clock = clock
    let disk = MemoryFileSystem()
    let store = try StateStore.open(at: "/state", options: options, fileSystem: disk)
    let keyspace = try store.orderedKeyspace("seen")
    for round in 0..<4 {
      try keyspace.put([UInt8(round)], [1])
      try store.checkpoint(to: storage, transfers: 2)
      clock.advance(byMillis: 25 * 3_600_000)
      let checkpoints = try StoredCheckpoints(in: storage, clock: clock)
      try checkpoints.retain(2)
      try checkpoints.collectGarbage(dryRun: false)
      #expect(try checkpoints.verify().isEmpty)
    }
    try store.close()
    try StateStore.restore(
      from: storage, to: "/restored", transfers: 2, fileSystem: disk, clock: clock)
    let restored = try StateStore.open(at: "/restored", options: options, fileSystem: disk)
    for round in 0..<4 {
      #expect(try restored.orderedKeyspace("seen").get([UInt8(round)]) == [1])
    }
    try restored.close()
  }
}
