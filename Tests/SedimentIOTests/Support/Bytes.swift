import SedimentIO

extension File {
  /// Writes an array.
  func write(_ bytes: [UInt8], at offset: UInt64) throws(FileError) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { unsafe buffer.deallocate() }
    unsafe buffer.copyBytes(from: bytes)
    try unsafe write(UnsafeRawBufferPointer(buffer), at: offset)
  }

  /// Reads up to `count` bytes.
  func read(_ count: Int, at offset: UInt64) throws(FileError) -> [UInt8] {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
    defer { unsafe buffer.deallocate() }
    let done = try unsafe read(into: buffer, at: offset)
    return unsafe Array(buffer[..<done])
  }

  /// Reads the whole file.
  func contents() throws(FileError) -> [UInt8] {
    try read(Int(size()), at: 0)
  }
}

extension Directory {
  /// Makes a file with this content, not synchronised.
  @discardableResult
  func make(_ name: String, _ bytes: [UInt8] = []) throws(FileError) -> any File {
    let file = try openFile(name, .create)
    try file.write(bytes, at: 0)
    return file
  }

  /// The content of a file.
  func contents(of name: String) throws(FileError) -> [UInt8] {
    try openFile(name, .read).contents()
  }

  /// All names.
  func names() throws(FileError) -> [String] {
    try entries().map(\.name)
  }
}

/// `count` bytes, all of one value.
func bytes(_ value: UInt8, _ count: Int) -> [UInt8] {
  [UInt8](repeating: value, count: count)
}

/// The code of the file error that `body` throws; `nil` when it throws none, or another.
func code<Value: ~Copyable>(_ body: () throws -> Value) -> FileError.Code? {
  do {
    _ = try body()
    return nil
  } catch {
    return (error as? FileError)?.code
  }
}
