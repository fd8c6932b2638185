import CSedimentKernels
import SedimentStore
import Testing

@Suite struct KeyHasherTests {
  /// The reference's digests of the keys "", 00, 00 01, … under the seed 00 01 … 0f.
  static let reference: [String] = [
    "a3817f04ba25a8e66df67214c7550293", "da87c1d86b99af44347659119b22fc45",
    "8177228da4a45dc7fca38bdef60affe4", "9c70b60c5267a94e5f33b6b02985ed51",
    "f88164c12d9c8faf7d0f6e7c7bcd5579", "1368875980776f8854527a07690e9627",
    "14eeca338b208613485ea0308fd7a15e", "a1f1ebbed8dbc153c0b84aa61ff08239",
    "3b62a9ba6258f5610f83e264f31497b4", "264499060ad9baabc47f8b02bb6d71ed",
    "00110dc378146956c95447d3f3d0fbba", "0151c568386b6677a2b4dc6f81e5dc18",
    "d626b266905ef35882634df68532c125", "9869e247e9c08b10d029934fc4b952f7",
    "31fcefac66d7de9c7ec7485fe4494902", "5493e99933b0a8117e08ec0f97cfc3d9",
  ]

  static let hasher = KeyHasher(seed: seed)
  static let seed = HashSeed(first: 0x0706_0504_0302_0100, second: 0x0f0e_0d0c_0b0a_0908)

  private func digest(_ hash: KeyHash) -> String {
    var writer = ByteWriter()
    writer.writeUInt64(hash.high)
    writer.writeUInt64(hash.low)
    return writer.bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  private func hash(_ key: [UInt8], _ hasher: KeyHasher = hasher) -> KeyHash {
    unsafe key.withUnsafeBytes { unsafe hasher.hash($0) }
  }

  private func hashes(_ batch: KeyBatch, _ hasher: KeyHasher) -> [KeyHash] {
    unsafe [KeyHash](unsafeUninitializedCapacity: batch.count) { buffer, count in
      if let base = buffer.baseAddress { unsafe hasher.hash(batch, into: base) }
      count = batch.count
    }
  }

  @Test func digestsAreThoseOfTheReference() {
    for (length, expected) in KeyHasherTests.reference.enumerated() {
      let key = (0..<length).map { UInt8($0) }
      #expect(digest(hash(key)) == expected)
    }
  }

  @Test(arguments: [1, 8, 40, 200])
  func aBatchAnswersAsItsKeysDo(lengthMax: Int) throws {
    var generator = SeededGenerator(seed: UInt64(lengthMax))
    for count in [0, 1, 7, 8, 9, 16, 31, 300] {
      let batch = KeyBatch()
      var keys: [[UInt8]] = []
      for _ in 0..<count {
        let length = Int.random(in: 0...lengthMax, using: &generator)
        keys.append((0..<length).map { _ in .random(in: 0...255, using: &generator) })
        try batch.append(keys[keys.count - 1])
      }
      let hasher = KeyHasher(seed: .random(using: &generator))
      #expect(hashes(batch, hasher) == keys.map { hash($0, hasher) })
    }
  }

  @Test func lanesOfOneLengthAndOfVeryDifferentLengthsAgreeWithTheScalar() throws {
    let uniform = (0...72).map { length in [Int](repeating: length, count: 24) }
    let mixed = [[0, 65_536, 3, 0, 1, 2, 3, 4], [100, 104, 96, 111, 119, 100, 99, 120, 5, 0]]
    for lengths in uniform + mixed {
      let batch = KeyBatch()
      for (index, length) in lengths.enumerated() {
        try batch.append((0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ index) })
      }
      var portable = [UInt64](repeating: 0, count: 2 * batch.count)
      unsafe portable.withUnsafeMutableBufferPointer { out in
        unsafe KeyHasherTests.seed.withBytes { seed in
          unsafe sediment_siphash128_batch_portable(
            batch.view.bytes, batch.view.ends, batch.count, seed, out.baseAddress)
        }
      }
      let answers = hashes(batch, KeyHasherTests.hasher)
      #expect(answers.flatMap { [$0.high, $0.low] } == portable)
    }
  }

  @Test func seedsSurviveAsBytes() throws {
    let seed = HashSeed.random()
    #expect(try #require(HashSeed(bytes: seed.bytes)) == seed)
    #expect(seed != HashSeed.random())
    #expect(HashSeed(bytes: [1, 2, 3]) == nil)
    #expect(KeyHasherTests.seed.bytes == (0..<16).map { UInt8($0) })
  }

  @Test func orderIsByHighThenLow() {
    let hashes = [
      KeyHash(high: 1, low: 9), KeyHash(high: 2, low: 0), KeyHash(high: 2, low: .max),
      KeyHash(high: .max, low: 0),
    ]
    #expect(hashes.shuffled().sorted() == hashes)
  }
}
