// Bars side by side, one an engine, with the spread of its runs.

struct BarChart {
  struct Bar {
    var name: String
    var value: Double
    var smallest: Double
    var largest: Double
  }

  var title: String
  var bars: [Bar]
  var unit: Unit

  /// What the bars measure.
  enum Unit {
    case count, micros, bytes
    case number(digits: Int)

    func text(_ value: Double) -> String {
      switch self {
      case .count: AxisText.count(value)
      case .micros: inMicros(value)
      case .bytes: inBytes(UInt64(value))
      case .number(let digits): decimal(value, digits: digits)
      }
    }
  }

  private static let width = 360.0
  private static let left = 92.0
  private static let right = 84.0
  private static let top = 26.0
  private static let rowHeight = 24.0

  /// `nil` when there is nothing to draw.
  var svg: String? {
    guard let largest = bars.map(\.largest).max(), largest > 0 else { return nil }
    let height = Self.top + Double(bars.count) * Self.rowHeight + 4
    let scale = (Self.width - Self.left - Self.right) / largest
    var svg = SVG(width: Self.width, height: height, title: title)
    svg.label(title, x: 0, y: 14, kind: "title")
    for (index, bar) in bars.enumerated() {
      let y = Self.top + Double(index) * Self.rowHeight
      let middle = y + Self.rowHeight / 2 - 2
      svg.label(bar.name, x: Self.left - 8, y: middle + 4, anchor: .end)
      svg.bar(
        x: Self.left, y: y + 3, width: bar.value * scale, height: Self.rowHeight - 10,
        color: Palette.color(bar.name))
      if bar.largest > bar.smallest {
        svg.line(
          x1: Self.left + bar.smallest * scale, y1: middle,
          x2: Self.left + bar.largest * scale, y2: middle, kind: "spread")
      }
      svg.label(
        unit.text(bar.value), x: Self.left + bar.largest * scale + 6, y: middle + 4, kind: "value")
    }
    return svg.text
  }
}
