// Checkpoint storage in a directory, on a file system that all machines have mounted.
//
// A key `a/b/c` is the file `c` in the directory `a/b`. A file is written under a temporary name,
// `.new-<millis>-<random>`, synchronised, renamed, and its directory synchronised; to put what is
// absent is a rename that replaces nothing.
//
// A directory's own entry is synchronised by whoever puts something below it, once in a process:
// where it was before is remembered (`KnownDirectories`). Those of uploads go when they are empty,
// by `unfinished` alone; who finds his gone meanwhile makes it again. Those of a store's kinds of
// keys, such as `<identity>/log`, stay for good: another machine may remember them.
//
// Concurrency: from any thread and machine.

public import SedimentIO
internal import Synchronization

/// Checkpoint storage in a directory that all machines reach.
///
/// The file system must show on one machine at once what another has renamed, as local ones,
/// CephFS and GFS2 do, and NFS when it is mounted with `actimeo=0`.
public struct DirectoryStorage: CheckpointStorage {
  public let location: String
  private let root: any Directory
  private let clock: any Clock
  private let known = KnownDirectories()

  private static let temporaryPrefix = ".new-"
  private static let chunkBytes = 1 << 20
  /// How often a directory is made again that a collection of garbage removed.
  private static let triesMax = 8

  /// Opens a directory of its own for checkpoints.
  ///
  /// - Parameter creating: whether to make it when it is missing.
  /// - Throws: `notFound` when it is missing and is not to be made.
  public init(
    at path: String, creating: Bool = true, fileSystem: any FileSystem = PosixFileSystem(),
    clock: any Clock = SystemClock()
  ) throws(StoreError) {
    location = path
    self.clock = clock
    root = try wrapping { try fileSystem.openNamed(path, creating: creating) }
  }

  public func put(_ file: any File, bytes: UInt64, as key: String) throws(StoreError) {
    _ = try place(key, replacing: true) { target throws(FileError) in
      var offset: UInt64 = 0
      var chunk = [UInt8](repeating: 0, count: Int(min(UInt64(Self.chunkBytes), bytes)))
      while offset < bytes {
        let wanted = Int(min(UInt64(chunk.count), bytes - offset))
        if wanted < chunk.count { chunk.removeLast(chunk.count - wanted) }
        let count = try file.read(into: &chunk, at: offset)
        guard count == wanted else {
          throw FileError(
            code: .inputOutput, operation: "read", path: file.path,
            detail: "it ends at \(offset + UInt64(count)), before \(bytes)")
        }
        try target.write(chunk, at: offset)
        offset += UInt64(count)
      }
    }
  }

  public func put(_ content: [UInt8], as key: String) throws(StoreError) {
    _ = try place(key, replacing: true) { file throws(FileError) in try file.write(content, at: 0) }
  }

  public func putIfAbsent(_ content: [UInt8], as key: String) throws(StoreError) -> Bool {
    try place(key, replacing: false) { file throws(FileError) in try file.write(content, at: 0) }
  }

  /// By a hard link, where the file system knows them and the key is free: what is under a key is
  /// replaced and never changed.
  public func copy(_ key: String, bytes: UInt64, to target: String) throws(StoreError) {
    guard try !wrapping({ try link(key, bytes: bytes, as: target) }) else { return }
    try copyThroughMemory(key, bytes: bytes, to: target)
  }

  public func read(_ key: String, _ range: Range<UInt64>) throws(StoreError) -> [UInt8]? {
    try wrapping { () -> [UInt8]? in
      guard let (directory, name) = try find(key) else { return nil }
      let file: any File
      do {
        file = try directory.openFile(name, .read)
      } catch let error as FileError where error.code == .notFound {
        return nil
      }
      defer { file.close() }
      let end = min(range.upperBound, try file.size())
      guard range.lowerBound < end else { return [] }
      var bytes = [UInt8](repeating: 0, count: Int(end - range.lowerBound))
      let count = try file.read(into: &bytes, at: range.lowerBound)
      bytes.removeLast(bytes.count - count)
      return bytes
    }
  }

  public func list(_ prefix: String) throws(StoreError) -> [StoredObject] {
    try wrapping {
      var objects: [StoredObject] = []
      try walk(prefix) { directory, path, entry in
        guard entry.kind == .file, !entry.name.hasPrefix(Self.temporaryPrefix) else { return }
        // Gone since it was listed: not there.
        guard let bytes = try directory.metadata(of: entry.name)?.size else { return }
        objects.append(StoredObject(key: path + entry.name, bytes: bytes))
      }
      return objects.sorted { PathName.precedes($0.key, $1.key) }
    }
  }

  public func delete(_ keys: [String]) throws(StoreError) {
    try wrapping {
      // One synchronisation for neighbours.
      var changed: [String: any Directory] = [:]
      for key in keys {
        guard let (directory, name) = try find(key) else { continue }
        do {
          try directory.remove(name)
        } catch let error as FileError where error.code == .notFound {
          continue
        }
        changed[directory.path] = directory
      }
      for directory in changed.values { try directory.synchronize() }
    }
  }

  public func unfinished(
    _ prefix: String, before millis: Int64, removing: Bool
  ) throws(StoreError) -> [StoredObject] {
    try wrapping {
      var found: [StoredObject] = []
      try walk(prefix) { directory, path, entry in
        if entry.kind == .directory, removing, path.utf8.count > prefix.utf8.count {
          try Self.removeIfEmpty(entry.name, in: directory)
        }
        guard let begun = Self.beginning(ofTemporary: entry), begun < millis,
          let bytes = try directory.metadata(of: entry.name)?.size
        else { return }
        found.append(StoredObject(key: path + entry.name, bytes: bytes))
        if removing { try directory.remove(entry.name) }
      }
      return found
    }
  }

  // MARK: - Parts

  /// Writes a file under a temporary name, and gives it that of a key.
  ///
  /// - Returns: `false` when it is not to be replaced and is there.
  private func place(
    _ key: String, replacing: Bool, _ write: (any File) throws(FileError) -> Void
  ) throws(StoreError) -> Bool {
    try wrapping {
      for _ in 1..<Self.triesMax {
        do {
          return try placeOnce(key, replacing: replacing, write)
        } catch let error as FileError where error.code == .notFound {
          // The directory was empty, and is gone: it is made again.
        }
      }
      return try placeOnce(key, replacing: replacing, write)
    }
  }

  private func placeOnce(
    _ key: String, replacing: Bool, _ write: (any File) throws(FileError) -> Void
  ) throws -> Bool {
    let (directory, name) = try make(key)
    let temporary = temporaryName()
    let file = try directory.openFile(temporary, .create)
    defer { file.close() }
    do throws(FileError) {
      try write(file)
      try file.synchronize()
      try directory.rename(temporary, to: name, replacing: replacing)
    } catch {
      FileTransfer.discard(temporary, in: directory)
      guard error.code == .exists, !replacing else { throw error }
      return false
    }
    try directory.synchronize()
    return true
  }

  /// A directory whose entry in its parent is durable.
  private func enter(
    _ component: String, of directory: any Directory, _ path: String
  ) throws(FileError) -> any Directory {
    if known.contains(path) {
      do throws(FileError) {
        return try directory.subdirectory(component, creating: false)
      } catch {
        guard error.code == .notFound else { throw error }
      }
    }
    let inner = try directory.subdirectory(component, creating: true)
    // Whoever made it may not have come to that yet.
    try directory.synchronize()
    known.insert(path)
    return inner
  }

  /// Gives a file a second name, by another key.
  ///
  /// - Returns: whether it has it now.
  private func link(_ key: String, bytes: UInt64, as target: String) throws -> Bool {
    guard let (source, name) = try find(key), try source.metadata(of: name)?.size == bytes else {
      return false
    }
    let (directory, newName) = try make(target)
    do throws(FileError) {
      try source.link(name, into: directory, as: newName)
    } catch {
      // It is taken, there are no links, or the directory went: a copy says what is wrong.
      return false
    }
    try directory.synchronize()
    return true
  }

  /// The directory of a key, which is made where it is missing, and the key's name in it.
  private func make(_ key: String) throws -> (any Directory, String) {
    var components = key.split(separator: "/").map(String.init)
    guard let name = components.popLast() else {
      throw StoreError(.invalidArgument, "'\(key)' is no key")
    }
    var (directory, path) = (root, "")
    for component in components {
      path += component + "/"
      directory = try enter(component, of: directory, path)
    }
    return (directory, name)
  }

  private func temporaryName() -> String {
    let random = StoreIdentity.digits(.random(in: .min ... .max))
    return "\(Self.temporaryPrefix)\(clock.nowMillis())-\(random)"
  }

  /// When a temporary file was begun, in milliseconds since 1970; `nil` for all others.
  private static func beginning(ofTemporary entry: DirectoryEntry) -> Int64? {
    guard entry.kind == .file, entry.name.hasPrefix(temporaryPrefix) else { return nil }
    return Int64(entry.name.dropFirst(temporaryPrefix.count).prefix { $0 != "-" })
  }

  /// The directory and the name of a key; `nil` when there is no such directory.
  private func find(_ key: String) throws -> (any Directory, String)? {
    var components = key.split(separator: "/").map(String.init)
    guard let name = components.popLast() else { return nil }
    guard let directory = try directory(components) else { return nil }
    return (directory, name)
  }

  private func directory(_ components: [String]) throws(FileError) -> (any Directory)? {
    var directory = root
    for component in components {
      do throws(FileError) {
        directory = try directory.subdirectory(component, creating: false)
      } catch {
        guard error.code == .notFound || error.code == .notDirectory else { throw error }
        return nil
      }
    }
    return directory
  }

  /// Calls `body` with every entry below a prefix, and with a directory behind what is in it.
  private func walk(
    _ prefix: String, _ body: (any Directory, String, DirectoryEntry) throws -> Void
  ) throws {
    let components = prefix.split(separator: "/").map(String.init)
    guard let top = try directory(components) else { return }
    try walk(top, prefix, depth: 0, body)
  }

  /// Deeper than any key of ours, so that a loop of mounts ends.
  private static let depthMax = 16

  private func walk(
    _ directory: any Directory, _ path: String, depth: Int,
    _ body: (any Directory, String, DirectoryEntry) throws -> Void
  ) throws {
    for entry in try directory.entries() where entry.isUTF8 {
      if entry.kind == .directory, depth < Self.depthMax {
        do {
          let inner = try directory.subdirectory(entry.name, creating: false)
          try walk(inner, path + entry.name + "/", depth: depth + 1, body)
        } catch let error as FileError where error.code == .notFound {
          continue  // Removed meanwhile.
        }
      }
      try body(directory, path, entry)
    }
  }

  private static func removeIfEmpty(_ name: String, in directory: any Directory) throws(FileError) {
    do throws(FileError) {
      guard try directory.subdirectory(name, creating: false).entries().isEmpty else { return }
      try directory.removeDirectory(name)
    } catch {
      guard error.code == .notEmpty || error.code == .notFound else { throw error }
    }
  }
}

/// Directories whose entries this process has synchronised.
private final class KnownDirectories: Sendable {
  private let paths = Mutex<Set<String>>([])
  /// Far more than stores are being uploaded; when there are more all are synchronised again.
  private static let countMax = 4096

  func contains(_ path: String) -> Bool { paths.withLock { $0.contains(path) } }

  func insert(_ path: String) {
    paths.withLock { paths in
      if paths.count >= Self.countMax { paths.removeAll() }
      paths.insert(path)
    }
  }
}
