// Bad records as NDJSON, one line each:
// `{"file":"in.ndjson","line":12,"offset":345,"reason":"…","record":"…"}`, and of topics
// `{"topic":"clicks","partition":3,"offset":345,"reason":"…","record":"…"}`.

/// Writes rejects into a buffer that is reused. Not thread-safe.
package struct RejectFormatter: Sendable {
  /// How much is kept of a line that is too long to be a record: as much as is read of it.
  package static let overlongBytesMax = SourceReader.overlongBytesKept

  /// The lines so far.
  package private(set) var bytes: [UInt8] = []

  /// An empty buffer.
  package init() {}

  /// Forgets the lines and keeps the memory.
  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
  }

  /// Appends one reject.
  ///
  /// `record` is without its line end and stands as text, or base64 under `record_base64` where it
  /// is not UTF-8. Of an overlong one the first 1,024 bytes are kept, less the character that they
  /// cut in two.
  package mutating func append(
    _ place: RecordPlace, reason: String, record: UnsafeRawBufferPointer, isOverlong: Bool = false
  ) {
    switch place {
    case .file(let path, let line, let offset):
      put("{\"file\":")
      putQuoted(Array(path.utf8).span)
      put(",\"line\":\(line),\"offset\":\(offset),\"reason\":")
    case .topic(let partition, let offset):
      put("{\"topic\":")
      putQuoted(Array(partition.topic.utf8).span)
      put(",\"partition\":\(partition.partition),\"offset\":\(offset),\"reason\":")
    }
    putQuoted(Array(reason.utf8).span)
    let kept = isOverlong ? min(record.count, Self.overlongBytesMax) : record.count
    let whole = unsafe UnsafeRawBufferPointer(rebasing: record[..<kept])
      .bindMemory(to: UInt8.self).span
    let text = whole.extracting(first: isOverlong ? Self.wholeCharacters(whole) : kept)
    if Self.isUTF8(text) {
      put(",\"record\":")
      putQuoted(text)
    } else {
      put(",\"record_base64\":\"")
      putBase64(whole)
      put("\"")
    }
    put("}\n")
  }

  private mutating func put(_ text: String) {
    bytes.append(contentsOf: text.utf8)
  }

  private mutating func putQuoted(_ text: Span<UInt8>) {
    bytes.append(UInt8(ascii: "\""))
    for index in text.indices {
      let byte = text[index]
      switch byte {
      case UInt8(ascii: "\""): put("\\\"")
      case UInt8(ascii: "\\"): put("\\\\")
      case UInt8(ascii: "\n"): put("\\n")
      case UInt8(ascii: "\r"): put("\\r")
      case UInt8(ascii: "\t"): put("\\t")
      case 0..<0x20:
        put(byte < 0x10 ? "\\u000" : "\\u00")
        put(String(byte, radix: 16))
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  /// RFC 4648 §4, with padding.
  private mutating func putBase64(_ data: Span<UInt8>) {
    let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    var index = 0
    while index < data.count {
      let count = min(3, data.count - index)
      var group: UInt32 = 0
      for place in 0..<3 {
        group = group << 8 | (place < count ? UInt32(data[index + place]) : 0)
      }
      for place in 0..<4 {
        let digit = Int(group >> (18 - 6 * UInt32(place))) & 63
        // SAFETY: 64 characters, and `digit` is below 64.
        bytes.append(
          place <= count ? unsafe alphabet.utf8Start[digit] : UInt8(ascii: "="))
      }
      index += 3
    }
  }

  private static func isUTF8(_ text: Span<UInt8>) -> Bool {
    do {
      _ = try UTF8Span(validating: text)
      return true
    } catch {
      return false
    }
  }

  /// How many bytes are left without a last character that may have been cut.
  private static func wholeCharacters(_ text: Span<UInt8>) -> Int {
    var start = text.count
    // The first byte of the last character is at most three before the last byte.
    while start > 0, text.count - start < 4 {
      start -= 1
      let byte = text[start]
      if byte & 0xC0 != 0x80 {
        let length = byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
        return start + length <= text.count ? text.count : start
      }
    }
    return text.count
  }
}
