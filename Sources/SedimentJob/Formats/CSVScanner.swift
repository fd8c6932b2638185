// RFC 4180, read from raw bytes: fields apart by commas, in quotes where they hold a comma, quote
// or newline; a quote in quotes is doubled. CR LF and LF end a record.
//
// Strict: a quote in an unquoted field, or anything but a comma or the line end behind a closing
// quote, is malformed. Such a record is its first line only, and reading goes on at the next line,
// so that one bad quote cannot swallow the file.

/// Finds records and fields.
enum CSVScanner {
  /// What stands at a place in a window of bytes.
  enum Found: Equatable {
    /// Content up to `end`, the next record at `next`, `lines` newlines within (the last counted).
    case record(end: Int, next: Int, lines: Int)
    case malformed
    /// The window ends before the record does.
    case incomplete
  }

  private static let quote = UInt8(ascii: "\"")
  private static let comma = UInt8(ascii: ",")
  private static let newline = UInt8(ascii: "\n")
  private static let carriageReturn = UInt8(ascii: "\r")

  /// The record that begins at `start`. With `isFinal`, the end of the window ends it.
  static func record(
    in window: UnsafeBufferPointer<UInt8>, from start: Int, isFinal: Bool
  ) -> Found {
    let count = window.count
    var index = start
    var lines = 0
    while true {
      if index < count, unsafe window[index] == quote {
        guard let close = unsafe closingQuote(in: window, from: index + 1, isFinal, &lines) else {
          return isFinal ? .malformed : .incomplete
        }
        index = close + 1
      } else {
        while index < count {
          let byte = unsafe window[index]
          if byte == comma || byte == newline { break }
          if byte == quote { return .malformed }
          index += 1
        }
      }
      if index < count, unsafe window[index] == comma {
        index += 1
        continue
      }
      return unsafe lineEnd(in: window, at: index, start, isFinal, lines)
    }
  }

  /// The end of a record whose last field ends at `index`.
  private static func lineEnd(
    in window: UnsafeBufferPointer<UInt8>, at index: Int, _ start: Int, _ isFinal: Bool,
    _ lines: Int
  ) -> Found {
    let count = window.count
    if index == count {
      guard isFinal else { return .incomplete }
      let hasReturn = unsafe index > start && window[index - 1] == carriageReturn
      return .record(end: hasReturn ? index - 1 : index, next: index, lines: lines + 1)
    }
    if unsafe window[index] == newline {
      let hasReturn = unsafe index > start && window[index - 1] == carriageReturn
      return .record(end: hasReturn ? index - 1 : index, next: index + 1, lines: lines + 1)
    }
    // Behind a closing quote only; an unquoted field takes its carriage returns itself.
    guard unsafe window[index] == carriageReturn else { return .malformed }
    if index + 1 == count {
      return isFinal ? .record(end: index, next: count, lines: lines + 1) : .incomplete
    }
    guard unsafe window[index + 1] == newline else { return .malformed }
    return .record(end: index, next: index + 2, lines: lines + 1)
  }

  /// The quote that closes a field whose content begins at `start`; `nil` when the window ends
  /// before that is known. Adds the newlines passed to `lines`.
  private static func closingQuote(
    in window: UnsafeBufferPointer<UInt8>, from start: Int, _ isFinal: Bool, _ lines: inout Int
  ) -> Int? {
    let count = window.count
    var index = start
    while index < count {
      let byte = unsafe window[index]
      if byte == newline { lines += 1 }
      if byte != quote {
        index += 1
      } else if index + 1 == count {
        return isFinal ? index : nil
      } else if unsafe window[index + 1] == quote {
        index += 2
      } else {
        return index
      }
    }
    return nil
  }

  /// Takes the field at `index` off a well-formed record and moves `index` behind the comma; at
  /// the end of the record, to `count + 1`. The content is without its quotes, doubled ones within.
  static func takeField(
    of record: UnsafeBufferPointer<UInt8>, at index: inout Int
  ) -> (content: Range<Int>, hasDoubledQuotes: Bool) {
    var end = index
    if index < record.count, unsafe record[index] == quote {
      var lines = 0
      let start = index + 1
      let close = unsafe closingQuote(in: record, from: start, true, &lines) ?? record.count
      end = start
      while unsafe end < close && record[end] != quote { end += 1 }
      let hasDoubledQuotes = end < close
      end = close + 1
      while unsafe end < record.count && record[end] != comma { end += 1 }
      index = end + 1
      return (start..<close, hasDoubledQuotes)
    }
    while unsafe end < record.count && record[end] != comma { end += 1 }
    defer { index = end + 1 }
    return (index..<end, false)
  }
}
