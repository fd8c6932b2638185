/// The columns of the page being filled, in memory that is allocated once and grows only for jumbo
/// pages.
///
/// Entries are appended one by one to all columns; `assemble` copies the first of them behind one
/// another into a page, and `removeFirst` moves the rest to the front. Single owner; the callers
/// check lengths and ask for room before they append.
@safe
struct PageStaging: ~Copyable {
  let shape: PageShape
  private(set) var count = 0
  private(set) var keyBytes = 0
  private var capacity: Int
  private var keyCapacity: Int
  private var highs: UnsafeMutablePointer<UInt64>
  private var lows: UnsafeMutablePointer<UInt64>
  /// Differences from the time base.
  private var times: UnsafeMutablePointer<UInt64>
  private var kinds: UnsafeMutablePointer<UInt8>
  private var values: UnsafeMutableRawPointer
  private var keyEnds: UnsafeMutablePointer<UInt32>
  private var keys: UnsafeMutableRawPointer

  init(shape: PageShape) {
    self.shape = shape
    // One entry beyond a full unit: the one that shows that the unit is full.
    capacity = TableFormat.unitBytes / shape.entryBytes + 1
    keyCapacity = shape.isExact ? TableFormat.unitBytes : 0
    unsafe highs = .allocate(capacity: capacity)
    unsafe lows = .allocate(capacity: capacity)
    unsafe times = .allocate(capacity: capacity)
    unsafe kinds = .allocate(capacity: capacity)
    unsafe keyEnds = .allocate(capacity: capacity)
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

  /// The size of a page of the first `count` entries, unpadded.
  @inline(__always)
  func pageBytes(count: Int, keyBytes: Int) -> Int {
    TableFormat.pageHeaderBytes + count * shape.entryBytes + keyBytes
  }

  /// Makes room for one more entry with a key of `length` bytes. Doubles, so that a jumbo page of
  /// n entries is copied log n times.
  mutating func ensureRoom(keyLength length: Int) {
    if count == capacity {
      let larger = capacity * 2
      unsafe highs = Self.grown(highs, count, larger)
      unsafe lows = Self.grown(lows, count, larger)
      unsafe times = Self.grown(times, count, larger)
      unsafe kinds = Self.grown(kinds, count, larger)
      unsafe keyEnds = Self.grown(keyEnds, count, larger)
      let width = shape.valueWidth
      unsafe values = Self.grown(values, count * width, larger * width)
      capacity = larger
    }
    if keyBytes + length > keyCapacity {
      let larger = max(keyCapacity * 2, keyBytes + length)
      unsafe keys = Self.grown(keys, keyBytes, larger)
      keyCapacity = larger
    }
  }

  private static func grown<T: BitwiseCopyable>(
    _ column: UnsafeMutablePointer<T>, _ count: Int, _ capacity: Int
  ) -> UnsafeMutablePointer<T> {
    let larger = UnsafeMutablePointer<T>.allocate(capacity: capacity)
    unsafe larger.update(from: column, count: count)
    unsafe column.deallocate()
    return unsafe larger
  }

  private static func grown(
    _ column: UnsafeMutableRawPointer, _ bytes: Int, _ capacity: Int
  ) -> UnsafeMutableRawPointer {
    let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
    unsafe larger.copyMemory(from: column, byteCount: bytes)
    unsafe column.deallocate()
    return unsafe larger
  }

  /// Appends an entry; `delta` is its time less the base.
  ///
  /// SAFETY: the caller has made room for one more entry and its key.
  @inline(__always)
  mutating func append(_ entry: EntryReference, delta: UInt64) {
    let index = count
    unsafe highs[index] = entry.hash.high.littleEndian
    unsafe lows[index] = entry.hash.low.littleEndian
    unsafe times[index] = delta
    unsafe kinds[index] = entry.kind.rawValue
    let width = shape.valueWidth
    if width > 0 {
      let place = unsafe values + index * width
      if let value = unsafe entry.value {
        unsafe place.copyMemory(from: value, byteCount: width)
      } else {
        unsafe place.initializeMemory(as: UInt8.self, repeating: 0, count: width)
      }
    }
    if shape.isExact {
      let key = unsafe entry.keyBytes
      if let bytes = key.baseAddress {
        unsafe (keys + keyBytes).copyMemory(from: bytes, byteCount: key.count)
        keyBytes += key.count
      }
      unsafe keyEnds[index] = UInt32(truncatingIfNeeded: keyBytes)
    }
    count = index + 1
  }

  /// Bytes of keys of the first `count` entries.
  func keyBytes(ofFirst count: Int) -> Int {
    shape.isExact && count > 0 ? unsafe Int(keyEnds[count - 1]) : 0
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
    unsafe at.copyMemory(from: highs, byteCount: count * 8)
    unsafe at += count * 8
    unsafe at.copyMemory(from: lows, byteCount: count * 8)
    unsafe at += count * 8
    if shape.timeWidth > 0 {
      // Each store spills into the next time's place, which the next store makes good.
      for index in 0..<count {
        unsafe at.storeLittle(times[index], at: index * shape.timeWidth)
      }
      unsafe at += count * shape.timeWidth
    }
    if shape.hasKinds {
      unsafe at.copyMemory(from: kinds, byteCount: count)
      unsafe at += count
    }
    unsafe at.copyMemory(from: values, byteCount: count * shape.valueWidth)
    unsafe at += count * shape.valueWidth
    if shape.isExact {
      for index in 0..<count {
        unsafe at.storeLittle(keyEnds[index], at: index * 4)
      }
      unsafe at += count * 4
      unsafe at.copyMemory(from: keys, byteCount: keyBytes)
      unsafe at += keyBytes
    }
    let padding = unsafe page + units * TableFormat.unitBytes - at
    unsafe at.initializeMemory(as: UInt8.self, repeating: 0, count: padding)
  }

  /// Adds the hashes of the first `count` entries to the table's filter.
  func addHashes(ofFirst count: Int, to filter: inout TableFilterBuilder) {
    for index in 0..<count {
      unsafe filter.add(
        KeyHash(high: UInt64(littleEndian: highs[index]), low: UInt64(littleEndian: lows[index])))
    }
  }

  /// Drops the first `dropped` entries and moves the others to the front.
  mutating func removeFirst(_ dropped: Int) {
    let rest = count - dropped
    let droppedKeys = keyBytes(ofFirst: dropped)
    if rest > 0 {
      unsafe highs.update(from: highs + dropped, count: rest)
      unsafe lows.update(from: lows + dropped, count: rest)
      unsafe times.update(from: times + dropped, count: rest)
      unsafe kinds.update(from: kinds + dropped, count: rest)
      let width = shape.valueWidth
      unsafe values.copyMemory(from: values + dropped * width, byteCount: rest * width)
      if shape.isExact {
        for index in 0..<rest {
          unsafe keyEnds[index] = keyEnds[index + dropped] &- UInt32(droppedKeys)
        }
        unsafe keys.copyMemory(from: keys + droppedKeys, byteCount: keyBytes - droppedKeys)
      }
    }
    count = rest
    keyBytes -= droppedKeys
  }
}
