import SedimentIO
import SedimentTestKit
import SedimentWebHDFS
import Synchronization
import Testing

/// Connections that break at every request, and servers that answer late or wrong.
@Suite struct WebHDFSFaultTests {
  /// Everything that a directory does, and what must be there in the end.
  private func workOnce(_ harness: WebHDFSHarness) throws {
    let directory = try harness.open("/a/out")
    try directory.write("first", to: ".one.tmp")
    try directory.write("second", to: "two")
    #expect(try directory.text(of: ".one.tmp") == "first")
    try directory.rename(".one.tmp", to: "one", replacing: false)
    try directory.remove("two")
    #expect(try directory.names.contains("one"))
    #expect(try directory.metadata(of: "one")?.size == 5)
  }

  @Test(arguments: [
    WebHDFSFault.dropBefore, .dropAfter, .cut, .exception(.retriable), .exception(.safeMode),
    .answer(status: 503, location: nil, body: "<html>"),
  ])
  func everyRequestMayFailOnce(fault: WebHDFSFault) throws {
    for number in 1..<200 {
      let harness = try WebHDFSHarness()
      harness.server.setPlan(WebHDFSFault.once(fault, number: number))
      try workOnce(harness)
      #expect(harness.server.names(in: "/a/out") == ["one"], "request \(number)")
      #expect(harness.server.contents(of: "/a/out/one") == Array("first".utf8))
      if harness.server.calls.count < number {
        #expect(number > 20, "the sweep reached few requests")
        return
      }
    }
    Issue.record("the work never came to its end")
  }

  @Test func aGatewayServesInPlaceOfDataNodesWhateverFails() throws {
    for number in 1..<200 {
      let harness = try WebHDFSHarness()
      harness.server.change { $0.isGateway = true }
      harness.server.setPlan(WebHDFSFault.once(.dropAfter, number: number))
      try workOnce(harness)
      #expect(harness.server.names(in: "/a/out") == ["one"], "request \(number)")
      #expect(harness.server.calls.allSatisfy { $0.nameNode == 0 })
      if harness.server.calls.count < number { return }
    }
    Issue.record("the work never came to its end")
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func aFifthOfAllConnectionsMayBreak(seed: UInt64) throws {
    let harness = try WebHDFSHarness()
    harness.options.triesMax = 60
    harness.server.setPlan(WebHDFSFault.drops(percent: 20, seed: seed))
    try workOnce(harness)
    #expect(harness.server.names(in: "/a/out") == ["one"], "seed \(seed)")
  }

  @Test func aCreateThatComesLateTouchesNoFileThatIsThere() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    harness.server.setPlan { call in
      let isFirst = call.nameNode == nil && call.path.hasSuffix("/file.a1.tmp")
      return isFirst ? .late : nil
    }
    try directory.write("all of it", to: "file")
    try directory.rename("file", to: "final", replacing: false)
    harness.server.performLate()
    #expect(harness.server.contents(of: "/out/final") == Array("all of it".utf8))
    // What it made is a temporary that nobody promised.
    #expect(harness.server.names(in: "/out") == ["file.a1.tmp", "final"])
  }

  @Test func aRenameThatComesLateDoesNothing() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    try directory.write("x", to: "a")
    harness.server.setPlan { $0.operation == "RENAME" && $0.number == 3 ? .late : nil }
    try directory.rename("a", to: "b", replacing: false)
    #expect(harness.server.calls.count { $0.operation == "RENAME" } == 2)
    harness.server.performLate()
    #expect(harness.server.names(in: "/out") == ["b"])
  }

  @Test(arguments: [nil, "all", "all of it, twice"])
  func aFileThatIsAcknowledgedAndIsNotAsItWasSentIsSentAgain(found: String?) throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    harness.server.setPlan { [weak server = harness.server] call in
      guard call.nameNode == nil, call.path.hasSuffix("/file.a1.tmp") else { return nil }
      if let found { server?.write(Array(found.utf8), to: call.path) }
      return .answer(status: 201, location: nil, body: "")
    }
    try directory.write("all of it", to: "file")
    #expect(try directory.text(of: "file") == "all of it" && directory.names == ["file"])
  }

  @Test func aStrangerAtTheNewNameIsNotTakenForTheFile() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    try directory.write("ours", to: "a")
    harness.server.setPlan { [weak server = harness.server] call in
      guard call.operation == "RENAME", call.number == 3 else { return nil }
      server?.remove("/out/a")
      server?.write(Array("else".utf8), to: "/out/b")
      return .dropBefore
    }
    let error = failure { try directory.rename("a", to: "b", replacing: false) }
    harness.server.clearPlan()
    #expect(error?.code == .exists)
    #expect(try directory.text(of: "b") == "else")
  }

  @Test func aLostRenameOfAFileThatItsReaderTookIsNotFound() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    try directory.write("x", to: "a")
    harness.server.setPlan { [weak server = harness.server] call in
      guard call.operation == "RENAME" else { return nil }
      if call.number == 3 { return .dropAfter }
      server?.remove("/out/b")
      return nil
    }
    let error = failure { try directory.rename("a", to: "b", replacing: false) }
    #expect(error?.code == .notFound && harness.server.names(in: "/out").isEmpty)
  }

  // MARK: - NameNodes

  @Test func theActiveNameNodeIsFoundAndAskedFirstFromThenOn() throws {
    let harness = try WebHDFSHarness(nameNodes: 3)
    harness.server.change { $0.standbys = [0, 2] }
    let directory = try harness.open()
    harness.server.setPlan { _ in nil }
    try directory.write("x", to: "a")
    #expect(harness.server.calls.allSatisfy { $0.nameNode == 1 || $0.nameNode == nil })
    // A failover in the middle.
    harness.server.change { $0.standbys = [0, 1] }
    try directory.rename("a", to: "b", replacing: false)
    #expect(try directory.names == ["b"])
  }

  @Test func aNameNodeThatIsDownIsPassedOver() throws {
    let harness = try WebHDFSHarness()
    let url = harness.server.url("/out").replacing("webhdfs://", with: "webhdfs://127.0.0.1:1,")
    let directory = try harness.fileSystem.openDirectory(at: url, creating: true)
    try directory.write("x", to: "a")
    #expect(try directory.text(of: "a") == "x")
  }

  @Test func whereAllAreOnStandbyTheErrorSaysSoAndNamesThem() throws {
    let harness = try WebHDFSHarness(nameNodes: 2)
    harness.server.change { $0.standbys = [0, 1] }
    let error = try #require(failure { try harness.open() })
    #expect(error.code == .inputOutput && harness.server.calls.count == 5)
    for part in [harness.server.url("/out"), "StandbyException", "given up after 5 tries", "again"]
    {
      #expect(error.description.contains(part), "\(error)")
    }
  }

  @Test func whatTakesLongIsToldOnce() throws {
    let harness = try WebHDFSHarness()
    harness.options.triesMax = 10
    let told = Mutex<[String]>([])
    harness.options.report = { text in told.withLock { $0.append(text) } }
    let directory = try harness.open()
    // A NameNode, then a DataNode.
    harness.server.setPlan { $0.number <= 7 ? .exception(.safeMode) : nil }
    _ = try directory.names
    harness.server.setPlan { $0.nameNode == nil && $0.number < 16 ? .dropBefore : nil }
    try directory.write("x", to: "a")
    let texts = told.withLock { $0 }
    #expect(texts.count == 2, "\(texts)")
    #expect(texts.first?.contains("cannot list \(directory.path) yet") == true)
    #expect(texts.first?.contains("SafeModeException") == true)
    #expect(texts.last?.contains("cannot create \(directory.path)/a yet") == true)
  }

  @Test func aServerThatNeverAnswersIsGivenUp() throws {
    let harness = try WebHDFSHarness()
    harness.options.stallSeconds = 1
    harness.options.triesMax = 2
    harness.server.setPlan { _ in .silence }
    let error = failure { try harness.open() }
    #expect(error?.code == .inputOutput)
    #expect(error?.description.contains("given up after 2 tries") == true)
  }

  // MARK: - Answers

  @Test(arguments: [
    (HDFSException.quota, FileError.Code.noSpace), (.accessControl, .permissionDenied),
    (
      HDFSException(status: 400, className: "java.lang.IllegalArgumentException", message: "x"),
      .inputOutput
    ),
  ])
  func whatIsFinalIsToldAtOnce(exception: HDFSException, code: FileError.Code) throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    harness.server.setPlan { $0.operation == "CREATE" ? .exception(exception) : nil }
    let error = failure { try directory.write("x", to: "a") }
    #expect(error?.code == code && harness.server.calls.count == 1)
    #expect(error?.description.contains(exception.message.prefix(20)) == true)
    #expect(error?.description.contains("/out/a.a1.tmp") == true)
    // From the DataNode as from the NameNode.
    harness.server.setPlan { $0.nameNode == nil ? .exception(exception) : nil }
    #expect(failure { try directory.write("x", to: "a") }?.code == code)
    #expect(harness.server.names(in: "/out").isEmpty)
  }

  @Test(arguments: [
    "", "{", "null", "[]", "{\"boolean\":1}", "{\"FileStatus\":{}}", "{\"FileStatuses\":[]}",
    "{\"FileStatus\":{\"pathSuffix\":\"\",\"type\":\"FILE\",\"length\":-1}}",
    "{\"FileStatus\":{\"pathSuffix\":\"\",\"type\":\"DOOR\",\"length\":1}}",
    "{\"FileStatus\":{\"pathSuffix\":\"\",\"type\":\"FILE\",\"length\":1e300}}",
    "{\"FileStatuses\":{\"FileStatus\":[{\"pathSuffix\":\"../x\",\"type\":\"FILE\","
      + "\"length\":1}]}}",
    String(repeating: "[", count: 100_000), String(repeating: "x", count: 2 << 20), "\u{0}",
  ])
  func answersThatAreNoneAreErrors(body: String) throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    try directory.write("x", to: "a")
    for operation in ["GETFILESTATUS", "LISTSTATUS", "RENAME", "DELETE", "CREATE"] {
      for status in [200, 307, 403] {
        harness.server.setPlan {
          $0.operation == operation ? .answer(status: status, location: nil, body: body) : nil
        }
        let error = failure {
          switch operation {
          case "GETFILESTATUS": _ = try directory.metadata(of: "a")
          case "LISTSTATUS": _ = try directory.entries()
          case "RENAME": try directory.rename("a", to: "b", replacing: false)
          case "DELETE": try directory.remove("a")
          default: try directory.write("y", to: "c")
          }
        }
        #expect(error != nil, "\(operation), \(status)")
      }
    }
    harness.server.clearPlan()
    #expect(try directory.text(of: "a") == "x" && directory.names == ["a"])
  }

  @Test func moreBytesThanWereAskedForAreAnError() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    try directory.write("x", to: "a")
    for body in ["xy", String(repeating: "x", count: 3 << 20)] {
      harness.server.setPlan {
        $0.nameNode == nil ? .answer(status: 200, location: nil, body: body) : nil
      }
      #expect(failure { try directory.text(of: "a") }?.code == .inputOutput)
    }
  }

  @Test(arguments: [
    "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:1/", "http://127.0.0.1:1/",
    "http://", "://", "http://127.0.0.1:99999/", "",
  ])
  func redirectsToAnywhereElseAreErrors(location: String) throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open()
    harness.server.setPlan {
      $0.operation == "CREATE" ? .answer(status: 307, location: location, body: "") : nil
    }
    let error = failure { try directory.write("x", to: "a") }
    #expect(error?.code == .inputOutput, "\(String(describing: error))")
    #expect(harness.server.names(in: "/out").isEmpty)
  }

  // MARK: - Who asks

  @Test func theUserIsSentWithEveryRequest() throws {
    let harness = try WebHDFSHarness()
    let directory = try harness.open("/out", query: "?user.name=ann&auth=simple")
    try directory.write("x", to: "a")
    #expect(harness.server.calls.allSatisfy { $0.parameters["user.name"] == "ann" })
    #expect(directory.path == harness.server.url("/out"))
  }

  @Test func theTokenIsSentAndStandsInNoMessage() throws {
    let harness = try WebHDFSHarness()
    harness.options.token = "HAAEdHVy+/=secret"
    harness.server.change { $0.token = "HAAEdHVy+/=secret" }
    let directory = try harness.open("/out")
    try directory.write("x", to: "a")
    #expect(harness.server.calls.allSatisfy { $0.parameters["user.name"] == nil })
    harness.server.change { $0.token = "another" }
    let refused = try #require(failure { try directory.names })
    #expect(refused.code == .permissionDenied && refused.description.contains("InvalidToken"))
    harness.server.setPlan { _ in .dropBefore }
    let lost = try #require(failure { try directory.write("x", to: "b") })
    // A server may repeat what it was asked, as it was asked.
    harness.server.setPlan { _ in
      .exception(.init(status: 500, className: "E", message: "delegation=HAAEdHVy%2B%2F%3Dsecret"))
    }
    let repeated = try #require(failure { try directory.names })
    #expect(repeated.description.contains("delegation=(token)"))
    for error in [refused, lost, repeated] {
      #expect(!error.description.contains("secret"), "\(error)")
    }
  }

  @Test func aServerThatWantsKerberosIsExplained() throws {
    let harness = try WebHDFSHarness()
    harness.server.change { $0.wantsKerberos = true }
    let error = try #require(failure { try harness.open() })
    #expect(error.code == .permissionDenied)
    #expect(error.description.contains("auth=kerberos") && harness.server.calls.count == 1)
  }
}
