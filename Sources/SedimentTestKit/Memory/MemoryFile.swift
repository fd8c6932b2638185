import SedimentIO
import Synchronization

/// An open file of the memory file system.
final class MemoryFile: File {
  let path: String
  private let fileSystem: MemoryFileSystem
  private let node: Int
  private let isWritable: Bool
  private let isClosed = Atomic<Bool>(false)

  init(fileSystem: MemoryFileSystem, node: Int, path: String, isWritable: Bool) {
    self.fileSystem = fileSystem
    self.node = node
    self.path = path
    self.isWritable = isWritable
    fileSystem.retain(node)
  }

  deinit { close() }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    let count = buffer.count
    let bytes = try look("read") { file, blockBytes in
      file.current.bytes(offset: offset, count: count, blockBytes: blockBytes)
    }
    unsafe buffer.copyBytes(from: bytes)
    return bytes.count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    let bytes = unsafe Array(bytes)
    try checkRange(offset, count: bytes.count, operation: "write")
    try change("write") { (state) throws(FileError) in
      let blockBytes = state.disk.blockBytes
      guard let capacity = state.capacityBytes else {
        state.disk.changeFile(node) { $0.write(bytes, at: offset, blockBytes: blockBytes) }
        return
      }
      var disk = state.disk
      disk.changeFile(node) { $0.write(bytes, at: offset, blockBytes: blockBytes) }
      if disk.usedBytes > capacity {
        throw FileError(
          code: .noSpace, operation: "write", path: path, systemError: SystemErrorNumber.noSpace)
      }
      state.disk = disk
    }
  }

  func size() throws(FileError) -> UInt64 {
    try look("get the size of") { file, _ in file.current.size }
  }

  func truncate(to size: UInt64) throws(FileError) {
    try checkRange(size, count: 0, operation: "truncate")
    try change("truncate") { (state) throws(FileError) in
      let blockBytes = state.disk.blockBytes
      state.disk.changeFile(node) { $0.truncate(to: size, blockBytes: blockBytes) }
    }
  }

  func synchronize() throws(FileError) {
    try checkOpen(FileError.synchronizeFile)
    try fileSystem.mutate(FileError.synchronizeFile, path) { (state) throws(FileError) in
      let failure = MemoryFileSystem.nextSyncFailure(&state)
      let blockBytes = state.disk.blockBytes
      state.disk.changeFile(node) { file in
        switch failure {
        case nil: file.synchronize(blockBytes: blockBytes)
        case .forgotten?: file.forgetPending()
        case .reverted?: file.settle(file.durable)
        case .stillPending?: break
        }
      }
      if failure != nil {
        throw FileError(
          code: .inputOutput, operation: FileError.synchronizeFile, path: path,
          systemError: SystemErrorNumber.inputOutput)
      }
    }
  }

  func close() {
    if !isClosed.exchange(true, ordering: .acquiringAndReleasing) { fileSystem.release(node) }
  }

  // MARK: Inside

  private func look<Value: Sendable>(
    _ operation: String, _ body: (_ file: MemoryFileNode, _ blockBytes: Int) -> Value
  ) throws(FileError) -> Value {
    try checkOpen(operation)
    return try fileSystem.look(operation, path) { (state) throws(FileError) in
      guard let file = state.disk.file(node) else {
        throw FileError(code: .notFound, operation: operation, path: path)
      }
      return body(file, state.disk.blockBytes)
    }
  }

  private func change(
    _ operation: String, _ body: (inout MemoryFileSystem.State) throws(FileError) -> Void
  ) throws(FileError) {
    try checkOpen(operation)
    if !isWritable {
      throw FileError(
        code: .inputOutput, operation: operation, path: path,
        systemError: SystemErrorNumber.badDescriptor)
    }
    try fileSystem.mutate(operation, path, body)
  }

  private func checkOpen(_ operation: String) throws(FileError) {
    if isClosed.load(ordering: .acquiring) {
      throw FileError(code: .closed, operation: operation, path: path)
    }
  }

  private func checkRange(
    _ offset: UInt64, count: Int, operation: String
  ) throws(FileError) {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    if overflow || end > UInt64(Int64.max) {
      throw FileError(code: .inputOutput, operation: operation, path: path)
    }
  }
}
