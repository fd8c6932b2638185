extension InputFileSystem {
  /// Whether a file is decompressed as it is read: its name ends in `.gz`.
  package static func isCompressed(_ path: String) -> Bool {
    path.utf8.count > 3 && path.lowercased().hasSuffix(".gz")
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
