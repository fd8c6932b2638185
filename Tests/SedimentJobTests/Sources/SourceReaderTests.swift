import SedimentJob
import Testing

@Suite struct SourceReaderTests {
  @Test(arguments: RecordFormat.Kind.allCases)
  func recordsDoNotDependOnHowBytesArrive(_ kind: RecordFormat.Kind) throws {
    let text: [UInt8]
    var format = RecordFormat(kind: kind, keyFields: ["a"])
    switch kind {
    case .csv:
      text = Array(
        ("\u{FEFF}a,b\r\n1,\"x\r\n\"\"y\"\"\"\n\n\"2\"\"\",z\r\n"
          + "bad\"quote,1\n\"3\",\"\n,\n\"\n4,\"open").utf8)
    case .ndjson:
      text = Array("\u{FEFF}{\"a\":1}\r\n\n{\"a\":\"é\"}\nbad\n \r\n{\"a\":3}".utf8)
    case .lines:
      text = Array("\u{FEFF}one\r\n\ntwo\rx\n\r\nlast\r".utf8)
      format.keyFields = []
    }
    let expected = try parseAll(text, format)
    #expect(expected.count > 3)
    for chunk in 1...text.count {
      #expect(try parseAll(text, format, chunkBytes: chunk) == expected, "chunks of \(chunk)")
      #expect(try parseAll(text, format, chunkBytes: 7, recordsMax: 1 + chunk % 3) == expected)
    }
  }

  @Test(arguments: RecordFormat.Kind.allCases)
  func everyPositionBetweenBatchesIsAPlaceToGoOn(_ kind: RecordFormat.Kind) throws {
    let text = Array("a,b\n{\"a\":1}\n\n\"q\n\",2\n3,4\r\nlong-long-long\n\n5,6\n7".utf8)
    let fields = kind == .lines ? [] : kind == .csv ? ["1"] : ["a"]
    let format = RecordFormat(kind: kind, keyFields: fields, recordBytesMax: 12)
    let expected = try parseAll(text, format)
    let reader = SourceReader(stream(text), path: "test", format: format, recordsMax: 1)
    let batch = RecordBatch()
    var seen = 0
    while try reader.next(into: batch) {
      batch.removeAll()
      seen += 1
      let rest = try parseAll(text, format, chunkBytes: 5, offset: reader.offset, line: reader.line)
      #expect(rest == Array(expected[seen...]))
    }
    #expect(seen == expected.count && reader.offset == UInt64(text.count))
  }

  @Test func overlongLinesAreCutToTheirBeginning() throws {
    let long = String(repeating: "x", count: 5000)
    let text = Array("ok\n\(long)\nok\n\(long)".utf8)
    let format = RecordFormat(kind: .lines, recordBytesMax: 4999)
    for chunk in [1, 100, 1024, 5002, 100_000] {
      let found = try parseAll(text, format, chunkBytes: chunk)
      #expect(found.map(\.outcome) == [#"["ok"]"#, "lineTooLong", #"["ok"]"#, "lineTooLong"])
      #expect(found.map(\.line) == [1, 2, 3, 4])
      #expect(found.map(\.offset) == [0, 3, 5004, 5007])
      #expect(found[1].bytes.utf8.count == 1024 && found[3].bytes.utf8.count == 1024)
    }
    let fits = RecordFormat(kind: .lines, recordBytesMax: 5000)
    #expect(try parseAll(text, fits).allSatisfy { $0.outcome.hasPrefix("[") })
  }

  @Test func aLineOf16MiBIsARejectAndMemoryStaysBounded() throws {
    let size = RecordFormat.recordBytesMaxDefault
    var text = [UInt8](repeating: 0x20, count: size + 1)
    text[0] = 0x7B
    text += Array("\n{\"a\":1}\n".utf8)
    let format = RecordFormat(kind: .ndjson, keyFields: ["a"])
    let found = try parseAll(text, format, chunkBytes: 1 << 20)
    #expect(found.map(\.outcome) == ["lineTooLong", "[1]"])
    #expect(found[1].offset == UInt64(size + 2))
  }

  @Test func aPositionBeyondTheEndIsAnError() {
    for kind in RecordFormat.Kind.allCases {
      let format = RecordFormat(kind: kind, keyFields: ["1"])
      #expect(throws: SourceError.shorterThanPosition(path: "test", offset: 100)) {
        let reader = SourceReader(
          stream(Array("1\n2\n".utf8)), path: "test", format: format, fromOffset: 100, line: 9)
        _ = try reader.next(into: RecordBatch())
      }
    }
  }

  @Test func formatsGoByExtension() {
    #expect(RecordFormat.kind(forPath: "x/a.CSV.gz") == .csv)
    #expect(RecordFormat.kind(forPath: "a.csv") == .csv)
    #expect(RecordFormat.kind(forPath: "a.log") == .ndjson)
  }

  @Test func statusNamesAreStable() {
    #expect(
      RecordStatus.allCases.map(\.name) == [
        "ok", "invalidJSON", "notAnObject", "invalidUTF8", "nulByte", "missingKey", "wrongType",
        "lineTooLong", "timeMissing", "timeInvalid", "timeTooFarAhead", "malformedCSV",
        "keyTooLong",
        "noMatch", "matchLimit", "tombstone", "emptyValue", "newlineInRecord",
      ])
    for (index, status) in RecordStatus.allCases.enumerated() { #expect(status.rawValue == index) }
  }
}
