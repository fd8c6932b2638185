import SedimentIO
import Synchronization

/// An open directory of the memory file system.
final class MemoryDirectory: Directory {
  let path: String
  let node: Int
  private let fileSystem: MemoryFileSystem

  /// The id that its locks are written with.
  static let process: Int32 = 1

  init(fileSystem: MemoryFileSystem, node: Int, path: String) throws(FileError) {
    self.fileSystem = fileSystem
    self.node = node
    self.path = path
    fileSystem.retain(node)
  }

  deinit { fileSystem.release(node) }

  // MARK: Opening

  func openFile(_ name: String, _ mode: FileMode) throws(FileError) -> any File {
    let operation = mode == .create ? "create" : "open"
    let fullPath = try checked(name, operation)
    let opened =
      switch mode {
      case .create:
        try fileSystem.mutate(operation, fullPath) { (state) throws(FileError) in
          try checkIsThere(state, operation, fullPath)
          if state.disk.directory(node)?.current[name] != nil {
            throw FileError(code: .exists, operation: operation, path: fullPath)
          }
          return state.disk.add(.file(MemoryFileNode()), as: name, in: node)
        }
      case .read, .readWrite:
        try fileSystem.look(operation, fullPath) { (state) throws(FileError) in
          if mode == .readWrite && state.isReadOnly {
            throw FileError(code: .readOnlyFileSystem, operation: operation, path: fullPath)
          }
          let (number, _) = try find(name, expecting: .file, in: state, operation, fullPath)
          return number
        }
      }
    return MemoryFile(
      fileSystem: fileSystem, node: opened, path: fullPath, isWritable: mode != .read)
  }

  func subdirectory(_ name: String, creating: Bool) throws(FileError) -> any Directory {
    try openSubdirectory(name, creating: creating)
  }

  func openSubdirectory(_ name: String, creating: Bool) throws(FileError) -> MemoryDirectory {
    let operation = "open directory"
    let fullPath = try checked(name, operation)
    if creating, try metadata(of: name) == nil {
      try makeDirectory(name, fullPath)
    }
    let opened = try fileSystem.look(operation, fullPath) { (state) throws(FileError) in
      try find(name, expecting: .directory, in: state, operation, fullPath).number
    }
    return try MemoryDirectory(fileSystem: fileSystem, node: opened, path: fullPath)
  }

  private func makeDirectory(_ name: String, _ fullPath: String) throws(FileError) {
    let operation = "make directory"
    try fileSystem.mutate(operation, fullPath) { (state) throws(FileError) in
      try checkIsThere(state, operation, fullPath)
      // Another thread may have made it since we looked.
      if state.disk.directory(node)?.current[name] != nil { return }
      _ = state.disk.add(.directory(MemoryDirectoryNode()), as: name, in: node)
    }
  }

  // MARK: Looking

  func metadata(of name: String) throws(FileError) -> FileMetadata? {
    let fullPath = try checked(name, "look up")
    return try fileSystem.look("look up", fullPath) { (state) throws(FileError) in
      guard let number = state.disk.directory(node)?.current[name],
        let found = state.disk.nodes[number]
      else { return nil }
      return FileMetadata(
        kind: found.kind, size: state.disk.file(number)?.current.size ?? 0, device: 1,
        inode: UInt64(number), linkCount: state.disk.linkCount(number))
    }
  }

  func entries() throws(FileError) -> [DirectoryEntry] {
    try fileSystem.look("list", path) { (state) throws(FileError) in
      let entries = state.disk.directory(node)?.current ?? [:]
      return entries.keys.sorted(by: PathName.precedes).compactMap { name in
        guard let number = entries[name], let found = state.disk.nodes[number] else { return nil }
        return DirectoryEntry(name: name, kind: found.kind)
      }
    }
  }

  func availableBytes() throws(FileError) -> UInt64 {
    try fileSystem.look("get the free space of", path) { (state) throws(FileError) in
      guard let capacity = state.capacityBytes else { return UInt64(Int64.max) }
      let used = state.disk.usedBytes
      return used < capacity ? capacity - used : 0
    }
  }

  // MARK: Changing

  func rename(_ name: String, to newName: String, replacing: Bool) throws(FileError) {
    let fullPath = try checked(name, "rename")
    let operation = "rename \(fullPath) to"
    let newPath = try checked(newName, operation)
    try fileSystem.mutate(operation, newPath) { (state) throws(FileError) in
      guard let number = state.disk.directory(node)?.current[name] else {
        throw FileError(code: .notFound, operation: "rename", path: fullPath)
      }
      if let target = state.disk.directory(node)?.current[newName] {
        let refusal = replacing ? Self.refusal(number, over: target, state.disk) : .exists
        if let refusal { throw FileError(code: refusal, operation: operation, path: newPath) }
        if target == number { return }  // Two names of one file: POSIX leaves both.
      }
      state.disk.changeDirectory(node) {
        $0.change(.rename(from: name, to: newName, node: number))
      }
    }
  }

  /// Why one node may not replace another; `nil` when it may.
  private static func refusal(
    _ number: Int, over target: Int, _ disk: MemoryDisk
  ) -> FileError.Code? {
    switch (disk.directory(number), disk.directory(target)) {
    case (nil, nil): nil
    case (nil, _?): .isDirectory
    case (_?, nil): .notDirectory
    case (_?, let replaced?): replaced.current.isEmpty || number == target ? nil : .notEmpty
    }
  }

  func remove(_ name: String) throws(FileError) {
    let fullPath = try checked(name, "remove")
    try fileSystem.mutate("remove", fullPath) { (state) throws(FileError) in
      guard let number = state.disk.directory(node)?.current[name] else {
        throw FileError(code: .notFound, operation: "remove", path: fullPath)
      }
      if state.disk.directory(number) != nil {
        throw FileError(code: .isDirectory, operation: "remove", path: fullPath)
      }
      state.disk.changeDirectory(node) { $0.change(.remove(name: name, node: number)) }
    }
  }

  func removeDirectory(_ name: String) throws(FileError) {
    let operation = "remove directory"
    let fullPath = try checked(name, operation)
    try fileSystem.mutate(operation, fullPath) { (state) throws(FileError) in
      guard let number = state.disk.directory(node)?.current[name] else {
        throw FileError(code: .notFound, operation: operation, path: fullPath)
      }
      guard let directory = state.disk.directory(number) else {
        throw FileError(code: .notDirectory, operation: operation, path: fullPath)
      }
      if !directory.current.isEmpty {
        throw FileError(code: .notEmpty, operation: operation, path: fullPath)
      }
      state.disk.changeDirectory(number) { $0.isRemoved = true }
      state.disk.changeDirectory(node) { $0.change(.remove(name: name, node: number)) }
    }
  }

  /// A directory that was removed while somebody had it open takes no new entries.
  private func checkIsThere(
    _ state: MemoryFileSystem.State, _ operation: String, _ fullPath: String
  ) throws(FileError) {
    guard state.disk.directory(node)?.isRemoved == true else { return }
    throw FileError(code: .notFound, operation: operation, path: fullPath)
  }

  func link(
    _ name: String, into directory: any Directory, as newName: String
  ) throws(FileError) {
    let fullPath = try checked(name, "link")
    let operation = "link \(fullPath) to"
    guard let target = directory as? MemoryDirectory, target.fileSystem === fileSystem else {
      throw FileError(
        code: .crossDevice, operation: operation, path: PathName.join(directory.path, newName))
    }
    let newPath = try target.checked(newName, operation)
    try fileSystem.mutate(operation, newPath) { (state) throws(FileError) in
      guard let number = state.disk.directory(node)?.current[name] else {
        throw FileError(code: .notFound, operation: "link", path: fullPath)
      }
      if state.disk.directory(number) != nil {
        throw FileError(code: .permissionDenied, operation: operation, path: newPath)
      }
      try target.checkIsThere(state, operation, newPath)
      if state.disk.directory(target.node)?.current[newName] != nil {
        throw FileError(code: .exists, operation: operation, path: newPath)
      }
      state.disk.changeDirectory(target.node) { $0.change(.add(name: newName, node: number)) }
    }
  }

  func synchronize() throws(FileError) {
    try fileSystem.mutate(FileError.synchronizeDirectory, path) { (state) throws(FileError) in
      let failure = MemoryFileSystem.nextSyncFailure(&state)
      state.disk.changeDirectory(node) { directory in
        switch failure {
        case nil: directory.synchronize()
        case .forgotten?: directory.pending = []
        case .reverted?: directory.settle(directory.durable)
        case .stillPending?: break
        }
      }
      state.disk.collect(keeping: Set(state.opened.keys))
      if failure != nil {
        throw FileError(
          code: .inputOutput, operation: FileError.synchronizeDirectory, path: path,
          systemError: SystemErrorNumber.inputOutput)
      }
    }
  }

  // MARK: Locking

  func lock(_ name: String) throws(FileError) -> any DirectoryLock {
    let fullPath = try checked(name, "lock")
    let number = try fileSystem.mutate("lock", fullPath) { (state) throws(FileError) in
      let number: Int
      if state.disk.directory(node)?.current[name] == nil {
        number = state.disk.add(.file(MemoryFileNode()), as: name, in: node)
      } else {
        number = try find(name, expecting: .file, in: state, "lock", fullPath).number
      }
      if !state.locked.insert(number).inserted {
        throw FileError(
          code: .locked(process: Self.process), operation: "lock", path: fullPath)
      }
      let blockBytes = state.disk.blockBytes
      state.disk.changeFile(number) { file in
        let text = Array("\(Self.process)\n".utf8)
        file.write(text, at: 0, blockBytes: blockBytes)
        file.truncate(to: UInt64(text.count), blockBytes: blockBytes)
      }
      return number
    }
    return MemoryLock(fileSystem: fileSystem, node: number)
  }

  func lockHolder(of name: String) throws(FileError) -> LockHolder? {
    let fullPath = try checked(name, "look at the lock")
    return try fileSystem.look("look at the lock", fullPath) { state in
      guard let number = state.disk.directory(node)?.current[name] else { return nil }
      return state.locked.contains(number) ? LockHolder(process: Self.process) : nil
    }
  }

  // MARK: Names

  /// The path of `name` for messages, once it is known to be a single component.
  private func checked(_ name: String, _ operation: String) throws(FileError) -> String {
    try PathName.validate(name, in: path, operation: operation)
    return PathName.join(path, name)
  }

  /// The node that `name` stands for, when it is of the kind.
  private func find(
    _ name: String, expecting kind: FileMetadata.Kind, in state: MemoryFileSystem.State,
    _ operation: String, _ fullPath: String
  ) throws(FileError) -> (number: Int, node: MemoryNode) {
    guard let number = state.disk.directory(node)?.current[name],
      let found = state.disk.nodes[number]
    else { throw FileError(code: .notFound, operation: operation, path: fullPath) }
    if found.kind == kind { return (number, found) }
    let code: FileError.Code =
      switch found.kind {
      case .symbolicLink: .symbolicLink
      case .directory: .isDirectory
      case .file, .other: .notDirectory
      }
    throw FileError(code: code, operation: operation, path: fullPath)
  }
}

/// A held lock of the memory file system.
final class MemoryLock: DirectoryLock {
  private let fileSystem: MemoryFileSystem
  private let node: Int
  private let isHeld = Atomic<Bool>(true)

  init(fileSystem: MemoryFileSystem, node: Int) {
    self.fileSystem = fileSystem
    self.node = node
    fileSystem.retain(node)
  }

  deinit { unlock() }

  func unlock() {
    guard isHeld.exchange(false, ordering: .acquiringAndReleasing) else { return }
    fileSystem.unlock(node)
    fileSystem.release(node)
  }
}
