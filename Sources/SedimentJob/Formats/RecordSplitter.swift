// Cuts a window of source bytes into records.
//
// The window begins at a record. Complete records go into the batch as ranges; the caller then
// copies the consumed bytes in one piece. What is left is an incomplete record, which comes again
// at the beginning of the next window, with more bytes behind it.

/// Cuts bytes into records of one format.
struct RecordSplitter {
  /// What a call did.
  struct Cut {
    /// Bytes of the window that are done with: records and blank lines.
    var consumed = 0
    /// Newlines in them.
    var lines = 0
    /// The record behind `consumed` is not complete in this window.
    var isIncomplete = false
  }

  let kind: RecordFormat.Kind
  let recordBytesMax: Int

  private static let newline = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  /// Adds at most `recordsMax` records to `batch`. With `isFinal` the window ends the source.
  func cut(
    _ window: UnsafeBufferPointer<UInt8>, isFinal: Bool, recordsMax: Int, into batch: RecordBatch
  ) -> Cut {
    kind == .csv
      ? unsafe cutCSV(window, isFinal, recordsMax, batch)
      : unsafe cutLines(window, isFinal, recordsMax, batch)
  }

  private func cutLines(
    _ window: UnsafeBufferPointer<UInt8>, _ isFinal: Bool, _ recordsMax: Int, _ batch: RecordBatch
  ) -> Cut {
    var cut = Cut()
    let skipsBlank = kind == .ndjson
    let last = batch.count + recordsMax
    while cut.consumed < window.count, batch.count < last {
      let start = cut.consumed
      guard let (end, next) = unsafe line(in: window, from: start, isFinal) else {
        cut.isIncomplete = true
        break
      }
      if skipsBlank, unsafe isBlank(window, start, end) {
        cut.consumed = next
        cut.lines += 1
        continue
      }
      guard end - start <= recordBytesMax else { break }
      batch.addRecord(start: start, length: end - start, extent: next - start, line: cut.lines)
      cut.consumed = next
      cut.lines += 1
    }
    return cut
  }

  private func cutCSV(
    _ window: UnsafeBufferPointer<UInt8>, _ isFinal: Bool, _ recordsMax: Int, _ batch: RecordBatch
  ) -> Cut {
    var cut = Cut()
    let last = batch.count + recordsMax
    while cut.consumed < window.count, batch.count < last {
      let start = cut.consumed
      var found = unsafe CSVScanner.record(in: window, from: start, isFinal: isFinal)
      if found == .incomplete, window.count - start > recordBytesMax + 2 {
        found = .malformed
      }
      if case .record(let end, let next, let lines) = found, end - start <= recordBytesMax {
        if end > start {
          batch.addRecord(start: start, length: end - start, extent: next - start, line: cut.lines)
        }
        cut.consumed = next
        cut.lines += lines
        continue
      }
      guard found != .incomplete, let (end, next) = unsafe line(in: window, from: start, isFinal)
      else {
        cut.isIncomplete = true
        break
      }
      guard end - start <= recordBytesMax else { break }
      // A quoted record beyond the limit is rejected by its first line, like a malformed one.
      batch.addRecord(
        start: start, length: end - start, extent: next - start, line: cut.lines,
        status: .malformedCSV)
      cut.consumed = next
      cut.lines += 1
    }
    return cut
  }

  /// Content end and beginning of the next of the line at `start`; `nil` when it is not complete.
  @inline(__always)
  private func line(
    in window: UnsafeBufferPointer<UInt8>, from start: Int, _ isFinal: Bool
  ) -> (end: Int, next: Int)? {
    var end = window.count
    var next = end
    if let newline = unsafe ByteSearch.newline(in: window, from: start) {
      end = newline
      next = newline + 1
    } else if !isFinal {
      return nil
    }
    if end > start, unsafe window[end - 1] == Self.carriageReturn { end -= 1 }
    return (end, next)
  }

  /// Whether a line holds nothing but spaces and tabs.
  @inline(__always)
  private func isBlank(_ window: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int) -> Bool {
    var index = start
    while index < end {
      let byte = unsafe window[index]
      guard byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") else { return false }
      index += 1
    }
    return true
  }
}

/// Finds bytes, eight at a time.
enum ByteSearch {
  /// The next newline at or behind `start`.
  @inline(__always)
  static func newline(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
    guard let base = bytes.baseAddress else { return nil }
    let raw = unsafe UnsafeRawPointer(base)
    let ones: UInt64 = 0x0101_0101_0101_0101
    let highs: UInt64 = 0x8080_8080_8080_8080
    var index = start
    while index &+ 32 <= bytes.count {
      // SAFETY: 32 bytes from `index` are within the buffer.
      let a = unsafe raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ (ones &* 0x0A)
      let b = unsafe raw.loadUnaligned(fromByteOffset: index + 8, as: UInt64.self) ^ (ones &* 0x0A)
      let c = unsafe raw.loadUnaligned(fromByteOffset: index + 16, as: UInt64.self) ^ (ones &* 0x0A)
      let d = unsafe raw.loadUnaligned(fromByteOffset: index + 24, as: UInt64.self) ^ (ones &* 0x0A)
      let zeros =
        ((a &- ones) & ~a) | ((b &- ones) & ~b) | ((c &- ones) & ~c) | ((d &- ones) & ~d)
      if zeros & highs != 0 { break }
      index &+= 32
    }
    while index &+ 8 <= bytes.count {
      // SAFETY: 8 bytes from `index` are within the buffer.
      let word = unsafe raw.loadUnaligned(fromByteOffset: index, as: UInt64.self)
      let other = UInt64(littleEndian: word) ^ (ones &* 0x0A)
      // The lowest set bit is exact; those above it may be borrows.
      let zeros = (other &- ones) & ~other & highs
      if zeros != 0 { return index &+ zeros.trailingZeroBitCount / 8 }
      index &+= 8
    }
    while index < bytes.count {
      if unsafe bytes[index] == 0x0A { return index }
      index &+= 1
    }
    return nil
  }
}
