import CSedimentKernels
import SedimentStore
import Testing

@Suite struct BlockedBloomFilterTests {
  static let ranges: [ClosedRange<UInt64>] = [
    0 ... .max, 0x4000_0000_0000_0000...0x7FFF_FFFF_FFFF_FFFF,
    0xFFFF_0000_0000_0000 ... .max, 12345...(12345 + (1 << 33)),
  ]

  @Test(arguments: ranges)
  func keysThatWereAddedAreNeverExcluded(range: ClosedRange<UInt64>) throws {
    for count in [1, 2, 7, 100, 5000] {
      let hashes = sortedHashes(count, in: range, seed: UInt64(count))
      let filter = try LoadedFilter.load(bloomImage(hashes, in: range))
      #expect(possibleCount(hashes, in: filter) == count)
    }
  }

  @Test(arguments: ranges)
  func falsePositivesAreWithinATenthOfTheory(range: ClosedRange<UInt64>) throws {
    let image = bloomImage(sortedHashes(20_000, in: range, seed: 1), in: range)
    let filter = try LoadedFilter.load(image)
    let others = sortedHashes(400_000, in: range, seed: 2)
    let measured = Double(possibleCount(others, in: filter)) / Double(others.count)
    let theory = filter.expectedFalsePositiveRate
    #expect(abs(measured - theory) < theory / 10, "measured \(measured), theory \(theory)")
    #expect(theory < 0.0055)
  }

  @Test func moreBitsAKeyExcludeMore() {
    let rates = [6, 8, 10, 12, 16].map {
      BlockedBloomLayout.falsePositiveRate(keysPerLine: 512 / Double($0))
    }
    #expect(rates == rates.sorted(by: >))
  }

  @Test func aTableThatEndsEarlyStoresNoLinesBehindItsLastKey() throws {
    let all = sortedHashes(10_000, seed: 3)
    let half = Array(all.prefix(5000))
    var builder = BlockedBloomFilterBuilder(expectedKeys: 10_000)
    for hash in half { builder.add([hash]) }
    let image = builder.finish()
    #expect(image.geometry.imageBytes < 10_000 * 12 / 8 * 52 / 100)
    let filter = try LoadedFilter.load(image)
    #expect(possibleCount(half, in: filter) == half.count)
    #expect(filter.expectedFalsePositiveRate < 0.0055)
  }

  @Test func repeatedHashesCountOnce() {
    let hash = KeyHash(high: 5, low: 6)
    let image = bloomImage([hash, hash, hash])
    #expect(image.geometry.keyCount == 1)
  }

  @Test func repeatsAcrossCallsCountOnce() {
    let hashes = sortedHashes(50, seed: 9)
    var builder = BlockedBloomFilterBuilder(expectedKeys: 100)
    for hash in hashes {
      builder.add([hash])
      builder.add([hash, hash])
    }
    let image = builder.finish()
    #expect(image.geometry.keyCount == 50)
    let repeats = Array(repeating: hashes[49], count: 50)
    #expect(imageBytes(image) == imageBytes(bloomImage(hashes + repeats)))
  }

  @Test func theKernelSetsTheBitsOfItsPortableTwin() {
    let lows = sortedHashes(1_000, seed: 10).map(\.low)
    for count in [0, 1, 2, 41, 1_000] {
      var fast = [UInt64](repeating: 1 << 40, count: 8)
      var portable = fast
      unsafe sediment_bloom_fill(&fast, lows, count)
      unsafe sediment_bloom_fill_portable(&portable, lows, count)
      #expect(fast == portable)
      #expect(count == 0 || fast[7] != 1 << 40)
    }
  }

  @Test func aFilterOfManyMegabytesGrowsAsItsKeysCome() throws {
    let step = UInt64.max / 3_000_000
    let hashes = (0..<3_000_000).map {
      KeyHash(high: $0 * step, low: $0 &* 0x9E37_79B9_7F4A_7C15)
    }
    let image = bloomImage(hashes)
    #expect(image.geometry.imageBytes > 4 << 20)
    let filter = try LoadedFilter.load(image)
    #expect(possibleCount(hashes, in: filter) == hashes.count)
    let others = hashes.prefix(100_000).map { KeyHash(high: $0.high, low: ~$0.low) }
    #expect(possibleCount(others, in: filter) < 2_000)
  }

  @Test func anEmptyFilterExcludesNothingAndTakesNothing() throws {
    let image = BlockedBloomFilterBuilder(expectedKeys: 0).finish()
    #expect(image.geometry.imageBytes == 0)
    let filter = try LoadedFilter.load(image)
    #expect(filter.probe.mayContain(KeyHash(high: 1, low: 2)))
  }

  @Test func hashesOutsideTheRangeReadNothingOutsideTheFilter() throws {
    let range: ClosedRange<UInt64> = 1000...1015
    let hashes = (0..<16).map { KeyHash(high: 1000 + UInt64($0), low: UInt64($0)) }
    let filter = try LoadedFilter.load(bloomImage(hashes, bitsPerKey: 64, in: range))
    let probe = filter.probe
    for high in [0, 999, 1016, 1 << 32, UInt64.max - 1, .max] {
      probe.prefetch(KeyHash(high: high, low: 1))
      _ = probe.mayContain(KeyHash(high: high, low: 1))
    }
    #expect(possibleCount(hashes, in: filter) == hashes.count)
  }

  @Test func everyPrefixOfLinesIsAFilter() throws {
    let hashes = sortedHashes(2000, seed: 4)
    let others = sortedHashes(20_000, seed: 5)
    let image = bloomImage(hashes)
    var before = others.count
    for lines in 0...(image.geometry.imageBytes / 64) {
      let filter = try LoadedFilter.load(image, byteBudget: lines * 64 + 63)
      #expect(filter.memoryBytes == lines * 64)
      #expect(possibleCount(hashes, in: filter) == hashes.count)
      let possible = possibleCount(others, in: filter)
      #expect(possible <= before)
      before = possible
    }
    #expect(before < others.count / 100)
  }

  @Test func imageIsGolden() {
    let image = bloomImage(sortedHashes(1000, seed: 6))
    let bytes = imageBytes(image)
    #expect(bytes.count == 1536)
    #expect(Checksum.of(bytes, seed: 0) == 16_249_169_045_207_123_214)
    var writer = ByteWriter()
    image.geometry.encode(to: &writer)
    #expect(Checksum.of(writer.bytes, seed: 0) == 6_942_467_986_140_484_739)
  }
}
