/// A JSON value whose members keep their order.
public enum JSONValue: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
  case null
  case bool(Bool)
  case integer(Int64)
  case unsigned(UInt64)
  /// Finite, or written as null.
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// A name and its value.
  public struct Member: Sendable, Equatable {
    /// Unique in its object.
    public var name: String
    /// What it stands for.
    public var value: JSONValue

    /// All fields.
    public init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  public init(stringLiteral value: String) { self = .string(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }

  /// A count.
  public static func count(_ count: Int) -> JSONValue { .integer(Int64(count)) }

  /// A string, or null.
  public static func optional(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }

  /// An integer, or null.
  public static func optional(_ number: Int64?) -> JSONValue {
    number.map { .integer($0) } ?? .null
  }

  /// The value in lines, members indented by two spaces, with a newline at the end.
  public var text: String {
    var text = ""
    write(to: &text, indent: 0)
    return text + "\n"
  }

  /// The value in one line, without a newline.
  public var line: String {
    var text = ""
    write(to: &text, indent: nil)
    return text
  }

  /// - Parameter indent: of the line it begins in; `nil` to write all in one.
  private func write(to text: inout String, indent: Int?) {
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .unsigned(let value): text += String(value)
    case .number(let value): text += value.isFinite ? "\(value)" : "null"
    case .string(let value): Self.quote(value, to: &text)
    case .array(let values):
      Self.write(values, between: "[", "]", to: &text, indent) { value, text in
        value.write(to: &text, indent: indent.map { $0 + 2 })
      }
    case .object(let members):
      Self.write(members, between: "{", "}", to: &text, indent) { member, text in
        Self.quote(member.name, to: &text)
        text += ": "
        member.value.write(to: &text, indent: indent.map { $0 + 2 })
      }
    }
  }

  private static func write<Item>(
    _ items: [Item], between open: String, _ close: String, to text: inout String, _ indent: Int?,
    _ writeItem: (Item, inout String) -> Void
  ) {
    text += open
    func begin(_ indent: Int) { text += "\n" + String(repeating: " ", count: indent) }
    for (index, item) in items.enumerated() {
      if index > 0 { text += indent == nil ? ", " : "," }
      if let indent { begin(indent + 2) }
      writeItem(item, &text)
    }
    if let indent, !items.isEmpty { begin(indent) }
    text += close
  }

  private static func quote(_ value: String, to text: inout String) {
    text += "\""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20 || scalar.value == 0x7F:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
