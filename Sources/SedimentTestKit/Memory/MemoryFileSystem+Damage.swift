public import SedimentIO

/// Looking at the disk and damaging it, apart from what the engine does: nothing here is counted,
/// stopped or refused, and every change is durable at once.
extension MemoryFileSystem {
  /// Paths of all files, without a leading `/`, in byte order.
  public func files() -> [String] {
    withDisk { $0.filePaths() }
  }

  /// The whole content of a file as programs see it.
  ///
  /// - Throws: `.notFound`.
  public func contents(of path: String) throws(FileError) -> [UInt8] {
    try withDisk { (disk) throws(FileError) in
      let file = try Self.file(at: path, in: disk).file
      return file.current.bytes(
        offset: 0, count: Int(file.current.size), blockBytes: disk.blockBytes)
    }
  }

  /// Replaces the whole content of a file.
  ///
  /// - Throws: `.notFound`.
  public func replaceContents(of path: String, with bytes: [UInt8]) throws(FileError) {
    try withDisk { (disk) throws(FileError) in
      let number = try Self.file(at: path, in: disk).number
      let blockBytes = disk.blockBytes
      disk.changeFile(number) { file in
        file.settle(MemoryContent())
        file.write(bytes, at: 0, blockBytes: blockBytes)
        file.synchronize(blockBytes: blockBytes)
      }
    }
  }

  /// Inverts one bit, counted from the lowest of the first byte.
  ///
  /// - Precondition: the file has that bit.
  /// - Throws: `.notFound`.
  public func flipBit(of path: String, at bitOffset: Int) throws(FileError) {
    var bytes = try contents(of: path)
    precondition(bytes.indices.contains(bitOffset / 8), "the bit lies outside the file")
    bytes[bitOffset / 8] ^= 1 << UInt8(bitOffset % 8)
    try replaceContents(of: path, with: bytes)
  }

  /// Cuts a file, or lengthens it with zeros.
  ///
  /// - Throws: `.notFound`.
  public func truncate(_ path: String, to size: Int) throws(FileError) {
    var bytes = Array(try contents(of: path).prefix(size))
    bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
    try replaceContents(of: path, with: bytes)
  }

  /// Removes a name.
  ///
  /// - Throws: `.notFound`.
  public func removeFile(at path: String) throws(FileError) {
    try withDisk { (disk) throws(FileError) in
      let (parent, name) = try Self.parent(of: path, in: disk)
      disk.changeDirectory(parent) {
        $0.current[name] = nil
        $0.settle($0.current)
      }
    }
  }

  /// Makes a symbolic link that leads nowhere: every way of opening it is to be refused.
  ///
  /// - Throws: `.notFound` when its directory is missing.
  public func makeSymbolicLink(at path: String) throws(FileError) {
    try withDisk { (disk) throws(FileError) in
      let (parent, name) = try Self.parent(of: path, in: disk)
      _ = disk.add(.symbolicLink, as: name, in: parent)
      disk.changeDirectory(parent) { $0.settle($0.current) }
    }
  }

  private static func file(
    at path: String, in disk: MemoryDisk
  ) throws(FileError) -> (number: Int, file: MemoryFileNode) {
    guard let number = disk.node(at: path), let file = disk.file(number) else {
      throw FileError(code: .notFound, operation: "open", path: path)
    }
    return (number, file)
  }

  private static func parent(
    of path: String, in disk: MemoryDisk
  ) throws(FileError) -> (node: Int, name: String) {
    let components = MemoryDisk.components(path)
    let above = components.dropLast().joined(separator: "/")
    guard let name = components.last, let node = disk.node(at: above),
      disk.directory(node) != nil
    else { throw FileError(code: .notFound, operation: "open", path: path) }
    return (node, name)
  }
}
