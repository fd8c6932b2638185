// Building a binary fuse filter (Graf and Lemire, 2022), in the manner of the authors' reference.
//
//   1. collect the low words of the hashes
//   2. for a seed: order the mixed words by their segments, so that the next step goes through
//      memory from front to back, and count for each cell the words that use it
//   3. peel: a cell that one word uses decides that word; take the word out of its other cells,
//      and go on with those that are left with one
//   4. all words taken: give the cells their values in the opposite order; each word's own cell was
//      the last to be free, so it can be set to make the three cells give the fingerprint
//   5. else another seed. Equal words can never be peeled, so repeats are removed first, once
//
// A seed fails about once in a hundred tables, so all attempts failing means that something else is
// wrong; the caller then takes a Bloom filter.

/// Why a filter could not be built.
package enum FilterBuildError: Error, Hashable, Sendable {
  /// No seed of the given number worked. A blocked Bloom filter always can be built.
  case noSeedWorked(attempts: Int)
  /// More keys than a binary fuse filter holds.
  case tooManyKeys(Int)
}

/// Builds a binary fuse filter: 1.13 cells a key for large tables, three memory accesses a probe.
@safe
package struct BinaryFuseFilterBuilder: ~Copyable {
  /// Bits of a fingerprint, unless another number is asked for: 0.1 % false positives.
  package static let planesDefault = 10
  /// Seeds that are tried before giving up.
  package static let attemptsMax = 32
  /// Most keys, so that the cells stay within 32-bit positions and the scratch within reason.
  package static let keysMax = 1 << 28

  private let planes: UInt8
  private var memory: AlignedBytes
  private var keys: UnsafeMutablePointer<UInt64>
  private var capacity: Int
  private var count = 0
  private var previous: KeyHash?

  /// A builder with room for `expectedKeys` keys; it grows when more come.
  ///
  /// - Parameter planes: Bits of a fingerprint, 1 to 16.
  package init(expectedKeys: Int, planes: Int = planesDefault) {
    precondition((1...16).contains(planes), "\(planes) planes; 1 to 16 are allowed")
    self.planes = UInt8(planes)
    capacity = max(64, min(expectedKeys, BinaryFuseFilterBuilder.keysMax))
    memory = AlignedBytes(uninitialized: capacity * MemoryLayout<UInt64>.stride)
    unsafe keys = memory.base.bindMemory(to: UInt64.self, capacity: capacity)
  }

  /// Most memory that building a filter of `keys` keys takes, collected keys and image included.
  package static func memoryBytes(keys: Int, planes: Int = planesDefault) -> Int {
    let layout = FuseSizing.layout(keys: keys, planes: UInt8(planes), seed: 0)
    let perKey = 2 * MemoryLayout<UInt64>.size + 1
    let perCell = MemoryLayout<UInt64>.size + MemoryLayout<UInt32>.size + 1 + 2
    return keys * perKey + layout.cellCount * perCell + layout.imageBytes
  }

  /// Adds hashes, by their words. Repeats are dropped, those that follow each other at once.
  package mutating func add(
    highs: UnsafePointer<UInt64>, lows: UnsafePointer<UInt64>, count added: Int
  ) {
    if count + added > capacity { grow(to: count + added) }
    var kept = count
    for index in 0..<added {
      let hash = unsafe KeyHash(high: highs[index], low: lows[index])
      if hash == previous { continue }
      previous = hash
      unsafe keys[kept] = hash.low
      kept &+= 1
    }
    count = kept
  }

  /// Ends the filter. The same hashes in the same order give the same bytes.
  package consuming func finish() throws(FilterBuildError) -> FilterImage {
    guard count > 0 else { return FilterImage() }
    guard count <= BinaryFuseFilterBuilder.keysMax else { throw .tooManyKeys(count) }
    // What `keys` points to.
    defer { extendLifetime(memory) }
    let sizedFor = count
    var scratch = FuseScratch(
      keys: count, cells: FuseSizing.layout(keys: count, planes: planes, seed: 0).cellCount)
    for attempt in 1...BinaryFuseFilterBuilder.attemptsMax {
      // Any well-spread sequence will do: the hashes themselves are keyed and random.
      let seed = UInt64(attempt) &* 0x9E37_79B9_7F4A_7C15
      let layout = FuseSizing.layout(keys: sizedFor, planes: planes, seed: seed)
      if unsafe scratch.peel(keys, count: count, layout) {
        return FilterImage(
          geometry: FilterGeometry(keyCount: UInt64(count), layout: .binaryFuse(layout)),
          memory: scratch.planes(of: layout, words: count))
      }
      if attempt == 1 { removeRepeats() }
    }
    throw .noSeedWorked(attempts: BinaryFuseFilterBuilder.attemptsMax)
  }

  /// Sorts the keys and keeps one of each.
  private mutating func removeRepeats() {
    var all = unsafe UnsafeMutableBufferPointer(start: keys, count: count)
    unsafe all.sort()
    var kept = 1
    for index in 1..<max(count, 1) where unsafe keys[index] != keys[kept - 1] {
      unsafe keys[kept] = keys[index]
      kept += 1
    }
    count = kept
  }

  private mutating func grow(to needed: Int) {
    capacity = max(needed, capacity * 2)
    var grown = AlignedBytes(uninitialized: capacity * MemoryLayout<UInt64>.stride)
    unsafe grown.base.copyMemory(from: keys, byteCount: count * MemoryLayout<UInt64>.stride)
    swap(&memory, &grown)
    unsafe keys = memory.base.bindMemory(to: UInt64.self, capacity: capacity)
  }
}
