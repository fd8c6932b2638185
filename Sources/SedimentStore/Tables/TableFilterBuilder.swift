/// Builds the filter that a table's plan asks for.
struct TableFilterBuilder: ~Copyable {
  private var bloom: BlockedBloomFilterBuilder?

  init(_ plan: TableWriter.Plan) {
    switch plan.filter {
    case .none: bloom = nil
    case .blockedBloom(let bitsPerKey):
      bloom = BlockedBloomFilterBuilder(
        expectedKeys: plan.expectedEntries, bitsPerKey: bitsPerKey,
        rangeLow: plan.hashRange.lowerBound, rangeHigh: plan.hashRange.upperBound)
    }
  }

  /// Bytes of memory in use; about those of the finished image.
  var memoryBytes: Int {
    switch bloom {
    case .some(let builder): builder.memoryBytes
    case .none: 0
    }
  }

  /// Adds the next hash of the table; repeats are dropped.
  @inline(__always)
  mutating func add(_ hash: KeyHash) { bloom?.add(hash) }

  /// Ends the filter.
  mutating func finish() -> FilterImage {
    bloom.take()?.finish() ?? FilterImage()
  }
}
