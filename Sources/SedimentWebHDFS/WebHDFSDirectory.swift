// A directory on HDFS, as far as a directory of parts needs one.
//
// A new file is written to the spool and goes to HDFS when it is synchronised:
//
//     try N:  CREATE <name with aN> │ whole? ─▶ RENAME to <name> ─▶ DELETE what tries before left
//                                   └ broken: pause, try N + 1 under another name
//
// Invariants
// 1. A name is got by RENAME alone, of a file that is whole.
// 2. No name of a try is used twice by this process; one that an earlier process left is taken, and
//    the next is tried.
//
// Concurrency: from any thread.

internal import SedimentHTTP
internal import SedimentIO
internal import Synchronization

/// An open directory on HDFS.
final class WebHDFSDirectory: Directory {
  let path: String
  private let client: WebHDFSClient
  private let spool: Spool
  /// Of the last try of any file of this directory.
  private let lastTry = Atomic<UInt64>(0)

  init(_ client: WebHDFSClient, spool: Spool) {
    path = client.address.location
    self.client = client
    self.spool = spool
  }

  private func fullPath(_ name: String, _ operation: String) throws(FileError) -> String {
    try PathName.validate(name, in: path, operation: operation)
    return client.address.path + "/" + name
  }

  // MARK: - Names

  func metadata(of name: String) throws(FileError) -> FileMetadata? {
    let fullPath = try fullPath(name, "look at")
    return try reachingHDFS { () throws(WebHDFSError) in
      try client.status(of: fullPath).map { FileMetadata($0, name: name) }
    }
  }

  func entries() throws(FileError) -> [DirectoryEntry] {
    let found = try reachingHDFS { () throws(WebHDFSError) in
      try client.list(client.address.path)
    }
    var entries: [DirectoryEntry] = []
    entries.reserveCapacity(found.count)
    for status in found {
      try PathName.validate(status.pathSuffix, in: path, operation: "list")
      entries.append(DirectoryEntry(name: status.pathSuffix, kind: status.type.fileKind))
    }
    return entries.sorted { PathName.precedes($0.name, $1.name) }
  }

  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError) {
    guard !replacing else { throw unsupported("replace", newName) }
    let (old, new) = (try fullPath(name, "rename"), try fullPath(newName, "rename"))
    try reachingHDFS { () throws(WebHDFSError) in try client.rename(old, to: new) }
  }

  func remove(_ name: String) throws(FileError) {
    let fullPath = try fullPath(name, "remove")
    try reachingHDFS { () throws(WebHDFSError) in try client.remove(fullPath) }
  }

  /// HDFS has done what it has answered.
  func synchronize() throws(FileError) {}

  // MARK: - Files

  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File {
    let fullPath = try fullPath(name, "open")
    switch mode {
    case .read:
      let found = try reachingHDFS { () throws(WebHDFSError) in
        try client.status(of: fullPath)
      }
      guard let found else { throw error(.notFound, "open", name) }
      guard found.type == .file else { throw error(.isDirectory, "open", name) }
      return WebHDFSReading(client, fullPath, bytes: found.length)
    case .create: return WebHDFSWriting(self, name, spool: try spool.makeFile())
    case .readWrite: throw unsupported("change", name)
    }
  }

  /// Sends the first `bytes` bytes of a file, until they are there under `name`.
  func send(_ file: any File, bytes: UInt64, as name: String) throws(FileError) {
    let fullPath = try fullPath(name, "create")
    try reachingHDFS { () throws(WebHDFSError) in
      var left: [String] = []
      var reason = ""
      for number in 0..<client.options.triesMax {
        client.pause(before: number)
        let tried = pathOfNextTry(of: name)
        switch try client.create(tried, HTTPBody(file: file, bytes: bytes)) {
        case .whole:
          try client.rename(tried, to: fullPath)
          for path in left { try removeLeft(path) }
          return
        case .broken(let text):
          reason = text
          left.append(tried)
        }
        client.options.tell(of: number, "create", client.address.shown(fullPath), reason)
      }
      throw WebHDFSError(
        code: .unanswered, operation: "create", url: client.address.shown(fullPath),
        reason: "\(reason); \(WebHDFSClient.howToGoOn(client.options.triesMax))")
    }
  }

  private func pathOfNextTry(of name: String) -> String {
    let number = lastTry.add(1, ordering: .relaxed).newValue
    let stem = name.hasSuffix(Self.ending) ? String(name.dropLast(Self.ending.count)) : name
    return "\(client.address.path)/\(stem).a\(number)\(Self.ending)"
  }

  private static let ending = ".tmp"

  private func removeLeft(_ path: String) throws(WebHDFSError) {
    do throws(WebHDFSError) {
      try client.remove(path)
    } catch {
      // It never began.
      guard error.code == .notFound else { throw error }
    }
  }

  // MARK: - What a directory of parts does not need

  func removeDirectory(_ name: String) throws(FileError) {
    throw unsupported("remove directory", name)
  }

  func link(
    _ name: String, into directory: any Directory, as newName: String
  ) throws(FileError) {
    throw error(.crossDevice, "link", name)
  }

  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory {
    throw unsupported("open", name)
  }

  func lock(_ name: String) throws(FileError) -> any DirectoryLock {
    throw unsupported("lock", name)
  }

  func lockHolder(of name: String) throws(FileError) -> LockHolder? {
    throw unsupported("look for the lock", name)
  }

  func availableBytes() throws(FileError) -> UInt64 {
    throw unsupported("measure the room in", "")
  }

  private func unsupported(_ operation: String, _ name: String) -> FileError {
    FileError(
      code: .inputOutput, operation: operation, path: PathName.join(path, name),
      detail: "outputs can be on HDFS, nothing else: mount it, and name a directory")
  }

  private func error(_ code: FileError.Code, _ operation: String, _ name: String) -> FileError {
    FileError(code: code, operation: operation, path: PathName.join(path, name))
  }
}

extension FileMetadata {
  /// Where HDFS does not say which file it is, a name is only ever the same as itself.
  fileprivate init(_ status: FileStatus, name: String) {
    self.init(
      kind: status.type.fileKind, size: status.length,
      device: status.fileId == nil ? UInt64(bitPattern: Int64(name.hashValue)) | 1 : 0,
      inode: status.fileId ?? 0, linkCount: 1)
  }
}

extension FileStatus.Kind {
  fileprivate var fileKind: FileMetadata.Kind {
    switch self {
    case .file: .file
    case .directory: .directory
    case .symbolicLink: .symbolicLink
    }
  }
}
