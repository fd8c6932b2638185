import SedimentDedup
import Testing

/// Encodes one JSON number text; `nil` when it is refused.
private func encoded(number text: String) -> [UInt8]? {
  unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: KeyFormat.keyBytesMax) { memory in
    guard let base = memory.baseAddress else { return nil }
    var writer = unsafe KeyWriter(base, capacity: memory.count)
    var text = text
    let isNumber = text.withUTF8 { unsafe writer.appendNumber($0) }
    return isNumber && !writer.isOverflowed ? unsafe Array(memory[0..<writer.count]) : nil
  }
}

private func described(number text: String) -> String? {
  encoded(number: text).map { KeyDescription.describe($0) }
}

@Suite struct KeyEncodingTests {
  @Test func goldenBytes() {
    #expect(CompositeKey(nil, false, true).bytes == [1, 2, 3])
    #expect(CompositeKey(1).bytes == [4, 0, 0, 0, 0, 0, 0, 0, 1])
    #expect(CompositeKey(-2).bytes == [4, 255, 255, 255, 255, 255, 255, 255, 254])
    #expect(CompositeKey(.uint(.max)).bytes == [5] + [UInt8](repeating: 255, count: 8))
    #expect(CompositeKey(0.5).bytes == [6, 0x3F, 0xE0, 0, 0, 0, 0, 0, 0])
    #expect(encoded(number: "0.1") == [7, 3] + Array("0.1".utf8))
    #expect(CompositeKey("ab").bytes == [8, 2, 0x61, 0x62])
    let long = CompositeKey(.string(String(repeating: "x", count: 300))).bytes
    #expect(Array(long[0..<4]) == [8, 0xAC, 0x02, 0x78] && long.count == 303)
  }

  @Test func fieldsKeepTheirBordersAndTypes() {
    #expect(CompositeKey("ab", "c") != CompositeKey("a", "bc"))
    #expect(CompositeKey("", "a") != CompositeKey("a", ""))
    #expect(CompositeKey(1) != CompositeKey("1"))
    #expect(CompositeKey(nil) != CompositeKey("null"))
    #expect(CompositeKey(true) != CompositeKey(1))
    #expect(CompositeKey(.double(.nan)) == CompositeKey(.double(-.nan)))
  }

  @Test(arguments: [
    ["1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "100e-2", "0.00001e5"],
    ["0", "-0", "0.0", "-0.0e5", "0e999999999999999999999", "0E-99999999999999999999"],
    ["0.5", "5e-1", "0.50", "50e-2", "0.0000005e6"],
    ["100", "1e2", "1.00e2", "10000e-2"],
    ["-9223372036854775808", "-9.223372036854775808e18", "-92233720368547758080e-1"],
    ["18446744073709551615", "1.8446744073709551615e19"],
    ["100000000000000000000", "1e20", "10.0e19"],
    ["1e400", "10e399", "0.1e401", "1" + String(repeating: "0", count: 400)],
    ["123456789012345678901", "1234567890123456789010e-1", "123456789012345678901.0"],
  ])
  func equalValuesAreOneKey(_ texts: [String]) {
    let keys = texts.map { encoded(number: $0) }
    #expect(keys[0] != nil)
    for (text, key) in zip(texts, keys) { #expect(key == keys[0], "\(text)") }
  }

  @Test(
    arguments: [
      ("9223372036854775807", 4), ("9223372036854775808", 5), ("-9223372036854775808", 4),
      ("-9223372036854775809", 7), ("-9223372036854775810", 7), ("18446744073709551616", 6),
      ("18446744073709551617", 7), ("1e22", 6), ("1e23", 7), ("0.1", 7), ("0.25", 6),
      ("-1.5", 6), ("1e-5", 7), ("9007199254740993.5", 7), ("2251799813685248.5", 6),
      ("4503599627370496.5", 7),
      ("4.9e-324", 7), ("1e999999999", 7), ("1e-999999999", 7), ("1.5e308", 7),
    ] as [(String, UInt8)])
  func tagFollowsTheExactValue(_ text: String, _ tag: UInt8) {
    #expect(encoded(number: text)?.first == tag)
  }

  @Test func decimalsThatNoDoubleHoldsGoByText() {
    #expect(encoded(number: "0.1") != encoded(number: "0.10"))
    #expect(encoded(number: "0.1") != CompositeKey(0.1).bytes)
    #expect(encoded(number: "1e99999999999999999999") != encoded(number: "1e99999999999999999998"))
  }

  @Test func everyDoubleByItsExactDecimalIsItself() {
    // Exact decimals of the extremes, by doubling and halving digit strings.
    var digits: [UInt8] = [1]
    func times(_ factor: UInt8) {
      var carry: UInt8 = 0
      for index in digits.indices.reversed() {
        let product = digits[index] * factor + carry
        digits[index] = product % 10
        carry = product / 10
      }
      if carry > 0 { digits.insert(carry, at: 0) }
    }
    for power in 1...1074 {
      times(5)
      let text = digits.map(String.init).joined() + "e-\(power)"
      #expect(
        encoded(number: text)
          == CompositeKey(.double(Double(sign: .plus, exponent: -power, significand: 1))).bytes)
    }
    times(5)
    #expect(encoded(number: digits.map(String.init).joined() + "e-1075")?.first == 7)
    digits = [1]
    for power in 1...1023 {
      times(2)
      let text = digits.map(String.init).joined()
      #expect(
        encoded(number: text)
          == CompositeKey(.double(Double(sign: .plus, exponent: power, significand: 1))).bytes)
    }
    times(2)
    #expect(encoded(number: digits.map(String.init).joined())?.first == 7)
  }

  @Test func randomDoublesAgreeWithTheirShortIntegralForms() {
    var state: UInt64 = 42
    for _ in 0..<2000 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      let significand = Double(state >> 11)
      let value = significand / 1024
      let whole = UInt64(value)
      let thousandths = UInt64((value - Double(whole)) * 1024)
      var fraction = String(thousandths * 9_765_625)  // 10^10 / 1024
      fraction = String(repeating: "0", count: 10 - fraction.count) + fraction
      #expect(encoded(number: "\(whole).\(fraction)") == CompositeKey(.double(value)).bytes)
    }
  }

  @Test(arguments: [
    "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "1e1.5", "0x10", "NaN", "Infinity", "1 ",
    " 1", "1,", "--1", "1e5e5", "1.2.3", "00", "1_000",
  ])
  func whatIsNoNumberIsRefused(_ text: String) {
    #expect(encoded(number: text) == nil)
  }

  @Test func hugeNumbersCostTheirLengthOnly() {
    let digits = String(repeating: "7", count: 60_000)
    #expect(encoded(number: digits)?.count == 60_004)
    #expect(encoded(number: "0." + digits)?.first == 7)
    #expect(encoded(number: String(repeating: "7", count: 1_000_000)) == nil)
    #expect(
      encoded(number: "0." + String(repeating: "0", count: 1_000_000) + "e9")
        == CompositeKey(0).bytes)
    #expect(described(number: "-12000000000000000000000000000") == "[-12e27]")
  }

  @Test func fieldsThatDoNotFitOverflow() {
    var text = "abcdefgh"
    for capacity in 0...12 {
      unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { memory in
        guard let base = memory.baseAddress else { return }
        unsafe memory.initialize(repeating: 0xEE)
        var writer = unsafe KeyWriter(base, capacity: capacity)
        text.withUTF8 { unsafe writer.appendString($0) }
        #expect(writer.isOverflowed == (capacity < 10))
        #expect(unsafe memory[max(10, capacity)...].allSatisfy { $0 == 0xEE })
        writer.reset()
        writer.append(Int64(1))
        #expect(writer.isOverflowed == (capacity < 9))
      }
    }
  }

  @Test func doubledQuotesAreHalved() {
    var text = #"a""b"""""#
    unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { memory in
      guard let base = memory.baseAddress else { return }
      var writer = unsafe KeyWriter(base, capacity: 64)
      text.withUTF8 { unsafe writer.appendString(halvingQuotesOf: $0) }
      #expect(unsafe Array(memory[0..<writer.count]) == CompositeKey(#"a"b"""#).bytes)
    }
  }
}

@Suite struct KeyDescriptionTests {
  @Test func fieldsAreShownAsJSON() {
    let key = CompositeKey(nil, true, false, -7, .uint(.max), 0.5, "a\"b\\\n\u{1}é")
    #expect(key.description == #"[null,true,false,-7,18446744073709551615,0.5,"a\"b\\\n\u0001é"]"#)
    #expect(described(number: "0.10") == "[0.10]")
    #expect(KeyDescription.describe([]) == "[]")
  }

  @Test func everyTruncationAndUnknownTagIsSaidToBeMalformed() {
    let key = CompositeKey(300, 0.5, "text").bytes
    let borders = [0, 9, 18, key.count]
    for length in 0...key.count {
      let isWhole = KeyDescription.fields(of: Array(key[..<length])) != nil
      #expect(isWhole == borders.contains(length))
    }
    for tag in UInt8(9)...255 { #expect(KeyDescription.fields(of: [tag]) == nil) }
    #expect(KeyDescription.fields(of: [0]) == nil)
    #expect(KeyDescription.fields(of: [8] + [UInt8](repeating: 0xFF, count: 12)) == nil)
    #expect(KeyDescription.fields(of: [8, 0x80, 0x00]) == nil)
    #expect(KeyDescription.describe([8, 5]) == "malformed key of 2 bytes")
  }
}
