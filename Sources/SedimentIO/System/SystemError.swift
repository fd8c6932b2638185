#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The system's error number of the last failed call on this thread.
func lastSystemError() -> Int32 { errno }

/// The system's text of an error number, as `strerror` gives it.
func systemErrorText(_ number: Int32) -> String {
  unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
    guard let start = buffer.baseAddress else { return "error \(number)" }
    unsafe buffer.initialize(repeating: 0)
    // strerror is not safe among threads; strerror_r is, and leaves a terminated text.
    guard unsafe strerror_r(number, start, buffer.count) == 0 else { return "error \(number)" }
    return unsafe String(cString: start)
  }
}

extension FileError {
  /// The same error under another code, where systems disagree on the number.
  func recoded(_ code: Code) -> FileError {
    FileError(code: code, operation: operation, path: path, systemError: systemError)
  }

  /// The error of a failed system call.
  init(systemError number: Int32, operation: String, path: String) {
    self.init(
      code: Code(systemError: number), operation: operation, path: path, systemError: number)
  }
}

extension FileError.Code {
  /// The code of a system's error number.
  init(systemError number: Int32) {
    self =
      switch number {
      case ENOENT: .notFound
      case EEXIST: .exists
      case EACCES, EPERM: .permissionDenied
      case ENOSPC, EDQUOT: .noSpace
      case EROFS: .readOnlyFileSystem
      case EISDIR: .isDirectory
      case ENOTDIR: .notDirectory
      case ENOTEMPTY: .notEmpty
      case ELOOP: .symbolicLink
      case EXDEV: .crossDevice
      case EMFILE, ENFILE: .tooManyOpenFiles
      case ENAMETOOLONG: .invalidName
      default: .inputOutput
      }
  }
}

/// Makes a call again for as long as a signal interrupts it.
///
/// - Returns: what the call returned; not negative.
@discardableResult
func retryingInterrupts<Value: FixedWidthInteger>(
  _ operation: String, _ path: String, _ call: () -> Value
) throws(FileError) -> Value {
  while true {
    let value = call()
    if value >= 0 { return value }
    let number = lastSystemError()
    if number != EINTR {
      throw FileError(systemError: number, operation: operation, path: path)
    }
  }
}

extension FileError {
  /// Whether the reader of a pipe closed its end.
  public var isBrokenPipe: Bool { systemError == EPIPE }
}
