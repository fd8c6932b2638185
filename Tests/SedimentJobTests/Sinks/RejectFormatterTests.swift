import Foundation
import SedimentJob
import Testing

@Suite struct RejectFormatterTests {
  private func line(
    _ record: [UInt8], file: String = "in", isOverlong: Bool = false
  ) throws -> [String: Any] {
    var formatter = RejectFormatter()
    unsafe record.withUnsafeBytes {
      unsafe formatter.append(
        .file(file, line: 3, offset: 40), reason: "missing key", record: $0,
        isOverlong: isOverlong)
    }
    #expect(formatter.bytes.last == UInt8(ascii: "\n"))
    #expect(!formatter.bytes.dropLast().contains(UInt8(ascii: "\n")))
    let object = try JSONSerialization.jsonObject(with: Data(formatter.bytes))
    return try #require(object as? [String: Any])
  }

  @Test func theFieldsAreInTheirOrder() {
    var formatter = RejectFormatter()
    unsafe Array("{}".utf8).withUnsafeBytes {
      unsafe formatter.append(.file("a", line: 1, offset: 2), reason: "r", record: $0)
    }
    #expect(
      String(decoding: formatter.bytes, as: UTF8.self)
        == "{\"file\":\"a\",\"line\":1,\"offset\":2,\"reason\":\"r\",\"record\":\"{}\"}\n")
    formatter.removeAll()
    unsafe Array("{}".utf8).withUnsafeBytes {
      unsafe formatter.append(
        .topic(TopicPartition("a", 7), offset: 2), reason: "r", record: $0)
    }
    #expect(
      String(decoding: formatter.bytes, as: UTF8.self)
        == "{\"topic\":\"a\",\"partition\":7,\"offset\":2,\"reason\":\"r\",\"record\":\"{}\"}\n")
  }

  @Test func textComesBackAsItWas() throws {
    let record = String(decoding: (0..<128).map { UInt8($0) }, as: UTF8.self) + "\u{1F600}é\\\""
    let fields = try line(Array(record.utf8), file: "a\"b\n")
    #expect(fields["record"] as? String == record)
    #expect(fields["file"] as? String == "a\"b\n")
    #expect(fields["line"] as? Int == 3)
    #expect(fields["offset"] as? Int == 40)
    #expect(fields["reason"] as? String == "missing key")
  }

  @Test(arguments: 1..<8)
  func bytesThatAreNotTextAreBase64(count: Int) throws {
    let record = (0..<count).map { UInt8(255 - $0) }
    let fields = try line(record)
    #expect(fields["record"] == nil)
    #expect(fields["record_base64"] as? String == Data(record).base64EncodedString())
  }

  @Test(arguments: 0..<4)
  func anOverlongLineIsCutBetweenCharacters(shift: Int) throws {
    let text = String(repeating: "a", count: shift) + String(repeating: "\u{1F600}", count: 600)
    let fields = try line(Array(text.utf8), isOverlong: true)
    let kept = try #require(fields["record"] as? String)
    #expect(text.hasPrefix(kept))
    #expect((1_021...1_024).contains(kept.utf8.count))
  }

  @Test func aLineThatWasCutByItsReaderIsText() throws {
    let text = "a" + String(repeating: "\u{1F600}", count: 600)
    let fields = try line(Array(text.utf8.prefix(1_024)), isOverlong: true)
    #expect((fields["record"] as? String)?.utf8.count == 1_021)
  }
}
