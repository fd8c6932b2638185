// A growing file, read as `tail -F` does.
//
// After the end of the file, its name is looked at again: when another file has the name (the log
// was rotated), the old one is read to its end, then the new one from its beginning. A file that
// became shorter is read from its beginning. Waiting is the caller's: `next` never blocks.
//
// Concurrency: one thread.

import SedimentIO

/// Follows a file by its name.
package final class FollowingSource {
  /// What happened to the file; for messages.
  package enum Event: Sendable, Equatable {
    case rotated
    case truncated
    /// The last record of the run before had no line end, and goes on.
    case continuedRecord
  }

  /// The name being followed.
  package let path: String
  /// Called when reading begins again at the first byte, and when a record goes on.
  package var onEvent: (Event) -> Void = { _ in }

  private let files: InputFileSystem
  private let format: RecordFormat
  private let chunkBytes: Int
  private let recordsMax: Int
  private var current: (file: any File, metadata: FileMetadata, reader: SourceReader)?
  /// Where to begin in the first file that is opened.
  private var start: (offset: UInt64, line: UInt64, isUnterminated: Bool)

  /// Follows the file at `path` from `offset`, which begins line `line`; opens nothing yet.
  package init(
    path: String, in files: InputFileSystem, format: RecordFormat, fromOffset offset: UInt64 = 0,
    line: UInt64 = 1, isUnterminated: Bool = false, chunkBytes: Int = 1 << 20,
    recordsMax: Int = 4096
  ) {
    self.path = path
    self.files = files
    self.format = format
    self.chunkBytes = chunkBytes
    self.recordsMax = recordsMax
    start = (offset, line, isUnterminated)
  }

  /// Fills an empty batch with what there is; false when nothing new is there at this moment.
  package func next(into batch: RecordBatch) throws(SourceError) -> Bool {
    while true {
      guard let (file, known, reader) = current else {
        guard try open() else { return false }
        continue
      }
      if try reader.next(into: batch, at: .open) { return true }
      guard let named = try files.metadata(of: path) else { return false }
      if named.inode != known.inode || named.device != known.device {
        if try reader.next(into: batch, at: .final) { return true }
        current = nil
        onEvent(.rotated)
      } else if try size(of: file) < reader.readOffset {
        current = nil
        onEvent(.truncated)
      } else {
        return false
      }
    }
  }

  /// The same, but calls `wait` while there is nothing; false once `wait` returns false.
  package func next(
    into batch: RecordBatch, waiting wait: () -> Bool
  ) throws(SourceError) -> Bool {
    while try !next(into: batch) {
      guard wait() else { return false }
    }
    return true
  }

  /// The position behind the last batch; `nil` while no file is open.
  package func position() throws(SourceError) -> FilePosition? {
    guard let (file, metadata, reader) = current else { return nil }
    do {
      var now = metadata
      now.size = try file.size()
      return try FilePosition.take(
        path: path, file: file, metadata: now, isCompressed: false, offset: reader.offset,
        line: reader.line, isUnterminated: reader.isUnterminated)
    } catch {
      throw .unreadable(error)
    }
  }

  private func size(of file: any File) throws(SourceError) -> UInt64 {
    do { return try file.size() } catch { throw .unreadable(error) }
  }

  /// Opens what has the name now; false when nothing has it.
  private func open() throws(SourceError) -> Bool {
    guard let metadata = try files.metadata(of: path), metadata.kind == .file else { return false }
    let file: any File
    do throws(SourceError) {
      file = try files.open(path)
    } catch .noSuchFile {
      return false
    }
    let reader = SourceReader(
      FileStream(file), path: path, format: format, fromOffset: start.offset, line: start.line,
      isUnterminated: start.isUnterminated, chunkBytes: chunkBytes, recordsMax: recordsMax)
    reader.onContinuedRecord = { [unowned self] in onEvent(.continuedRecord) }
    start = (0, 1, false)
    current = (file, metadata, reader)
    return true
  }
}
