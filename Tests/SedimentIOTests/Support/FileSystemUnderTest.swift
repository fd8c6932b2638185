import SedimentIO
import SedimentTestKit
import Synchronization

/// The file systems that keep the same contract.
enum FileSystemUnderTest: CaseIterable {
  case memory, posix, recorded, faultless
}

/// An empty directory on one of the file systems; `remove()` clears it away.
final class Scratch: Sendable {
  let fileSystem: any FileSystem
  let directory: any Directory
  /// The directory's path.
  let path: String
  private let isOnDisk: Bool

  private static let counter = Atomic<Int>(0)

  init(_ kind: FileSystemUnderTest = .posix) throws {
    let number = Self.counter.add(1, ordering: .relaxed).newValue
    fileSystem =
      switch kind {
      case .memory: MemoryFileSystem()
      case .posix: PosixFileSystem()
      case .recorded: RecordingFileSystem(MemoryFileSystem())
      case .faultless: FaultInjectingFileSystem(PosixFileSystem())
      }
    isOnDisk = kind == .posix || kind == .faultless
    path = "/tmp/sediment-io-tests-\(ProcessStatistics.processIdentifier)-\(number)"
    directory = try fileSystem.openDirectory(at: path, creating: true)
  }

  /// Removes the directory and all in it.
  func remove() {
    guard isOnDisk else { return }
    do {
      let parent = try PosixFileSystem().openDirectory(at: "/tmp", creating: false)
      try Self.empty(directory)
      try parent.removeDirectory(String(path.dropFirst("/tmp/".count)))
    } catch {
      print("left behind: \(path): \(error)")
    }
  }

  private static func empty(_ directory: any Directory) throws {
    for entry in try directory.entries() {
      if entry.kind == .directory {
        try empty(directory.subdirectory(entry.name, creating: false))
        try directory.removeDirectory(entry.name)
      } else {
        try directory.remove(entry.name)
      }
    }
  }
}
