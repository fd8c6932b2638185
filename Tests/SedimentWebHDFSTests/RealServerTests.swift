import Foundation
import SedimentIO
import SedimentTestKit
import SedimentWebHDFS
import Testing

/// What the other tests take for granted of a server, against a real one:
/// `SEDIMENT_WEBHDFS_URL=webhdfs://host:9870/tmp/sediment?user.name=hdfs tools/test --filter Real`.
/// It works in a new directory there, which it removes file by file; the empty one stays.
@Suite struct RealServerTests {
  private static let url = ProcessInfo.processInfo.environment["SEDIMENT_WEBHDFS_URL"]

  @Test(.enabled(if: url != nil, "SEDIMENT_WEBHDFS_URL names no server"))
  func aRealServerDoesWhatIsAskedOfIt() throws {
    let parts = try #require(Self.url).split(separator: "?", maxSplits: 1)
    let url =
      "\(parts[0])/test-\(UUID().uuidString)" + (parts.count > 1 ? "?\(parts[1])" : "")
    let disk = MemoryFileSystem()
    _ = try disk.openDirectory(at: "spool", creating: true)
    var options = WebHDFSOptions()
    options.token = ProcessInfo.processInfo.environment["SEDIMENT_WEBHDFS_TOKEN"]
    options.authoritiesPath = ProcessInfo.processInfo.environment["SSL_CERT_FILE"]
    let fileSystem = WebHDFSFileSystem(
      over: disk, spool: Spool(in: disk, at: "spool", name: "spool"), options: options)
    let missing = failure { try fileSystem.openDirectory(at: url, creating: false) }
    #expect(missing?.code == .notFound)
    let directory = try fileSystem.openDirectory(at: url, creating: true)
    #expect(try directory.entries().isEmpty)
    let large = String(repeating: "0123456789", count: 300_000)
    let texts = ["empty": "", ".part-1.tmp": "hello, HDFS", "with space & %": "x", "large": large]
    for (name, text) in texts { try directory.write(text, to: name) }
    #expect(try Set(directory.names) == Set(texts.keys))
    for (name, text) in texts {
      #expect(try directory.text(of: name, count: 4 << 20) == text)
      #expect(try directory.metadata(of: name)?.size == UInt64(text.utf8.count))
    }
    #expect(failure { try directory.write("other", to: "large") }?.code == .exists)
    #expect(
      failure { try directory.rename("empty", to: "large", replacing: false) }?.code == .exists)
    #expect(failure { try directory.rename("no", to: "a", replacing: false) }?.code == .notFound)
    #expect(failure { try directory.remove("no") }?.code == .notFound)
    let before = try directory.metadata(of: ".part-1.tmp")
    try directory.rename(".part-1.tmp", to: "part-1", replacing: false)
    #expect(try directory.metadata(of: "part-1") == before)
    // The write that was refused left what it had tried.
    for name in try directory.names { try directory.remove(name) }
    #expect(try directory.entries().isEmpty)
  }
}
