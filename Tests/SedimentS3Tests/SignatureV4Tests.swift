import SedimentS3
import SedimentStore
import Testing

/// Signatures against what Amazon publishes: the examples of "Authenticating Requests: Using the
/// Authorization Header" and `get-vanilla` of its test suite.
@Suite struct SignatureV4Tests {
  private static let nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
  private static let time = "20130524T000000Z"
  private static let signer = SignatureV4(
    credentials: S3Credentials(
      accessKeyID: "AKIAIOSFODNN7EXAMPLE",
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), region: "us-east-1")

  private static func signature(
    _ method: String, _ path: String, query: [(name: String, value: String)] = [],
    headers: [(name: String, value: String)] = [], bodyDigest: String = nothing
  ) -> String {
    let request = SignableRequest(
      method: method, path: path, query: query,
      headers: [
        ("host", "examplebucket.s3.amazonaws.com"), ("x-amz-content-sha256", bodyDigest),
        ("x-amz-date", time),
      ] + headers, bodyDigest: bodyDigest)
    let text = signer.authorization(request, time: time)
    return String(text.suffix(64))
  }

  @Test func anObjectInPart() {
    #expect(
      Self.signature("GET", "/test.txt", headers: [("Range", "bytes=0-9")])
        == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
  }

  @Test func anObjectThatIsPut() {
    #expect(
      Self.signature(
        "PUT", "/test%24file.text",
        headers: [
          ("date", "Fri, 24 May 2013 00:00:00 GMT"),
          ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        bodyDigest: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
        == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
    #expect(
      SHA256.digest(of: Array("Welcome to Amazon S3.".utf8)).hexadecimal
        == "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
  }

  @Test func queriesWithAndWithoutValues() {
    #expect(
      Self.signature("GET", "/", query: [("lifecycle", "")])
        == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
    #expect(
      Self.signature("GET", "/", query: [("prefix", "J"), ("max-keys", "2")])
        == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
  }

  @Test func theTestSuitesSimplestRequest() {
    let signer = SignatureV4(
      credentials: S3Credentials(
        accessKeyID: "AKIDEXAMPLE",
        secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), region: "us-east-1",
      service: "service")
    let request = SignableRequest(
      method: "GET", path: "/", query: [],
      headers: [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z")],
      bodyDigest: Self.nothing)
    #expect(
      signer.authorization(request, time: "20150830T123600Z")
        == "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,"
        + "SignedHeaders=host;x-amz-date,"
        + "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")
  }

  @Test func theCanonicalRequestIsInOrder() {
    let request = SignableRequest(
      method: "GET", path: "/a", query: [("b", "2"), ("a", "x y"), ("a", "1")],
      headers: [("Zeta", "  two   words "), ("host", "h")], bodyDigest: "d")
    let found = SignatureV4.canonical(request)
    #expect(found.text == "GET\n/a\na=1&a=x%20y&b=2\nhost:h\nzeta:two words\n\nhost;zeta\nd")
  }

  @Test func authenticationCodesAreThoseOfTheStandard() {
    let long = [UInt8](repeating: 0xAA, count: 131)
    let text = "Test Using Larger Than Block-Size Key - Hash Key First"
    #expect(
      SHA256.authenticationCode(
        of: Array("Hi There".utf8), key: [UInt8](repeating: 0x0B, count: 20)
      ).hexadecimal == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
    #expect(
      SHA256.authenticationCode(of: Array(text.utf8), key: long).hexadecimal
        == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
  }

  @Test func momentsAreWrittenAsSignaturesWantThem() {
    #expect(SignatureV4.time(ofMillis: 0) == "19700101T000000Z")
    #expect(SignatureV4.time(ofMillis: 1_369_353_600_999) == "20130524T000000Z")
    #expect(SignatureV4.time(ofMillis: 951_827_696_000) == "20000229T123456Z")
    #expect(SignatureV4.time(ofMillis: -1) == "19691231T235959Z")
  }
}
