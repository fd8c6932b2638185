/// Builds the filter that a table's plan asks for. At most one of the builders is there.
struct TableFilterBuilder: ~Copyable {
  private var bloom: BlockedBloomFilterBuilder?
  private var fuse: BinaryFuseFilterBuilder?
  private let fusePlanes: Int
  private var hashCount = 0

  init(_ plan: TableWriter.Plan) {
    bloom = nil
    fuse = nil
    switch plan.filter {
    case .none:
      fusePlanes = 0
    case .blockedBloom(let bitsPerKey):
      fusePlanes = 0
      bloom = BlockedBloomFilterBuilder(
        expectedKeys: plan.expectedEntries, bitsPerKey: bitsPerKey,
        rangeLow: plan.hashRange.lowerBound, rangeHigh: plan.hashRange.upperBound)
    case .binaryFuse(let planes):
      fusePlanes = planes
      fuse = BinaryFuseFilterBuilder(expectedKeys: plan.expectedEntries, planes: planes)
    }
  }

  /// About the bytes of the image of the hashes so far.
  var imageBytesEstimate: Int {
    switch bloom {
    case .some(let builder): builder.memoryBytes
    // 1.13 cells of `fusePlanes` bits a key.
    case .none: hashCount * fusePlanes / 8 * 113 / 100
    }
  }

  /// Adds the next hashes of the table; repeats are dropped.
  mutating func add(
    highs: UnsafePointer<UInt64>, lows: UnsafePointer<UInt64>, count: Int
  ) {
    hashCount += count
    unsafe bloom?.add(highs: highs, lows: lows, count: count)
    unsafe fuse?.add(highs: highs, lows: lows, count: count)
  }

  /// Ends the filter.
  mutating func finish() -> FilterImage {
    if let builder = bloom.take() { return builder.finish() }
    guard let builder = fuse.take() else { return FilterImage() }
    do {
      return try builder.finish()
    } catch {
      // 32 seeds that fail one time in a hundred each. The hashes are gone by now, and a table
      // without a filter answers as well, at a read a lookup.
      return FilterImage()
    }
  }
}
