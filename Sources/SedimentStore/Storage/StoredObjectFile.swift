internal import SedimentIO

/// What a key of a storage holds, as a file that is only read: so it can be put under another key.
///
/// Concurrency: from any thread, as the storage.
final class StoredObjectFile: File, Sendable {
  let path: String
  private let storage: any CheckpointStorage

  /// Asked for at a time.
  private static let pieceBytes = 8 << 20

  init(_ key: String, in storage: any CheckpointStorage) {
    path = key
    self.storage = storage
  }

  func read(
    into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64
  ) throws(FileError) -> Int {
    var filled = 0
    while filled < buffer.count {
      let count = min(buffer.count - filled, Self.pieceBytes)
      let piece = try read(offset + UInt64(filled), count)
      // SAFETY: a piece has no more bytes than were asked for, and those fit.
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyBytes(from: piece)
      filled += piece.count
      if piece.count < count { break }
    }
    return filled
  }

  private func read(_ offset: UInt64, _ count: Int) throws(FileError) -> ArraySlice<UInt8> {
    let piece: [UInt8]?
    do throws(StoreError) {
      piece = try storage.read(path, offset..<offset + UInt64(count))
    } catch {
      throw FileError(code: .inputOutput, operation: "read", path: path, detail: "\(error)")
    }
    guard let piece else { throw FileError(code: .notFound, operation: "read", path: path) }
    return piece.prefix(count)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(FileError) {
    throw Self.readOnly("write", path)
  }

  func size() throws(FileError) -> UInt64 { throw Self.readOnly("ask for the size of", path) }

  func truncate(to size: UInt64) throws(FileError) { throw Self.readOnly("truncate", path) }

  func synchronize() throws(FileError) { throw Self.readOnly("synchronize", path) }

  func close() {}

  private static func readOnly(_ operation: String, _ path: String) -> FileError {
    FileError(
      code: .permissionDenied, operation: operation, path: path,
      detail: "what a storage holds is only read")
  }
}
