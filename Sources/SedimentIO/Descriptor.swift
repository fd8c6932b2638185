#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A file descriptor with one owner, closed when that owner goes.
struct Descriptor: ~Copyable, Sendable {
  /// The number the system knows it by.
  let number: Int32

  init(_ number: Int32) {
    self.number = number
  }

  /// The number, which the caller now has to close.
  consuming func take() -> Int32 {
    let number = number
    discard self
    return number
  }

  deinit {
    // An error of close says nothing that a sync has not said; the number is free either way.
    _ = close(number)
  }
}

extension Descriptor {
  /// Makes the entries of an open directory durable.
  func synchronizeDirectory(path: String) throws(FileError) {
    do throws(FileError) {
      try retryingInterrupts(FileError.synchronizeDirectory, path) { fsync(number) }
    } catch  where error.systemError == EINVAL {
      // Some network file systems have no sync of directories: their entries are durable at once.
      return
    }
  }

  /// Kind, size and identity of the open file.
  func metadata(operation: String, path: String) throws(FileError) -> FileMetadata {
    var status = stat()
    try retryingInterrupts(operation, path) { unsafe fstat(number, &status) }
    return FileMetadata(status)
  }
}

extension FileMetadata {
  /// What `stat` says.
  init(_ status: stat) {
    let kind: Kind =
      switch status.st_mode & S_IFMT {
      case S_IFREG: .file
      case S_IFDIR: .directory
      case S_IFLNK: .symbolicLink
      default: .other
      }
    self.init(
      kind: kind, size: UInt64(max(0, status.st_size)),
      device: UInt64(truncatingIfNeeded: status.st_dev),
      inode: UInt64(truncatingIfNeeded: status.st_ino),
      linkCount: UInt64(truncatingIfNeeded: status.st_nlink))
  }
}
