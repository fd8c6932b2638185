// The directory of one instance: a state for each partition that is or was its, and its name.
//
//   LOCK   keeps a second process out
//   NAME   16 hexadecimal digits, made once

internal import SedimentIO
internal import SedimentStore

/// See the file's header.
struct InstanceDirectory {
  /// Tells this instance from the others of its job.
  let name: String
  private let lock: any DirectoryLock

  private static let fileName = "NAME"
  private static let temporaryName = ".NAME.new"
  private static let digits = 16

  /// Opens the directory and makes it when missing.
  ///
  /// - Throws: `JobError` when another process has it, or when it is something else.
  init(_ path: String, in fileSystem: any FileSystem) throws {
    let directory = try fileSystem.openDirectory(at: path, creating: true)
    guard try directory.metadata(of: ManifestFiles.current) == nil else {
      throw JobError(
        .failed,
        "\(path) is the state of a job with one state over all partitions: several instances have "
          + "one a partition; give another --state and --group")
    }
    do {
      lock = try directory.lock(StateStore.lockName)
    } catch {
      guard case .locked(let process) = error.code else { throw error }
      let holder = process.map { "process \($0)" } ?? "another process"
      throw JobError(
        .failed, "\(path) is in use by \(holder): each instance needs a --state of its own")
    }
    do {
      name = try Self.name(in: directory)
    } catch {
      lock.unlock()
      throw error
    }
  }

  /// Lets go of it.
  func close() { lock.unlock() }

  private static func name(in directory: any Directory) throws -> String {
    if try directory.metadata(of: fileName) != nil {
      let file = try directory.openFile(fileName, .read)
      defer { file.close() }
      var bytes = [UInt8](repeating: 0, count: digits + 1)
      let count = try file.read(into: &bytes, at: 0)
      let text = String(decoding: bytes.prefix(count), as: UTF8.self)
      guard text.utf8.count == digits, UInt64(text, radix: 16) != nil else {
        throw JobError(
          .failed, "\(directory.path)/\(fileName) is damaged: remove it, and it is made anew")
      }
      return text
    }
    let name = String(EpochTag.random().description.prefix(digits))
    if try directory.metadata(of: temporaryName) != nil { try directory.remove(temporaryName) }
    let file = try directory.openFile(temporaryName, .create)
    defer { file.close() }
    try file.write(Array(name.utf8), at: 0)
    try file.synchronize()
    try directory.rename(temporaryName, to: fileName, replacing: true)
    try directory.synchronize()
    return name
  }
}
