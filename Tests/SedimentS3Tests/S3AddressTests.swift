import SedimentHTTP
import SedimentS3
import Testing

/// Addresses and endpoints.
@Suite struct S3AddressTests {
  @Test func anAddressIsABucketAndAPrefix() throws {
    let address = try S3Address("s3://backups/jobs//clicks/")
    #expect(address.bucket == "backups" && address.prefix == "jobs/clicks/")
    #expect(address.location == "s3://backups/jobs/clicks")
    #expect(try S3Address("s3://backups").prefix == "")
    #expect(try S3Address(address.location) == address)
    #expect(S3Address.isOne("s3://x") && !S3Address.isOne("/s3:/x") && !S3Address.isOne("S3://x"))
  }

  @Test(
    arguments: [
      "s3://", "s3:///x", "s3://ab", "s3://user@host", "s3://bucket/a b", "s3://bucket/../x",
      "s3://bucket/x?y", "s3://-bucket", "http://bucket",
    ])
  func whatIsNoAddressIsRefused(word: String) {
    #expect(throws: S3AddressError.self) { try S3Address(word) }
  }

  @Test func endpointsChooseHostAndPath() throws {
    func url(_ endpoint: String?, _ bucket: String) throws -> String {
      let parts = try S3Endpoint.parts(endpoint, bucket: bucket, "eu-west-1")
      return "\(parts.scheme)://\(parts.host)\(parts.path)"
    }
    #expect(try url(nil, "backups") == "https://backups.s3.eu-west-1.amazonaws.com/")
    #expect(try url(nil, "b.c.d") == "https://s3.eu-west-1.amazonaws.com/b.c.d/")
    #expect(try url("http://localhost:5000/", "backups") == "http://localhost:5000/backups/")
    #expect(try url("https://minio", "backups") == "https://minio/backups/")
    for endpoint in ["", "localhost", "ftp://x", "http://", "http://u:p@h", "http://h/path"] {
      #expect(throws: S3AddressError.self) { try url(endpoint, "backups") }
    }
  }

  @Test func partsAreWithinTheServersLimits() {
    var options = S3Options(credentials: S3Credentials(accessKeyID: "", secretAccessKey: ""))
    #expect(options.partBytes(of: 1) == 64 << 20)
    options.partBytes = 1
    #expect(options.partBytes(of: 1) == 5 << 20)
    let large: UInt64 = 5 << 40
    let part = options.partBytes(of: large)
    #expect((large + part - 1) / part <= 10_000)
  }

  @Test func textsInURLsComeBack() {
    for text in ["a/b c%~é\u{0}", "", "%"] {
      #expect(PercentCoding.decoded(PercentCoding.encoded(text)) == text)
    }
    for text in ["%", "%4", "%zz", "%ff"] { #expect(PercentCoding.decoded(text) == nil) }
  }
}
