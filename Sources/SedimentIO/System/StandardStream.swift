import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The three open streams that a program starts with. Blocking; from any thread.
public enum StandardStream: Int32, Sendable {
  case input = 0
  case output = 1
  case error = 2

  /// Writes all bytes.
  ///
  /// - Throws: `FileError`; a closed pipe has the number EPIPE when SIGPIPE is ignored.
  public func write(_ bytes: UnsafeRawBufferPointer) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[done...])
      let count = try retryingInterrupts("write", name) {
        unsafe systemWrite(rawValue, rest)
      }
      done += count
    }
  }

  /// Writes a text as UTF-8.
  ///
  /// - Throws: `FileError`, as for bytes.
  public func write(_ text: String) throws(FileError) {
    let bytes = Array(text.utf8)
    let result = unsafe bytes.withUnsafeBytes { bytes -> Result<Void, FileError> in
      do throws(FileError) {
        return .success(try unsafe write(bytes))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  /// Reads what is there, at least a byte; 0 is the end.
  ///
  /// - Throws: `FileError`.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    try retryingInterrupts("read", name) { unsafe systemRead(rawValue, buffer) }
  }

  /// Whether a person may be looking.
  public var isTerminal: Bool { isatty(rawValue) == 1 }

  /// Columns of the terminal; `nil` when it is none or does not say.
  public var terminalColumns: Int? {
    let columns = sediment_terminal_columns(rawValue)
    return columns > 0 ? Int(columns) : nil
  }

  /// Makes writing to a closed pipe an error instead of the end of the process.
  public static func ignoreBrokenPipes() {
    _ = signal(SIGPIPE, SIG_IGN)
  }

  /// Opens the null device for every stream that the process was started without; to be called
  /// first. Otherwise the next file that is opened gets a stream's number, and messages go into it.
  public static func openMissing() {
    for number in 0...error.rawValue where fcntl(number, F_GETFD) == -1 {
      // The lowest free number, so `number`. There is nobody to be told of a failure.
      _ = unsafe open("/dev/null", O_RDWR)
    }
  }

  private var name: String {
    switch self {
    case .input: "standard input"
    case .output: "standard output"
    case .error: "standard error"
    }
  }
}

// Outside of the type, where `read` and `write` are the system's.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
  unsafe write(descriptor, bytes.baseAddress, bytes.count)
}

private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
  unsafe read(descriptor, buffer.baseAddress, buffer.count)
}
