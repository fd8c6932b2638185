import SedimentStore

/// A generator that repeats itself: splitmix64.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var x = state
    x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
    x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
    return x ^ (x >> 31)
  }
}

/// `count` sorted hashes with `high` in `range`.
func sortedHashes(
  _ count: Int, in range: ClosedRange<UInt64> = 0 ... .max, seed: UInt64
) -> [KeyHash] {
  var generator = SeededGenerator(seed: seed)
  return (0..<count).map { _ in
    KeyHash(high: .random(in: range, using: &generator), low: generator.next())
  }.sorted()
}

extension BlockedBloomFilterBuilder {
  /// Adds hashes, all at once.
  mutating func add(_ hashes: [KeyHash]) {
    unsafe add(highs: hashes.map(\.high), lows: hashes.map(\.low), count: hashes.count)
  }
}

extension BinaryFuseFilterBuilder {
  /// Adds hashes, all at once.
  mutating func add(_ hashes: [KeyHash]) {
    unsafe add(highs: hashes.map(\.high), lows: hashes.map(\.low), count: hashes.count)
  }
}

/// A blocked Bloom filter of `hashes`.
func bloomImage(
  _ hashes: [KeyHash], bitsPerKey: Int = 12, in range: ClosedRange<UInt64> = 0 ... .max
) -> FilterImage {
  var builder = BlockedBloomFilterBuilder(
    expectedKeys: hashes.count, bitsPerKey: bitsPerKey, rangeLow: range.lowerBound,
    rangeHigh: range.upperBound)
  builder.add(hashes)
  return builder.finish()
}

/// How many of `hashes` the filter cannot exclude.
func possibleCount(_ hashes: [KeyHash], in filter: LoadedFilter) -> Int {
  let probe = filter.probe
  return hashes.count { probe.mayContain($0) }
}

/// The image as an array.
func imageBytes(_ image: FilterImage) -> [UInt8] {
  unsafe Array(image.bytes)
}
