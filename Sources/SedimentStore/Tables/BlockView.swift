internal import CSedimentKernels

/// A block of an ordered table that was found whole: looking into it checks nothing again.
///
/// A trivial value; whoever holds the block's memory keeps it while there are views.
@safe
struct BlockView: BitwiseCopyable {
  fileprivate let base: UnsafeRawPointer
  /// Where the restarts begin, which is where the entries end.
  fileprivate let restartsAt: Int
  fileprivate let restartCount: Int

  /// A block in which `flaw` found nothing, or that a builder made.
  @inline(__always)
  init(checked base: UnsafeRawPointer) {
    unsafe self.base = unsafe base
    restartsAt = unsafe Int(base.loadLittle(UInt32.self, at: 0))
    restartCount = unsafe Int(base.loadLittle(UInt16.self, at: 4))
  }

  /// Bytes of the block.
  var byteCount: Int { restartsAt + 2 * restartCount }

  @inline(__always)
  fileprivate func restart(_ index: Int) -> Int {
    unsafe Int(base.loadLittle(UInt16.self, at: restartsAt &+ 2 &* index))
  }

  /// Whether the entry at a restart lies before a place.
  @inline(__always)
  fileprivate func isBefore(
    restart index: Int, _ key: UnsafeRawPointer, _ count: Int, _ tag: EntryTag
  ) -> Bool {
    // Behind the byte for the 0 bytes that are shared.
    var offset = restart(index) &+ 1
    let keyCount = unsafe Int(truncatingIfNeeded: base.loadVarint(at: &offset))
    _ = unsafe base.loadVarint(at: &offset)
    let own = EntryTag(word: unsafe base.loadVarint(at: &offset))
    let order = unsafe KeyOrder.compare(base + offset, keyCount, key, count)
    return order < 0 || (order == 0 && own > tag)
  }

  /// Says what is wrong with bytes that are to be a block; `nil` when a view of them stays inside
  /// them whatever it is asked. The order of the keys is not looked at.
  static func flaw(in bytes: UnsafeRawBufferPointer) -> String? {
    guard bytes.count >= BlockFormat.headerBytes, let base = bytes.baseAddress else {
      return "\(bytes.count) bytes"
    }
    let end = unsafe Int(base.loadLittle(UInt32.self, at: 0))
    let restarts = unsafe Int(base.loadLittle(UInt16.self, at: 4))
    let entries = unsafe Int(base.loadLittle(UInt16.self, at: 6))
    guard end >= BlockFormat.headerBytes, end <= bytes.count, bytes.count - end == 2 * restarts
    else { return "\(restarts) restarts at \(end)" }
    let interval = BlockFormat.restartInterval
    guard entries >= 1, restarts == (entries + interval - 1) / interval else {
      return "\(entries) entries with \(restarts) restarts"
    }
    guard entries == 1 || bytes.count <= BlockFormat.bytesMax else {
      return "\(entries) entries in \(bytes.count) bytes"
    }
    return unsafe flaw(inEntries: base, count: entries, end: end)
  }

  private static func flaw(
    inEntries base: UnsafeRawPointer, count: Int, end: Int
  ) -> String? {
    var offset = BlockFormat.headerBytes
    var keyCount = 0
    for entry in 0..<count {
      let start = offset
      guard let shared = unsafe base.checkedVarint(at: &offset, end: end),
        let rest = unsafe base.checkedVarint(at: &offset, end: end),
        let valueCount = unsafe base.checkedVarint(at: &offset, end: end),
        let word = unsafe base.checkedVarint(at: &offset, end: end)
      else { return "entry \(entry) is cut off" }
      // Each comparison is by subtraction from what is there: no sum can wrap.
      let room = UInt64(end - offset)
      guard rest <= room, valueCount <= room - rest else {
        return "entry \(entry) of \(rest) and \(valueCount) bytes is cut off"
      }
      guard shared <= UInt64(keyCount), shared + rest <= UInt64(EntryLayout.keyBytesMax) else {
        return "entry \(entry) shares \(shared) bytes and has \(rest)"
      }
      let tag = EntryTag(word: word)
      guard tag.isValid, !tag.expires || valueCount >= 8 else { return "tag of entry \(entry)" }
      if entry % BlockFormat.restartInterval == 0 {
        let index = entry / BlockFormat.restartInterval
        let restart = unsafe Int(base.loadLittle(UInt16.self, at: end + 2 * index))
        // A search passes over the one byte of the 0.
        let isShort = unsafe base.load(fromByteOffset: start, as: UInt8.self) == 0
        guard shared == 0, isShort, restart == start else {
          return "restart \(index) at \(restart)"
        }
      }
      keyCount = Int(shared + rest)
      offset += Int(rest + valueCount)
    }
    return offset == end ? nil : "\(end - offset) bytes behind the last entry"
  }
}

/// Walks the entries of a block, in order or back.
///
/// The block's memory is the caller's to keep.
@safe
struct BlockCursor: ~Copyable {
  private var block: BlockView?
  /// Where the entry begins, and where the one behind it does.
  private var start = 0
  private var next = 0
  private var valueAt = 0
  private var valueCount = 0
  private var keyBytes: UnsafeMutableRawPointer
  private var keyCapacity = 256
  private var keyCount = 0
  /// When the entry was written, and what it does.
  private(set) var tag = EntryTag(word: 0)

  /// A cursor without a block.
  init() {
    unsafe keyBytes = .allocate(byteCount: keyCapacity, alignment: 8)
  }

  deinit { unsafe keyBytes.deallocate() }

  /// Looks into a block from now on, at no entry of it; into none with `nil`.
  mutating func enter(_ block: BlockView?) {
    self.block = block
    start = block?.restartsAt ?? 0
    next = start
  }

  /// Whether it is at an entry.
  @inline(__always)
  var isValid: Bool {
    guard let block else { return false }
    return start < block.restartsAt
  }

  /// The entry's key; good until the cursor moves.
  @inline(__always)
  var key: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: keyBytes, count: keyCount)
  }

  /// Its value, the time of its expiry in front where it has one; good as long as the block.
  @inline(__always)
  var value: UnsafeRawBufferPointer {
    guard let block else { return unsafe UnsafeRawBufferPointer(start: nil, count: 0) }
    return unsafe UnsafeRawBufferPointer(start: block.base + valueAt, count: valueCount)
  }

  /// Goes to the first entry of `key` that is no newer than `tag`, or to the first behind; to none
  /// when all lie before.
  mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) {
    guard let block else { return }
    let target = unsafe key.baseAddress ?? UnsafeRawPointer(keyBytes)
    let count = key.count
    var (low, high) = (0, block.restartCount)
    while low < high {
      let middle = (low &+ high) &>> 1
      if unsafe block.isBefore(restart: middle, target, count, tag) {
        low = middle &+ 1
      } else {
        high = middle
      }
    }
    // The entry lies behind the last restart that is before it.
    next = block.restart(max(low &- 1, 0))
    while true {
      start = next
      guard start < block.restartsAt else { return }
      parse(block)
      let order = unsafe KeyOrder.compare(keyBytes, keyCount, target, count)
      if order > 0 || (order == 0 && self.tag <= tag) { return }
    }
  }

  /// Goes to the last entry before where `seek` goes; to none when there is none.
  mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) {
    unsafe seek(key, tag: tag)
    movePrevious()
  }

  /// Goes to the first entry.
  mutating func seekToFirst() {
    guard let block else { return }
    start = block.restart(0)
    next = start
    parse(block)
  }

  /// Goes to the last entry.
  mutating func seekToLast() {
    guard let block else { return }
    start = block.restartsAt
    movePrevious()
  }

  /// Goes one on, or behind the last; the cursor is at an entry.
  @inline(__always)
  mutating func moveNext() {
    guard let block else { return }
    start = next
    if start < block.restartsAt { parse(block) }
  }

  /// Goes one back, or before the first to no entry; the cursor is at an entry or behind the last.
  mutating func movePrevious() {
    guard let block else { return }
    let end = start
    var restart = block.restartCount &- 1
    while restart >= 0, block.restart(restart) >= end { restart &-= 1 }
    guard restart >= 0 else {
      start = block.restartsAt
      next = start
      return
    }
    next = block.restart(restart)
    repeat {
      start = next
      parse(block)
    } while next < end
  }

  /// Reads the entry at `start`, behind the one whose key is in the buffer.
  @inline(__always)
  private mutating func parse(_ block: BlockView) {
    let base = unsafe block.base
    var offset = start
    let shared = unsafe Int(truncatingIfNeeded: base.loadVarint(at: &offset))
    let rest = unsafe Int(truncatingIfNeeded: base.loadVarint(at: &offset))
    valueCount = unsafe Int(truncatingIfNeeded: base.loadVarint(at: &offset))
    tag = EntryTag(word: unsafe base.loadVarint(at: &offset))
    keyCount = shared &+ rest
    if keyCount > keyCapacity { growKey(keeping: shared) }
    // SAFETY: the block was found whole: the entry's bytes lie inside it, and `shared` is no more
    // than the key before has.
    unsafe (keyBytes + shared).copyMemory(from: base + offset, byteCount: rest)
    valueAt = offset &+ rest
    next = valueAt &+ valueCount
  }

  private mutating func growKey(keeping count: Int) {
    let capacity = max(keyCount, 2 * keyCapacity)
    let grown = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 8)
    unsafe grown.copyMemory(from: keyBytes, byteCount: count)
    unsafe keyBytes.deallocate()
    unsafe keyBytes = grown
    keyCapacity = capacity
  }
}
