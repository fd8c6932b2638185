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

  /// Adds hashes, all within the planned range. Repeats of the hash before are dropped; hashes in
  /// order make the building fast, but any order is right.
  package mutating func add(_ hashes: UnsafePointer<KeyHash>, count: Int) {
    for index in 0..<count {
      let hash = unsafe hashes[index]
      precondition(
        hash.high >= plan.rangeLow && hash.high <= plan.rangeHigh, "hash outside the range")
      if hash == previous { continue }
      previous = hash
      keyCount += 1
      let line = Int(truncatingIfNeeded: mapping.line(hash.high))
      if line >= linesUsed { extend(through: line) }
      unsafe setBits(of: hash.low, in: memory.base + line * BlockedBloomLayout.lineBytes)
    }
  }

  /// Adds one hash; see `add(_:count:)`.
  package mutating func add(_ hash: KeyHash) {
    // SAFETY: one hash at the address, which is not kept.
    unsafe withUnsafePointer(to: hash) { unsafe add($0, count: 1) }
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

  @inline(__always)
  private func setBits(of low: UInt64, in line: UnsafeMutableRawPointer) {
    // SAFETY: the line is 64 bytes within the memory, aligned.
    let words = unsafe line.assumingMemoryBound(to: UInt64.self)
    for word in 0..<8 {
      let bit = (low &>> UInt64(6 * word)) & 63
      unsafe words[word] = (UInt64(littleEndian: words[word]) | (1 &<< bit)).littleEndian
    }
  }
}
