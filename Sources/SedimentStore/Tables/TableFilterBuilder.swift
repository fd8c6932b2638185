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

  /// Adds the next hash of the table; repeats are dropped.
  @inline(__always)
  mutating func add(_ hash: KeyHash) {
    hashCount += 1
    bloom?.add(hash)
    fuse?.add(hash)
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
