// Reads one source into batches.
//
//   stream ──chunk──▶ window ──splitter──▶ ranges of records ──one copy──▶ batch
//                        └── an incomplete record stays at the front of the window
//
// Invariants
// 1. `offset` and `line` are those of the first byte in the window, and of a record's beginning,
//    except while an overlong line is being passed over: then they are the line's.
// 2. The window holds at most one record's bytes more than one chunk.
// 3. What the batches hold does not depend on how the stream cuts its bytes.
// 4. A source that ended without a line end and goes on with one does not gain a record by it.
//
// Concurrency: one thread.

/// Cuts a byte stream into batches of records.
@safe
package final class SourceReader {
  /// What an end of the stream means.
  package enum EndOfStream: Sendable {
    /// The last record is complete there, with or without a newline.
    case final
    /// More may come: a record without its line end waits for it.
    case open
  }

  /// Bytes kept of a record beyond the limit.
  package static let overlongBytesKept = 1024

  /// Offset in the uncompressed stream at which reading goes on.
  package private(set) var offset: UInt64 = 0
  /// Its line, from 1.
  package private(set) var line: UInt64 = 1
  /// Offset behind the last byte taken from the stream.
  package var readOffset: UInt64 { offset + UInt64(end - begin) + (overlong?.passed ?? 0) }
  /// Whether the record before `offset` had no line end.
  package private(set) var isUnterminated = false
  /// Called when such a record turns out to go on; what follows is a record of its own.
  package var onContinuedRecord: () -> Void = {}
  /// The last bytes before `offset`, where they are kept.
  package var recentBytes: [UInt8] { recent?.bytes ?? [] }
  /// The CSV header, once it was read.
  package private(set) var header: CSVHeader?

  private let path: String
  private let stream: any ByteStream
  private let splitter: RecordSplitter
  private let chunkBytes: Int
  private let recordsMax: Int

  private var bytes: UnsafeMutablePointer<UInt8>
  private var capacity: Int
  private var begin = 0
  private var end = 0
  /// The stream gave nothing, and that was its final end.
  private var isEnded = false
  /// The beginning of an overlong line, and how many of its bytes were passed over.
  private var overlong: (kept: [UInt8], passed: UInt64)?
  private var recent: RecentBytes?
  private let expectedTail: TailHash?
  /// Where to begin, until the first read.
  private var start: (offset: UInt64, line: UInt64, isUnterminated: Bool)?

  /// Reads from `offset` on, which is the beginning of a record; with `isUnterminated`, that of the
  /// line end that the record before lacked. With `keepsTail`, as for streams that cannot seek, all
  /// before `offset` is read, and must end as `tail` says. `path` is for messages.
  package init(
    _ stream: any ByteStream, path: String, format: RecordFormat, fromOffset offset: UInt64 = 0,
    line: UInt64 = 1, isUnterminated: Bool = false, keepsTail: Bool = false,
    tail: TailHash? = nil, chunkBytes: Int = 1 << 20, recordsMax: Int = 4096
  ) {
    recent = keepsTail ? RecentBytes() : nil
    expectedTail = tail
    self.stream = stream
    self.path = path
    splitter = RecordSplitter(kind: format.kind, recordBytesMax: format.recordBytesMax)
    self.chunkBytes = max(chunkBytes, 1)
    self.recordsMax = min(max(recordsMax, 1), 1 << 20)
    capacity = self.chunkBytes
    unsafe bytes = .allocate(capacity: capacity)
    start = offset > 0 || format.kind == .csv ? (offset, line, isUnterminated) : nil
  }

  deinit {
    unsafe bytes.deallocate()
  }

  /// Fills an empty batch with the next records; false when there are none (yet).
  package func next(
    into batch: RecordBatch, at endOfStream: EndOfStream = .final
  ) throws(SourceError) -> Bool {
    if start != nil, try !begin(batch, endOfStream) { return false }
    while true {
      if overlong != nil {
        if passOverlong(into: batch) { return true }
      } else if begin < end, passLineEnd(), begin < end,
        cut(into: batch, isFinal: isEnded && endOfStream == .final)
      {
        if batch.count > 0 { return true }
        continue
      }
      if isEnded, endOfStream == .final { return finishOverlong(into: batch, isTerminated: false) }
      isEnded = try fill() == 0
      if isEnded, endOfStream == .open {
        isEnded = false
        return false
      }
    }
  }

  /// Passes over the line end that the record before lacked when it was read; false while it cannot
  /// be told from other bytes.
  private func passLineEnd() -> Bool {
    guard isUnterminated else { return true }
    let hasReturn = unsafe bytes[begin] == UInt8(ascii: "\r")
    if hasReturn, end - begin == 1, !isEnded { return false }
    let newline = begin + (hasReturn ? 1 : 0)
    isUnterminated = false
    guard newline < end, unsafe bytes[newline] == UInt8(ascii: "\n") else {
      onContinuedRecord()
      return true
    }
    offset += UInt64(newline + 1 - begin)
    consume(newline + 1 - begin)
    return true
  }

  // MARK: - Beginning

  /// Reads a CSV header and goes to the start; false when there is no header yet, or no record.
  private func begin(
    _ batch: RecordBatch, _ endOfStream: EndOfStream
  ) throws(SourceError) -> Bool {
    if splitter.kind == .csv, header == nil {
      guard try readHeader(batch, endOfStream) else { return false }
    }
    guard let start else { return true }
    if start.offset > offset {
      let ahead = start.offset - offset
      if recent != nil {
        try readUp(to: start.offset)
      } else if ahead <= UInt64(end - begin) {
        begin += Int(ahead)
      } else {
        guard try stream.skip(ahead - UInt64(end - begin)) else {
          throw .shorterThanPosition(path: path, offset: start.offset)
        }
        (begin, end) = (0, 0)
      }
      (offset, line, isUnterminated) = start
    }
    self.start = nil
    return true
  }

  /// Reads and drops what is before an offset, and looks whether it is what was read before.
  private func readUp(to target: UInt64) throws(SourceError) {
    while offset < target {
      if begin == end, try fill() == 0 {
        throw .shorterThanPosition(path: path, offset: target)
      }
      let count = Int(min(target - offset, UInt64(end - begin)))
      consume(count)
      offset += UInt64(count)
    }
    guard let expectedTail else { return }
    guard TailHash(of: recentBytes.suffix(Int(expectedTail.bytes))) == expectedTail else {
      throw .otherThanBeforePosition(path: path, offset: target)
    }
  }

  private func readHeader(
    _ batch: RecordBatch, _ endOfStream: EndOfStream
  ) throws(SourceError) -> Bool {
    while true {
      if offset == 0, end - begin >= 3 { skipByteOrderMark() }
      if begin < end, offset > 0 || isEnded || end - begin >= 3 {
        let isFinal = isEnded && endOfStream == .final
        let consumed = unsafe splitter.cut(
          window, isFinal: isFinal, recordsMax: 1, into: batch)
        if batch.count > 0 {
          guard batch.status(0) == .ok else {
            throw .format(path: path, .missingHeader)
          }
          takeWindow(consumed, into: batch)
          header = unsafe CSVHeader(line: Array(batch.line(0)))
          batch.removeAll()
          return true
        }
        advance(consumed)
        if end - begin > splitter.recordBytesMax + 2 { throw .format(path: path, .missingHeader) }
      }
      if isEnded, endOfStream == .final {
        guard begin == end else { throw .format(path: path, .missingHeader) }
        return false
      }
      isEnded = try fill() == 0
      if isEnded, endOfStream == .open {
        isEnded = false
        return false
      }
    }
  }

  private func skipByteOrderMark() {
    guard unsafe bytes[begin] == 0xEF, unsafe bytes[begin + 1] == 0xBB,
      unsafe bytes[begin + 2] == 0xBF
    else { return }
    consume(3)
    offset += 3
  }

  // MARK: - The window

  private var window: UnsafeBufferPointer<UInt8> {
    unsafe UnsafeBufferPointer(start: bytes + begin, count: end - begin)
  }

  /// Takes bytes off the front of the window.
  private func consume(_ count: Int) {
    if recent != nil {
      unsafe recent?.append(UnsafeBufferPointer(rebasing: window[..<count]))
    }
    begin += count
  }

  /// Reads a chunk behind what is left; returns its bytes.
  private func fill() throws(SourceError) -> Int {
    if begin > 0 {
      unsafe bytes.update(from: bytes + begin, count: end - begin)
      (begin, end) = (0, end - begin)
    }
    if capacity - end < chunkBytes {
      capacity = max(end + chunkBytes, min(capacity * 2, splitter.recordBytesMax + chunkBytes))
      let grown = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
      unsafe grown.update(from: bytes, count: end)
      unsafe bytes.deallocate()
      unsafe bytes = grown
    }
    // SAFETY: `chunkBytes` from `end` on are within the capacity.
    let read = try unsafe stream.read(
      into: UnsafeMutableRawBufferPointer(start: bytes + end, count: chunkBytes))
    end += read
    return read
  }

  /// Cuts complete records off the window. False when it needs more bytes to go on; true when
  /// records, blank lines, or the beginning of an overlong line were taken.
  private func cut(into batch: RecordBatch, isFinal: Bool) -> Bool {
    let cut = unsafe splitter.cut(
      window, isFinal: isFinal, recordsMax: recordsMax, into: batch)
    if batch.count > 0 {
      takeWindow(cut, into: batch)
      return true
    }
    if cut.consumed > 0 {
      advance(cut)
      return true
    }
    guard !cut.isIncomplete || end - begin > splitter.recordBytesMax + 2 else { return false }
    overlong = ([], 0)
    return true
  }

  /// Copies the consumed bytes behind the records just cut, and moves on.
  private func takeWindow(_ cut: RecordSplitter.Cut, into batch: RecordBatch) {
    batch.firstOffset = offset
    batch.firstLine = line
    batch.header = header
    unsafe batch.appendBytes(UnsafeBufferPointer(rebasing: window[..<cut.consumed]))
    let last = batch.count - 1
    let lastEnd = unsafe Int(batch.columns.starts[last]) + Int(batch.columns.extents[last])
    isUnterminated =
      unsafe lastEnd == cut.consumed && window[cut.consumed - 1] != UInt8(ascii: "\n")
    if isUnterminated {
      batch.appendNewline()
      batch.extendLastRecord()
    }
    advance(cut)
    batch.endOffset = offset
    batch.endLine = line
  }

  private func advance(_ cut: RecordSplitter.Cut) {
    consume(cut.consumed)
    offset += UInt64(cut.consumed)
    line += UInt64(cut.lines)
  }

  // MARK: - Overlong lines

  /// Passes over bytes of an overlong line; true when its end was found and the batch has it.
  private func passOverlong(into batch: RecordBatch) -> Bool {
    guard var line = overlong else { return false }
    let newline = unsafe ByteSearch.newline(in: window, from: 0)
    let content = newline ?? (end - begin)
    let kept = min(content, Self.overlongBytesKept - line.kept.count)
    unsafe line.kept.append(contentsOf: window[..<kept])
    let passed = newline.map { $0 + 1 } ?? content
    line.passed += UInt64(passed)
    consume(passed)
    overlong = line
    return newline != nil && finishOverlong(into: batch, isTerminated: true)
  }

  /// Makes what is kept of an overlong line the only record of the batch; false without one.
  private func finishOverlong(into batch: RecordBatch, isTerminated: Bool) -> Bool {
    guard let (kept, passed) = overlong else { return false }
    overlong = nil
    batch.addRecord(
      start: 0, length: kept.count, extent: kept.count, line: 0, status: .lineTooLong)
    unsafe kept.withUnsafeBufferPointer { unsafe batch.appendBytes($0) }
    batch.firstOffset = offset
    batch.firstLine = line
    batch.header = header
    offset += passed
    line += 1
    batch.endOffset = offset
    batch.endLine = line
    isUnterminated = !isTerminated
    return true
  }
}
