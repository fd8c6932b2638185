#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Something with a path that is read once, from first to last: a FIFO, a pipe, a terminal, a
/// device. Blocking; from one thread at a time.
public final class SequentialFile: Sendable {
  /// The path that it was opened at.
  public let path: String
  private let descriptor: Descriptor

  /// Opens it for reading, links followed; waits for the other end of a FIFO.
  ///
  /// - Throws: `FileError`.
  public init(opening path: String) throws(FileError) {
    self.path = path
    descriptor = Descriptor(
      try retryingInterrupts("open", path) {
        unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
      })
  }

  /// Reads what is there, at least a byte; 0 is the end.
  ///
  /// - Throws: `FileError`.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    try retryingInterrupts("read", path) {
      unsafe systemReadSequential(descriptor.number, buffer)
    }
  }

  /// Whether `path` leads, over links, to something that is neither a file nor a directory.
  public static func exists(at path: String) -> Bool {
    var status = stat()
    guard unsafe stat(path, &status) == 0 else { return false }
    return FileMetadata(status).kind == .other
  }
}

/// `read` has the name of a method above.
private func systemReadSequential(
  _ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer
) -> Int {
  unsafe read(descriptor, buffer.baseAddress, buffer.count)
}
