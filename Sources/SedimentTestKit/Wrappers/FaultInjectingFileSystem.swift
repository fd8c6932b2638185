// A file system that fails on demand, around any other; or lets something else happen in between.
//
// How it works: every call is counted, in all and by its kind, and asked of the plan. A call that
// is to fail does not reach the other file system, but for a write, which writes the first half:
// that much a real one may have done before it ran into the error.
//
// Concurrency: any thread; with several, which call gets which number is theirs to settle.

public import SedimentIO
import Synchronization

/// Wraps a file system and lets chosen calls fail.
///
///     // Fail the first call, the second, and so on until nothing fails any more.
///     for number in 1... {
///       let faulty = FaultInjectingFileSystem(MemoryFileSystem())
///       faulty.arm([.inputOutput(number: number)])
///       runEngine(on: faulty)
///       if faulty.firedCount == 0 { break }
///     }
public final class FaultInjectingFileSystem: FileSystem, Sendable {
  private let base: any FileSystem
  private let plan = Mutex(FaultPlan())
  private let interruption = Mutex(Interrupter())

  /// What runs before a call: its kind and the path it is about.
  public typealias Interruption = @Sendable (FileOperation, String) -> Void

  // A function that is itself the value of a generic type is wrapped once more at each access, so
  // that each call takes longer than the one before.
  private struct Interrupter {
    var body: Interruption?
  }

  /// Whether two of three pages of a file are not in memory: their reads have to wait.
  let readsWait: Bool
  /// Whether a rename that replaces nothing is a second name, and then the end of the first.
  let renamesByLink: Bool

  /// Wraps `base`; nothing fails until faults are armed.
  ///
  /// - Parameters:
  ///   - readsWait: whether two of three pages of a file are not in the system's memory.
  ///   - renamesByLink: whether a rename that replaces nothing is two calls, as on NFS.
  public init(_ base: any FileSystem, readsWait: Bool = false, renamesByLink: Bool = false) {
    self.base = base
    self.readsWait = readsWait
    self.renamesByLink = renamesByLink
  }

  /// Replaces the faults; their counting starts here.
  public func arm(_ faults: [Fault]) {
    plan.withLock { $0.arm(faults) }
  }

  /// Runs `body` before every call from here on, on the caller's thread, as if another process had
  /// been faster; `nil` ends that. Calls made by `body` itself interrupt again.
  public func interrupt(_ body: Interruption?) {
    interruption.withLock { $0.body = body }
  }

  /// How many calls have failed since faults were armed.
  public var firedCount: Int { plan.withLock { $0.firedCount } }

  /// Calls by their kind since the beginning, failed ones too.
  public var callCounts: [FileOperation: Int] { plan.withLock { $0.callCounts } }

  /// All calls since the beginning.
  public var callCount: Int { callCounts.values.reduce(0, +) }

  public func openDirectory(at path: String, creating: Bool) throws(FileError) -> any Directory {
    try call(.openDirectory, path)
    return FaultInjectingDirectory(
      try base.openDirectory(at: path, creating: creating), fileSystem: self)
  }

  /// Counts a call and throws when it is to fail.
  func call(_ operation: FileOperation, _ path: String) throws(FileError) {
    if let fault = next(operation, path) { throw Self.error(fault, operation, path) }
  }

  func next(_ operation: FileOperation, _ path: String) -> Fault? {
    interruption.withLock { $0.body }?(operation, path)
    return plan.withLock { $0.next(operation, path) }
  }

  static func error(_ fault: Fault, _ operation: FileOperation, _ path: String) -> FileError {
    let name =
      switch operation {
      case .synchronizeFile: FileError.synchronizeFile
      case .synchronizeDirectory: FileError.synchronizeDirectory
      default: operation.rawValue
      }
    return FileError(
      code: fault.code, operation: name, path: path, systemError: fault.systemError)
  }
}

private final class FaultInjectingDirectory: Directory {
  let base: any Directory
  private let fileSystem: FaultInjectingFileSystem

  init(_ base: any Directory, fileSystem: FaultInjectingFileSystem) {
    self.base = base
    self.fileSystem = fileSystem
  }

  var path: String { base.path }

  private func call(_ operation: FileOperation, _ name: String) throws(FileError) {
    try fileSystem.call(operation, PathName.join(path, name))
  }

  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File {
    try call(mode == .create ? .createFile : .openFile, name)
    return FaultInjectingFile(try base.openFile(name, mode), fileSystem: fileSystem)
  }

  func metadata(of name: String) throws(FileError) -> FileMetadata? {
    try call(.metadata, name)
    return try base.metadata(of: name)
  }

  func entries() throws(FileError) -> [DirectoryEntry] {
    try fileSystem.call(.entries, path)
    return try base.entries()
  }

  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError) {
    if fileSystem.renamesByLink, !replacing {
      try link(name, into: self, as: newName)
      return try remove(name)
    }
    try call(.rename, newName)
    try base.rename(name, to: newName, replacing: replacing)
  }

  func remove(_ name: String) throws(FileError) {
    try call(.remove, name)
    try base.remove(name)
  }

  func removeDirectory(_ name: String) throws(FileError) {
    try call(.removeDirectory, name)
    try base.removeDirectory(name)
  }

  func link(
    _ name: String, into directory: any Directory, as newName: String
  ) throws(FileError) {
    try call(.link, name)
    let target = (directory as? FaultInjectingDirectory)?.base ?? directory
    try base.link(name, into: target, as: newName)
  }

  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory {
    try call(.subdirectory, name)
    return FaultInjectingDirectory(
      try base.subdirectory(name, creating: creating), fileSystem: fileSystem)
  }

  func synchronize() throws(FileError) {
    try fileSystem.call(.synchronizeDirectory, path)
    try base.synchronize()
  }

  func lock(_ name: String) throws(FileError) -> any DirectoryLock {
    try call(.lock, name)
    return try base.lock(name)
  }

  func lockHolder(of name: String) throws(FileError) -> LockHolder? {
    try call(.lockHolder, name)
    return try base.lockHolder(of: name)
  }

  func availableBytes() throws(FileError) -> UInt64 {
    try fileSystem.call(.availableBytes, path)
    return try base.availableBytes()
  }
}

private final class FaultInjectingFile: File {
  private let base: any File
  private let fileSystem: FaultInjectingFileSystem

  init(_ base: any File, fileSystem: FaultInjectingFileSystem) {
    self.base = base
    self.fileSystem = fileSystem
  }

  var path: String { base.path }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    try fileSystem.call(.read, path)
    return try unsafe base.read(into: buffer, at: offset)
  }

  func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int? {
    if fileSystem.readsWait && offset / 4096 % 3 != 0 { return nil }
    return try unsafe read(into: buffer, at: offset)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    if let fault = fileSystem.next(.write, path) {
      let half = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)])
      try unsafe base.write(half, at: offset)
      throw FaultInjectingFileSystem.error(fault, .write, path)
    }
    try unsafe base.write(bytes, at: offset)
  }

  func size() throws(FileError) -> UInt64 {
    try fileSystem.call(.size, path)
    return try base.size()
  }

  func truncate(to size: UInt64) throws(FileError) {
    try fileSystem.call(.truncate, path)
    try base.truncate(to: size)
  }

  func synchronize() throws(FileError) {
    try fileSystem.call(.synchronizeFile, path)
    try base.synchronize()
  }

  func close() {
    base.close()
  }
}
