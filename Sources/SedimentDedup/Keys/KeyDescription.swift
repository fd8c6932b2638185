// Reads encoded keys back, for inspection and messages. The bytes may come from a damaged disk:
// every length is checked, and what is no key is said to be none.

/// A field read from an encoded key.
package enum KeyField: Equatable {
  case null
  case bool(Bool)
  case int(Int64)
  case uint(UInt64)
  case double(Double)
  /// A number by its text, as written under tag 7.
  case numberText([UInt8])
  case string([UInt8])
}

/// Decodes and prints encoded keys.
public enum KeyDescription {
  /// The fields as a JSON array, such as `[4711,"a\"b",null]`; invalid UTF-8 is shown as U+FFFD.
  /// Bytes that are no encoded key give `malformed key of N bytes`.
  public static func describe(_ key: [UInt8]) -> String {
    guard let fields = fields(of: key) else { return "malformed key of \(key.count) bytes" }
    return "[" + fields.map(text(of:)).joined(separator: ",") + "]"
  }

  /// The fields of an encoded key; `nil` when the bytes are none.
  package static func fields(of key: [UInt8]) -> [KeyField]? {
    var reader = KeyFieldReader(bytes: key)
    var fields: [KeyField] = []
    while !reader.isAtEnd {
      guard let field = reader.next() else { return nil }
      fields.append(field)
    }
    return fields
  }

  private static func text(of field: KeyField) -> String {
    switch field {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): String(value)
    case .uint(let value): String(value)
    case .double(let value): value.description
    case .numberText(let bytes): String(decoding: bytes, as: UTF8.self)
    case .string(let bytes): quoted(String(decoding: bytes, as: UTF8.self))
    }
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

private struct KeyFieldReader {
  let bytes: [UInt8]
  var index = 0

  var isAtEnd: Bool { index == bytes.count }

  mutating func next() -> KeyField? {
    guard index < bytes.count, let tag = KeyTag(rawValue: bytes[index]) else { return nil }
    index += 1
    switch tag {
    case .null: return .null
    case .false: return .bool(false)
    case .true: return .bool(true)
    case .int64: return readInteger().map { .int(Int64(bitPattern: $0)) }
    case .uint64: return readInteger().map { .uint($0) }
    case .double: return readInteger().map { .double(Double(bitPattern: $0)) }
    case .numberText: return readBytes().map { .numberText($0) }
    case .string: return readBytes().map { .string($0) }
    }
  }

  private mutating func readInteger() -> UInt64? {
    guard bytes.count - index >= 8 else { return nil }
    defer { index += 8 }
    return bytes[index..<index + 8].reduce(0) { $0 << 8 | UInt64($1) }
  }

  private mutating func readBytes() -> [UInt8]? {
    guard let length = readVarint(), length <= UInt64(bytes.count - index) else { return nil }
    defer { index += Int(length) }
    return Array(bytes[index..<index + Int(length)])
  }

  /// Reads a shortest-form varint of at most 63 bits.
  private mutating func readVarint() -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while index < bytes.count, shift < 63 {
      let byte = bytes[index]
      index += 1
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return byte == 0 && shift > 0 ? nil : value }
      shift += 7
    }
    return nil
  }
}
