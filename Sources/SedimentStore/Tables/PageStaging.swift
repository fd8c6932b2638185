/// The columns of entries that are not in a page yet, in memory that grows only for long keys and
/// jumbo pages.
///
/// Blocks are appended to all columns; `assemble` copies the first entries of the columns behind
/// one another into a page, and `removeFirst` passes over them. Entries move to the front when
/// there is no room behind them. Single owner; the callers check lengths.
///
/// Indices count from the first staged entry.
@safe
struct PageStaging: ~Copyable {
  let shape: PageShape
  /// Staged entries: `lower ..< upper` of the columns; their keys: `keyLower ..< keyUpper` of
  /// `keys`.
  private var lower = 0
  private var upper = 0
  private var keyLower = 0
  private var keyUpper = 0
  private var capacity: Int
  private var keyCapacity: Int
  private var highs: UnsafeMutablePointer<UInt64>
  private var lows: UnsafeMutablePointer<UInt64>
  /// Differences from the time base.
  private var times: UnsafeMutablePointer<UInt64>
  private var kinds: UnsafeMutablePointer<UInt8>
  private var values: UnsafeMutableRawPointer
  /// Where keys end in `keys`.
  private var keyEnds: UnsafeMutablePointer<UInt32>
  private var keys: UnsafeMutableRawPointer

  init(shape: PageShape) {
    self.shape = shape
    // Most of a page is left over when a block comes.
    capacity = TableFormat.unitBytes / shape.entryBytes + 2 * EntryBlock.capacity
    keyCapacity = shape.isExact ? 16 * TableFormat.unitBytes : 0
    unsafe highs = .allocate(capacity: capacity)
    unsafe lows = .allocate(capacity: capacity)
    unsafe times = .allocate(capacity: capacity)
    unsafe kinds = .allocate(capacity: shape.hasKinds ? capacity : 0)
    unsafe keyEnds = .allocate(capacity: shape.isExact ? capacity : 0)
    unsafe values = .allocate(byteCount: capacity * shape.valueWidth, alignment: 8)
    unsafe keys = .allocate(byteCount: keyCapacity, alignment: 8)
  }

  deinit {
    unsafe highs.deallocate()
    unsafe lows.deallocate()
    unsafe times.deallocate()
    unsafe kinds.deallocate()
    unsafe keyEnds.deallocate()
    unsafe values.deallocate()
    unsafe keys.deallocate()
  }

  /// Staged entries.
  @inline(__always) var count: Int { upper - lower }
  /// Bytes of their keys.
  @inline(__always) var keyBytes: Int { keyUpper - keyLower }

  /// The upper word of an entry's hash.
  ///
  /// SAFETY: `index` is below `count`.
  @inline(__always)
  func high(at index: Int) -> UInt64 { unsafe highs[lower + index] }

  /// Bytes of keys of the first `count` entries.
  @inline(__always)
  func keyBytes(ofFirst count: Int) -> Int {
    shape.isExact && count > 0 ? unsafe Int(keyEnds[lower + count - 1]) - keyLower : 0
  }

  /// The size of a page of the first `count` entries, unpadded.
  @inline(__always)
  func pageBytes(ofFirst count: Int) -> Int {
    TableFormat.pageHeaderBytes + count * shape.entryBytes + keyBytes(ofFirst: count)
  }

  /// How many of the first entries fit one unit together.
  func countFittingUnit() -> Int {
    let room = TableFormat.unitBytes - TableFormat.pageHeaderBytes
    var most = min(count, room / shape.entryBytes)
    guard shape.isExact else { return most }
    var fitting = 0
    while fitting < most {
      let middle = (fitting + most + 1) / 2
      if pageBytes(ofFirst: middle) <= TableFormat.unitBytes {
        fitting = middle
      } else {
        most = middle - 1
      }
    }
    return fitting
  }

  /// Appends entries of a block; copies values and keys.
  ///
  /// SAFETY: the range lies within the block's entries, and `keyBytes` is the sum of their keys.
  mutating func append(_ block: borrowing EntryBlock, _ range: Range<Int>, keyBytes: Int) {
    ensureRoom(for: range.count, keyBytes: keyBytes)
    let (from, count) = (range.lowerBound, range.count)
    unsafe (highs + upper).update(from: block.highs + from, count: count)
    unsafe (lows + upper).update(from: block.lows + from, count: count)
    let (given, base, deltas) = unsafe (block.times + from, shape.timeBase, times + upper)
    for index in 0..<count { unsafe deltas[index] = UInt64(bitPattern: given[index] &- base) }
    if shape.hasKinds {
      for index in 0..<count {
        unsafe kinds[upper + index] = block.isPlain ? 0 : block.rest[from + index].kind.rawValue
      }
    }
    if shape.valueWidth > 0 { appendValues(block, range) }
    if shape.isExact { appendKeys(block, range) }
    upper += count
  }

  private func appendValues(_ block: borrowing EntryBlock, _ range: Range<Int>) {
    let width = shape.valueWidth
    var place = unsafe values + upper * width
    for index in range {
      if !block.isPlain, let value = unsafe block.rest[index].value {
        unsafe place.copyMemory(from: value, byteCount: width)
      } else {
        unsafe place.initializeMemory(as: UInt8.self, repeating: 0, count: width)
      }
      unsafe place += width
    }
  }

  private mutating func appendKeys(_ block: borrowing EntryBlock, _ range: Range<Int>) {
    var end = keyUpper
    for index in 0..<range.count {
      if !block.isPlain {
        let rest = unsafe block.rest[range.lowerBound + index]
        if let key = unsafe rest.key {
          unsafe (keys + end).copyMemory(from: key, byteCount: Int(rest.keyLength))
          end &+= Int(rest.keyLength)
        }
      }
      unsafe keyEnds[upper + index] = UInt32(truncatingIfNeeded: end)
    }
    keyUpper = end
  }

  /// Writes the page of the first `count` entries, all but its checksum.
  ///
  /// SAFETY: `page` has room for `units` units and 7 bytes of a last time beyond.
  func assemble(first count: Int, into page: UnsafeMutableRawPointer, units: Int) {
    let keyBytes = keyBytes(ofFirst: count)
    unsafe page.storeLittle(UInt32(truncatingIfNeeded: count), at: 8)
    unsafe page.storeLittle(UInt32(truncatingIfNeeded: units), at: 12)
    unsafe page.storeLittle(UInt32(truncatingIfNeeded: keyBytes), at: 16)
    unsafe page.storeLittle(UInt32(0), at: 20)
    var at = unsafe page + TableFormat.pageHeaderBytes
    unsafe Self.store(highs + lower, count: count, at: at)
    unsafe at += count * 8
    unsafe Self.store(lows + lower, count: count, at: at)
    unsafe at += count * 8
    if shape.timeWidth > 0 {
      let (deltas, width) = unsafe (times + lower, shape.timeWidth)
      // Each store spills into the next time's place, which the next store makes good.
      for index in 0..<count {
        unsafe at.storeLittle(deltas[index], at: 0)
        unsafe at += width
      }
    }
    if shape.hasKinds {
      unsafe at.copyMemory(from: kinds + lower, byteCount: count)
      unsafe at += count
    }
    unsafe at.copyMemory(
      from: values + lower * shape.valueWidth, byteCount: count * shape.valueWidth)
    unsafe at += count * shape.valueWidth
    if shape.isExact {
      let before = UInt32(truncatingIfNeeded: keyLower)
      for index in 0..<count {
        unsafe at.storeLittle(keyEnds[lower + index] &- before, at: index * 4)
      }
      unsafe at += count * 4
      unsafe at.copyMemory(from: keys + keyLower, byteCount: keyBytes)
      unsafe at += keyBytes
    }
    let padding = unsafe page + units * TableFormat.unitBytes - at
    unsafe at.initializeMemory(as: UInt8.self, repeating: 0, count: padding)
  }

  /// SAFETY: `place` has room for the words and is a multiple of 8.
  private static func store(
    _ words: UnsafeMutablePointer<UInt64>, count: Int, at place: UnsafeMutableRawPointer
  ) {
    let target = unsafe place.assumingMemoryBound(to: UInt64.self)
    for index in 0..<count { unsafe target[index] = words[index].littleEndian }
  }

  /// Adds the hashes of the first `count` entries to the table's filter.
  func addHashes(ofFirst count: Int, to filter: inout TableFilterBuilder) {
    unsafe filter.add(highs: highs + lower, lows: lows + lower, count: count)
  }

  /// Drops the first `dropped` entries.
  mutating func removeFirst(_ dropped: Int) {
    keyLower += keyBytes(ofFirst: dropped)
    lower += dropped
  }
}

extension PageStaging {
  /// Makes room behind the entries: moves them to the front, and takes more memory when that is not
  /// enough. Memory doubles, so that a jumbo page of n entries is copied log n times.
  private mutating func ensureRoom(for added: Int, keyBytes addedKeys: Int) {
    if upper + added > capacity {
      var larger = capacity
      while count + added > larger { larger *= 2 }
      move(toCapacity: larger)
    }
    if keyUpper + addedKeys > keyCapacity {
      var larger = keyCapacity
      while keyBytes + addedKeys > larger { larger *= 2 }
      moveKeys(toCapacity: larger)
    }
  }

  private mutating func move(toCapacity larger: Int) {
    let (range, width) = (lower..<upper, shape.valueWidth)
    let isLarger = larger > capacity
    unsafe highs = Self.moved(highs, range, isLarger ? larger : nil)
    unsafe lows = Self.moved(lows, range, isLarger ? larger : nil)
    unsafe times = Self.moved(times, range, isLarger ? larger : nil)
    if shape.hasKinds { unsafe kinds = Self.moved(kinds, range, isLarger ? larger : nil) }
    if shape.isExact { unsafe keyEnds = Self.moved(keyEnds, range, isLarger ? larger : nil) }
    unsafe values = Self.moved(
      values, lower * width..<upper * width, isLarger ? larger * width : nil)
    capacity = larger
    (lower, upper) = (0, range.count)
  }

  private mutating func moveKeys(toCapacity larger: Int) {
    unsafe keys = Self.moved(keys, keyLower..<keyUpper, larger > keyCapacity ? larger : nil)
    for index in lower..<upper {
      unsafe keyEnds[index] &-= UInt32(truncatingIfNeeded: keyLower)
    }
    keyCapacity = larger
    (keyLower, keyUpper) = (0, keyUpper - keyLower)
  }

  /// Moves `range` of a column to its front, or to the front of a new one.
  private static func moved<T: BitwiseCopyable>(
    _ column: UnsafeMutablePointer<T>, _ range: Range<Int>, _ capacity: Int?
  ) -> UnsafeMutablePointer<T> {
    let target = unsafe capacity.map { .allocate(capacity: $0) } ?? column
    unsafe target.update(from: column + range.lowerBound, count: range.count)
    if capacity != nil { unsafe column.deallocate() }
    return unsafe target
  }

  private static func moved(
    _ column: UnsafeMutableRawPointer, _ range: Range<Int>, _ capacity: Int?
  ) -> UnsafeMutableRawPointer {
    let target = unsafe capacity.map { .allocate(byteCount: $0, alignment: 8) } ?? column
    unsafe target.copyMemory(from: column + range.lowerBound, byteCount: range.count)
    if capacity != nil { unsafe column.deallocate() }
    return unsafe target
  }
}
