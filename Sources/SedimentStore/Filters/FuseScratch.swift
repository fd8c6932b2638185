/// How many cells a binary fuse filter gets. The numbers are stored with the filter, so they may
/// change.
enum FuseSizing {
  /// The layout for `keys` keys: the paper's segment length and its 1.125 cells a key for large
  /// filters, more for small ones.
  static func layout(keys: Int, planes: UInt8, seed: UInt64) -> BinaryFuseLayout {
    // Paper: segment length 2^floor(log(n) / log(3.33) + 2.25).
    var exponent = 2
    var keysOfNext = 2.465  // 3.33^(3 - 2.25): from here on the exponent is 3
    while exponent < 18 && Double(keys) >= keysOfNext {
      exponent += 1
      keysOfNext *= 3.33
    }
    let segmentLength = 1 << exponent
    // Paper: max(1.125, 0.875 + 0.25 log(10^6) / log(n)).
    let factor = max(1.125, 0.875 + 0.25 * 19.93 / log2(max(keys, 2)))
    let segments = (Int(Double(keys) * factor) + segmentLength - 1) / segmentLength
    return BinaryFuseLayout(
      seed: seed, planes: planes, segmentLength: UInt32(segmentLength),
      segmentCount: UInt32(max(1, segments - 2)))
  }

  /// Logarithm to base 2, by a straight line between powers of two; never more than the true one.
  private static func log2(_ number: Int) -> Double {
    let whole = Int.bitWidth - 1 - number.leadingZeroBitCount
    return Double(whole) + Double(number) / Double(1 << whole) - 1
  }
}

/// The memory in which a binary fuse filter is worked out, and the steps that use it.
///
/// Every array is as long as its comment says; positions come from a `FuseMapping` of a layout with
/// at most `cellCount` cells.
@safe
struct FuseScratch: ~Copyable {
  private let keyCount: Int
  private let cellCount: Int
  /// First the words by segment, then the words in the order in which they were peeled: keys + 1.
  private let order: UnsafeMutablePointer<UInt64>
  /// Which of its three cells each peeled word decides: keys.
  private let decided: UnsafeMutablePointer<UInt8>
  /// Exclusive or of the words that use a cell: cells.
  private let words: UnsafeMutablePointer<UInt64>
  /// Four times the number of words that use a cell, and the exclusive or of which of their three
  /// it is: cells.
  private let uses: UnsafeMutablePointer<UInt8>
  /// Cells with one word left: cells + 2, because two more are written before they are counted.
  private let alone: UnsafeMutablePointer<UInt32>
  /// The values: cells.
  private let values: UnsafeMutablePointer<UInt16>
  /// All of it: given back to the system at once, where the heap would keep it.
  private let memory: AlignedBytes

  /// Memory for `keys` keys and `cells` cells.
  init(keys: Int, cells: Int) {
    (keyCount, cellCount) = (keys, cells)
    // Those of wide elements first, so that each is aligned.
    memory = AlignedBytes(uninitialized: 9 * keys + 8 + 15 * cells + 8)
    var next = unsafe memory.base
    func take<Element>(_ count: Int, of: Element.Type) -> UnsafeMutablePointer<Element> {
      defer { unsafe next += count * MemoryLayout<Element>.stride }
      return unsafe next.bindMemory(to: Element.self, capacity: count)
    }
    unsafe order = take(keys + 1, of: UInt64.self)
    unsafe words = take(cells, of: UInt64.self)
    unsafe alone = take(cells + 2, of: UInt32.self)
    unsafe values = take(cells, of: UInt16.self)
    unsafe uses = take(cells, of: UInt8.self)
    unsafe decided = take(keys, of: UInt8.self)
  }

  /// Finds an order in which each word decides a cell; false if this seed has none.
  mutating func peel(
    _ keys: UnsafePointer<UInt64>, count: Int, _ layout: BinaryFuseLayout
  ) -> Bool {
    precondition(count <= keyCount && layout.cellCount <= cellCount, "scratch is too small")
    let mapping = layout.mapping
    unsafe orderBySegment(keys, count: count, mapping, segments: Int(layout.segmentCount))
    guard countUses(count, mapping) else { return false }
    var waiting = 0
    for cell in 0..<layout.cellCount {
      unsafe alone[waiting] = UInt32(cell)
      waiting &+= unsafe uses[cell] &>> 2 == 1 ? 1 : 0
    }
    var peeled = 0
    while waiting > 0 {
      waiting &-= 1
      let cell = unsafe Int(alone[waiting])
      guard unsafe uses[cell] &>> 2 == 1 else { continue }
      let word = unsafe words[cell]
      let which = unsafe uses[cell] & 3
      unsafe order[peeled] = word
      unsafe decided[peeled] = which
      peeled &+= 1
      let place = mapping.place(word)
      let (next, after): (UInt8, UInt8) = which == 0 ? (1, 2) : which == 1 ? (2, 0) : (0, 1)
      waiting = takeOut(word, of: Int(place[next]), next, waiting)
      waiting = takeOut(word, of: Int(place[after]), after, waiting)
    }
    return peeled == count
  }

  /// Takes a word out of a cell it does not decide; returns how many cells wait then.
  @inline(__always)
  private func takeOut(_ word: UInt64, of cell: Int, _ which: UInt8, _ waiting: Int) -> Int {
    unsafe alone[waiting] = UInt32(truncatingIfNeeded: cell)
    let isAlone = unsafe uses[cell] &>> 2 == 2
    unsafe uses[cell] = (uses[cell] &- 4) ^ which
    unsafe words[cell] ^= word
    return waiting &+ (isAlone ? 1 : 0)
  }

  /// Puts the words into `order`, nearly sorted by their first segment: each goes to the next free
  /// place of its part, or of a later part when that is full. A zero marks a free place, and a one
  /// the end.
  private mutating func orderBySegment(
    _ keys: UnsafePointer<UInt64>, count: Int, _ mapping: FuseMapping, segments: Int
  ) {
    unsafe order.initialize(repeating: 0, count: count)
    unsafe order[count] = 1
    let bits = max(1, Int.bitWidth - segments.leadingZeroBitCount)
    let parts = 1 << bits
    unsafe withUnsafeTemporaryAllocation(of: Int.self, capacity: parts) { next in
      for part in 0..<parts { unsafe next[part] = (part &* count) &>> bits }
      for index in 0..<count {
        let word = unsafe mapping.word(keys[index])
        var part = Int(truncatingIfNeeded: word &>> UInt64(64 &- bits))
        while unsafe order[next[part]] != 0 { part = (part &+ 1) & (parts &- 1) }
        unsafe order[next[part]] = word
        unsafe next[part] &+= 1
      }
    }
  }

  /// Counts the words of each cell; false if a cell has more than can be counted.
  private func countUses(_ count: Int, _ mapping: FuseMapping) -> Bool {
    unsafe uses.initialize(repeating: 0, count: cellCount)
    unsafe words.initialize(repeating: 0, count: cellCount)
    var overflow = false
    for index in 0..<count {
      let word = unsafe order[index]
      let place = mapping.place(word)
      for which in UInt8(0)..<3 {
        let cell = Int(place[which])
        let sum = unsafe (uses[cell] ^ which) &+ 4
        unsafe uses[cell] = sum
        unsafe words[cell] ^= word
        overflow = overflow || sum < 4
      }
    }
    return !overflow
  }

  /// The image of the filter whose `words` words were peeled.
  mutating func planes(of layout: BinaryFuseLayout, words count: Int) -> AlignedBytes {
    assign(layout.mapping, count: count)
    let image = AlignedBytes(zeroed: layout.imageBytes)
    let (planes, planeBytes) = (Int(layout.planes), layout.planeBytes)
    for octet in 0..<(layout.cellCount + 7) / 8 {
      let cells = min(8, layout.cellCount - octet * 8)
      var (low, high): (UInt64, UInt64) = (0, 0)
      for cell in 0..<cells {
        let value = unsafe UInt64(values[octet &* 8 &+ cell])
        low |= (value & 0xff) &<< UInt64(8 &* cell)
        high |= (value &>> 8) &<< UInt64(8 &* cell)
      }
      (low, high) = (BitPlanes.transposed8x8(low), BitPlanes.transposed8x8(high))
      for plane in 0..<planes {
        let rows = plane < 8 ? low : high
        let byte = UInt8(truncatingIfNeeded: rows &>> UInt64(8 &* (plane & 7)))
        // SAFETY: plane < planes and octet < planeBytes.
        unsafe image.base.storeBytes(
          of: byte, toByteOffset: plane &* planeBytes &+ octet, as: UInt8.self)
      }
    }
    return image
  }

  /// Sets the cells, the last peeled word first.
  private mutating func assign(_ mapping: FuseMapping, count: Int) {
    unsafe values.initialize(repeating: 0, count: cellCount)
    for index in (0..<count).reversed() {
      let word = unsafe order[index]
      let place = mapping.place(word)
      let (a, b, c) = (Int(place.first), Int(place.second), Int(place.third))
      let which = unsafe decided[index]
      let own = Int(place[which])
      // The own cell is still 0, so it does not matter that it is among the three.
      unsafe values[own] =
        UInt16(truncatingIfNeeded: place.fingerprint) ^ values[a] ^ values[b] ^ values[c]
    }
  }
}

extension FuseMapping.Place {
  /// The cell of number 0, 1 or 2.
  @inline(__always)
  subscript(which: UInt8) -> UInt32 {
    which == 0 ? first : which == 1 ? second : third
  }
}
