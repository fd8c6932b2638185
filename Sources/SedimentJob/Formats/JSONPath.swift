/// A path to a field of a JSON record: names joined by dots, elements of arrays as `[0]`.
///
///     user.id          the member "id" of the member "user"
///     items[0].sku     of the first element of "items"
///     http\.status     the member "http.status": a backslash takes `.`, `[` and `\` literally
struct JSONPath: Equatable {
  enum Step: Equatable {
    case member([UInt8])
    case element(UInt32)
  }

  let steps: [Step]

  static let stepsMax = 127

  init(_ text: String) throws(FormatError) {
    var steps: [Step] = []
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty || steps.isEmpty {
      if !steps.isEmpty, rest.first == UInt8(ascii: "[") {
        steps.append(.element(try Self.takeIndex(&rest, of: text)))
      } else {
        if !steps.isEmpty {
          guard rest.first == UInt8(ascii: ".") else {
            throw .invalidPath(text, reason: "after ] comes a dot or [")
          }
          rest.removeFirst()
        }
        steps.append(.member(try Self.takeName(&rest, of: text)))
      }
    }
    guard steps.count <= Self.stepsMax else {
      throw .invalidPath(text, reason: "it has more than \(Self.stepsMax) steps")
    }
    self.steps = steps
  }

  private static func takeName(
    _ rest: inout ArraySlice<UInt8>, of text: String
  ) throws(FormatError) -> [UInt8] {
    var name: [UInt8] = []
    while let byte = rest.first, byte != UInt8(ascii: "."), byte != UInt8(ascii: "[") {
      rest.removeFirst()
      guard byte == UInt8(ascii: "\\") else {
        name.append(byte)
        continue
      }
      guard let escaped = rest.popFirst() else {
        throw .invalidPath(text, reason: "it ends in a backslash")
      }
      name.append(escaped)
    }
    guard !name.isEmpty else { throw .invalidPath(text, reason: "a name is empty") }
    return name
  }

  private static func takeIndex(
    _ rest: inout ArraySlice<UInt8>, of text: String
  ) throws(FormatError) -> UInt32 {
    guard let close = rest.firstIndex(of: UInt8(ascii: "]")) else {
      throw .invalidPath(text, reason: "a [ is not closed")
    }
    let digits = rest[rest.startIndex + 1..<close]
    guard digits.allSatisfy({ $0 &- 0x30 < 10 }),
      let index = UInt32(String(decoding: digits, as: UTF8.self))
    else { throw .invalidPath(text, reason: "between [ and ] stands no index") }
    rest = rest[(close + 1)...]
    return index
  }
}
