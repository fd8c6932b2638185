// The file of --summary: its directory is opened before the job begins, so that a run of hours does
// not end with nowhere to write.

import SedimentIO
import SedimentJob

/// Where a summary goes.
struct SummaryFile {
  private let directory: any Directory
  private let name: String

  /// Opens the directory that holds `path`.
  ///
  /// - Throws: `JobError` when the file could not be written there.
  init(_ path: String) throws {
    let (directoryPath, name) = OutputTarget.split(path)
    do {
      directory = try PosixFileSystem().openDirectory(at: directoryPath, creating: false)
      self.name = name
      guard try directory.metadata(of: name)?.kind ?? .file == .file else {
        throw JobError(.failed, "--summary \(path) is there already and is no file")
      }
    } catch let error as FileError {
      throw JobError(.failed, "--summary \(path): \(error)")
    }
  }

  /// Replaces what was there.
  func write(_ text: String) throws(FileError) {
    let temporary = ".\(name).tmp"
    if try directory.metadata(of: temporary) != nil { try directory.remove(temporary) }
    let file = try directory.openFile(temporary, .create)
    try unsafe Array(text.utf8).span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 0)
    }
    try file.synchronize()
    file.close()
    try directory.rename(temporary, to: name, replacing: true)
  }
}
