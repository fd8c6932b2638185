// Bytes on disk, and pages of files in memory.

import Foundation

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

enum Directories {
  /// Bytes that the files below a directory occupy; holes do not count, and a file with several
  /// names counts once.
  static func occupiedBytes(_ path: String) -> UInt64 {
    var seen = Set<UInt64>()
    var bytes: UInt64 = 0
    forEachFile(below: path) { _, status in
      if seen.insert(UInt64(status.st_ino)).inserted { bytes += UInt64(status.st_blocks) * 512 }
    }
    return bytes
  }

  /// Reads every file once, so that all are in the page cache as far as they fit.
  static func warm(_ path: String) {
    let buffer = UnsafeMutableRawPointer.allocate(byteCount: 1 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    forEachFile(below: path) { file, _ in
      let descriptor = open(file, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return }
      while read(descriptor, buffer, 1 << 20) > 0 {}
      close(descriptor)
    }
  }

  /// Has the system forget the pages of every file.
  static func dropPages(_ path: String) throws {
    #if os(Linux)
      forEachFile(below: path) { file, _ in
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        close(descriptor)
      }
    #else
      throw BenchError("--cold: the page cache cannot be dropped on this system")
    #endif
  }

  /// A second directory with links to all files of the first.
  static func link(_ source: String, to target: String) throws {
    let files = FileManager.default
    try files.createDirectory(atPath: target, withIntermediateDirectories: true)
    for name in try files.contentsOfDirectory(atPath: source) {
      var isDirectory: ObjCBool = false
      let path = source + "/" + name
      _ = files.fileExists(atPath: path, isDirectory: &isDirectory)
      if isDirectory.boolValue {
        try link(path, to: target + "/" + name)
      } else {
        try files.linkItem(atPath: path, toPath: target + "/" + name)
      }
    }
  }

  private static func forEachFile(below path: String, _ body: (String, stat) -> Void) {
    guard let directory = opendir(path) else { return }
    defer { closedir(directory) }
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      guard name != ".", name != ".." else { continue }
      let file = path + "/" + name
      var status = stat()
      guard lstat(file, &status) == 0 else { continue }
      switch status.st_mode & S_IFMT {
      case S_IFDIR: forEachFile(below: file, body)
      case S_IFREG: body(file, status)
      default: break
      }
    }
  }
}
