package import SedimentStore

/// Durations and sizes as people write them; `Figure` writes them.
package enum Quantity {
  /// Units of time and their milliseconds, the largest first. Weeks are read, not written: 14d says
  /// more than 2w.
  private static let timeUnits: [(name: String, millis: Int64)] = [
    ("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
  ]

  private static let sizeUnits: [(name: String, bytes: UInt64)] = [
    ("b", 1), ("k", 1 << 10), ("kb", 1000), ("kib", 1 << 10), ("m", 1 << 20), ("mb", 1_000_000),
    ("mib", 1 << 20), ("g", 1 << 30), ("gb", 1_000_000_000), ("gib", 1 << 30), ("t", 1 << 40),
    ("tb", 1_000_000_000_000), ("tib", 1 << 40),
  ]

  /// Milliseconds of `7d`, `30s`, `250ms` or `1h30m`; units may not repeat and go from large to
  /// small. `nil` for anything else, and beyond 2⁶⁰ ms.
  package static func millis(_ text: String) -> Int64? {
    var rest = text[...]
    var sum: Int64 = 0
    var units = timeUnits[...]
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(digits.count)
      let name = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest.dropFirst(name.count)
      guard let number = Int64(digits), let place = units.firstIndex(where: { $0.name == name })
      else { return nil }
      let (product, isOverflowing) = number.multipliedReportingOverflow(by: units[place].millis)
      let (total, isTooLarge) = sum.addingReportingOverflow(product)
      guard !isOverflowing, !isTooLarge, total <= TimeToLive.millisecondsMax else { return nil }
      sum = total
      units = units[(place + 1)...]
    }
    return sum
  }

  /// `forever`, or a duration of at least a millisecond.
  package static func timeToLive(_ text: String) -> TimeToLive? {
    if text == "forever" { return .forever }
    guard let millis = millis(text), millis > 0 else { return nil }
    return .milliseconds(millis)
  }

  /// Bytes of `2GiB`, `512MiB`, `64k` or `1000`; `nil` for anything else, and beyond 2⁶².
  package static func bytes(_ text: String) -> UInt64? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let name = text.dropFirst(digits.count).lowercased()
    let factor = name.isEmpty ? 1 : sizeUnits.first { $0.name == name }?.bytes
    guard let number = UInt64(digits), let factor else { return nil }
    let (bytes, isOverflowing) = number.multipliedReportingOverflow(by: factor)
    return isOverflowing || bytes > 1 << 62 ? nil : bytes
  }

  /// The shortest text that `timeToLive` reads back.
  package static func text(of timeToLive: TimeToLive) -> String {
    switch timeToLive {
    case .forever: "forever"
    case .milliseconds(let millis): Figure.duration(millis)
    }
  }
}
