import SedimentStore
import Testing

@Suite struct ChecksumTests {
  @Test func checksumsAreThoseOfXXH3() {
    #expect(Checksum.of([], seed: 0) == 0x2d06_8005_38d3_94c2)
    #expect(Checksum.of(Array("a".utf8), seed: 0) == 0xe6c6_32b6_1e96_4e1f)
    #expect(Checksum.of(Array("abc".utf8), seed: 0) == 0x78af_5f94_892f_3950)
  }

  @Test func everyFlippedBitAndEverySeedChangesTheChecksum() {
    var bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    let sum = Checksum.of(bytes, seed: 1)
    #expect(Checksum.of(bytes, seed: 2) != sum)
    for bit in 0..<bytes.count * 8 {
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(Checksum.of(bytes, seed: 1) != sum)
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
    }
  }

  @Test func seedsOfNeighbouringAndExchangedPlacesDiffer() {
    var seen: Set<UInt64> = []
    for fileID in UInt64(0)..<64 {
      for place in UInt64(0)..<64 { seen.insert(Checksum.seed(fileID: fileID, place: place)) }
    }
    #expect(seen.count == 64 * 64)
  }

  @Test func seedsAreGolden() {
    #expect(Checksum.seed(fileID: 0, place: 0) == 10_554_885_393_491_258_946)
    #expect(Checksum.seed(fileID: 0x0123_4567_89ab_cdef, place: 4096) == 16_173_619_679_375_580_597)
  }

  @Test func corruptionNamesFilePlaceAndBothValues() {
    let damage = Corruption(
      file: "000000000012.sst", offset: 4096, what: "page checksum", expected: 0xabc, found: 1)
    #expect(
      "\(damage)" == "000000000012.sst at offset 4096: page checksum is 0x0000000000000001 "
        + "where 0x0000000000000abc was expected")
    let undecodable = Corruption(
      file: "CURRENT", offset: 0, what: "name", undecodable: .truncated(offset: 3))
    #expect(
      "\(undecodable)" == "CURRENT at offset 0: name is damaged (the bytes end within the value "
        + "at 3) where a well-formed value was expected")
  }
}
