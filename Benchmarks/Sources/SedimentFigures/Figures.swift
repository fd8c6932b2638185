/// Names and numbers in the order they were added, printed as one JSON object.
struct Figures {
  private var lines: [String] = []

  mutating func add(_ name: String, _ value: String) { lines.append("  \"\(name)\": \"\(value)\"") }

  mutating func add<Number: BinaryInteger>(_ name: String, _ value: Number) {
    lines.append("  \"\(name)\": \(value)")
  }

  /// With three decimals.
  mutating func add(_ name: String, _ value: Double) {
    let thousandths = Int64((value * 1000).rounded())
    let fraction = String(thousandths.magnitude % 1000)
    let padded = String(repeating: "0", count: 3 - fraction.count) + fraction
    lines.append(
      "  \"\(name)\": \(thousandths < 0 ? "-" : "")\(thousandths.magnitude / 1000).\(padded)")
  }

  var json: String { "{\n" + lines.joined(separator: ",\n") + "\n}" }
}
