// Which block of an ordered table a key lies in.
//
// Every block but the first has a separator: the shortest beginning of its first key that is
// greater than the last key before it. A key lies in the last block whose separator is not greater
// than it. Where the versions of one key go on from a block to the next, the separator is the whole
// key and marked, and a search for that key begins in the block before.
//
// As it is on disk and, but for the heads, in memory:
//
//   u32 blocks n │ u32 prefix bytes p
//   u32 × (n + 1)   offset of each block in the file, and where the last one ends
//   u32 × (n + 1)   where each separator begins among theirs, and where the last one ends; the top
//                   bit marks one of a key that goes on
//   p bytes that all separators begin with │ the separators without them
//
// The first eight bytes of each separator behind the prefix are also kept as a number (the head),
// so that a search touches a few cache lines of numbers and mostly one separator.

internal import CSedimentKernels

/// Gathers the index of a table that is being written.
struct BlockIndexBuilder {
  private var offsets: [UInt32] = []
  private var ends: [UInt32] = []
  private var marks: [Bool] = []
  private var separators: [UInt8] = []

  var blockCount: Int { offsets.count }
  /// About the bytes of the section so far.
  var byteCountEstimate: Int { 16 + offsets.count * 8 + separators.count }

  /// Notes the block at `offset`, whose first key comes behind the last of the block before.
  mutating func add(
    offset: UInt64, first: UnsafeRawBufferPointer, behind last: UnsafeRawBufferPointer
  ) {
    offsets.append(UInt32(truncatingIfNeeded: offset))
    guard offsets.count > 1 else {
      ends.append(0)
      marks.append(false)
      return
    }
    let shared = unsafe KeyOrder.sharedPrefix(last, first)
    let isSame = last.count == first.count && shared == first.count
    let count = isSame ? first.count : shared + 1
    unsafe separators.append(contentsOf: UnsafeRawBufferPointer(rebasing: first[..<count]))
    ends.append(UInt32(truncatingIfNeeded: separators.count))
    marks.append(isSame)
  }

  /// The section, for blocks of which the last ends at `end`.
  consuming func finish(end: UInt64) -> ByteWriter {
    let count = offsets.count
    // The separators are in order: what first and last share, all do.
    var prefix = 0
    if count > 1 {
      let first = separators[0..<Int(ends[1])]
      let last = separators[Int(ends[count - 2])...]
      prefix = zip(first, last).prefix { $0 == $1 }.count
    }
    var writer = ByteWriter(capacity: 16 + count * 8 + separators.count)
    writer.writeUInt32(UInt32(truncatingIfNeeded: count))
    writer.writeUInt32(UInt32(truncatingIfNeeded: prefix))
    for offset in offsets { writer.writeUInt32(offset) }
    writer.writeUInt32(UInt32(truncatingIfNeeded: end))
    // The first block has none: its separator begins and ends at 0.
    for index in 0..<count {
      let begin = index == 0 ? 0 : Int(ends[index - 1]) - prefix * (index - 1)
      writer.writeUInt32(UInt32(truncatingIfNeeded: begin) | (marks[index] ? Self.mark : 0))
    }
    writer.writeUInt32(UInt32(truncatingIfNeeded: separators.count - prefix * max(count - 1, 0)))
    writer.writeBytes(Array(separators.prefix(prefix)))
    for index in stride(from: 1, to: count, by: 1) {
      writer.writeBytes(Array(separators[Int(ends[index - 1]) + prefix..<Int(ends[index])]))
    }
    return writer
  }

  static let mark: UInt32 = 1 << 31
}

/// The index of an open table. Immutable.
// @unchecked because its memory is written once, before anyone sees it.
@safe
final class BlockIndex: @unchecked Sendable {
  let blockCount: Int
  private let section: UnsafeMutableRawPointer
  private let sectionBytes: Int
  private let heads: UnsafeMutablePointer<UInt64>
  private let prefixCount: Int
  private let prefix: UnsafeRawPointer
  private let separators: UnsafeRawPointer

  /// Takes over the bytes of a section, whose checksum was right, also when it throws.
  ///
  /// - Parameter blocksEnd: where the blocks of the file end.
  /// - Throws: `BlockFlaw` when the section contradicts itself.
  static func make(
    taking section: UnsafeMutableRawPointer, byteCount: Int, blocksEnd: UInt64
  ) throws(BlockFlaw) -> BlockIndex {
    if let flaw = unsafe flaw(in: UnsafeRawPointer(section), byteCount, blocksEnd: blocksEnd) {
      unsafe section.deallocate()
      throw BlockFlaw(flaw)
    }
    return unsafe BlockIndex(checked: section, byteCount: byteCount)
  }

  private init(checked section: UnsafeMutableRawPointer, byteCount: Int) {
    blockCount = unsafe Int(UnsafeRawPointer(section).loadLittle(UInt32.self, at: 0))
    prefixCount = unsafe Int(UnsafeRawPointer(section).loadLittle(UInt32.self, at: 4))
    unsafe self.section = unsafe section
    sectionBytes = byteCount
    unsafe prefix = UnsafeRawPointer(section + Self.fixedBytes(blockCount))
    unsafe separators = unsafe prefix + prefixCount
    unsafe heads = .allocate(capacity: blockCount)
    for index in 0..<blockCount {
      let range = separatorRange(index)
      unsafe heads[index] = KeyOrder.head(separators + range.lowerBound, range.count)
    }
  }

  /// Bytes before the prefix.
  private static func fixedBytes(_ blockCount: Int) -> Int { 8 + 8 * (blockCount + 1) }

  deinit {
    unsafe heads.deallocate()
    unsafe section.deallocate()
  }

  /// Bytes of memory it holds.
  var memoryBytes: Int { sectionBytes + 8 * blockCount }

  /// Where a block lies in the file.
  @inline(__always)
  func range(ofBlock index: Int) -> Range<Int> {
    offset(index)..<offset(index &+ 1)
  }

  @inline(__always)
  private func offset(_ index: Int) -> Int {
    unsafe Int(UnsafeRawPointer(section).loadLittle(UInt32.self, at: 8 &+ 4 &* index))
  }

  @inline(__always)
  private func separatorWord(_ index: Int) -> UInt32 {
    unsafe UnsafeRawPointer(section).loadLittle(
      UInt32.self, at: 8 &+ 4 &* (blockCount &+ 1 &+ index))
  }

  @inline(__always)
  private func separatorRange(_ index: Int) -> Range<Int> {
    let mask = BlockIndexBuilder.mark &- 1
    return Int(separatorWord(index) & mask)..<Int(separatorWord(index &+ 1) & mask)
  }

  /// Says where a section contradicts itself; `nil` when what it says lies inside it.
  private static func flaw(
    in section: UnsafeRawPointer, _ byteCount: Int, blocksEnd: UInt64
  ) -> String? {
    guard byteCount >= fixedBytes(1) else { return "\(byteCount) bytes" }
    let count = unsafe Int(section.loadLittle(UInt32.self, at: 0))
    let prefixCount = unsafe Int(section.loadLittle(UInt32.self, at: 4))
    guard count >= 1, count <= (byteCount - 16) / 8 else { return "\(count) blocks" }
    let fixed = fixedBytes(count)
    guard prefixCount <= byteCount - fixed, prefixCount <= EntryLayout.keyBytesMax else {
      return "a prefix of \(prefixCount) bytes"
    }
    func word(_ index: Int) -> UInt32 {
      unsafe section.loadLittle(UInt32.self, at: 8 + 4 * index)
    }
    guard word(0) == 0, UInt64(word(count)) == blocksEnd else { return "blocks elsewhere" }
    let separatorBytes = byteCount - fixed - prefixCount
    var end = 0
    for index in 0..<count {
      guard word(index) < word(index + 1) else { return "block \(index) ends before it begins" }
      let low = Int(word(count + 1 + index) & (BlockIndexBuilder.mark - 1))
      let high = Int(word(count + 2 + index) & (BlockIndexBuilder.mark - 1))
      guard low == end, high >= low, high <= separatorBytes,
        high - low + prefixCount <= EntryLayout.keyBytesMax, index > 0 || high == 0
      else { return "separator \(index) from \(low) to \(high)" }
      end = high
    }
    return end == separatorBytes ? nil : "\(separatorBytes - end) bytes behind the separators"
  }

  // MARK: - Searching

  /// Whether a block begins with another version of the key that the block before ends with.
  @inline(__always)
  func isContinued(into index: Int) -> Bool {
    separatorWord(index) & BlockIndexBuilder.mark != 0
  }

  /// The block in which the newest entry of a key lies, or would lie.
  func block(of key: UnsafeRawBufferPointer) -> Int {
    guard blockCount > 1, let base = key.baseAddress else { return 0 }
    let shared = min(prefixCount, key.count)
    let order = unsafe Int(sediment_compare_bytes(base, prefix, shared))
    if order < 0 || (order == 0 && key.count < prefixCount) { return 0 }
    if order > 0 { return blockCount - 1 }
    let rest = unsafe base + prefixCount
    let count = key.count - prefixCount
    let head = unsafe KeyOrder.head(rest, count)
    var index = lastHead(notAbove: head)
    if index > 0, unsafe heads[index] == head {
      // Of those with this very head, the last that is not greater as a whole.
      var low = head == 0 ? 0 : lastHead(notAbove: head &- 1)
      while low < index {
        let middle = (low &+ index &+ 1) &>> 1
        if unsafe isAbove(separator: middle, rest, count) {
          index = middle &- 1
        } else {
          low = middle
        }
      }
    }
    // A key that goes on from the block before is looked for there first.
    while index > 0, separatorWord(index) & BlockIndexBuilder.mark != 0,
      unsafe isEqual(separator: index, rest, count)
    {
      index -= 1
    }
    return index
  }

  @inline(__always)
  private func lastHead(notAbove head: UInt64) -> Int {
    var base = 0
    var count = blockCount
    while count > 1 {
      let half = count &>> 1
      base = unsafe heads[base &+ half] <= head ? base &+ half : base
      count &-= half
    }
    return base
  }

  @inline(__always)
  private func isAbove(separator index: Int, _ rest: UnsafeRawPointer, _ count: Int) -> Bool {
    let range = separatorRange(index)
    return unsafe KeyOrder.compare(separators + range.lowerBound, range.count, rest, count) > 0
  }

  private func isEqual(separator index: Int, _ rest: UnsafeRawPointer, _ count: Int) -> Bool {
    let range = separatorRange(index)
    return unsafe KeyOrder.compare(separators + range.lowerBound, range.count, rest, count) == 0
  }
}
