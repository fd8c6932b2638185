// The inputs of a run as one sequence of batches.
//
// Each batch comes with the position behind it, taken when it was read: reading runs ahead of
// deciding, and the epoch must name the place of what was decided.
//
// Concurrency: one thread at a time.

internal import SedimentIO

/// A place in the input.
package enum InputPosition: Sendable {
  /// In one file.
  case file(FilePosition)
  /// In the partitions that are named, of this cluster.
  case topics(TopicPositions, cluster: String)
}

/// What one step of reading gave.
package enum InputStep {
  /// Records, and the position behind them; none for standard input.
  case records(InputPosition?)
  /// No records, but reading stands there: a file was read to its end, say.
  case moved(InputPosition)
  /// Nothing new at this moment.
  case idle
  /// There is no more input.
  case ended
  /// The group gives partitions or takes them.
  case group(GroupChange)
}

/// Reads the inputs of a run, one batch at a time.
package protocol InputReader: AnyObject {
  /// Fills an empty batch.
  func next(into batch: RecordBatch) throws -> InputStep
}

/// How batches are cut.
package struct BatchLimits: Sendable {
  package var recordsMax: Int
  package var chunkBytes: Int
  /// How far ahead the system is asked for a file that is read to its end.
  package var aheadBytes: Int

  /// Limits, with defaults for those not given.
  package init(recordsMax: Int = 4096, chunkBytes: Int = 1 << 20, aheadBytes: Int = 16 << 20) {
    self.recordsMax = recordsMax
    self.chunkBytes = chunkBytes
    self.aheadBytes = aheadBytes
  }
}

/// Reads one input after the other to its end.
final class SequentialReader: InputReader {
  private struct OpenFile {
    var path: String
    var file: any File
    var metadata: FileMetadata
    var isCompressed: Bool
  }

  private let inputs: [PlannedInput]
  private let files: InputFileSystem
  private let format: RecordFormat
  private let limits: BatchLimits
  private let standardInput: any ByteStream
  private let notify: (String) -> Void
  private var next = 0
  private var current: (reader: SourceReader, file: OpenFile?)?

  init(
    _ inputs: [PlannedInput], in files: InputFileSystem, format: RecordFormat,
    limits: BatchLimits, standardInput: any ByteStream, notify: @escaping (String) -> Void
  ) {
    self.inputs = inputs
    self.files = files
    self.format = format
    self.limits = limits
    self.standardInput = standardInput
    self.notify = notify
  }

  func next(into batch: RecordBatch) throws -> InputStep {
    if current == nil {
      guard next < inputs.count else { return .ended }
      current = try open(inputs[next])
    }
    guard let (reader, file) = current else { return .ended }
    batch.sourceIndex = next
    let hasRecords: Bool
    do throws(SourceError) {
      hasRecords = try reader.next(into: batch)
    } catch {
      try beginAnew(after: error)
      return .idle
    }
    let place = try file.map { try position(in: $0, of: reader) }
    if hasRecords { return .records(place.map { .file($0) }) }
    current = nil
    next += 1
    return place.map { .moved(.file($0)) } ?? .idle
  }

  /// Reads the input from its beginning when it is another one than was read before.
  private func beginAnew(after error: SourceError) throws {
    switch error {
    case .otherThanBeforePosition(let path, _), .shorterThanPosition(let path, _):
      notify("\(path) is another file than before: it is read from its beginning")
      current = try open(PlannedInput(inputs[next].source))
    default: throw error
    }
  }

  private func open(_ input: PlannedInput) throws -> (reader: SourceReader, file: OpenFile?) {
    guard case .file(let path) = input.source else {
      var stream = standardInput
      if case .stream(let path) = input.source { stream = try files.openStream(path) }
      let reader = SourceReader(
        stream, path: input.source.path, format: format, chunkBytes: limits.chunkBytes,
        recordsMax: limits.recordsMax)
      return (reader, nil)
    }
    guard let metadata = try files.metadata(of: path) else { throw SourceError.noSuchFile(path) }
    let file = try files.open(path)
    let isCompressed = InputFileSystem.isCompressed(path)
    var stream: any ByteStream = FileStream(file, aheadBytes: limits.aheadBytes)
    if isCompressed { stream = try GzipStream(stream, path: path) }
    let reader = SourceReader(
      stream, path: path, format: format, fromOffset: input.offset, line: input.line,
      isUnterminated: input.isUnterminated, keepsTail: isCompressed, tail: input.tail,
      chunkBytes: limits.chunkBytes, recordsMax: limits.recordsMax)
    reader.onContinuedRecord = { [notify] in notify(continuedRecord(path)) }
    let open = OpenFile(path: path, file: file, metadata: metadata, isCompressed: isCompressed)
    return (reader, open)
  }

  private func position(in open: OpenFile, of reader: SourceReader) throws -> FilePosition {
    var metadata = open.metadata
    metadata.size = try open.file.size()
    return try FilePosition.take(
      path: open.path, file: open.file, metadata: metadata, isCompressed: open.isCompressed,
      offset: reader.offset, line: reader.line, isUnterminated: reader.isUnterminated,
      tail: reader.recentBytes)
  }
}

/// What is said of a record that was read before its line end was written.
private func continuedRecord(_ path: String) -> String {
  "\(path): its last line had no line end when it was read, and went on since: the rest is read as "
    + "a record of its own"
}

/// Reads growing files in turn; never ends.
final class FollowingReader: InputReader {
  private let sources: [FollowingSource]
  private var turn = 0

  init(
    _ inputs: [PlannedInput], in files: InputFileSystem, format: RecordFormat,
    limits: BatchLimits, clock: any Clock, notify: @escaping (String) -> Void
  ) {
    sources = inputs.map { input in
      let path = input.source.path
      let source = FollowingSource(
        path: path, in: files, format: format, fromOffset: input.offset, line: input.line,
        isUnterminated: input.isUnterminated, predecessor: input.predecessor, clock: clock,
        chunkBytes: limits.chunkBytes, recordsMax: limits.recordsMax)
      source.onEvent = { event in
        switch event {
        case .rotated: notify("\(path) is a new file now: reading it from its beginning")
        case .truncated: notify("\(path) was cut off: reading it from its beginning")
        case .continuedRecord: notify(continuedRecord(path))
        }
      }
      return source
    }
  }

  func next(into batch: RecordBatch) throws -> InputStep {
    for _ in sources.indices {
      let index = turn
      turn = (turn + 1) % sources.count
      batch.sourceIndex = index
      if try sources[index].next(into: batch) {
        return .records(try sources[index].position().map { .file($0) })
      }
    }
    return .idle
  }
}
