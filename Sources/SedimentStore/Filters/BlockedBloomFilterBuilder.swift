internal import CSedimentKernels

/// Builds a blocked Bloom filter in one pass over a table's hashes, which arrive in order.
///
/// The lines are planned from the number of keys that are expected in the planned range; when the
/// table ends before the range does, the lines behind its last key are not stored. Memory grows
/// with the image alone.
package struct BlockedBloomFilterBuilder: ~Copyable {
  /// Bits for each key, unless another number is asked for: 0.46 % false positives.
  package static let bitsPerKeyDefault = 12

  private let plan: BlockedBloomLayout
  private let mapping: LineMapping
  private var memory: AlignedBytes
  private var linesUsed = 0
  private var keyCount: UInt64 = 0
  private var previous: KeyHash?

  /// A builder for `expectedKeys` keys whose `high` lies in `rangeLow...rangeHigh`.
  ///
  /// - Parameter bitsPerKey: 1 to 64. When more keys come than expected, each has fewer.
  package init(
    expectedKeys: Int, bitsPerKey: Int = bitsPerKeyDefault, rangeLow: UInt64 = 0,
    rangeHigh: UInt64 = .max
  ) {
    precondition(rangeLow <= rangeHigh, "the range ends before it begins")
    precondition((1...64).contains(bitsPerKey), "\(bitsPerKey) bits a key; 1 to 64 are allowed")
    let lineBits = UInt64(BlockedBloomLayout.lineBytes * 8)
    let keys = min(UInt64(max(expectedKeys, 1)), UInt64(BlockedBloomLayout.linesMax) * lineBits)
    let wanted = (keys * UInt64(bitsPerKey) + lineBits - 1) / lineBits
    let lines = UInt32(min(wanted, UInt64(BlockedBloomLayout.linesMax)))
    plan = BlockedBloomLayout(
      rangeLow: rangeLow, rangeHigh: rangeHigh, plannedLines: lines, storedLines: lines)
    mapping = plan.mapping
    memory = AlignedBytes(zeroed: min(plan.imageBytes, 1 << 16))
  }

  /// Bytes of memory in use.
  package var memoryBytes: Int { memory.count }

  /// Adds hashes, by their words, all within the planned range. Repeats of the hash before are
  /// dropped; hashes in order make the building fast, but any order is right.
  package mutating func add(
    highs: UnsafePointer<UInt64>, lows: UnsafePointer<UInt64>, count: Int
  ) {
    var index = 0
    while index < count {
      let high = unsafe highs[index]
      precondition(high >= plan.rangeLow && high <= plan.rangeHigh, "hash outside the range")
      let line = mapping.line(high)
      let end = unsafe countUp(to: line, highs, lows, from: index, to: count)
      unsafe fill(Int(truncatingIfNeeded: line), with: lows + index, count: end - index)
      index = end
    }
  }

  /// Ends the filter.
  package consuming func finish() -> FilterImage {
    let layout = BlockedBloomLayout(
      rangeLow: plan.rangeLow, rangeHigh: plan.rangeHigh, plannedLines: plan.plannedLines,
      storedLines: UInt32(linesUsed))
    return FilterImage(
      geometry: FilterGeometry(keyCount: keyCount, layout: .blockedBloom(layout)), memory: memory)
  }

  /// Makes the lines up to `line` part of the image.
  private mutating func extend(through line: Int) {
    linesUsed = line + 1
    let needed = linesUsed * BlockedBloomLayout.lineBytes
    guard needed > memory.count else { return }
    memory.grow(to: min(max(needed, memory.count * 2), plan.imageBytes))
  }

  /// Counts the hashes from `start` on that fall in a line, the first of which does; returns the
  /// index of the next that does not.
  private mutating func countUp(
    to line: UInt64, _ highs: UnsafePointer<UInt64>, _ lows: UnsafePointer<UInt64>,
    from start: Int, to end: Int
  ) -> Int {
    let mapping = mapping
    var high = unsafe highs[start]
    var repeats: UInt64 = unsafe KeyHash(high: high, low: lows[start]) == previous ? 1 : 0
    var index = start &+ 1
    while index < end {
      let next = unsafe highs[index]
      guard mapping.line(next) == line else { break }
      if next == high, unsafe lows[index] == lows[index &- 1] { repeats &+= 1 }
      high = next
      index &+= 1
    }
    previous = unsafe KeyHash(high: high, low: lows[index &- 1])
    keyCount += UInt64(index &- start) - repeats
    return index
  }

  /// Sets the bits of hashes of one line; those of a repeat are set already.
  private mutating func fill(_ line: Int, with lows: UnsafePointer<UInt64>, count: Int) {
    if line >= linesUsed { extend(through: line) }
    // SAFETY: the line is 64 bytes within the memory, aligned.
    let words = unsafe (memory.base + line * BlockedBloomLayout.lineBytes)
      .assumingMemoryBound(to: UInt64.self)
    unsafe sediment_bloom_fill(words, lows, count)
  }
}
