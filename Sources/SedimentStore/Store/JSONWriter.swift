/// Writes JSON, indented by two.
struct JSONWriter {
  private(set) var text = ""
  private var depth = 0
  private var isFirst = true

  /// An object whose fields `body` writes.
  mutating func object(_ body: (inout JSONWriter) -> Void) {
    open("{")
    body(&self)
    close("}")
  }

  /// A field that holds an array of objects.
  mutating func array<Items: Collection>(
    _ name: String, _ items: Items, _ body: (inout JSONWriter, Items.Element) -> Void
  ) {
    begin(name)
    open("[")
    for item in items {
      separate()
      object { body(&$0, item) }
      isFirst = false
    }
    close("]")
    isFirst = false
  }

  mutating func field(_ name: String, string value: String) {
    begin(name)
    text += Self.quoted(value)
    isFirst = false
  }

  mutating func field(_ name: String, number value: some BinaryInteger) {
    begin(name)
    text += "\(value)"
    isFirst = false
  }

  private mutating func begin(_ name: String) {
    separate()
    text += "\(Self.quoted(name)): "
  }

  private mutating func separate() {
    text += (isFirst ? "\n" : ",\n") + String(repeating: "  ", count: depth)
  }

  private mutating func open(_ bracket: String) {
    text += bracket
    depth += 1
    isFirst = true
  }

  private mutating func close(_ bracket: String) {
    depth -= 1
    if !isFirst { text += "\n" + String(repeating: "  ", count: depth) }
    text += bracket
    isFirst = false
  }

  private static func quoted(_ value: String) -> String {
    var text = "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"", "\\": text += "\\\(scalar)"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text + "\""
  }
}
