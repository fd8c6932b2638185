/// Keys and values, which are any bytes, as people and programs are shown them.
package enum ByteText {
  /// Text in quotes where the bytes are printable UTF-8, else `0x` and hexadecimal digits.
  package static func shown(_ bytes: [UInt8]) -> String {
    guard let text = String(validating: bytes, as: UTF8.self),
      text.unicodeScalars.allSatisfy(\.isPrintable)
    else { return "0x" + hexadecimal(bytes) }
    return JSONValue.string(text).line
  }

  /// Two digits a byte.
  package static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// The bytes of hexadecimal digits, with `0x` in front or not; `nil` where there are others.
  package static func bytes(hexadecimal text: String) -> [UInt8]? {
    let digits = Array((text.hasPrefix("0x") ? text.dropFirst(2) : text[...]).utf8)
    guard digits.count % 2 == 0, digits.allSatisfy({ $0.isHexadecimalDigit }) else { return nil }
    return stride(from: 0, to: digits.count, by: 2).compactMap {
      UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16)
    }
  }
}

extension JSONValue.Member {
  /// Bytes as a string where they are UTF-8, else as hexadecimal digits under a name that says so.
  init(_ name: String, bytes: [UInt8]) {
    if let text = String(validating: bytes, as: UTF8.self) {
      self.init(name, .string(text))
    } else {
      self.init(name + "_hex", .string(ByteText.hexadecimal(bytes)))
    }
  }
}

extension UInt8 {
  fileprivate var isHexadecimalDigit: Bool {
    switch self {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"),
      UInt8(ascii: "A")...UInt8(ascii: "F"):
      true
    default: false
    }
  }
}

extension Unicode.Scalar {
  /// Whether it shows as something and leaves the rest of the line alone.
  fileprivate var isPrintable: Bool {
    switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator:
      false
    default: true
    }
  }
}
