internal import SedimentIO

/// Walks the entries of one table of an ordered keyspace, in order or back.
///
/// A block is looked for in the page cache, where it stays pinned while the cursor is in it, and
/// read otherwise. One thread at a time.
package struct OrderedTableCursor: ~Copyable {
  private let table: OrderedTableReader
  private let cache: PageCache?
  private var pinned: PageCache.PinnedPage?
  private var buffer: BlockBuffer?
  private var cursor = BlockCursor()
  /// The block it is in; −1 before the first.
  private var blockIndex = -1

  /// A cursor at no entry. Without a cache every block is read.
  package init(_ table: OrderedTableReader, cache: PageCache?) {
    self.table = table
    self.cache = cache
  }

  deinit {
    if let pinned { cache?.unpin(pinned) }
  }

  /// Whether it is at an entry.
  package var isValid: Bool { cursor.isValid }
  /// The entry's key; good until the cursor moves.
  package var key: UnsafeRawBufferPointer { unsafe cursor.key }
  /// When it was written, and what it does.
  package var tag: EntryTag { cursor.tag.raised(by: table.tagBase) }
  /// Its value, the time of its expiry in front where it has one; good until the cursor moves.
  package var value: UnsafeRawBufferPointer { unsafe cursor.value }

  /// Goes to the first entry of `key` that is no newer than `tag`, or to the first behind; to none
  /// when there is none.
  package mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    var index = unsafe table.index.block(of: key)
    while true {
      try enter(index)
      unsafe cursor.seek(key, tag: tag)
      // Versions of one key may fill blocks.
      if cursor.isValid || index + 1 == table.index.blockCount { break }
      index += 1
    }
    // What is sorted input has no number in the file to be told newer by.
    if table.tagBase > tag.word, cursor.isValid, unsafe KeyOrder.compare(cursor.key, key) == 0 {
      try moveNext()
    }
  }

  /// Goes to the last entry before where `seek` goes.
  package mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    try unsafe seek(key, tag: tag)
    if cursor.isValid {
      try movePrevious()
    } else {
      try seekToLast()
    }
  }

  /// Goes to the first entry.
  package mutating func seekToFirst() throws {
    try enter(0)
    cursor.seekToFirst()
  }

  /// Goes to the last entry.
  package mutating func seekToLast() throws {
    try enter(table.index.blockCount - 1)
    cursor.seekToLast()
  }

  /// Goes one on; the cursor is at an entry.
  package mutating func moveNext() throws {
    cursor.moveNext()
    try moveIntoNextBlock()
  }

  /// Goes one back; the cursor is at an entry.
  package mutating func movePrevious() throws {
    cursor.movePrevious()
    if !cursor.isValid, blockIndex > 0 {
      try enter(blockIndex - 1)
      cursor.seekToLast()
    }
  }

  private mutating func moveIntoNextBlock() throws {
    if !cursor.isValid, blockIndex + 1 < table.index.blockCount {
      try enter(blockIndex + 1)
      cursor.seekToFirst()
    }
  }

  private mutating func enter(_ index: Int) throws {
    guard index != blockIndex else { return }
    // Until the block is there the cursor is in none.
    cursor.enter(nil)
    blockIndex = -1
    if let pinned = pinned.take() { cache?.unpin(pinned) }
    cursor.enter(try block(index))
    blockIndex = index
  }

  private mutating func block(_ index: Int) throws -> BlockView {
    let (fileID, unit) = (table.metadata.fileID, UInt32(truncatingIfNeeded: index))
    if let page = cache?.lookup(fileID: fileID, unit: unit) {
      pinned = page
      return unsafe BlockView(checked: page.address)
    }
    let buffer = self.buffer ?? BlockBuffer()
    self.buffer = buffer
    let view = try table.readBlock(index, into: buffer)
    if view.byteCount <= BlockFormat.bytesMax {
      unsafe cache?.insert(fileID: fileID, unit: unit, copying: buffer.blockBase)
    }
    return view
  }
}
