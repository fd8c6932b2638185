import SedimentJob
import Testing

private func json(_ fields: String..., time: String? = nil, unit: TimeUnit = .milliseconds)
  -> RecordFormat
{
  RecordFormat(kind: .ndjson, keyFields: fields, timeField: time, timeUnit: unit)
}

@Suite struct JSONParserTests {
  @Test(arguments: [
    (#"{"a":1}"#, "[1]"), (#"{"a":1.0}"#, "[1]"), (#"{"a":-0}"#, "[0]"), (#"{"a":0.1}"#, "[0.1]"),
    (#"{"a":"1"}"#, #"["1"]"#), (#"{"a":true}"#, "[true]"), (#"{ "a" : false }"#, "[false]"),
    (#"{"a":null}"#, "missingKey"), (#"{}"#, "missingKey"), (#"{"b":1}"#, "missingKey"),
    (#"{"a":{}}"#, "wrongType"), (#"{"a":[1]}"#, "wrongType"), (#"[1]"#, "notAnObject"),
    (#""a""#, "notAnObject"), ("12", "notAnObject"), ("null", "notAnObject"),
    ("nonsense", "invalidJSON"), ("}", "invalidJSON"), (#"{"a":1"#, "invalidJSON"),
    (#"{"a":1}}"#, "invalidJSON"), (#"{"a":1} x"#, "invalidJSON"),
    (#"{"a":1}{"a":2}"#, "invalidJSON"),
    (#"{"a":1,}"#, "invalidJSON"), (#"{"a" 1}"#, "invalidJSON"), (#"{"a":1 2}"#, "invalidJSON"),
    (#"{"a":01}"#, "invalidJSON"), (#"{"a":nul}"#, "invalidJSON"), (#"{"a":}"#, "invalidJSON"),
    (#"{"a":1,"b":}"#, "invalidJSON"), (#"{"a":1,"b":[}]}"#, "invalidJSON"),
    (#"{"a":1,"b":{"c":[1,{}]}}"#, "[1]"), (#"{,"a":1}"#, "invalidJSON"),
    (#"{a:1}"#, "invalidJSON"),
    (#"{"a":1,"b":"open}"#, "invalidJSON"), (#"{"a":"x"y}"#, "invalidJSON"),
    ("{\"a\":\"tab\tin\"}", "invalidJSON"), (#"{"a":"é😀"}"#, #"["é😀"]"#), (#"{"a":""}"#, #"[""]"#),
  ])
  func oneFieldOfOneLine(_ line: String, _ outcome: String) throws {
    #expect(try outcomes(line + "\n", json("a")) == [outcome])
  }

  @Test(arguments: [
    (#"\"\\\/\b\f\n\r\t"#, #"["\"\\/\u0008\u000c\n\r\t"]"#), (#"\u0041\u00e9\u20AC"#, #"["Aé€"]"#),
    (#"\ud83d\ude00"#, #"["😀"]"#), (#"x\u0000y"#, #"["x\u0000y"]"#), (#"\ud83d"#, "invalidJSON"),
    (#"\ud83dx"#, "invalidJSON"), (#"\ude00"#, "invalidJSON"), (#"\ud83d\u0041"#, "invalidJSON"),
    (#"\u12"#, "invalidJSON"), (#"\u12g4"#, "invalidJSON"), (#"\x"#, "invalidJSON"),
  ])
  func stringsAreUnescaped(_ text: String, _ outcome: String) throws {
    #expect(try outcomes(#"{"a":"\#(text)"}"#, json("a")) == [outcome])
  }

  @Test func theFirstOfDuplicateKeysCountsAtEveryLevel() throws {
    let text = #"""
      {"a":1,"a":2,"b":3}
      {"b":3,"a":1,"b":4,"a":2}
      {"\u0061":1,"a":2,"b":3}
      {"a":null,"a":2,"b":3}

      """#
    #expect(try outcomes(text, json("b", "a")) == ["[3,1]", "[3,1]", "[3,1]", "missingKey"])
    let nested = #"{"x":5,"x":{"y":1}}"# + "\n" + #"{"x":{"y":1,"y":2},"x":{"y":3}}"#
    #expect(try outcomes(nested, json("x.y")) == ["missingKey", "[1]"])
  }

  @Test func pathsReachIntoObjectsAndArrays() throws {
    let line = #"{"a":{"b":[{"c":1},[7,{"d.e":"x"}]]},"l":[]}"#
    let cases = [
      ("a.b[0].c", "[1]"), ("a.b[1][0]", "[7]"), (#"a.b[1][1].d\.e"#, #"["x"]"#),
      ("a.b[2]", "missingKey"), ("a[0]", "missingKey"), ("l[0]", "missingKey"),
      ("a.b", "wrongType"),
    ]
    for (path, outcome) in cases { #expect(try outcomes(line, json(path)) == [outcome], "\(path)") }
    #expect(try outcomes(line, json("a.b[0].c", "a.b[0].c", "a.b[1][0]")) == ["[1,1,7]"])
  }

  @Test(arguments: ["", ".a", "a.", "a..b", "a[", "a[]", "a[x]", "a[0]b", #"a\"#, "a[99999999999]"])
  func whatIsNoPathIsRefused(_ path: String) {
    #expect(throws: FormatError.self) { try json(path).makeParser() }
    #expect(throws: FormatError.self) {
      try json("a" + String(repeating: ".a", count: 127)).makeParser()
    }
  }

  @Test func depthIsBounded() throws {
    func nested(_ levels: Int) -> String {
      #"{"a":1,"n":"# + String(repeating: "[", count: levels)
        + String(repeating: "]", count: levels) + "}"
    }
    let text = nested(127) + "\n" + nested(128) + "\n" + nested(100_000) + "\n"
    #expect(try outcomes(text, json("a")) == ["[1]", "invalidJSON", "invalidJSON"])
    #expect(try outcomes(String(repeating: #"{"a":"#, count: 50_000), json("a")) == ["invalidJSON"])
  }

  @Test func aBadLineCostsThatLineOnly() throws {
    let bad: [[UInt8]] = [
      Array(#"{"a":"unclosed"#.utf8), Array(#"{"a":"\"}"#.utf8), [0x7B, 0xFF, 0x7D],
      Array("{\"a\":\"x\u{0}\"}".utf8), Array("{\"a\":1}\u{0}".utf8), Array(#"""#.utf8),
      Array(#"\"#.utf8), Array(#"{"a":"\\\"#.utf8), Array("{\"a\":\"\u{1}\"}".utf8),
    ]
    let statuses = [
      "invalidJSON", "invalidJSON", "invalidUTF8", "nulByte", "nulByte", "invalidJSON",
      "invalidJSON",
      "invalidJSON", "invalidJSON",
    ]
    for (line, status) in zip(bad, statuses) {
      var bytes: [UInt8] = []
      for index in 0..<500 {
        bytes += index == 250 ? line : Array(#"{"a":\#(index),"b":"{\\\"}"}"#.utf8)
        bytes.append(0x0A)
      }
      let found = try parseAll(bytes, json("a")).map(\.outcome)
      let expected = (0..<500).map { $0 == 250 ? status : "[\($0)]" }
      #expect(found == expected, "\(String(decoding: line, as: UTF8.self).debugDescription)")
    }
  }

  @Test func lineEndsBlankLinesAndByteOrderMark() throws {
    let text = "\u{FEFF}{\"a\":1}\r\n\r\n \t\n{\"a\":2}"
    let found = try parseAll(Array(text.utf8), json("a"))
    #expect(
      found == [
        Parsed(line: 1, offset: 0, bytes: "\u{FEFF}{\"a\":1}\r\n", outcome: "[1]"),
        Parsed(line: 4, offset: 17, bytes: "{\"a\":2}\n", outcome: "[2]"),
      ])
    #expect(try outcomes("", json("a")).isEmpty)
    #expect(try outcomes("\n\n", json("a")).isEmpty)
  }

  @Test(arguments: [
    ("1700000000123", TimeUnit.milliseconds, "1700000000123"), ("1.9", .milliseconds, "1"),
    ("-1.5", .milliseconds, "-2"), (#""12""#, .milliseconds, "12"),
    ("1700000000", .seconds, "1700000000000"),
    ("1700000000.1239", .seconds, "1700000000123"), ("1e3", .seconds, "1000000"),
    ("1999", .microseconds, "1"), ("-1", .nanoseconds, "-1"), ("1000000", .nanoseconds, "1"),
    ("123456789012345678901e-6", .nanoseconds, "123456789"), ("0.0000001", .seconds, "0"),
    ("-0.0000001", .seconds, "-1"), ("-0", .seconds, "0"),
    (#""1970-01-01T00:00:01.5Z""#, .iso8601, "1500"), (#""2000-02-29""#, .iso8601, "951782400000"),
    (#""1970-01-01T01:00:00+01:00""#, .iso8601, "0"),
    (#""1969-12-31T23:59:59.9999""#, .iso8601, "-1"),
    (#""2026-01-02T03:04:05.123456789-00:30""#, .iso8601, "1767324845123"),
  ])
  func timesAreReadToTheMillisecond(_ text: String, _ unit: TimeUnit, _ millis: String) throws {
    let found = try outcomes(#"{"k":1,"t":\#(text)}"#, json("k", time: "t", unit: unit))
    #expect(found == ["[1]@\(millis)"])
  }

  @Test(arguments: [
    ("9223372036854775808", TimeUnit.milliseconds), ("9223372036854776", .seconds),
    ("1e30", .milliseconds), ("1e999999999999", .seconds), (#""x""#, .milliseconds),
    (#""""#, .seconds),
    ("true", .milliseconds), ("[1]", .milliseconds), ("12", .iso8601),
    (#""2026-13-01""#, .iso8601), (#""2025-02-29""#, .iso8601),
    (#""2026-01-02 03:04:05""#, .iso8601),
    (#""2026-01-02T24:00:00""#, .iso8601), (#""2026-01-02T03:04:05.Z""#, .iso8601),
    (#""2026-01-02T03:04:05+1:00""#, .iso8601), (#""2026-01-02T03:04:05Zx""#, .iso8601),
  ])
  func whatIsNoTimeIsARejectNotATrap(_ text: String, _ unit: TimeUnit) throws {
    let found = try outcomes(#"{"k":1,"t":\#(text)}"#, json("k", time: "t", unit: unit))
    #expect(found == ["timeInvalid"])
  }

  @Test func aTimeMayBeAKeyFieldAndMayBeMissing() throws {
    let text = "{\"t\":5}\n{\"t\":null}\n{\"k\":1}\n"
    #expect(try outcomes(text, json("t", time: "t")) == ["[5]@5", "missingKey", "missingKey"])
    #expect(
      try outcomes(text, json("k", time: "t")) == ["missingKey", "missingKey", "timeMissing"])
  }

  @Test func keysBeyondTheLimitAreRejected() throws {
    func line(_ count: Int) -> String {
      #"{"a":"\#(String(repeating: "x", count: count))"}"# + "\n"
    }
    let found = try outcomes(line(65_532) + line(65_533) + line(200_000) + line(1), json("a"))
    #expect(
      found.map { $0.count > 20 ? "ok" : $0 } == ["ok", "keyTooLong", "keyTooLong", #"["x"]"#])
  }

  @Test func randomBytesNeverTrap() throws {
    var state: UInt64 = 7
    let alphabet = Array(#"{}[]:,"\ntrue01.-eE \u00d8é"#.utf8) + [0, 0xFF, 0x0A, 0x0D, 0x0A]
    for _ in 0..<300 {
      let bytes: [UInt8] = (0..<400).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return alphabet[Int(state >> 33) % alphabet.count]
      }
      let whole = try parseAll(bytes, json("t", "n[0]", time: "t"))
      #expect(whole == (try parseAll(bytes, json("t", "n[0]", time: "t"), recordsMax: 1)))
    }
  }
}
