// A JSON number, read as sign, significant digits and exponent, and the question which canonical
// form its value has. All arithmetic is on integers: nothing is ever rounded.
//
// Cost: one pass over the text. The exactness test works on at most `digitsMax` digits, so hostile
// texts (a million digits, 1e999999999) cost no more than reading them.

/// The parts of a JSON number; they refer to the text it was made from.
package struct DecimalNumber {
  /// The canonical form of a number.
  package enum Canonical: Equatable {
    case integer(Int64)
    case unsigned(UInt64)
    case double(Double)
    /// An integer beyond 64 bits that no double holds: kept as digits and exponent.
    case digits
    /// Anything else: kept as written.
    case text
  }

  /// Whether a minus sign stands before it.
  package let isNegative: Bool
  /// Where in the text the significant digits are, first to last nonzero digit; one of the bytes
  /// may be the decimal point. Empty for zero.
  package let significant: Range<Int>
  /// Digits in `significant`, without the point.
  package let digitCount: Int
  /// The power of ten of the last significant digit.
  package let exponent: Int
  /// False when the written exponent is beyond ±10¹⁵, so that `exponent` is not exact.
  package let isExponentExact: Bool

  /// Whether no digit but 0 stands in it.
  package var isZero: Bool { digitCount == 0 }

  private static let exponentMax = 1_000_000_000_000_000
  /// The most digits of a number that a double holds: 2⁻¹⁰⁷⁴ times the largest odd part.
  private static let digitsMax = 767

  /// Reads the whole of `text` as a JSON number; `nil` when it is none.
  package init?(_ text: Span<UInt8>) {
    var reader = DecimalReader()
    guard reader.readNumber(text) else { return nil }
    isNegative = reader.isNegative
    if reader.firstNonzero < 0 {
      (significant, digitCount, exponent, isExponentExact) = (0..<0, 0, 0, true)
      return
    }
    significant = reader.firstNonzero..<(reader.lastNonzero + 1)
    digitCount = reader.lastOrdinal - reader.firstOrdinal + 1
    exponent = reader.integerDigits - 1 - reader.lastOrdinal + reader.writtenExponent
    isExponentExact = abs(reader.writtenExponent) < Self.exponentMax
  }

  /// The integer that `text` is, when it is one of at most 18 digits written plainly.
  @inline(__always)
  package static func shortInteger(_ text: Span<UInt8>) -> Int64? {
    let count = text.count
    guard count > 0, count <= 18 else { return nil }
    let isNegative = text[0] == UInt8(ascii: "-")
    var index = isNegative ? 1 : 0
    guard index < count, text[index] != UInt8(ascii: "0") || count == index + 1 else { return nil }
    var value: Int64 = 0
    while index < count {
      let digit = unsafe text[unchecked: index] &- 0x30
      guard digit < 10 else { return nil }
      value = value &* 10 &+ Int64(digit)
      index &+= 1
    }
    return isNegative ? 0 &- value : value
  }

  /// The canonical form of this number, made from `text`.
  package func canonical(_ text: Span<UInt8>) -> Canonical {
    if isZero { return .integer(0) }
    guard isExponentExact else { return .text }
    if exponent >= 0, let magnitude = magnitude64(text) {
      if !isNegative {
        return magnitude <= UInt64(Int64.max)
          ? .integer(Int64(magnitude)) : .unsigned(magnitude)
      }
      if magnitude <= Int64.min.magnitude {
        return .integer(Int64(truncatingIfNeeded: 0 &- magnitude))
      }
    }
    if let double = exactDouble(text) { return .double(isNegative ? -double : double) }
    return exponent >= 0 ? .digits : .text
  }

  /// The value without its sign where it is an integer within 64 bits.
  private func magnitude64(_ text: Span<UInt8>) -> UInt64? {
    guard exponent >= 0, digitCount <= 20, exponent <= 20 - digitCount else { return nil }
    return scaledMagnitude(text, digits: digitCount, zeros: exponent)
  }

  /// The first `digits` significant digits, then `zeros` zeros; `nil` beyond 64 bits.
  package func scaledMagnitude(_ text: Span<UInt8>, digits: Int, zeros: Int) -> UInt64? {
    var value: UInt64 = 0
    var left = digits
    for index in significant where left > 0 && text[index] != UInt8(ascii: ".") {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(text[index] &- 0x30))
      if overflow || carry { return nil }
      value = sum
      left -= 1
    }
    if value == 0 { return 0 }
    guard zeros <= 20 else { return nil }
    for _ in 0..<zeros {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      if overflow { return nil }
      value = product
    }
    return value
  }

  /// The double whose value is exactly this number without its sign.
  private func exactDouble(_ text: Span<UInt8>) -> Double? {
    exponent >= 0 ? exactLargeInteger(text) : exactFraction(text)
  }

  /// value = digits × 10^exponent, an integer. A double holds it when, after its trailing zero
  /// bits are shifted out, at most 53 bits are left.
  private func exactLargeInteger(_ text: Span<UInt8>) -> Double? {
    // The largest double has 309 digits.
    guard digitCount <= 309, exponent <= 309 - digitCount else { return nil }
    var value = WideInteger()
    loadDigits(text, into: &value)
    for _ in 0..<exponent { value.multiply(by: 10, adding: 0) }
    let zeros = value.trailingZeroBits
    guard value.bitWidth <= 1024, value.bitWidth - zeros <= 53 else { return nil }
    return Double(sign: .plus, exponent: zeros, significand: Double(value.bits(from: zeros)))
  }

  /// value = digits / (5^m × 2^m) with m = −exponent. A double holds it when the digits divide by
  /// 5^m and the quotient q, which is odd, has at most 53 bits: then value = q × 2^−m.
  private func exactFraction(_ text: Span<UInt8>) -> Double? {
    let power = -exponent
    // The lowest bit of a double is 2^-1074. 5^m has more than 0.69 m digits.
    guard power <= 1074, digitCount <= Self.digitsMax, digitCount * 100 >= power * 69,
      text[significant.upperBound - 1] == UInt8(ascii: "5")
    else { return nil }
    var value = WideInteger()
    loadDigits(text, into: &value)
    for _ in 0..<power where value.divide(by: 5) != 0 { return nil }
    guard value.bitWidth <= 53 else { return nil }
    return Double(sign: .plus, exponent: -power, significand: Double(value.bits(from: 0)))
  }

  private func loadDigits(_ text: Span<UInt8>, into value: inout WideInteger) {
    for index in significant where text[index] != UInt8(ascii: ".") {
      value.multiply(by: 10, adding: UInt64(text[index] &- 0x30))
    }
  }
}

/// Reads the grammar of a JSON number and notes where its digits are.
private struct DecimalReader {
  var index = 0
  var isNegative = false
  /// Ordinals count digits from the first written one; `-1` while no nonzero digit was seen.
  var ordinal = 0
  var firstNonzero = -1
  var lastNonzero = -1
  var firstOrdinal = 0
  var lastOrdinal = 0
  var integerDigits = 0
  var writtenExponent = 0

  private func isNext(_ character: UInt8, _ text: Span<UInt8>) -> Bool {
    index < text.count && text[index] == character
  }

  mutating func readNumber(_ text: Span<UInt8>) -> Bool {
    if isNext(UInt8(ascii: "-"), text) {
      isNegative = true
      index += 1
    }
    let hasLeadingZero = isNext(UInt8(ascii: "0"), text)
    readDigits(text)
    integerDigits = ordinal
    guard integerDigits > 0, !hasLeadingZero || integerDigits == 1 else { return false }
    if isNext(UInt8(ascii: "."), text) {
      index += 1
      readDigits(text)
      guard ordinal > integerDigits else { return false }
    }
    if isNext(UInt8(ascii: "e"), text) || isNext(UInt8(ascii: "E"), text) {
      index += 1
      guard readExponent(text) else { return false }
    }
    return index == text.count
  }

  private mutating func readDigits(_ text: Span<UInt8>) {
    while index < text.count {
      let digit = text[index] &- 0x30
      guard digit < 10 else { return }
      if digit != 0 {
        if firstNonzero < 0 {
          firstNonzero = index
          firstOrdinal = ordinal
        }
        lastNonzero = index
        lastOrdinal = ordinal
      }
      ordinal += 1
      index += 1
    }
  }

  /// Reads sign and digits; beyond 10¹⁵ the exponent stays there.
  private mutating func readExponent(_ text: Span<UInt8>) -> Bool {
    let isExponentNegative = isNext(UInt8(ascii: "-"), text)
    if isExponentNegative || isNext(UInt8(ascii: "+"), text) { index += 1 }
    let start = index
    while index < text.count {
      let digit = text[index] &- 0x30
      guard digit < 10 else { break }
      writtenExponent = min(writtenExponent * 10 + Int(digit), 1_000_000_000_000_000)
      index += 1
    }
    if isExponentNegative { writtenExponent = -writtenExponent }
    return index > start
  }
}

/// An unsigned integer of up to 2,560 bits: 768 decimal digits fit.
private struct WideInteger {
  private var limbs = InlineArray<40, UInt64>(repeating: 0)
  /// Limbs in use; the highest of them is not zero.
  private var count = 0

  var bitWidth: Int { count == 0 ? 0 : count * 64 - limbs[count - 1].leadingZeroBitCount }

  var trailingZeroBits: Int {
    for index in 0..<count where limbs[index] != 0 {
      return index * 64 + limbs[index].trailingZeroBitCount
    }
    return 0
  }

  mutating func multiply(by factor: UInt64, adding addend: UInt64) {
    var carry = addend
    for index in 0..<count {
      let (high, low) = limbs[index].multipliedFullWidth(by: factor)
      let (sum, overflow) = low.addingReportingOverflow(carry)
      limbs[index] = sum
      carry = high &+ (overflow ? 1 : 0)
    }
    if carry != 0 {
      limbs[count] = carry
      count += 1
    }
  }

  /// Divides in place and returns the remainder.
  mutating func divide(by divisor: UInt64) -> UInt64 {
    var remainder: UInt64 = 0
    for index in stride(from: count - 1, through: 0, by: -1) {
      (limbs[index], remainder) = divisor.dividingFullWidth((remainder, limbs[index]))
    }
    if count > 0, limbs[count - 1] == 0 { count -= 1 }
    return remainder
  }

  /// The 64 bits from bit `start` on.
  func bits(from start: Int) -> UInt64 {
    let index = start / 64
    let shift = UInt64(start % 64)
    guard index < count else { return 0 }
    let low = limbs[index] >> shift
    guard shift > 0, index + 1 < count else { return low }
    return low | (limbs[index + 1] << (64 - shift))
  }
}
