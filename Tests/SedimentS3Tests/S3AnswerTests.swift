import SedimentHTTP
import SedimentS3
import SedimentTestKit
import Testing

/// Answers of object storage, good and hostile.
@Suite struct S3AnswerTests {
  private static let listing = """
    <?xml version="1.0" encoding="UTF-8"?>
    <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><!-- a page -->
      <Name>bucket</Name><IsTruncated>true</IsTruncated><EncodingType>url</EncodingType>
      <NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
      <Contents><Key>a/b%26c</Key><Size>5</Size><ETag>&quot;x&quot;</ETag></Contents>
      <Contents><Key>d</Key><Size>0</Size><Owner/></Contents>
    </ListBucketResult>

    """

  @Test func aListingIsRead() throws {
    let page = try S3Listing(Array(Self.listing.utf8))
    #expect(page.objects.map(\.key) == ["a/b&c", "d"])
    #expect(page.objects.map(\.bytes) == [5, 0])
    #expect(page.continuation == "1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=")
  }

  @Test func uploadsThatWereNotEndedAreRead() throws {
    let text = """
      <ListMultipartUploadsResult><IsTruncated>true</IsTruncated>
      <NextKeyMarker>k%20</NextKeyMarker><NextUploadIdMarker>u9</NextUploadIdMarker>
      <Upload><Key>k</Key><UploadId>u</UploadId>
      <Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>
      </ListMultipartUploadsResult>
      """
    let page = try S3Uploads(Array(text.utf8))
    #expect(page.uploads == [.init(key: "k", id: "u", begunMillis: 1_289_422_113_000)])
    #expect(page.next?.key == "k " && page.next?.id == "u9")
  }

  @Test func everyTruncationIsRefused() {
    let bytes = Array(Self.listing.utf8)
    let end = bytes.count - 2
    for count in 0..<end {
      #expect(throws: XMLError.self, "\(count)") { try S3Listing(Array(bytes.prefix(count))) }
    }
  }

  @Test func changedBytesNeverTrap() {
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<5_000 {
      var bytes = Array(Self.listing.utf8)
      for _ in 0..<Int.random(in: 1..<6, using: &generator) {
        let index = bytes.indices.randomElement(using: &generator) ?? 0
        bytes[index] = UInt8.random(in: 0...255, using: &generator)
      }
      _ = try? S3Listing(bytes)
      _ = try? S3Uploads(bytes)
      _ = S3Answer.failure(bytes)
    }
  }

  @Test(
    arguments: [
      "", "<", "<a", "<a>", "</a>", "<a></b>", "<a/><b/>", "<a/>x", "x<a/>", "<a>&b;</a>",
      "<a>&#xD800;</a>", "<a>&#99999999999;</a>", "<a>&",
      "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
      "<a b='c></a>", "<a <b/></a>", "<?xml", "<!--", "<a><![CDATA[x]]></a>", "<1 2/",
    ])
  func whatIsNoDocumentIsRefused(text: String) {
    #expect(throws: XMLError.self) { try XMLReader.read(Array(text.utf8)) }
  }

  @Test func depthAndNumberOfElementsAreBounded() throws {
    let depth = String(repeating: "<a>", count: 100_000)
    #expect(throws: XMLError.self) { try XMLReader.read(Array(depth.utf8)) }
    let many = "<a>" + String(repeating: "<b/>", count: 60_000) + "</a>"
    #expect(throws: XMLError.self) { try XMLReader.read(Array(many.utf8)) }
    let text = "<a c=\"<\" d='>'>1 &lt; 2 &#x26; &#51;<b/>!</a>"
    #expect(throws: XMLError.self) { try XMLReader.read([0x3C, 0x61, 0x3E, 0xFF, 0x3C, 0x2F]) }
    let read = try XMLReader.read(Array(text.utf8))
    #expect(read.text == "1 < 2 & 3!" && read.children.map(\.name) == ["b"])
  }

  @Test(
    arguments: [
      (200, "", S3Verdict.done), (204, "", .done), (206, "<binary", .done), (404, "", .notFound),
      (404, "NoSuchKey", .notFound), (412, "PreconditionFailed", .preconditionFailed),
    ])
  func answersMeanWhatTheySay(status: Int, code: String, verdict: S3Verdict) {
    #expect(S3Verdict(Self.answer(status, code)) == verdict)
  }

  @Test(
    arguments: [
      (200, "InternalError"), (409, "ConditionalRequestConflict"), (400, "RequestTimeout"),
      (408, ""), (429, ""), (500, "InternalError"), (502, ""), (503, "SlowDown"), (504, ""),
    ])
  func whatPassesIsTriedAgain(status: Int, code: String) {
    guard case .later = S3Verdict(Self.answer(status, code)) else {
      Issue.record("\(status) \(code)")
      return
    }
  }

  @Test(
    arguments: [
      (404, "NoSuchBucket", S3Error.Code.notFound), (404, "NoSuchUpload", .noSuchUpload),
      (403, "SignatureDoesNotMatch", .permissionDenied), (401, "", .permissionDenied),
      (416, "InvalidRange", .rangeNotSatisfiable), (507, "", .noSpace), (301, "", .refused),
      (501, "NotImplemented", .refused), (400, "InvalidArgument", .refused),
    ])
  func whatDoesNotPassIsNot(status: Int, code: String, error: S3Error.Code) {
    guard case .final(let found, let text) = S3Verdict(Self.answer(status, code)) else {
      Issue.record("\(status) \(code)")
      return
    }
    #expect(found == error && text.contains(code))
  }

  private static func answer(_ status: Int, _ code: String) -> HTTPAnswer {
    let isText = code.isEmpty || code.hasPrefix("<")
    let body = isText ? code : "<Error><Code>\(code)</Code><Message>m\nn</Message></Error>"
    return HTTPAnswer(status: status, body: Array(body.utf8))
  }

  @Test func anEndOfAnUploadNamesItsParts() throws {
    let bytes = S3Answer.completion(["\"a<&\"", "b"])
    let root = try S3Answer.root(of: bytes, "CompleteMultipartUpload")
    #expect(root.all("Part").map { $0.text(of: "ETag") } == ["\"a<&\"", "b"])
    #expect(root.all("Part").map { $0.text(of: "PartNumber") } == ["1", "2"])
  }

  @Test func timesAreReadOrRefused() {
    #expect(S3Answer.millis(of: "1970-01-02T00:00:01Z") == 86_401_000)
    for text in ["", "2026", "2026-13-01T00:00:00Z", "99999-01-01T00:00:00Z", "x", "1-1-1-1-1-1"] {
      #expect(S3Answer.millis(of: text) == nil)
    }
  }
}
