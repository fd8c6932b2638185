import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// An open directory of the operating system.
final class PosixDirectory: Directory {
  let path: String
  private let descriptor: Descriptor

  init(descriptor: consuming Descriptor, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  // MARK: Opening

  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File {
    let flags =
      switch mode {
      case .read: O_RDONLY
      case .readWrite: O_RDWR
      case .create: O_RDWR | O_CREAT | O_EXCL
      }
    let operation = mode == .create ? "create" : "open"
    let opened = try openRegular(name, flags, operation)
    return PosixFile(descriptor: opened, path: PathName.join(path, name))
  }

  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory {
    let fullPath = try checked(name, "open directory")
    if creating {
      do throws(FileError) {
        try retryingInterrupts("make directory", fullPath) {
          unsafe mkdirat(descriptor.number, name, 0o777)
        }
      } catch  where error.code == .exists {
        // What is there may not be a directory: opening it says so.
      }
    }
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW
    do throws(FileError) {
      let number = try retryingInterrupts("open directory", fullPath) {
        unsafe openat(descriptor.number, name, flags)
      }
      return PosixDirectory(descriptor: Descriptor(number), path: fullPath)
    } catch  where error.code == .notDirectory {
      // Systems disagree on the error of a link here; callers shall not.
      if try metadata(of: name)?.kind == .symbolicLink {
        throw error.recoded(.symbolicLink)
      }
      throw error
    }
  }

  /// Opens a regular file, and nothing else.
  private func openRegular(
    _ name: String, _ flags: Int32, _ operation: String
  ) throws(FileError) -> Descriptor {
    let fullPath = try checked(name, operation)
    // O_NONBLOCK: opening a FIFO would wait for its other end. Regular files do not heed it.
    let all = flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY
    let number = try retryingInterrupts(operation, fullPath) {
      unsafe openat(descriptor.number, name, all, 0o666)
    }
    let opened = Descriptor(number)
    switch try opened.metadata(operation: operation, path: fullPath).kind {
    case .file: return opened
    case .directory:
      throw FileError(code: .isDirectory, operation: operation, path: fullPath)
    default:
      throw FileError(
        code: .inputOutput, operation: operation + " as a regular file", path: fullPath)
    }
  }

  // MARK: Looking

  func metadata(of name: String) throws(FileError) -> FileMetadata? {
    let fullPath = try checked(name, "look up")
    var status = stat()
    do throws(FileError) {
      try retryingInterrupts("look up", fullPath) {
        unsafe fstatat(descriptor.number, name, &status, AT_SYMLINK_NOFOLLOW)
      }
      return FileMetadata(status)
    } catch  where error.code == .notFound {
      return nil
    }
  }

  func entries() throws(FileError) -> [DirectoryEntry] {
    let names = try readNames()
    var entries: [DirectoryEntry] = []
    entries.reserveCapacity(names.count)
    for (name, isUTF8) in names.sorted(by: { PathName.precedes($0.name, $1.name) }) {
      guard isUTF8 else {
        entries.append(DirectoryEntry(name: name, kind: .other, isUTF8: false))
        continue
      }
      // The type in the entry itself may be unknown; a name removed meanwhile is left out.
      guard let metadata = try metadata(of: name) else { continue }
      entries.append(DirectoryEntry(name: name, kind: metadata.kind))
    }
    return entries
  }

  /// All names; those that are not UTF-8 with their bytes escaped.
  private func readNames() throws(FileError) -> [(name: String, isUTF8: Bool)] {
    // A descriptor of its own, because the position of reading belongs to the open directory.
    let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC
    let own = Descriptor(
      try retryingInterrupts("list", path) { unsafe openat(descriptor.number, ".", flags) })
    guard let stream = unsafe fdopendir(own.number) else {
      throw FileError(systemError: lastSystemError(), operation: "list", path: path)
    }
    _ = own.take()  // The stream closes it.
    defer { unsafe closedir(stream) }
    var names: [(name: String, isUTF8: Bool)] = []
    while true {
      // Only the error number tells the end from a failure.
      errno = 0
      guard let entry = unsafe readdir(stream) else { break }
      let found = unsafe Self.name(of: entry)
      if found.name != "." && found.name != ".." { names.append(found) }
    }
    let number = lastSystemError()
    if number != 0 { throw FileError(systemError: number, operation: "list", path: path) }
    return names
  }

  private static func name(
    of entry: UnsafeMutablePointer<dirent>
  ) -> (name: String, isUTF8: Bool) {
    // SAFETY: `d_name` is a terminated text inside the entry, which may be longer than its type
    // says; hence the address and no copy. The entry lives until the next `readdir`.
    let offset = MemoryLayout<dirent>.offset(of: \dirent.d_name) ?? 0
    let text = unsafe UnsafeRawPointer(entry).advanced(by: offset)
    let bytes = unsafe UnsafeRawBufferPointer(
      start: text, count: strlen(text.assumingMemoryBound(to: CChar.self)))
    if let name = unsafe String(validating: bytes, as: UTF8.self) { return (name, true) }
    return (PathName.escaped(unsafe Array(bytes)), false)
  }

  func availableBytes() throws(FileError) -> UInt64 {
    var status = statvfs()
    try retryingInterrupts("get the free space of", path) {
      unsafe fstatvfs(descriptor.number, &status)
    }
    let (bytes, overflow) = UInt64(status.f_bavail)
      .multipliedReportingOverflow(by: UInt64(status.f_frsize))
    return overflow ? .max : bytes
  }

  // MARK: Changing

  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError) {
    let fullPath = try checked(name, "rename")
    let newPath = try checked(newName, "rename \(fullPath) to")
    let operation = "rename \(fullPath) to"
    let directory = descriptor.number
    if replacing {
      try retryingInterrupts(operation, newPath) {
        unsafe renameat(directory, name, directory, newName)
      }
      return
    }
    try ExclusiveRename.perform(
      in: directory, from: name, to: newName, operation: operation, path: newPath)
  }

  func remove(_ name: String) throws(FileError) {
    let fullPath = try checked(name, "remove")
    try retryingInterrupts("remove", fullPath) { unsafe unlinkat(descriptor.number, name, 0) }
  }

  func removeDirectory(_ name: String) throws(FileError) {
    let fullPath = try checked(name, "remove directory")
    do throws(FileError) {
      try retryingInterrupts("remove directory", fullPath) {
        unsafe unlinkat(descriptor.number, name, AT_REMOVEDIR)
      }
    } catch  where error.code == .exists {
      throw error.recoded(.notEmpty)  // POSIX allows either number.
    }
  }

  func link(
    _ name: String, into directory: any Directory, as newName: String
  ) throws(FileError) {
    let fullPath = try checked(name, "link")
    let operation = "link \(fullPath) to"
    guard let target = directory as? PosixDirectory else {
      throw FileError(
        code: .crossDevice, operation: operation, path: PathName.join(directory.path, newName))
    }
    let newPath = try target.checked(newName, operation)
    try retryingInterrupts(operation, newPath) {
      unsafe linkat(descriptor.number, name, target.descriptor.number, newName, 0)
    }
  }

  func synchronize() throws(FileError) {
    try descriptor.synchronizeDirectory(path: path)
  }

  // MARK: Locking

  func lock(_ name: String) throws(FileError) -> any DirectoryLock {
    let fullPath = PathName.join(path, name)
    // Somebody may remove the file between our opening and locking it; then the lock would be on
    // a file that nobody else can find. Bounded, because such a somebody does not go on for ever.
    for _ in 0..<16 {
      let opened = try openRegular(name, O_RDWR | O_CREAT, "lock")
      let held = try PosixLock(taking: opened, path: fullPath)
      let named = try metadata(of: name)
      if named?.inode == held.identity.inode && named?.device == held.identity.device {
        try held.writeProcess()
        return held
      }
      held.unlock()
    }
    throw FileError(code: .inputOutput, operation: "lock", path: fullPath)
  }

  func lockHolder(of name: String) throws(FileError) -> LockHolder? {
    let opened: Descriptor
    do throws(FileError) {
      opened = try openRegular(name, O_RDONLY, "look at the lock")
    } catch  where error.code == .notFound {
      return nil
    }
    return try PosixLock.holder(of: opened, path: PathName.join(path, name))
  }

  // MARK: Names

  /// The path of `name` for messages, once it is known to be a single component.
  private func checked(_ name: String, _ operation: String) throws(FileError) -> String {
    try PathName.validate(name, in: path, operation: operation)
    return PathName.join(path, name)
  }
}
