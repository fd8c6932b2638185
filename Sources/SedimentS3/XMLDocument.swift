// XML as object storage answers with it: elements and text. Attributes and comments are passed
// over; a document type, which could define entities, is refused.
//
// Invariants
// 1. No input traps, and none takes more memory than a small multiple of its own size: depth and
//    the number of elements are bounded.

/// An element.
package struct XMLElement: Equatable, Sendable {
  package var name: String
  /// All text directly in it.
  package var text = ""
  package var children: [XMLElement] = []

  /// The text of the first child of a name; `nil` when there is none.
  package func text(of name: String) -> String? { children.first { $0.name == name }?.text }

  /// All children of a name.
  package func all(_ name: String) -> [XMLElement] { children.filter { $0.name == name } }
}

/// Why bytes are no document.
package struct XMLError: Error, Sendable, Equatable, CustomStringConvertible {
  package var offset: Int
  package var description: String
}

/// Reads one document.
package struct XMLReader: Sendable {
  package static let depthMax = 16
  package static let elementsMax = 50_000

  private let bytes: [UInt8]
  private var offset = 0
  private var elementCount = 0

  private init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// The element that a document consists of.
  package static func read(_ bytes: [UInt8]) throws(XMLError) -> XMLElement {
    var reader = XMLReader(bytes)
    try reader.skipProlog()
    var open: [XMLElement] = []
    while true {
      if let root = try reader.step(&open) {
        try reader.skipProlog()
        guard reader.offset == bytes.count else { throw reader.error("something behind the end") }
        return root
      }
    }
  }

  /// Reads a tag or text; the root when its end tag was read.
  private mutating func step(_ open: inout [XMLElement]) throws(XMLError) -> XMLElement? {
    guard offset < bytes.count else { throw error("the end is missing") }
    guard bytes[offset] == UInt8(ascii: "<") else {
      guard !open.isEmpty else { throw error("text outside of elements") }
      open[open.count - 1].text += try readText()
      return nil
    }
    if skip("<!--") {
      try skipPast("-->")
      return nil
    }
    if skip("</") {
      let name = try readName()
      skipSpace()
      guard skip(">"), let element = open.popLast(), element.name == name else {
        throw error("an end tag without its beginning")
      }
      return close(element, &open)
    }
    guard skip("<") else { throw error("no tag") }
    let element = XMLElement(name: try readName())
    elementCount += 1
    guard elementCount <= Self.elementsMax, open.count < Self.depthMax else {
      throw error("too many elements")
    }
    if try skipAttributes() { return close(element, &open) }
    open.append(element)
    return nil
  }

  private func close(_ element: XMLElement, _ open: inout [XMLElement]) -> XMLElement? {
    guard !open.isEmpty else { return element }
    open[open.count - 1].children.append(element)
    return nil
  }

  // MARK: - Parts

  private mutating func skipProlog() throws(XMLError) {
    _ = skip("\u{FEFF}")
    while true {
      skipSpace()
      if skip("<?") {
        try skipPast("?>")
      } else if skip("<!--") {
        try skipPast("-->")
      } else {
        return
      }
    }
  }

  /// Passes over the rest of a tag; says whether it was an empty element's.
  private mutating func skipAttributes() throws(XMLError) -> Bool {
    while offset < bytes.count {
      switch bytes[offset] {
      case UInt8(ascii: ">"):
        offset += 1
        return false
      case UInt8(ascii: "/"):
        guard skip("/>") else { throw error("no end of a tag") }
        return true
      case UInt8(ascii: "\""): try skipQuoted("\"")
      case UInt8(ascii: "'"): try skipQuoted("'")
      case UInt8(ascii: "<"): throw error("a tag in a tag")
      default: offset += 1
      }
    }
    throw error("a tag without an end")
  }

  private mutating func skipQuoted(_ quote: String) throws(XMLError) {
    offset += 1
    try skipPast(quote)
  }

  private mutating func readName() throws(XMLError) -> String {
    let start = offset
    while offset < bytes.count, Self.isOfName(bytes[offset]) { offset += 1 }
    guard offset > start, offset - start <= 128 else { throw error("no name of an element") }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  private static func isOfName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
      UInt8(ascii: "_"), UInt8(ascii: ":"), 0x80...:
      true
    default: false
    }
  }

  private mutating func readText() throws(XMLError) -> String {
    var text: [UInt8] = []
    while offset < bytes.count, bytes[offset] != UInt8(ascii: "<") {
      if bytes[offset] == UInt8(ascii: "&") {
        text += Array(try readEntity().utf8)
      } else {
        text.append(bytes[offset])
        offset += 1
      }
    }
    guard let read = String(validating: text, as: UTF8.self) else { throw error("no UTF-8") }
    return read
  }

  private mutating func readEntity() throws(XMLError) -> String {
    let start = offset + 1
    guard
      let end = bytes[start...].prefix(12).firstIndex(of: UInt8(ascii: ";"))
    else { throw error("an entity without an end") }
    let name = String(decoding: bytes[start..<end], as: UTF8.self)
    offset = end + 1
    switch name {
    case "amp": return "&"
    case "lt": return "<"
    case "gt": return ">"
    case "quot": return "\""
    case "apos": return "'"
    default: break
    }
    let isHexadecimal = name.hasPrefix("#x")
    let digits = name.dropFirst(isHexadecimal ? 2 : 1)
    guard name.hasPrefix("#"), let code = UInt32(digits, radix: isHexadecimal ? 16 : 10),
      let scalar = Unicode.Scalar(code)
    else { throw error("an entity that is not known") }
    return String(Character(scalar))
  }

  private mutating func skipSpace() {
    while offset < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[offset]) { offset += 1 }
  }

  private mutating func skip(_ text: String) -> Bool {
    guard bytes[offset...].starts(with: text.utf8) else { return false }
    offset += text.utf8.count
    return true
  }

  private mutating func skipPast(_ text: String) throws(XMLError) {
    while offset < bytes.count {
      if skip(text) { return }
      offset += 1
    }
    throw error("'\(text)' is missing")
  }

  private func error(_ what: String) -> XMLError { XMLError(offset: offset, description: what) }
}
