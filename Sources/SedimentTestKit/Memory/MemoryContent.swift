/// The bytes of a file in memory: blocks of one size, of which those that are missing read as zero.
struct MemoryContent: Sendable {
  /// Blocks by their index; each is exactly `blockBytes` long. Bytes past `size` are zero.
  private(set) var blocks: [UInt64: [UInt8]] = [:]
  var size: UInt64 = 0

  /// The part of one block that a range of the file covers.
  struct Piece {
    var block: UInt64
    /// Within the block.
    var range: Range<Int>
    /// Within the whole range.
    var start: Int
  }

  /// Cuts a range of the file at the borders of blocks.
  static func pieces(offset: UInt64, count: Int, blockBytes: Int) -> [Piece] {
    var pieces: [Piece] = []
    var done = 0
    while done < count {
      let position = offset + UInt64(done)
      let within = Int(position % UInt64(blockBytes))
      let length = min(count - done, blockBytes - within)
      pieces.append(
        Piece(
          block: position / UInt64(blockBytes), range: within..<(within + length), start: done))
      done += length
    }
    return pieces
  }

  /// A block's bytes; zeros when it was never written.
  func block(_ index: UInt64, blockBytes: Int) -> [UInt8] {
    blocks[index] ?? [UInt8](repeating: 0, count: blockBytes)
  }

  /// Replaces a block; `nil` makes it read as zero.
  mutating func setBlock(_ index: UInt64, _ bytes: [UInt8]?) {
    blocks[index] = bytes
  }

  /// The bytes from `offset` on, at most `count` and none past the end.
  func bytes(offset: UInt64, count: Int, blockBytes: Int) -> [UInt8] {
    guard offset < size else { return [] }
    let length = Int(min(UInt64(count), size - offset))
    var result: [UInt8] = []
    result.reserveCapacity(length)
    for piece in Self.pieces(offset: offset, count: length, blockBytes: blockBytes) {
      if let block = blocks[piece.block] {
        result.append(contentsOf: block[piece.range])
      } else {
        result.append(contentsOf: repeatElement(0, count: piece.range.count))
      }
    }
    return result
  }

  /// Clears what lies past `size`, so that a file that grows again reads zeros there.
  ///
  /// - Returns: the blocks that changed.
  @discardableResult
  mutating func clearPastSize(blockBytes: Int) -> [UInt64] {
    let unit = UInt64(blockBytes)
    let firstGone = size / unit + (size % unit == 0 ? 0 : 1)
    var changed = blocks.keys.filter { $0 >= firstGone }.sorted()
    for index in changed { blocks[index] = nil }
    let tail = Int(size % unit)
    if tail != 0, var last = blocks[firstGone - 1], last[tail...].contains(where: { $0 != 0 }) {
      last.replaceSubrange(tail..., with: repeatElement(0, count: blockBytes - tail))
      blocks[firstGone - 1] = last
      changed.append(firstGone - 1)
    }
    return changed
  }
}
