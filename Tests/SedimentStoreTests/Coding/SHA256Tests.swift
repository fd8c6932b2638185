import CSedimentKernels
import SedimentStore
import Testing

@Suite struct SHA256Tests {
  /// Examples of NIST's FIPS 180-4 page.
  static let vectors: [(String, String)] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      String(repeating: "a", count: 1_000_000),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ]

  @Test func digestsAreThoseOfTheStandard() {
    for (text, digest) in SHA256Tests.vectors {
      #expect(SHA256.digest(of: Array(text.utf8)).hexadecimal == digest)
    }
  }

  @Test func partsGiveTheDigestOfTheWhole() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 13) }
    let whole = SHA256.digest(of: bytes)
    for part in [1, 3, 55, 56, 63, 64, 65, 127, 128, 999] {
      var running = SHA256()
      for start in stride(from: 0, to: bytes.count, by: part) {
        running.update(Array(bytes[start..<min(start + part, bytes.count)]))
      }
      #expect(running.finish() == whole)
      #expect(running.finish() == whole)
    }
  }

  @Test func instructionsAndPortableCodeAgree() {
    let blocks = (0..<64 * 5).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 / 64) }
    var fast: [UInt32] = (0..<8).map { $0 &* 0x1234_5677 }
    var portable = fast
    unsafe sediment_sha256_blocks(&fast, blocks, 5)
    unsafe sediment_sha256_blocks_portable(&portable, blocks, 5)
    #expect(fast == portable)
  }
}
