// Files on HDFS: read as they are, or written to the spool and sent as a whole.

internal import SedimentIO
internal import Synchronization

/// A file on HDFS, as it was when it was opened.
final class WebHDFSReading: File {
  let path: String
  private let client: WebHDFSClient
  private let fullPath: String
  private let bytes: UInt64

  init(_ client: WebHDFSClient, _ fullPath: String, bytes: UInt64) {
    path = client.address.shown(fullPath)
    self.client = client
    self.fullPath = fullPath
    self.bytes = bytes
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    guard offset < bytes, buffer.count > 0 else { return 0 }
    let count = Int(clamping: min(UInt64(buffer.count), bytes - offset))
    let found = try reachingHDFS { () throws(WebHDFSError) in
      try client.read(fullPath, at: offset, count: count)
    }
    unsafe buffer.copyBytes(from: found)
    return found.count
  }

  func size() -> UInt64 { bytes }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    throw readOnly("write")
  }

  func truncate(to size: UInt64) throws(FileError) {
    throw readOnly("truncate")
  }

  func synchronize() {}

  func close() {}

  private func readOnly(_ operation: String) -> FileError {
    FileError(
      code: .readOnlyFileSystem, operation: operation, path: path,
      detail: "files on HDFS are written once")
  }
}

/// A new file, which is on HDFS once it is synchronised. Thread-safe.
final class WebHDFSWriting: File {
  private struct Content {
    var bytes: UInt64 = 0
    var isSent = false
  }

  let path: String
  private let directory: WebHDFSDirectory
  private let name: String
  private let spool: any File
  private let content = Mutex(Content())

  init(_ directory: WebHDFSDirectory, _ name: String, spool: any File) {
    path = PathName.join(directory.path, name)
    self.directory = directory
    self.name = name
    self.spool = spool
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    try unsafe spool.read(into: buffer, at: offset)
  }

  func size() -> UInt64 { content.withLock { $0.bytes } }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try requireUnsent("write")
    try unsafe spool.write(bytes, at: offset)
    let end = offset + UInt64(bytes.count)
    content.withLock { $0.bytes = max($0.bytes, end) }
  }

  func truncate(to size: UInt64) throws(FileError) {
    try requireUnsent("truncate")
    try spool.truncate(to: size)
    content.withLock { $0.bytes = size }
  }

  func synchronize() throws(FileError) {
    let (bytes, isSent) = content.withLock { ($0.bytes, $0.isSent) }
    guard !isSent else { return }
    try directory.send(spool, bytes: bytes, as: name)
    content.withLock { $0.isSent = true }
  }

  func close() {
    spool.close()
  }

  private func requireUnsent(_ operation: String) throws(FileError) {
    guard content.withLock({ $0.isSent }) else { return }
    throw FileError(
      code: .readOnlyFileSystem, operation: operation, path: path,
      detail: "files on HDFS are written once")
  }
}
