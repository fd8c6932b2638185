// A chart of lines, one an engine.

import Foundation

struct LineChart {
  struct Series {
    var name: String
    var points: [(x: Double, y: Double)]
    var color: String { Palette.color(name) }
  }

  var title: String
  var xTitle: String
  var yTitle: String
  var series: [Series]
  var isXLogarithmic = false
  var isYLogarithmic = false
  /// Whether y is bytes, in steps of powers of two.
  var countsBytes = false
  var showsDots = false
  /// Places and texts on the x axis; found from the data when empty.
  var xTicks: [(place: Double, text: String)] = []
  var xText: (Double) -> String = AxisText.count
  var yText: (Double) -> String = AxisText.count

  private static let width = 560.0
  private static let height = 300.0
  private static let left = 58.0
  private static let right = 90.0
  private static let top = 36.0
  private static let bottom = 42.0

  /// `nil` when there is nothing to draw.
  var svg: String? {
    let all = series.flatMap(\.points)
    guard let smallest = all.map(\.x).min(), let largest = all.map(\.x).max(), largest > smallest
    else { return nil }
    let x = Scale(smallest, largest, isLogarithmic: isXLogarithmic, fits: true)
    let y = Scale(
      isYLogarithmic ? all.map(\.y).min() ?? 1 : 0, all.map(\.y).max() ?? 1,
      isLogarithmic: isYLogarithmic, isBinary: countsBytes, fits: false)
    var svg = SVG(width: Self.width, height: Self.height, title: title)
    svg.label(title, x: 0, y: 14, kind: "title")
    drawAxes(&svg, x, y)
    for line in series {
      let points = line.points.map { (x: place(x, $0.x), y: height(y, $0.y)) }
      svg.path(points, color: line.color, width: line.name == "sediment" ? 2.4 : 1.6)
      guard showsDots else { continue }
      for (point, value) in zip(points, line.points) {
        svg.dot(
          x: point.x, y: point.y, color: line.color,
          title: "\(line.name): \(yText(value.y)) at \(xText(value.x))")
      }
    }
    drawNames(&svg, x, y)
    return svg.text
  }

  private func place(_ scale: Scale, _ value: Double) -> Double {
    Self.left + scale.share(value) * (Self.width - Self.left - Self.right)
  }

  private func height(_ scale: Scale, _ value: Double) -> Double {
    Self.height - Self.bottom - scale.share(value) * (Self.height - Self.top - Self.bottom)
  }

  private func drawAxes(_ svg: inout SVG, _ x: Scale, _ y: Scale) {
    let floor = Self.height - Self.bottom
    for tick in y.ticks {
      let at = height(y, tick)
      svg.line(x1: Self.left, y1: at, x2: Self.width - Self.right, y2: at, kind: "grid")
      svg.label(yText(tick), x: Self.left - 6, y: at + 4, anchor: .end)
    }
    let ticks = xTicks.isEmpty ? x.ticks.map { (place: $0, text: xText($0)) } : xTicks
    for tick in ticks {
      let at = place(x, tick.place)
      svg.line(x1: at, y1: floor, x2: at, y2: floor + 4, kind: "axis")
      svg.label(tick.text, x: at, y: floor + 17, anchor: .middle)
    }
    svg.line(x1: Self.left, y1: floor, x2: Self.width - Self.right, y2: floor, kind: "axis")
    let middle = (Self.left + Self.width - Self.right) / 2
    svg.label(xTitle, x: middle, y: Self.height - 6, anchor: .middle, kind: "unit")
    svg.label(yTitle, x: 0, y: 28, kind: "unit")
  }

  /// The engines' names at the ends of their lines, moved apart where they would overlap.
  private func drawNames(_ svg: inout SVG, _ x: Scale, _ y: Scale) {
    var ends = series.compactMap { line -> (name: String, color: String, x: Double, y: Double)? in
      guard let last = line.points.last else { return nil }
      return (line.name, line.color, place(x, last.x), height(y, last.y))
    }
    ends.sort { $0.y < $1.y }
    var below = -Double.infinity
    for index in ends.indices {
      ends[index].y = max(ends[index].y, below + 13)
      below = ends[index].y
    }
    // What was pushed under the axis moves up again, and what is above it too.
    var limit = Self.height - Self.bottom
    for index in ends.indices.reversed() {
      ends[index].y = min(ends[index].y, limit)
      limit = ends[index].y - 13
    }
    for end in ends {
      svg.label(
        end.name, x: Self.width - Self.right + 6, y: end.y + 4, kind: "name", color: end.color)
    }
  }
}

/// Values of an axis as shares of its length.
package struct Scale {
  private let low: Double
  private let high: Double
  private let isLogarithmic: Bool
  package let ticks: [Double]

  /// - Parameter fits: whether the axis ends with the data; else with a tick.
  package init(
    _ smallest: Double, _ largest: Double, isLogarithmic: Bool, isBinary: Bool = false, fits: Bool
  ) {
    self.isLogarithmic = isLogarithmic
    if isLogarithmic {
      let first = max(smallest, 1e-9)
      let steps = Self.logarithmicTicks(first, max(largest, first * 1.0001))
      low = fits ? first : min(steps.first ?? first, first)
      high = fits ? largest : max(steps.last ?? largest, largest)
      ticks = steps.filter { [low, high] in $0 >= low * 0.9999 && $0 <= high * 1.0001 }
    } else {
      let length = largest - smallest
      let step = isBinary ? Self.binaryStep(length) : Self.step(length)
      low = smallest
      high = fits ? largest : max((largest / step).rounded(.up) * step, smallest + step)
      var steps: [Double] = []
      var tick = (smallest / step).rounded(.up) * step
      while tick <= high * 1.0001 {
        steps.append(tick)
        tick += step
      }
      ticks = steps
    }
  }

  package func share(_ value: Double) -> Double {
    guard isLogarithmic else { return (value - low) / (high - low) }
    return log(max(value, low) / low) / log(high / low)
  }

  /// A step of 1, 2 or 5 times a power of ten, for about five ticks.
  private static func step(_ length: Double) -> Double {
    let rough = max(length, 1e-9) / 5
    let power = pow(10, log10(rough).rounded(.down))
    for factor in [1.0, 2, 5, 10] where factor * power >= rough { return factor * power }
    return 10 * power
  }

  /// A power of two, for about five ticks.
  private static func binaryStep(_ length: Double) -> Double {
    pow(2, log2(max(length, 1) / 5).rounded(.up))
  }

  /// Powers of ten, and 2 and 5 times them where they are few, around the values.
  private static func logarithmicTicks(_ low: Double, _ high: Double) -> [Double] {
    let decades = log10(high / low)
    let factors: [Double] = decades > 3 ? [1] : decades > 1.5 ? [1, 3] : [1, 2, 5]
    var ticks: [Double] = []
    var power = pow(10, log10(low).rounded(.down))
    while power <= high * 10 {
      ticks += factors.map { $0 * power }
      power *= 10
    }
    let first = ticks.lastIndex { $0 <= low } ?? 0
    let last = ticks.firstIndex { $0 >= high } ?? ticks.count - 1
    return Array(ticks[first...last])
  }
}
