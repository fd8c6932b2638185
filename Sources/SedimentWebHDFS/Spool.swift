// Files without a name, for what has to be there again when an upload breaks.
//
// A file is made in the state's directory and loses its name at once: whatever ends the process
// gives its room back. A crash between the two leaves a name, which the next file takes away.

package import SedimentIO
internal import Synchronization

/// Makes files that are gone when they are closed. Thread-safe.
package final class Spool: Sendable {
  private let fileSystem: any FileSystem
  private let path: String
  private let name: String
  private let isMaking = Mutex(())

  /// Files in the directory at `path`, which nobody else makes files of that name in.
  package init(in fileSystem: any FileSystem, at path: String, name: String) {
    self.fileSystem = fileSystem
    self.path = path
    self.name = name
  }

  /// An empty file, read and write.
  func makeFile() throws(FileError) -> any File {
    try isMaking.withLock { _ throws(FileError) in
      let directory = try fileSystem.openDirectory(at: path, creating: false)
      if try directory.metadata(of: name) != nil { try directory.remove(name) }
      let file = try directory.openFile(name, .create)
      try directory.remove(name)
      return file
    }
  }
}
