// Event times, to the millisecond. Numbers are floored exactly by their digits: no double is made.
//
// ISO 8601: `2026-01-02`, or `2026-01-02T03:04:05`, then any number of digits after a point, then
// `Z` or `+hh:mm` or `-hh:mm`; without either it is UTC. Anything else is invalid.

import SedimentDedup

/// What the number in a time field counts.
package enum TimeUnit: String, Sendable, CaseIterable {
  case milliseconds = "ms"
  case seconds = "s"
  case microseconds = "us"
  case nanoseconds = "ns"
  case iso8601

  /// The power of ten that makes milliseconds of it.
  fileprivate var power: Int {
    switch self {
    case .seconds: 3
    case .milliseconds, .iso8601: 0
    case .microseconds: -3
    case .nanoseconds: -6
    }
  }
}

/// Reads event times.
package enum EventTime {
  /// Milliseconds since 1970 of a time as text; `nil` when it is none or beyond 64 bits.
  package static func millis(_ text: Span<UInt8>, unit: TimeUnit) -> Int64? {
    if unit == .iso8601 { return ISO8601.millis(text) }
    if let integer = DecimalNumber.shortInteger(text) {
      switch unit {
      case .milliseconds, .iso8601: return integer
      case .seconds:
        let (millis, overflow) = integer.multipliedReportingOverflow(by: 1000)
        return overflow ? nil : millis
      case .microseconds: return floorDivide(integer, by: 1000)
      case .nanoseconds: return floorDivide(integer, by: 1_000_000)
      }
    }
    return DecimalNumber(text).flatMap { scaled($0, text, power: unit.power) }
  }

  private static func floorDivide(_ value: Int64, by divisor: Int64) -> Int64 {
    let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }

  /// floor(number × 10^power).
  private static func scaled(
    _ number: DecimalNumber, _ text: Span<UInt8>, power: Int
  ) -> Int64? {
    if number.isZero { return 0 }
    let exponent = number.exponent + power
    let digits = exponent < 0 ? max(0, number.digitCount + exponent) : number.digitCount
    guard
      let magnitude = number.scaledMagnitude(text, digits: digits, zeros: max(0, exponent)),
      magnitude <= UInt64(Int64.max)
    else { return nil }
    if !number.isNegative { return Int64(magnitude) }
    // The last significant digit is not zero, so digits left out are a fraction: floor goes down.
    return -Int64(magnitude) - (exponent < 0 ? 1 : 0)
  }
}

private enum ISO8601 {
  static func millis(_ text: Span<UInt8>) -> Int64? {
    guard text.count >= 10, let days = days(text) else { return nil }
    if text.count == 10 { return days * 86_400_000 }
    guard text.count >= 19, text[10] == UInt8(ascii: "T"), let clock = clock(text) else {
      return nil
    }
    var index = 19
    guard let fraction = fraction(text, &index), let offset = zone(text, index) else { return nil }
    return days * 86_400_000 + clock * 1000 + fraction - offset * 60_000
  }

  private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> Int64? {
    var value: Int64 = 0
    for index in range {
      let digit = text[index] &- 0x30
      guard digit < 10 else { return nil }
      value = value * 10 + Int64(digit)
    }
    return value
  }

  /// Days since 1970-01-01 of the date at the start.
  private static func days(_ text: Span<UInt8>) -> Int64? {
    let dash = UInt8(ascii: "-")
    guard text[4] == dash, text[7] == dash, let year = number(text, 0..<4),
      let month = number(text, 5..<7), let day = number(text, 8..<10), month >= 1, month <= 12,
      day >= 1, day <= daysInMonth(month, year)
    else { return nil }
    // Years begin in March, so that the leap day is the last (Howard Hinnant, days_from_civil).
    let shifted = month <= 2 ? year - 1 : year
    let era = (shifted >= 0 ? shifted : shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func daysInMonth(_ month: Int64, _ year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Seconds of the day.
  private static func clock(_ text: Span<UInt8>) -> Int64? {
    let colon = UInt8(ascii: ":")
    guard text[13] == colon, text[16] == colon, let hour = number(text, 11..<13),
      let minute = number(text, 14..<16), let second = number(text, 17..<19), hour < 24,
      minute < 60, second < 60
    else { return nil }
    return hour * 3600 + minute * 60 + second
  }

  /// Milliseconds after the point, when there is one; moves `index` behind its digits.
  private static func fraction(_ text: Span<UInt8>, _ index: inout Int) -> Int64? {
    guard index < text.count, text[index] == UInt8(ascii: ".") else { return 0 }
    index += 1
    let start = index
    var value: Int64 = 0
    var weight: Int64 = 100
    while index < text.count {
      let digit = text[index] &- 0x30
      guard digit < 10 else { break }
      value += weight * Int64(digit)
      weight /= 10
      index += 1
    }
    return index > start ? value : nil
  }

  /// Minutes east of UTC.
  private static func zone(_ text: Span<UInt8>, _ index: Int) -> Int64? {
    if index == text.count { return 0 }
    if text[index] == UInt8(ascii: "Z") { return index + 1 == text.count ? 0 : nil }
    let sign: Int64
    switch text[index] {
    case UInt8(ascii: "+"): sign = 1
    case UInt8(ascii: "-"): sign = -1
    default: return nil
    }
    guard text.count == index + 6, text[index + 3] == UInt8(ascii: ":"),
      let hours = number(text, index + 1..<index + 3),
      let minutes = number(text, index + 4..<index + 6), hours < 24, minutes < 60
    else { return nil }
    return sign * (hours * 60 + minutes)
  }
}
