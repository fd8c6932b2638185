// The real file system.
//
// How it works: a path is used once, to open a directory; from there every call names one component
// relative to the open directory (`openat` and its kin), so that neither a renamed parent nor a
// name read from disk can lead elsewhere.
//
// Invariants
// 1. No descriptor outlives an exec (`O_CLOEXEC`), none is used after it was closed.
// 2. Nothing but a regular file is ever read or written: a FIFO in place of a file cannot block us.
// 3. An interrupted call is made again; a short read or write is completed or reported.
//
// Concurrency: all types may be used from any thread at once.

import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The file system of the operating system.
///
///     let directory = try PosixFileSystem().openDirectory(at: "state", creating: true)
///     let file = try directory.openFile("CURRENT", .read)
public struct PosixFileSystem: FileSystem {
  /// A file system without state: all values are the same.
  public init() {}

  public func openDirectory(
    at path: String, creating: Bool
  ) throws(FileError) -> any Directory {
    let operation = "open directory"
    if path.isEmpty || path.utf8.contains(0) {
      throw FileError(code: .invalidName, operation: operation, path: path)
    }
    let descriptor = try creating ? openCreating(path) : open(path)
    return PosixDirectory(descriptor: descriptor, path: path)
  }

  public func openDirectoryForLookup(at path: String) throws(FileError) -> any Directory {
    #if os(Linux)
      if path.isEmpty || path.utf8.contains(0) {
        throw FileError(code: .invalidName, operation: "open directory", path: path)
      }
      let number = try retryingInterrupts("open directory", path) {
        unsafe sediment_open_directory_for_lookup(path)
      }
      return PosixDirectory(descriptor: Descriptor(number), path: path)
    #else
      return try openDirectory(at: path, creating: false)
    #endif
  }

  /// Opens `path`, making what is missing of it. Each step up is one component shorter.
  private func openCreating(_ path: String) throws(FileError) -> Descriptor {
    do throws(FileError) {
      return try open(path)
    } catch  where error.code == .notFound {
      guard let (parentPath, name) = Self.split(path) else { throw error }
      let parent = try openCreating(parentPath)
      try makeDirectoryIfMissing(name, relativeTo: parent.number, shownAs: path)
      // Also when somebody else made it: nobody knows yet whether its name is durable.
      try parent.synchronizeDirectory(path: parentPath)
      return try open(name, relativeTo: parent.number, shownAs: path)
    }
  }

  private func open(
    _ path: String, relativeTo base: Int32 = AT_FDCWD, shownAs shown: String? = nil
  ) throws(FileError) -> Descriptor {
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
    let number = try retryingInterrupts("open directory", shown ?? path) {
      unsafe openat(base, path, flags)
    }
    return Descriptor(number)
  }

  private func makeDirectoryIfMissing(
    _ name: String, relativeTo base: Int32, shownAs path: String
  ) throws(FileError) {
    do throws(FileError) {
      try retryingInterrupts("make directory", path) { unsafe mkdirat(base, name, 0o777) }
    } catch  where error.code == .exists {
      return
    }
  }

  /// Parent and last component; `nil` for a root, and for what has no parent to make it in.
  private static func split(_ path: String) -> (parent: String, name: String)? {
    var bytes = Array(path.utf8)
    let slash = UInt8(ascii: "/")
    while bytes.count > 1, bytes.last == slash { bytes.removeLast() }
    guard let last = bytes.lastIndex(of: slash) else {
      return bytes.isEmpty ? nil : (".", String(decoding: bytes, as: UTF8.self))
    }
    let name = String(decoding: bytes[(last + 1)...], as: UTF8.self)
    if name.isEmpty { return nil }
    let parent = last == 0 ? "/" : String(decoding: bytes[..<last], as: UTF8.self)
    return (parent, name)
  }
}
