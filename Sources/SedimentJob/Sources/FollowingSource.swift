// A growing file, read as `tail -F` does.
//
// After the end of the file, its name is looked at again. When another file has the name, the log
// was rotated; its writer may have the old file open for a while, so that is read on until nothing
// came for a period of grace. Only then its last line ends without a line end, and the new file is
// read from its beginning. A file that became shorter is read from its beginning. A log that was
// rotated while nobody followed it is finished under its new name first. Waiting is the caller's:
// `next` never blocks.
//
// Concurrency: one thread.

package import SedimentIO

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
  private let clock: any Clock
  private let graceNanos: UInt64
  private var current: OpenFile?
  /// The name that the file to begin with has now.
  private var predecessor: String?
  /// Where to begin in the first file that is opened.
  private var start: (offset: UInt64, line: UInt64, isUnterminated: Bool)

  private struct OpenFile {
    let file: any File
    let metadata: FileMetadata
    let reader: SourceReader
    /// Since when another file has the name, and this one gave nothing.
    var quietSinceNanos: UInt64?
    /// The grace is over: what is there now is all.
    var isFinishing = false
  }

  /// How long a writer may go on with a rotated file after its last bytes.
  package static let graceNanosDefault: UInt64 = 2_000_000_000

  /// Follows the file at `path` from `offset`, which begins line `line`; opens nothing yet. With a
  /// `predecessor`, the place is in the file of that name, which had the name `path` before.
  package init(
    path: String, in files: InputFileSystem, format: RecordFormat, fromOffset offset: UInt64 = 0,
    line: UInt64 = 1, isUnterminated: Bool = false, predecessor: String? = nil,
    clock: any Clock = SystemClock(), graceNanos: UInt64 = graceNanosDefault,
    chunkBytes: Int = 1 << 20, recordsMax: Int = 4096
  ) {
    self.predecessor = predecessor
    self.clock = clock
    self.graceNanos = graceNanos
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
      guard let open = current else {
        guard try self.open() else { return false }
        continue
      }
      if open.isFinishing {
        if try open.reader.next(into: batch, at: .final) { return true }
        current = nil
        onEvent(.rotated)
        continue
      }
      if try open.reader.next(into: batch, at: .open) {
        current?.quietSinceNanos = nil
        return true
      }
      guard let named = try files.metadata(of: path) else { return false }
      if named.inode != open.metadata.inode || named.device != open.metadata.device {
        let now = clock.monotonicNanos()
        let since = open.quietSinceNanos ?? now
        current?.quietSinceNanos = since
        guard now &- since >= graceNanos else { return false }
        current?.isFinishing = true
      } else if try size(of: open.file) < open.reader.readOffset {
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
    guard let open = current else { return nil }
    let (file, reader) = (open.file, open.reader)
    do {
      var now = open.metadata
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

  /// Opens the file to begin with, or what has the name now; false when nothing has it.
  private func open() throws(SourceError) -> Bool {
    if let name = predecessor {
      predecessor = nil
      if try open(name) { return true }
      // It went away since it was found.
      start = (0, 1, false)
    }
    return try open(path)
  }

  private func open(_ name: String) throws(SourceError) -> Bool {
    guard let metadata = try files.metadata(of: name), metadata.kind == .file else { return false }
    let file: any File
    do throws(SourceError) {
      file = try files.open(name)
    } catch .noSuchFile {
      return false
    }
    let reader = SourceReader(
      FileStream(file), path: path, format: format, fromOffset: start.offset, line: start.line,
      isUnterminated: start.isUnterminated, chunkBytes: chunkBytes, recordsMax: recordsMax)
    reader.onContinuedRecord = { [unowned self] in onEvent(.continuedRecord) }
    start = (0, 1, false)
    current = OpenFile(file: file, metadata: metadata, reader: reader)
    return true
  }
}
