internal import SedimentIO

/// Memory of one lookup, kept for the next.
// @unchecked because one lookup at a time has it.
final class LookupScratch: @unchecked Sendable {
  fileprivate var cursor = BlockCursor()
  fileprivate let buffer = BlockBuffer()
}

extension OrderedTableReader {
  /// Whether the table may hold entries of a key of this hash.
  @inline(__always)
  func mayContain(_ hash: KeyHash) -> Bool { filter.probe.mayContain(hash) }

  /// Calls `body` with the versions of a key that are no newer than `tag`, newest first, until it
  /// answers `false`.
  ///
  /// - Returns: whether `body` never did.
  func forEachVersion(
    of key: UnsafeRawBufferPointer, from tag: EntryTag, cache: PageCache, scratch: LookupScratch,
    _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws -> Bool {
    // Entries of sorted input are all of one moment.
    if tagBase > tag.word { return true }
    var block = unsafe index.block(of: key)
    while true {
      let goesOn = try unsafe visit(
        block, cache: cache, scratch: scratch, key, from: tag, body)
      guard let goesOn else {
        // All of the block lies before the place.
        block += 1
        if block < blockCount, index.isContinued(into: block) { continue }
        return true
      }
      return goesOn
    }
  }

  /// Looks into one block.
  ///
  /// - Returns: whether `body` never answered `false`; `nil` when versions may go on in the next
  ///   block.
  private func visit(
    _ blockIndex: Int, cache: PageCache, scratch: LookupScratch, _ key: UnsafeRawBufferPointer,
    from tag: EntryTag, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws -> Bool? {
    let unit = UInt32(truncatingIfNeeded: blockIndex)
    if let page = cache.lookup(fileID: metadata.fileID, unit: unit) {
      defer { cache.unpin(page) }
      let view = unsafe BlockView(checked: page.address)
      return try unsafe visit(view, &scratch.cursor, key, from: tag, body)
    }
    let view = try readBlock(blockIndex, into: scratch.buffer)
    if view.byteCount <= BlockFormat.bytesMax {
      unsafe cache.insert(fileID: metadata.fileID, unit: unit, copying: scratch.buffer.blockBase)
    }
    return try unsafe visit(view, &scratch.cursor, key, from: tag, body)
  }

  private func visit(
    _ view: BlockView, _ cursor: inout BlockCursor, _ key: UnsafeRawBufferPointer,
    from tag: EntryTag, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws -> Bool? {
    cursor.enter(view)
    unsafe cursor.seek(key, tag: tag)
    while cursor.isValid {
      guard unsafe KeyOrder.compare(cursor.key, key) == 0 else { return true }
      guard try unsafe body(cursor.tag.raised(by: tagBase), cursor.value) else { return false }
      cursor.moveNext()
    }
    return nil
  }
}
