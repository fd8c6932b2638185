import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A regular file of the operating system.
final class PosixFile: File {
  let path: String
  let descriptor: SharedDescriptor

  init(descriptor: consuming Descriptor, path: String) {
    self.descriptor = SharedDescriptor(descriptor)
    self.path = path
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    try checkRange(offset, count: buffer.count, operation: "read")
    return try descriptor.use("read", path) { number throws(FileError) in
      let (count, systemError) = unsafe Self.read(number, into: buffer, at: offset)
      if systemError != 0 {
        throw FileError(systemError: systemError, operation: "read", path: path)
      }
      return count
    }
  }

  func readWithoutWaiting(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int? {
    try checkRange(offset, count: buffer.count, operation: "read")
    return try descriptor.use("read", path) { number throws(FileError) in
      let count = unsafe sediment_read_cached(
        number, buffer.baseAddress, Int64(buffer.count), Int64(offset))
      // Anything else, an error too, is for a read that waits to tell.
      return count == Int64(buffer.count) ? buffer.count : nil
    }
  }

  /// Fills `buffer`, which has its first `done` bytes already, as far as the file reaches.
  ///
  /// - Returns: the bytes that are there now, and the error number of what ended it, or 0.
  static func read(
    _ number: Int32, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, done: Int = 0
  ) -> (count: Int, systemError: Int32) {
    var done = done
    while done < buffer.count {
      let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
      let count = unsafe pread(number, rest.baseAddress, rest.count, off_t(offset) + off_t(done))
      if count == 0 { break }
      if count > 0 {
        done += count
      } else {
        let systemError = lastSystemError()
        if systemError != EINTR { return (done, systemError) }
      }
    }
    return (done, 0)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    try checkRange(offset, count: bytes.count, operation: "write")
    try descriptor.use("write", path) { number throws(FileError) in
      var done = 0
      while done < bytes.count {
        let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
        let position = off_t(offset) + off_t(done)
        let count = try retryingInterrupts("write", path) {
          unsafe pwrite(number, rest.baseAddress, rest.count, position)
        }
        if count == 0 {
          throw FileError(systemError: EIO, operation: "write", path: path)
        }
        done += count
      }
    }
  }

  func size() throws(FileError) -> UInt64 {
    try descriptor.use("get the size of", path) { number throws(FileError) in
      var status = stat()
      try retryingInterrupts("get the size of", path) { unsafe fstat(number, &status) }
      return UInt64(max(0, status.st_size))
    }
  }

  func truncate(to size: UInt64) throws(FileError) {
    try checkRange(size, count: 0, operation: "truncate")
    try descriptor.use("truncate", path) { number throws(FileError) in
      try retryingInterrupts("truncate", path) { ftruncate(number, off_t(size)) }
    }
  }

  func startRead(at offset: UInt64, count: Int) {
    guard let start = Int64(exactly: offset) else { return }
    do {
      try descriptor.use("advise on", path) { number throws(FileError) in
        sediment_start_read(number, start, Int64(count))
      }
    } catch {
      // Closed: there is nothing to advise on.
    }
  }

  func dropCached(at offset: UInt64, count: Int) {
    HintQueue.shared.give(.drop, about: descriptor, at: offset, count: count)
  }

  func startWriteback(at offset: UInt64, count: Int) {
    HintQueue.shared.give(.writeBack, about: descriptor, at: offset, count: count)
  }

  func synchronize() throws(FileError) {
    try descriptor.use(FileError.synchronizeFile, path) { number throws(FileError) in
      try retryingInterrupts(FileError.synchronizeFile, path) { sediment_synchronize_file(number) }
    }
  }

  func close() {
    descriptor.close()
  }

  private func checkRange(
    _ offset: UInt64, count: Int, operation: String
  ) throws(FileError) {
    if !Self.isInRange(offset, count: count) {
      throw FileError(systemError: EFBIG, operation: operation, path: path)
    }
  }

  /// The system counts in signed numbers; an offset from a damaged file need not fit them.
  static func isInRange(_ offset: UInt64, count: Int) -> Bool {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    return !overflow && end <= UInt64(off_t.max)
  }
}
