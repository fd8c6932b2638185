import SedimentStore
import Testing

@Suite struct BinaryFuseFilterTests {
  private func image(_ hashes: [KeyHash], planes: Int = 10) throws -> FilterImage {
    var builder = BinaryFuseFilterBuilder(expectedKeys: hashes.count, planes: planes)
    builder.add(hashes)
    return try builder.finish()
  }

  @Test func keysThatWereAddedAreNeverExcluded() throws {
    for count in Array(1...40) + [100, 1000, 5000, 30_000] {
      let hashes = sortedHashes(count, seed: UInt64(count))
      let image = try image(hashes)
      #expect(image.geometry.keyCount == UInt64(count))
      #expect(possibleCount(hashes, in: try LoadedFilter.load(image)) == count)
    }
  }

  @Test(arguments: [1, 2, 4, 6, 8, 9, 10])
  func falsePositivesAreWithinATenthOfTheory(planes: Int) throws {
    let hashes = sortedHashes(20_000, seed: 1)
    let image = try image(hashes)
    let filter = try LoadedFilter.load(
      image, byteBudget: 64 + planes * (image.geometry.imageBytes / 10))
    #expect(filter.plan.units == planes)
    #expect(possibleCount(hashes, in: filter) == hashes.count)
    let others = sortedHashes(400_000, seed: 2)
    let measured = Double(possibleCount(others, in: filter)) / Double(others.count)
    let theory = filter.expectedFalsePositiveRate
    #expect(abs(measured - theory) < theory / 10, "measured \(measured), theory \(theory)")
  }

  @Test(arguments: 1...16)
  func everyNumberOfPlanesAndEveryPrefixOfThemIsAFilter(planes: Int) throws {
    let hashes = sortedHashes(700, seed: 3)
    let image = try image(hashes, planes: planes)
    let others = sortedHashes(4000, seed: 4)
    var before = others.count
    for loaded in 0...planes {
      let budget = loaded == 0 ? 0 : 64 + loaded * (image.geometry.imageBytes / planes)
      let filter = try LoadedFilter.load(image, byteBudget: budget)
      #expect(filter.plan.units == loaded)
      #expect(filter.memoryBytes == budget)
      #expect(possibleCount(hashes, in: filter) == hashes.count)
      let possible = possibleCount(others, in: filter)
      #expect(possible <= before)
      before = possible
    }
  }

  @Test func aLargeFilterTakesAtMostAFifthMoreThanItsFingerprints() throws {
    let image = try image(sortedHashes(100_000, seed: 5))
    #expect(Double(image.geometry.imageBytes) < 100_000 * 10 / 8 * 1.20)
    #expect(image.geometry.imageBytes <= BinaryFuseFilterBuilder.memoryBytes(keys: 100_000))
  }

  @Test func repeatsAreDropped() throws {
    let hashes = sortedHashes(500, seed: 6)
    let other = hashes.map { KeyHash(high: ~$0.high, low: $0.low) }
    let image = try image(hashes + hashes + other)
    #expect(image.geometry.keyCount == 500)
    #expect(possibleCount(hashes, in: try LoadedFilter.load(image)) == 500)
  }

  @Test func manyRepeatsOfOneKeyAreOneKey() throws {
    let hashes = (0..<300).map { KeyHash(high: UInt64($0), low: 7) }
    let image = try image(hashes)
    #expect(image.geometry.keyCount == 1)
    #expect(possibleCount(hashes, in: try LoadedFilter.load(image)) == 300)
  }

  @Test func noKeysGiveNoFilter() throws {
    let image = try BinaryFuseFilterBuilder(expectedKeys: 0).finish()
    #expect(image.geometry == .none)
    #expect(try LoadedFilter.load(image).probe.mayContain(KeyHash(high: 0, low: 0)))
  }

  @Test func imageIsGolden() throws {
    let image = try image(sortedHashes(1000, seed: 6))
    let bytes = imageBytes(image)
    #expect(bytes.count == 1920)
    #expect(Checksum.of(bytes, seed: 0) == 18_038_762_424_665_854_841)
    var writer = ByteWriter()
    image.geometry.encode(to: &writer)
    #expect(Checksum.of(writer.bytes, seed: 0) == 7_636_015_848_412_761_736)
  }
}
