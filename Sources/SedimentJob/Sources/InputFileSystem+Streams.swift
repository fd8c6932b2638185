import SedimentIO

extension InputFileSystem {
  /// Whether a file is decompressed as it is read: its name ends in `.gz`.
  package static func isCompressed(_ path: String) -> Bool {
    path.utf8.count > 3 && path.lowercased().hasSuffix(".gz")
  }

  /// A reader of an input from its beginning. Standard input gives what is there at once, so that
  /// a slow pipe is not held back until a chunk is full.
  package func reader(
    of source: InputSource, format: RecordFormat, chunkBytes: Int = 1 << 20, recordsMax: Int = 4096
  ) throws(SourceError) -> SourceReader {
    switch source {
    case .file(let path):
      return try reader(of: path, format: format, chunkBytes: chunkBytes, recordsMax: recordsMax)
    case .stream(let path):
      return SourceReader(
        try openStream(path), path: path, format: format, chunkBytes: chunkBytes,
        recordsMax: recordsMax)
    case .standardInput:
      let stream = unsafe FunctionStream { (buffer) throws(FileError) in
        try unsafe StandardStream.input.read(into: buffer)
      }
      return SourceReader(
        stream, path: source.path, format: format, chunkBytes: chunkBytes, recordsMax: recordsMax)
    }
  }

  /// A reader of the file at `path`, from an offset in its uncompressed bytes on. A `.gz` file is
  /// decompressed from its beginning to get there.
  package func reader(
    of path: String, format: RecordFormat, fromOffset offset: UInt64 = 0, line: UInt64 = 1,
    chunkBytes: Int = 1 << 20, recordsMax: Int = 4096
  ) throws(SourceError) -> SourceReader {
    var stream: any ByteStream = FileStream(try open(path))
    if Self.isCompressed(path) { stream = try GzipStream(stream, path: path) }
    return SourceReader(
      stream, path: path, format: format, fromOffset: offset, line: line, chunkBytes: chunkBytes,
      recordsMax: recordsMax)
  }
}
