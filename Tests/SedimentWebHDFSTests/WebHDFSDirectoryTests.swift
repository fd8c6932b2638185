import SedimentIO
import SedimentTestKit
import SedimentWebHDFS
import Testing

/// A directory on HDFS does what `Directory` promises, and no more than outputs need.
@Suite final class WebHDFSDirectoryTests {
  private let harness: WebHDFSHarness

  init() throws {
    harness = try WebHDFSHarness()
  }

  private var server: WebHDFSServer { harness.server }

  @Test(arguments: ["a", ".part-1.tmp", "with space", "100%", "ä&b=c?d#e+", "{\"x\"}"])
  func whatIsWrittenIsListedReadRenamedAndRemoved(name: String) throws {
    let directory = try harness.open("/deep/out")
    #expect(try directory.entries().isEmpty)
    try directory.write("hello, HDFS", to: name)
    #expect(try directory.entries() == [DirectoryEntry(name: name, kind: .file)])
    let found = try #require(try directory.metadata(of: name))
    #expect(found.kind == .file && found.size == 11)
    #expect(try directory.text(of: name) == "hello, HDFS")
    #expect(try directory.text(of: name, at: 7, count: 2) == "HD")
    #expect(try directory.text(of: name, at: 11) == "")
    try directory.rename(name, to: "other", replacing: false)
    #expect(try directory.metadata(of: name) == nil)
    #expect(try directory.metadata(of: "other") == found)
    try directory.remove("other")
    #expect(try directory.entries().isEmpty && server.names(in: "/deep/out").isEmpty)
  }

  @Test(arguments: [0, 1, 3_000_001])
  func filesOfAnySizeAreSentAsTheyAre(count: Int) throws {
    let text = String((0..<count).map { _ in "abcdefghijklm".randomElement() ?? "a" })
    let directory = try harness.open()
    try directory.write(text, to: "file")
    #expect(server.contents(of: "/out/file") == Array(text.utf8))
    #expect(try directory.text(of: "file", count: 4 << 20) == text)
  }

  @Test func nothingIsThereBeforeItIsSynchronisedAndNothingStaysBehind() throws {
    let directory = try harness.open()
    let file = try directory.openFile("file", .create)
    try unsafe Array("x".utf8).span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
    #expect(try file.size() == 1 && server.names(in: "/out").isEmpty)
    try file.synchronize()
    try file.synchronize()
    #expect(server.names(in: "/out") == ["file"])
    #expect(failure { try file.truncate(to: 0) }?.code == .readOnlyFileSystem)
    file.close()
    #expect(try harness.disk.openDirectory(at: "state", creating: false).entries().isEmpty)
  }

  @Test func aNameThatACrashLeftInTheSpoolIsTakenAway() throws {
    _ = try harness.disk.openDirectory(at: "state", creating: false).openFile("spool", .create)
    try harness.open().write("x", to: "file")
    #expect(try harness.disk.openDirectory(at: "state", creating: false).entries().isEmpty)
  }

  @Test func namesThatAreTakenOrMissingAreToldApart() throws {
    let directory = try harness.open()
    try directory.write("1", to: "a")
    try directory.write("2", to: "b")
    #expect(failure { try directory.rename("a", to: "b", replacing: false) }?.code == .exists)
    #expect(failure { try directory.rename("c", to: "d", replacing: false) }?.code == .notFound)
    #expect(failure { try directory.remove("c") }?.code == .notFound)
    #expect(failure { try directory.openFile("c", .read) }?.code == .notFound)
    #expect(failure { try directory.write("3", to: "a") }?.code == .exists)
    #expect(try directory.text(of: "a") == "1" && directory.text(of: "b") == "2")
    // A rename to the name of a directory would go into it.
    server.makeDirectory("/out/d")
    #expect(failure { try directory.rename("a", to: "d", replacing: false) }?.code == .exists)
    #expect(server.names(in: "/out/d").isEmpty)
  }

  @Test func directoriesAreMadeOnlyWhenAskedForAndFilesAreNone() throws {
    let fileSystem = harness.fileSystem
    let missing = failure { try fileSystem.openDirectory(at: server.url("/no"), creating: false) }
    #expect(missing?.code == .notFound && server.names(in: "/").isEmpty)
    server.write([1], to: "/file")
    for path in ["/file", "/file/out"] {
      let error = failure { try fileSystem.openDirectory(at: server.url(path), creating: true) }
      #expect(error?.code == .notDirectory, "\(path)")
    }
    #expect(failure { try fileSystem.openDirectory(at: "webhdfs://nn", creating: true) } != nil)
  }

  @Test func pathsOfThisMachineAreTheOtherFileSystems() throws {
    _ = try harness.fileSystem.openDirectory(at: "local", creating: true)
    #expect(try harness.disk.openDirectory(at: "local", creating: false).entries().isEmpty)
  }

  @Test(arguments: ["", ".", "..", "a/b", String(repeating: "n", count: 256)])
  func aNameIsOneComponent(name: String) throws {
    let directory = try harness.open()
    #expect(failure { try directory.metadata(of: name) }?.code == .invalidName)
    #expect(failure { try directory.remove(name) }?.code == .invalidName)
    #expect(failure { try directory.openFile(name, .create) }?.code == .invalidName)
  }

  @Test func aServerWithoutFileIDsServesAsWell() throws {
    server.change { $0.tellsFileIDs = false }
    let directory = try harness.open()
    try directory.write("1", to: "a")
    try directory.write("2", to: "b")
    let (a, b) = (try directory.metadata(of: "a"), try directory.metadata(of: "b"))
    #expect(a != nil && a?.device != b?.device)
    #expect(try directory.metadata(of: "a") == a)
  }
}
