/// Numbers as people read them.
package enum Figure {
  /// A count with a comma after every third digit: `8,354,194`.
  package static func count(_ count: UInt64) -> String {
    let digits = Array(String(count))
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index).isMultiple(of: 3) { text.append(",") }
      text.append(digit)
    }
    return text
  }

  /// A count that is never negative.
  package static func count(_ count: Int) -> String { self.count(UInt64(max(count, 0))) }

  /// A count with its noun: `1 table`, `2 tables`.
  package static func count(_ count: Int, of noun: String) -> String {
    "\(self.count(count)) \(noun)\(count == 1 ? "" : "s")"
  }

  /// A size with three or four digits: `512 B`, `1.5 KiB`, `191.2 MiB`.
  package static func bytes(_ bytes: UInt64) -> String {
    guard bytes >= 1024 else { return "\(bytes) B" }
    var size = Double(bytes) / 1024
    var unit = 0
    // 1023.95 would be shown as 1024.0 of the smaller unit.
    while size >= 1023.95, unit < byteUnits.count - 1 {
      size /= 1024
      unit += 1
    }
    return decimal(size, digits: 1) + " " + byteUnits[unit]
  }

  private static let byteUnits = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  /// A length of time from its largest unit down, as options take it: `7d`, `1d12h`, `250ms`.
  package static func duration(_ millis: Int64) -> String {
    guard millis > 0 else { return "0ms" }
    var rest = millis
    var parts: [String] = []
    for (name, length) in timeUnits where rest >= length {
      parts.append("\(rest / length)\(name)")
      rest %= length
    }
    return parts.joined()
  }

  private static let timeUnits: [(name: String, millis: Int64)] = [
    ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1),
  ]

  /// A time in ms since 1970 as `2023-11-14T22:13:20.000Z`; outside of years 0 to 9999, where ISO
  /// 8601 has no such form, as `… ms`.
  package static func time(_ millis: Int64) -> String {
    guard millis >= -62_167_219_200_000, millis < 253_402_300_800_000 else {
      return "\(millis) ms"
    }
    let day = 86_400_000 as Int64
    let inDay = ((millis % day) + day) % day
    let date = civilDate(ofDay: (millis - inDay) / day)
    func padded(_ number: Int64, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
    return padded(date.year, 4) + "-" + padded(date.month, 2) + "-" + padded(date.day, 2) + "T"
      + padded(inDay / 3_600_000, 2) + ":" + padded(inDay / 60_000 % 60, 2) + ":"
      + padded(inDay / 1000 % 60, 2) + "." + padded(inDay % 1000, 3) + "Z"
  }

  /// The Gregorian date of a day counted from 1970-01-01, by Hinnant's `civil_from_days`: the
  /// years begin in March, so that the leap day is the last of its year.
  private static func civilDate(ofDay day: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let shifted = day + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (
      yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month,
      dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    )
  }

  /// A share in percent with two digits behind the point: `0.41 %`.
  package static func percent(_ share: Double) -> String { decimal(share * 100, digits: 2) + " %" }

  /// A small chance: `1.5e-19`.
  package static func chance(_ chance: Double) -> String {
    guard chance > 0, chance < 1 else { return chance <= 0 ? "0" : "1" }
    var mantissa = chance
    var exponent = 0
    while mantissa < 1 {
      mantissa *= 10
      exponent -= 1
    }
    // 9.96 would be shown as 10.0.
    if mantissa >= 9.95 {
      mantissa = 1
      exponent += 1
    }
    return "\(decimal(mantissa, digits: 1))e\(exponent)"
  }

  /// A number of 0 to 2⁵³ with a fixed count of digits behind the point.
  package static func decimal(_ number: Double, digits: Int) -> String {
    let scale = (0..<digits).reduce(1 as UInt64) { product, _ in product * 10 }
    let scaled = (max(number, 0) * Double(scale)).rounded()
    guard scaled < 0x1p63 else { return "\(number)" }
    let whole = UInt64(scaled)
    guard digits > 0 else { return String(whole) }
    let fraction = String(whole % scale)
    return "\(whole / scale)." + String(repeating: "0", count: digits - fraction.utf8.count)
      + fraction
  }
}
