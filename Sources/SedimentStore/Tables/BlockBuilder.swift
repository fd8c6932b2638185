// A block of an ordered table: entries in order, keys without what they share with the one before.
//
// In memory, which is what a table's file holds of it when it is not compressed:
//
//      0  u32  R, where the restarts begin
//      4  u16  number of restarts
//      6  u16  number of entries
//      8  entries
//      R  u16 for each restart: where its entry lies
//
//   entry:  varint shared │ varint rest │ varint value length │ varint tag │ rest of key │ value
//
// `shared` bytes of the key are those of the key before. Every sixteenth entry, the first among
// them, is a restart: its key is whole, so that a search may begin there. A block has at most 4096
// bytes, a frame of the page cache, but one that is longer than that: it has a single entry.

/// The constants of blocks. On disk: never change.
enum BlockFormat {
  static let headerBytes = 8
  /// Bytes of a block with several entries at most.
  static let bytesMax = TableFormat.unitBytes
  /// From one restart to the next, in entries.
  static let restartInterval = 16
  /// Restarts of the shortest entries that there can be, of which 4 bytes are varints.
  static let restartsMax = bytesMax / 4 / restartInterval + 1
  /// The longest value, with the time of its expiry.
  static let valueBytesMax = 64 << 20 + 8
  /// What a block can be at the most: one entry.
  static let jumboBytesMax =
    headerBytes + 2 + 4 * 10 + EntryLayout.keyBytesMax + valueBytesMax
}

/// Gathers the entries of one block.
@safe
struct BlockBuilder: ~Copyable {
  private var memory: UnsafeMutableRawPointer
  private var capacity = BlockFormat.bytesMax + 64
  private let restarts: UnsafeMutablePointer<UInt16>
  private var restartCount = 0
  /// Bytes of header and entries.
  private var end = BlockFormat.headerBytes
  private(set) var entryCount = 0
  /// The last key, whole.
  private let lastKey: UnsafeMutableRawPointer
  private(set) var lastKeyCount = 0

  init() {
    unsafe memory = .allocate(byteCount: capacity, alignment: 8)
    unsafe restarts = .allocate(capacity: BlockFormat.restartsMax)
    unsafe lastKey = .allocate(byteCount: EntryLayout.keyBytesMax, alignment: 8)
  }

  deinit {
    unsafe memory.deallocate()
    unsafe restarts.deallocate()
    unsafe lastKey.deallocate()
  }

  var isEmpty: Bool { entryCount == 0 }

  /// The key appended last; good until the next.
  var last: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: lastKey, count: lastKeyCount)
  }

  /// Bytes of the block if it ended here.
  var byteCount: Int { end + 2 * restartCount }

  /// Appends an entry that comes behind those before.
  ///
  /// - Returns: `false` when it does not fit, and then nothing is changed; in an empty block every
  ///   entry does.
  /// - Precondition: the key has at most 65,536 bytes, the value `BlockFormat.valueBytesMax`.
  mutating func append(
    _ key: UnsafeRawBufferPointer, _ tag: EntryTag, _ value: UnsafeRawBufferPointer
  ) -> Bool {
    precondition(
      key.count <= EntryLayout.keyBytesMax && value.count <= BlockFormat.valueBytesMax,
      "an entry beyond its bounds")
    let isRestart = entryCount % BlockFormat.restartInterval == 0
    // An empty buffer may have no address; no byte of what stands in for it is read.
    let start = unsafe key.baseAddress ?? UnsafeRawPointer(lastKey)
    let shared =
      unsafe isRestart
      ? 0 : KeyOrder.sharedPrefix(lastKey, lastKeyCount, start, key.count)
    let rest = key.count &- shared
    let bytes =
      Varint.byteCount(UInt64(shared)) &+ Varint.byteCount(UInt64(rest))
      &+ Varint.byteCount(UInt64(value.count)) &+ Varint.byteCount(tag.word) &+ rest &+ value.count
    let needed = end &+ bytes &+ 2 &* (restartCount &+ (isRestart ? 1 : 0))
    if needed > BlockFormat.bytesMax {
      guard entryCount == 0 else { return false }
      grow(to: needed)
    }
    if isRestart {
      unsafe restarts[restartCount] = UInt16(truncatingIfNeeded: end)
      restartCount &+= 1
    }
    // SAFETY: the entry's bytes were just counted, and there is room for them.
    unsafe memory.storeVarint(UInt64(shared), at: &end)
    unsafe memory.storeVarint(UInt64(rest), at: &end)
    unsafe memory.storeVarint(UInt64(value.count), at: &end)
    unsafe memory.storeVarint(tag.word, at: &end)
    unsafe (memory + end).copyMemory(from: start + shared, byteCount: rest)
    end &+= rest
    if let source = value.baseAddress {
      unsafe (memory + end).copyMemory(from: source, byteCount: value.count)
    }
    end &+= value.count
    unsafe (lastKey + shared).copyMemory(from: start + shared, byteCount: rest)
    lastKeyCount = key.count
    entryCount &+= 1
    return true
  }

  private mutating func grow(to needed: Int) {
    guard needed > capacity else { return }
    let grown = UnsafeMutableRawPointer.allocate(byteCount: needed, alignment: 8)
    unsafe grown.copyMemory(from: memory, byteCount: end)
    unsafe memory.deallocate()
    unsafe memory = grown
    capacity = needed
  }

  /// Ends the block, which is good until the next entry; `removeAll` begins another.
  mutating func finish() -> UnsafeRawBufferPointer {
    unsafe memory.storeLittle(UInt32(truncatingIfNeeded: end), at: 0)
    unsafe memory.storeLittle(UInt16(truncatingIfNeeded: restartCount), at: 4)
    unsafe memory.storeLittle(UInt16(truncatingIfNeeded: entryCount), at: 6)
    for index in 0..<restartCount {
      unsafe memory.storeLittle(restarts[index], at: end + 2 * index)
    }
    return unsafe UnsafeRawBufferPointer(start: memory, count: byteCount)
  }

  /// Empties the builder; the last key stays, for a separator from the next.
  mutating func removeAll() {
    restartCount = 0
    end = BlockFormat.headerBytes
    entryCount = 0
  }
}
