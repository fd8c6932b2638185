import SedimentJob
import Testing

private func csv(_ fields: String..., time: String? = nil, limit: Int = 1 << 20) -> RecordFormat {
  RecordFormat(kind: .csv, keyFields: fields, timeField: time, recordBytesMax: limit)
}

@Suite struct CSVParserTests {
  @Test func columnsGoByNameOrNumber() throws {
    let text = "id,\"the \"\"name\"\"\",t\r\n1,x,5\r\n\n2,\"a,\"\"b\"\"\nc\",6\r\n3\n"
    let names = try outcomes(text, csv("the \"name\"", "id"))
    #expect(names == [#"["x","1"]"#, #"["a,\"b\"\nc","2"]"#, "missingKey"])
    #expect(try outcomes(text, csv("2", "1")) == names)
    #expect(try outcomes(text, csv("id", time: "t")) == [#"["1"]@5"#, #"["2"]@6"#, "timeMissing"])
    #expect(try outcomes("id\n\n\"\"\n", csv("id")) == [#"[""]"#])
    #expect(throws: FormatError.self) { try outcomes(text, csv("4")) }
    #expect(throws: FormatError.self) { try outcomes(text, csv("none")) }
  }

  @Test func recordsPassByteForByteAndHeaderIsKept() throws {
    let text = "\u{FEFF}\"a\",b\r\n\"1\",\"x\n\ny\"\r\n2,z"
    let found = try parseAll(Array(text.utf8), csv("a"))
    #expect(
      found == [
        Parsed(line: 2, offset: 10, bytes: "\"1\",\"x\n\ny\"\r\n", outcome: #"["1"]"#),
        Parsed(line: 5, offset: 22, bytes: "2,z\n", outcome: #"["2"]"#),
      ])
    let reader = SourceReader(stream(Array(text.utf8)), path: "test", format: csv("a"))
    #expect(try reader.next(into: RecordBatch()))
    #expect(reader.header?.names == ["a", "b"])
    #expect(reader.header?.line == Array("\"a\",b\r\n".utf8))
  }

  @Test func malformedQuotesCostTheirLine() throws {
    let text = "a,b\nx\"y,1\n\"x\"y,2\nok,3\n\"open,4\nok,5\n"
    let found = try parseAll(Array(text.utf8), csv("a"))
    #expect(
      found.map(\.outcome) == [
        "malformedCSV", "malformedCSV", #"["ok"]"#, "malformedCSV", #"["ok"]"#,
      ])
    #expect(found.map(\.line) == [2, 3, 4, 5, 6])
    #expect(found[3].bytes == "\"open,4\n")
  }

  @Test func aQuoteThatNeverClosesIsBounded() throws {
    let rest = String(repeating: "1,2\n", count: 100)
    let found = try parseAll(Array(("a\n\"x\n" + rest).utf8), csv("a", limit: 64), chunkBytes: 16)
    #expect(found.count == 101 && found[0].outcome == "malformedCSV" && found[0].bytes == "\"x\n")
    #expect(found[1...].allSatisfy { $0.outcome == #"["1"]"# })
  }

  @Test func headersAgreeByTheirColumns() throws {
    let first = CSVHeader(line: Array("a,\"b\"\n".utf8))
    try CSVHeader(line: Array("\"a\",b\r\n".utf8)).requireColumns(of: first)
    #expect(throws: FormatError.headerMismatch(expected: ["a", "b"], found: ["b", "a"])) {
      try CSVHeader(line: Array("b,a\n".utf8)).requireColumns(of: first)
    }
  }

  @Test func emptyInputsAndMissingHeaders() throws {
    #expect(try outcomes("", csv("a")).isEmpty)
    #expect(try outcomes("a", csv("a")).isEmpty)
    #expect(throws: SourceError.self) { try outcomes("\"a\n1\n", csv("a")) }
  }
}

@Suite struct LinesParserTests {
  private let lines = RecordFormat(kind: .lines)

  @Test func theWholeLineIsTheKey() throws {
    let bytes = Array("a\r\na\n\n\u{FEFF}b".utf8) + [0xFF, 0x00]
    let found = try parseAll(bytes, lines)
    #expect(
      found.map(\.outcome) == [#"["a"]"#, #"["a"]"#, #"[""]"#, "[\"\u{FEFF}b\u{FFFD}\\u0000\"]"])
    #expect(found.map(\.line) == [1, 2, 3, 4])
    #expect(found[0].bytes == "a\r\n")
  }

  @Test func groupsOfARegularExpressionAreTheKey() throws {
    let format = RecordFormat(
      kind: .lines, keyRegex: #"^(\w+) (?<time>\d+)(?: (x))?"#, timeField: "time")
    let found = try outcomes("ab 12 x\nab 12\n-\n", format)
    #expect(found == [#"["ab","12","x"]@12"#, "missingKey", "noMatch"])
    let utf8 = RecordFormat(kind: .lines, keyRegex: "^(.)$")
    #expect(try outcomes("é\n😀\nab\n", utf8) == [#"["é"]"#, #"["😀"]"#, "noMatch"])
    #expect(try parseAll([0xFF, 0x0A, 0x61, 0x0A], utf8).map(\.outcome) == ["noMatch", #"["a"]"#])
    let empty = RecordFormat(kind: .lines, keyRegex: "a(b*)")
    #expect(try outcomes("a\n\n", empty) == [#"[""]"#, "noMatch"])
  }

  @Test func badExpressionsAreRefused() {
    for regex in ["(", "abc", "(?<n>x"] {
      #expect(throws: FormatError.self) {
        try RecordFormat(kind: .lines, keyRegex: regex).makeParser()
      }
    }
    #expect(throws: FormatError.unknownGroup("t")) {
      try RecordFormat(kind: .lines, keyRegex: "(x)", timeField: "t").makeParser()
    }
  }

  @Test func catastrophicExpressionsAreCutOff() throws {
    let format = RecordFormat(kind: .lines, keyRegex: "^((a+)+)+$")
    #expect(try outcomes(String(repeating: "a", count: 40) + "!\n", format) == ["matchLimit"])
  }

  @Test func aLongLineMatchesAsAShortOneDoes() throws {
    let format = RecordFormat(kind: .lines, keyRegex: "^(?:(?:a|b)+)-(\\w+)$")
    let long = String(repeating: "ab", count: 100_000) + "-end\n"
    #expect(try outcomes(long, format) == [#"["end"]"#])
  }
}
