// Drawing: the few shapes that charts are made of.

struct SVG {
  private let width: Double
  private let height: Double
  private let title: String
  private var elements: [String] = []

  init(width: Double, height: Double, title: String) {
    self.width = width
    self.height = height
    self.title = title
  }

  var text: String {
    let box = "0 0 \(Self.number(width)) \(Self.number(height))"
    return "<svg viewBox=\"\(box)\" role=\"img\" aria-label=\"\(title.escaped)\">"
      + elements.joined() + "</svg>"
  }

  enum Anchor: String {
    case start, middle, end
  }

  mutating func label(
    _ text: String, x: Double, y: Double, anchor: Anchor = .start, kind: String = "label",
    color: String? = nil
  ) {
    let fill = color.map { " style=\"fill:\($0)\"" } ?? ""
    elements.append(
      "<text class=\"\(kind)\" x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" "
        + "text-anchor=\"\(anchor.rawValue)\"\(fill)>\(text.escaped)</text>")
  }

  mutating func line(x1: Double, y1: Double, x2: Double, y2: Double, kind: String) {
    elements.append(
      "<line class=\"\(kind)\" x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" "
        + "x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\"/>")
  }

  mutating func path(_ points: [(x: Double, y: Double)], color: String, width: Double) {
    guard !points.isEmpty else { return }
    let text = points.map { "\(Self.number($0.x)),\(Self.number($0.y))" }.joined(separator: " ")
    elements.append(
      "<polyline fill=\"none\" stroke=\"\(color)\" stroke-width=\"\(Self.number(width))\" "
        + "stroke-linejoin=\"round\" stroke-linecap=\"round\" points=\"\(text)\"/>")
  }

  mutating func dot(x: Double, y: Double, color: String, title: String) {
    elements.append(
      "<circle cx=\"\(Self.number(x))\" cy=\"\(Self.number(y))\" r=\"3\" fill=\"\(color)\">"
        + "<title>\(title.escaped)</title></circle>")
  }

  mutating func bar(x: Double, y: Double, width: Double, height: Double, color: String) {
    elements.append(
      "<rect x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" "
        + "width=\"\(Self.number(max(width, 0.5)))\" height=\"\(Self.number(height))\" rx=\"2\" "
        + "fill=\"\(color)\"/>")
  }

  private static func number(_ value: Double) -> String { decimal(value, digits: 1) }
}

extension String {
  /// As text of HTML.
  var escaped: String {
    var text = ""
    for character in self {
      switch character {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "\"": text += "&quot;"
      default: text.append(character)
      }
    }
    return text
  }
}

/// The color of an engine, the same in every chart.
enum Palette {
  static func color(_ engine: String) -> String {
    switch EngineName(rawValue: engine) {
    case .sediment: "#1f5fbf"
    case .rocksdb: "#c2410c"
    case .rocksdbNaive: "#d99a5b"
    case .lmdb: "#2f8f5b"
    case .floor, nil: "#8a8f98"
    }
  }
}

/// Numbers as the axes of charts show them.
enum AxisText {
  /// `1.5 M`, `300 k`.
  static func count(_ value: Double) -> String {
    for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] where abs(value) >= size {
      return short(value / size) + " " + unit
    }
    return short(value)
  }

  static func micros(_ value: Double) -> String {
    if value >= 1e6 { return short(value / 1e6) + " s" }
    if value >= 1e3 { return short(value / 1e3) + " ms" }
    return short(value) + " µs"
  }

  /// With one decimal where it says something.
  private static func short(_ value: Double) -> String {
    let text = decimal(value, digits: abs(value) < 10 ? 1 : 0)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }
}
