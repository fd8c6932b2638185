// The columns of one page in memory.
//
// `PageShape` is what all pages of a table share; `PageShape.view` checks a page's header against
// the bytes at hand, after which every accessor of the view stays inside the page whatever the page
// says: counts are bounded by the header check, key ends by a scan, kinds by their decoding. Order
// of hashes is relied on for answers, never for memory safety.

internal import CSedimentKernels

/// What all pages of one table have in common.
package struct PageShape: Sendable, Equatable {
  package var isExact: Bool
  package var hasKinds: Bool
  package var valueWidth: Int
  package var timeWidth: Int
  package var timeBase: Int64

  package init(layout: EntryLayout, hasKinds: Bool, timeBase: Int64, timeWidth: Int) {
    isExact = layout.isExact
    valueWidth = Int(layout.valueWidth)
    self.hasKinds = hasKinds
    self.timeWidth = timeWidth
    self.timeBase = timeBase
  }

  /// The bytes that an entry adds to a page beside its key.
  package var entryBytes: Int {
    16 + timeWidth + (hasKinds ? 1 : 0) + valueWidth + (isExact ? 4 : 0)
  }

  /// Bytes a time needs as a difference from the smallest of `bounds`.
  package static func timeWidth(for bounds: ClosedRange<Int64>) -> Int {
    let spread = UInt64(bitPattern: bounds.upperBound &- bounds.lowerBound)
    return (UInt64.bitWidth - spread.leadingZeroBitCount + 7) / 8
  }

  /// The view of a page that was checked before.
  @inline(__always)
  package func view(checked page: UnsafeRawPointer) -> PageView {
    unsafe PageView(page, shape: self)
  }

  /// Says what is wrong with the header or key ends of a page of `units` units, `nil` when nothing.
  func flaw(in page: UnsafeRawPointer, units: Int) -> String? {
    let count = unsafe Int(page.loadLittle(UInt32.self, at: 8))
    let unitCount = unsafe Int(page.loadLittle(UInt32.self, at: 12))
    let keyBytes = unsafe Int(page.loadLittle(UInt32.self, at: 16))
    if unitCount != units { return "page has \(unitCount) units, the index says \(units)" }
    if count == 0 { return "empty page" }
    let body = units * TableFormat.unitBytes - TableFormat.pageHeaderBytes
    // Both factors are below 2³² and the width below 2⁷: no overflow in 64 bits.
    if count * entryBytes + keyBytes > body { return "\(count) entries do not fit the page" }
    guard isExact else { return keyBytes == 0 ? nil : "keys in a table without keys" }
    let ends = unsafe page + TableFormat.pageHeaderBytes + count * (entryBytes - 4)
    var last: UInt32 = 0
    for index in 0..<count {
      let end = unsafe ends.loadLittle(UInt32.self, at: index * 4)
      if end < last { return "key \(index) ends before it begins" }
      if end - last > EntryLayout.keyBytesMax { return "key \(index) has \(end - last) bytes" }
      last = end
    }
    return Int(last) == keyBytes ? nil : "keys end at \(last) of \(keyBytes) bytes"
  }
}

/// A borrowed view of the columns of one checked page; valid as long as the page's memory.
@safe
package struct PageView {
  /// Entries in the page.
  package let count: Int
  /// Little-endian, as the two columns lie in the page.
  let highs: UnsafePointer<UInt64>
  let lows: UnsafePointer<UInt64>
  private let times: UnsafeRawPointer
  private let kinds: UnsafeRawPointer
  private let values: UnsafeRawPointer
  private let keyEnds: UnsafeRawPointer
  private let keys: UnsafeRawPointer
  private let timeBase: Int64
  private let timeWidth: Int
  private let valueWidth: Int
  private let hasKinds: Bool
  private let isExact: Bool

  /// SAFETY: `page` was checked, so every column lies inside it; it is aligned to 8 bytes, and so
  /// are the two columns of words, 24 bytes in.
  @inline(__always)
  fileprivate init(_ page: UnsafeRawPointer, shape: PageShape) {
    let count = unsafe Int(page.loadLittle(UInt32.self, at: 8))
    self.count = count
    var at = unsafe page + TableFormat.pageHeaderBytes
    unsafe highs = unsafe at.assumingMemoryBound(to: UInt64.self)
    unsafe at += count * 8
    unsafe lows = unsafe at.assumingMemoryBound(to: UInt64.self)
    unsafe at += count * 8
    unsafe times = unsafe at
    unsafe at += count * shape.timeWidth
    unsafe kinds = unsafe at
    unsafe at += shape.hasKinds ? count : 0
    unsafe values = unsafe at
    unsafe at += count * shape.valueWidth
    unsafe keyEnds = unsafe at
    unsafe at += shape.isExact ? count * 4 : 0
    unsafe keys = unsafe at
    timeBase = shape.timeBase
    timeWidth = shape.timeWidth
    valueWidth = shape.valueWidth
    hasKinds = shape.hasKinds
    isExact = shape.isExact
  }

  /// The upper word of entry `index`'s hash.
  @inline(__always)
  package func high(at index: Int) -> UInt64 {
    check(index)
    return unsafe UInt64(littleEndian: highs[index])
  }

  /// The hash of entry `index`.
  @inline(__always)
  package func hash(at index: Int) -> KeyHash {
    check(index)
    return unsafe KeyHash(
      high: UInt64(littleEndian: highs[index]), low: UInt64(littleEndian: lows[index]))
  }

  /// The time of entry `index`.
  @inline(__always)
  package func time(at index: Int) -> Int64 {
    check(index)
    // SAFETY: reads the 8 bytes that end with this time. They begin in the columns of words before
    // it at the earliest, so they are inside the page at every width.
    let word = unsafe times.loadLittle(UInt64.self, at: (index + 1) * timeWidth - 8)
    return timeBase &+ Int64(bitPattern: word >> UInt64(64 - 8 * timeWidth))
  }

  /// The column of times.
  var pageTimes: PageTimes {
    unsafe PageTimes(times, base: timeBase, width: timeWidth)
  }

  /// The kind of entry `index`; `nil` for a number that is none.
  @inline(__always)
  package func kind(at index: Int) -> EntryKind? {
    check(index)
    guard hasKinds else { return .insert }
    return unsafe EntryKind(rawValue: kinds.load(fromByteOffset: index, as: UInt8.self))
  }

  /// The value of entry `index`: the layout's `valueWidth` bytes.
  @inline(__always)
  package func value(at index: Int) -> UnsafeRawPointer {
    check(index)
    return unsafe values + index * valueWidth
  }

  /// The key of entry `index`; empty in fingerprint mode.
  @inline(__always)
  package func key(at index: Int) -> UnsafeRawBufferPointer {
    check(index)
    guard isExact else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    let begin = index == 0 ? 0 : unsafe Int(keyEnds.loadLittle(UInt32.self, at: index * 4 - 4))
    let end = unsafe Int(keyEnds.loadLittle(UInt32.self, at: index * 4))
    return unsafe UnsafeRawBufferPointer(start: keys + begin, count: end - begin)
  }

  /// Entry `index` as a whole. A kind that is none reads as `insert`: `TableReader` refuses such
  /// pages before a view of them gets here.
  @inline(__always)
  package func entry(at index: Int) -> EntryReference {
    let key = unsafe key(at: index)
    return unsafe EntryReference(
      hash: hash(at: index), time: time(at: index), kind: kind(at: index) ?? .insert,
      value: value(at: index), key: key.baseAddress,
      keyLength: UInt32(truncatingIfNeeded: key.count))
  }

  @inline(__always)
  private func check(_ index: Int) {
    precondition(index >= 0 && index < count, "entry index out of the page")
  }
}

/// The times of one checked page, without the checks of a `PageView`: for whoever goes through all.
@safe
struct PageTimes {
  /// 8 bytes before the end of the first time.
  private let words: UnsafeRawPointer
  private let base: Int64
  private let width: Int
  private let shift: UInt64
  private let mask: UInt64

  /// SAFETY: `times` is the column of a checked page.
  fileprivate init(_ times: UnsafeRawPointer, base: Int64, width: Int) {
    unsafe words = times + width - 8
    self.base = base
    self.width = width
    // A width of 0 would be a shift by 64.
    shift = UInt64(64 - 8 * width) & 63
    mask = width == 0 ? 0 : .max
  }

  /// SAFETY: `index` is an entry of the page. The 8 bytes that end with its time begin in the
  /// columns of words at the earliest.
  @inline(__always)
  subscript(index: Int) -> Int64 {
    let word = unsafe words.loadLittle(UInt64.self, at: index &* width)
    return base &+ Int64(bitPattern: (word & mask) &>> shift)
  }
}

extension PageView {
  /// The entries whose hash is `hash`, newest first; empty when there are none.
  ///
  /// - Parameter part: about where in the page to look, as `TableProbe.place(for:)` says. Hashes
  ///   are uniform, so that is some √n entries off, mostly the same or the next cache line, where a
  ///   binary search would miss five times.
  package func range(of hash: KeyHash, near part: Float) -> Range<Int> {
    var index = lowerBound(of: hash.high, near: Int(part * Float(count)))
    while index < count, high(at: index) == hash.high, self.hash(at: index).low < hash.low {
      index += 1
    }
    var end = index
    while end < count, self.hash(at: end) == hash { end += 1 }
    return index..<end
  }

  /// The first entry whose `high` is not below `target`; `count` when there is none.
  ///
  /// - Parameter guess: where the search begins; any number will do.
  package func lowerBound(of target: UInt64, near guess: Int) -> Int {
    guard count > 0 else { return 0 }
    // high(low) < target ≤ high(top) throughout, the ends being −1 and `count`.
    var low = -1
    var top = count
    let guess = max(0, min(guess, count - 1))
    var step = 4
    if high(at: guess) < target {
      low = guess
      while low + step < top, high(at: low + step) < target {
        low += step
        step *= 2
      }
      top = min(top, low + step)
    } else {
      top = guess
      while top - step > low, high(at: top - step) >= target {
        top -= step
        step *= 2
      }
      low = max(low, top - step)
    }
    while top - low > 1 {
      let middle = (low + top) / 2
      if high(at: middle) < target { low = middle } else { top = middle }
    }
    return top
  }

  /// The first entry whose `high` is above `bound`; `count` when there is none.
  package func upperBound(of bound: UInt64) -> Int {
    bound == .max ? count : lowerBound(of: bound + 1, near: count / 2)
  }

  /// Whether every kind is one of the three.
  var hasValidKinds: Bool {
    guard hasKinds else { return true }
    var largest: UInt8 = 0
    for index in 0..<count {
      largest = unsafe max(largest, kinds.load(fromByteOffset: index, as: UInt8.self))
    }
    return EntryKind(rawValue: largest) != nil
  }

  /// The first entry that stands before its predecessor, `nil` when the page is in order.
  var firstDisorder: Int? {
    guard var before = count > 0 ? high(at: 0) : nil else { return nil }
    for index in 1..<count {
      // SAFETY: the index is below `count`.
      let here = unsafe UInt64(littleEndian: highs[index])
      if here <= before, hash(at: index) < hash(at: index - 1) { return index }
      before = here
    }
    return nil
  }
}

extension PageShape {
  /// Asks for the memory that `range(of:near:)` and the time of what it finds will read.
  ///
  /// - Parameters:
  ///   - page: memory of a page of this shape, which need not be there yet.
  ///   - entries: about how many entries it has.
  ///   - part: as for `range(of:near:)`.
  @inline(__always)
  func prefetch(_ page: UnsafeRawPointer, entries: Int, near part: Float) {
    let place = Int(part * Float(entries))
    let highs = unsafe page + TableFormat.pageHeaderBytes
    unsafe sediment_prefetch_read(page)
    // The guess is a few entries off: what is on either side.
    unsafe sediment_prefetch_read(highs + (place - Self.guessError) * 8)
    unsafe sediment_prefetch_read(highs + (place + Self.guessError) * 8)
    unsafe sediment_prefetch_read(highs + (entries + place) * 8)
    unsafe sediment_prefetch_read(highs + entries * 16 + place * timeWidth)
  }

  /// Entries by which a guess is mostly off at most.
  private static let guessError = 6
}

extension UnsafeRawPointer {
  /// The little-endian integer at `offset`, whatever its alignment.
  @inline(__always)
  func loadLittle<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T {
    unsafe T(littleEndian: loadUnaligned(fromByteOffset: offset, as: T.self))
  }
}

extension UnsafeMutableRawPointer {
  /// Stores a little-endian integer at `offset`, whatever its alignment.
  @inline(__always)
  func storeLittle<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, at offset: Int) {
    unsafe storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
  }
}
