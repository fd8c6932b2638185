// A file system that writes down what is done to it, around any other.
//
// How it works: each operation that succeeded becomes a line, with names relative to the directory
// opened first, so that the lines of a run on any disk can be kept as a golden file and the order
// of syncs reviewed there.
//
// Concurrency: any thread; lines stand in the order in which operations returned.

public import SedimentIO
import Synchronization

/// Wraps a file system and records what changes it, a line each: `create a`, `write a 0+4096`,
/// `truncate a 10`, `sync a`, `sync-dir .`, `rename a b`, `link a sub/b`, `unlink a`, `mkdir sub`,
/// `rmdir sub`, `lock LOCK`, `unlock LOCK`; with reads also `open a`, `read a 0+4096`,
/// `close a`.
public final class RecordingFileSystem: FileSystem, Sendable {
  private struct State {
    var lines: [String] = []
    var root: String?
  }

  private let base: any FileSystem
  private let recordsReads: Bool
  private let state = Mutex(State())

  /// Wraps `base`.
  public init(_ base: any FileSystem, recordsReads: Bool = false) {
    self.base = base
    self.recordsReads = recordsReads
  }

  /// What was recorded so far.
  public var lines: [String] { state.withLock { $0.lines } }

  /// What was recorded since the last call of this.
  public func takeLines() -> [String] {
    state.withLock { state in
      let lines = state.lines
      state.lines = []
      return lines
    }
  }

  public func openDirectory(at path: String, creating: Bool) throws(FileError) -> any Directory {
    let directory = try base.openDirectory(at: path, creating: creating)
    let label = state.withLock { state in
      let root = state.root ?? path
      state.root = root
      if path == root { return "." }
      let prefix = PathName.join(root, "")
      return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : path
    }
    return RecordingDirectory(directory, label: label, fileSystem: self)
  }

  func record(_ line: String, isRead: Bool = false) {
    if isRead && !recordsReads { return }
    state.withLock { $0.lines.append(line) }
  }
}

private final class RecordingDirectory: Directory {
  let base: any Directory
  private let label: String
  private let fileSystem: RecordingFileSystem

  init(_ base: any Directory, label: String, fileSystem: RecordingFileSystem) {
    self.base = base
    self.label = label
    self.fileSystem = fileSystem
  }

  var path: String { base.path }

  private func shown(_ name: String) -> String {
    label == "." ? name : PathName.join(label, name)
  }

  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File {
    let file = try base.openFile(name, mode)
    let verb = mode == .create ? "create" : "open"
    fileSystem.record("\(verb) \(shown(name))", isRead: mode != .create)
    return RecordingFile(file, label: shown(name), fileSystem: fileSystem)
  }

  func metadata(of name: String) throws(FileError) -> FileMetadata? {
    try base.metadata(of: name)
  }

  func entries() throws(FileError) -> [DirectoryEntry] {
    try base.entries()
  }

  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError) {
    try base.rename(name, to: newName, replacing: replacing)
    fileSystem.record("rename \(shown(name)) \(shown(newName))")
  }

  func remove(_ name: String) throws(FileError) {
    try base.remove(name)
    fileSystem.record("unlink \(shown(name))")
  }

  func removeDirectory(_ name: String) throws(FileError) {
    try base.removeDirectory(name)
    fileSystem.record("rmdir \(shown(name))")
  }

  func link(
    _ name: String, into directory: any Directory, as newName: String
  ) throws(FileError) {
    let target = directory as? RecordingDirectory
    try base.link(name, into: target?.base ?? directory, as: newName)
    let newShown = target?.shown(newName) ?? PathName.join(directory.path, newName)
    fileSystem.record("link \(shown(name)) \(newShown)")
  }

  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory {
    let isNew = creating ? try base.metadata(of: name) == nil : false
    let directory = try base.subdirectory(name, creating: creating)
    if isNew { fileSystem.record("mkdir \(shown(name))") }
    return RecordingDirectory(directory, label: shown(name), fileSystem: fileSystem)
  }

  func synchronize() throws(FileError) {
    try base.synchronize()
    fileSystem.record("sync-dir \(label)")
  }

  func lock(_ name: String) throws(FileError) -> any DirectoryLock {
    let lock = try base.lock(name)
    fileSystem.record("lock \(shown(name))")
    return RecordingLock(lock, label: shown(name), fileSystem: fileSystem)
  }

  func lockHolder(of name: String) throws(FileError) -> LockHolder? {
    try base.lockHolder(of: name)
  }

  func availableBytes() throws(FileError) -> UInt64 {
    try base.availableBytes()
  }
}

private final class RecordingFile: File {
  private let base: any File
  private let label: String
  private let fileSystem: RecordingFileSystem

  init(_ base: any File, label: String, fileSystem: RecordingFileSystem) {
    self.base = base
    self.label = label
    self.fileSystem = fileSystem
  }

  var path: String { base.path }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    let count = try unsafe base.read(into: buffer, at: offset)
    fileSystem.record("read \(label) \(offset)+\(count)", isRead: true)
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try unsafe base.write(bytes, at: offset)
    fileSystem.record("write \(label) \(offset)+\(bytes.count)")
  }

  func size() throws(FileError) -> UInt64 {
    try base.size()
  }

  func truncate(to size: UInt64) throws(FileError) {
    try base.truncate(to: size)
    fileSystem.record("truncate \(label) \(size)")
  }

  func synchronize() throws(FileError) {
    try base.synchronize()
    fileSystem.record("sync \(label)")
  }

  func close() {
    base.close()
    fileSystem.record("close \(label)", isRead: true)
  }
}

private final class RecordingLock: DirectoryLock {
  private let base: any DirectoryLock
  private let label: String
  private let fileSystem: RecordingFileSystem
  private let isHeld = Atomic<Bool>(true)

  init(_ base: any DirectoryLock, label: String, fileSystem: RecordingFileSystem) {
    self.base = base
    self.label = label
    self.fileSystem = fileSystem
  }

  deinit { unlock() }

  func unlock() {
    guard isHeld.exchange(false, ordering: .acquiringAndReleasing) else { return }
    base.unlock()
    fileSystem.record("unlock \(label)")
  }
}
