// Numbers as text.

/// A number with so many decimals, whatever the locale.
package func decimal(_ value: Double, digits: Int) -> String {
  guard value.isFinite else { return "0" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = (abs(value) * scale).rounded()
  guard scaled < 9e18 else { return "\(value)" }
  let sign = value < 0 && scaled > 0 ? "-" : ""
  let whole = UInt64(scaled) / UInt64(scale)
  guard digits > 0 else { return "\(sign)\(whole)" }
  let fraction = String(UInt64(scaled) % UInt64(scale))
  return "\(sign)\(whole)."
    + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// A whole number with commas.
package func grouped(_ value: UInt64) -> String {
  let digits = Array(String(value))
  var text = ""
  for (index, digit) in digits.enumerated() {
    if index > 0 && (digits.count - index) % 3 == 0 { text += "," }
    text.append(digit)
  }
  return text
}

/// Bytes in the largest unit that leaves at least one, such as `1.5 GiB`.
package func inBytes(_ value: UInt64) -> String {
  for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] where value >= 1 << UInt64(shift) {
    let number = Double(value) / Double(UInt64(1) << UInt64(shift))
    let text = decimal(number, digits: number < 10 ? 2 : number < 100 ? 1 : 0)
    return withoutTrailingZeros(text) + " \(unit)"
  }
  return "\(value) B"
}

/// `1.5` of `1.50`, `2` of `2.00`.
package func withoutTrailingZeros(_ text: String) -> String {
  guard text.contains(".") else { return text }
  var text = text
  while text.hasSuffix("0") { text.removeLast() }
  if text.hasSuffix(".") { text.removeLast() }
  return text
}

/// Microseconds as µs, ms or s.
package func inMicros(_ value: Double) -> String {
  if value < 1000 { return decimal(value, digits: 0) + " µs" }
  if value < 1_000_000 { return decimal(value / 1000, digits: 1) + " ms" }
  return decimal(value / 1_000_000, digits: 2) + " s"
}

/// The middle one of some values; the mean of the two middle ones.
package func middle(of values: [Double]) -> Double? {
  guard !values.isEmpty else { return nil }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

/// Reads `64MiB`, `4GiB`, `1_000` …; `nil` for anything else.
package func parseSize(_ text: String) -> Int? {
  var digits = text[...]
  var shift = 0
  for (unit, bits) in [("KiB", 10), ("MiB", 20), ("GiB", 30)] where digits.hasSuffix(unit) {
    digits = digits.dropLast(3)
    shift = bits
  }
  guard let number = Int(digits.filter { $0 != "_" }), number >= 0, number <= Int.max >> shift
  else { return nil }
  return number << shift
}

/// Reads a count; digits may be grouped by underscores.
package func parseCount(_ text: String) -> UInt64? { UInt64(text.filter { $0 != "_" }) }

/// Reads a share from 0 to 1 as thousandths, rounded up.
package func parseThousandths(_ text: String) -> UInt64? {
  guard let share = Double(text), share >= 0, share <= 1 else { return nil }
  // A share that binary cannot hold must not be rounded up to the next thousandth.
  return UInt64(max((share * 1000 - 1e-6).rounded(.up), 0))
}
