import SedimentIO
import SedimentTestKit
import SedimentWebHDFS

/// A server, and a file system that reaches it without waiting between tries.
final class WebHDFSHarness {
  let server: WebHDFSServer
  let disk = MemoryFileSystem()
  var options = WebHDFSOptions()

  init(nameNodes: Int = 1) throws {
    server = try WebHDFSServer(nameNodes: nameNodes)
    options.delayMillis = 0
    options.triesMax = 5
    _ = try disk.openDirectory(at: "state", creating: true)
  }

  deinit { server.stop() }

  var fileSystem: WebHDFSFileSystem {
    WebHDFSFileSystem(
      over: disk, spool: Spool(in: disk, at: "state", name: "spool"), options: options)
  }

  /// Opens or makes a directory on HDFS.
  func open(_ path: String = "/out", query: String = "") throws -> any Directory {
    try fileSystem.openDirectory(at: server.url(path) + query, creating: true)
  }
}

extension Directory {
  /// Makes a file, which is there when this returns.
  func write(_ text: String, to name: String) throws {
    let file = try openFile(name, .create)
    let bytes = Array(text.utf8)
    let half = bytes.count / 2
    for part in [bytes[..<half], bytes[half...]] {
      let bytes = Array(part)
      try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
        try unsafe file.write(bytes, at: part.startIndex == 0 ? 0 : UInt64(half))
      }
    }
    try file.synchronize()
    file.close()
  }

  func text(of name: String, at offset: UInt64 = 0, count: Int = 1 << 20) throws -> String {
    let file = try openFile(name, .read)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    defer { unsafe buffer.deallocate() }
    let read = try unsafe file.read(into: buffer, at: offset)
    return unsafe String(decoding: buffer[..<read], as: UTF8.self)
  }

  var names: [String] { get throws { try entries().map(\.name) } }
}

/// The error of a call that is to fail.
func failure<Value>(_ body: () throws -> Value) -> FileError? {
  do {
    _ = try body()
    return nil
  } catch {
    return error as? FileError
  }
}
