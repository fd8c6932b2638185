// What is whole of a damaged table of an ordered keyspace.
//
// The index says where blocks lie. It may be damaged, as the footer may, which says where the index
// lies: so both are hints here, read without their checksums. A block whose own checksum is right,
// with an end that the index gives or any other, was written where it was found. Where none begins,
// the next one is looked for where the index says that a later one does. A frame does not say how
// long it is, so without a good hint every length is tried.

internal import SedimentIO

/// Saves a damaged table's whole blocks into a new table.
struct OrderedTableSalvage {
  private let table: OrderedTableMetadata
  private let directory: any Directory

  /// Longer than any block in its frame.
  private static let frameBytesMax = UInt32(clamping: 2 * BlockFormat.jumboBytesMax)

  /// Nothing is read yet.
  init(_ table: OrderedTableMetadata, in directory: any Directory) {
    self.table = table
    self.directory = directory
  }

  /// Writes a table of the entries of whole blocks.
  ///
  /// - Returns: what was written, `nil` when no block is whole, and how many bytes of blocks were
  ///   not.
  func write(
    to target: any Directory, _ plan: OrderedTableWriter.Plan
  ) throws -> (table: OrderedTableMetadata?, lostBytes: UInt64) {
    let file: any File
    do {
      file = try directory.openFile(table.number.tableName, .read)
    } catch {
      // It is the table's damage that was found already.
      guard error.code == .notFound else { throw error }
      return (nil, table.fileBytes)
    }
    defer { file.close() }
    var writer = try OrderedTableWriter(directory: target, plan: plan)
    let buffer = BlockBuffer()
    var last: (key: [UInt8], tag: EntryTag)?
    var savedBytes: UInt64 = 0
    for range in try blockRanges(file, buffer) {
      guard let block = try buffer.readWhole(file, range, fileID: table.fileID) else { continue }
      if try Self.append(block, to: &writer, behind: &last) { savedBytes += UInt64(range.count) }
    }
    return (try writer.finish(), blockBytes - min(savedBytes, blockBytes))
  }

  /// Appends a block's entries, where all of them come behind those before.
  private static func append(
    _ block: BlockView, to writer: inout OrderedTableWriter,
    behind last: inout (key: [UInt8], tag: EntryTag)?
  ) throws -> Bool {
    var cursor = BlockCursor()
    cursor.enter(block)
    cursor.seekToFirst()
    guard cursor.isValid, last.map({ unsafe comes(cursor.key, cursor.tag, behind: $0) }) ?? true
    else { return false }
    while cursor.isValid {
      unsafe try writer.append(key: cursor.key, tag: cursor.tag, value: cursor.value)
      last = unsafe (Array(cursor.key), cursor.tag)
      cursor.moveNext()
    }
    return true
  }

  private static func comes(
    _ key: UnsafeRawBufferPointer, _ tag: EntryTag, behind last: (key: [UInt8], tag: EntryTag)
  ) -> Bool {
    let order = unsafe last.key.withUnsafeBytes { unsafe KeyOrder.compare(key, $0) }
    return order > 0 || (order == 0 && tag < last.tag)
  }

  /// About the bytes of the blocks: what is beside them is little.
  private var blockBytes: UInt64 {
    table.fileBytes - min(table.fileBytes, UInt64(TableFormat.footerBytes))
  }

  // MARK: - Where blocks lie

  /// Where whole blocks lie, in order.
  private func blockRanges(_ file: any File, _ buffer: BlockBuffer) throws -> [Range<UInt32>] {
    let offsets = try blockOffsets(file)
    var ends: [UInt32: UInt32] = [:]
    for (start, end) in zip(offsets, offsets.dropFirst())
    where start < end && end - start <= Self.frameBytesMax && UInt64(end) <= table.fileBytes {
      ends[start] = end
    }
    let starts = ends.keys.sorted()
    var nextStart = 0
    var ranges: [Range<UInt32>] = []
    var place: UInt32 = 0
    while true {
      if let end = try end(ofBlockAt: place, hint: ends[place], file, buffer) {
        ranges.append(place..<end)
        place = end
        continue
      }
      while nextStart < starts.count, starts[nextStart] <= place { nextStart += 1 }
      guard nextStart < starts.count else { return ranges }
      place = starts[nextStart]
    }
  }

  /// Where the block ends that begins at a place; `nil` when none does that is whole.
  private func end(
    ofBlockAt place: UInt32, hint: UInt32?, _ file: any File, _ buffer: BlockBuffer
  ) throws -> UInt32? {
    if let hint, try buffer.readWhole(file, place..<hint, fileID: table.fileID) != nil {
      return hint
    }
    let size = try file.size()
    guard UInt64(place) < size else { return nil }
    let count = min(UInt64(Self.walkedFrameBytesMax), size - UInt64(place))
    guard let bytes = try Self.bytes(of: file, at: UInt64(place), count: count),
      let length = frameLength(bytes, at: UInt64(place))
    else { return nil }
    return place + UInt32(length)
  }

  /// Where blocks begin, and where the last one ends, as far as the index says so.
  private func blockOffsets(_ file: any File) throws -> [UInt32] {
    let footerBytes = UInt64(TableFormat.footerBytes)
    guard try file.size() == table.fileBytes,
      let footer = try Self.bytes(of: file, at: blockBytes, count: footerBytes)
    else { return [] }
    let fields = unsafe footer.withUnsafeBytes { bytes in
      unsafe bytes.baseAddress.map { unsafe OrderedTableFooter($0) }
    }
    guard let fields else { return [] }
    let start = indexOffset(fields)
    guard start < blockBytes,
      let section = try Self.bytes(of: file, at: start, count: blockBytes - start)
    else { return [] }
    do {
      return try Self.offsets(in: section)
    } catch {
      return []
    }
  }

  /// Where the index begins: three fields say so, of which two are believed.
  private func indexOffset(_ footer: OrderedTableFooter) -> UInt64 {
    let behindFilter = footer.blocksEnd &+ footer.filterBytes
    let beforeFooter = blockBytes &- footer.indexBytes
    return footer.indexOffset == beforeFooter ? beforeFooter : behindFilter
  }

  /// The offsets of an index section, see `BlockIndex`: as many as it says there are, where that is
  /// possible, and those behind as far as they rise.
  private static func offsets(in section: [UInt8]) throws(CodingError) -> [UInt32] {
    try ByteReader.reading(section) { reader throws(CodingError) in
      let wordCount = section.count / 4 - 2
      let said = Int(try reader.readUInt32())
      try reader.skip(4)
      var offsets: [UInt32] = []
      while offsets.count < wordCount {
        let offset = try reader.readUInt32()
        let isSaid = said < wordCount && offsets.count <= said
        guard isSaid || offsets.last.map({ $0 < offset }) ?? true else { break }
        offsets.append(offset)
      }
      return offsets
    }
  }

  /// The length with which bytes are a frame whose checksum is right; `nil` when there is none.
  private func frameLength(_ bytes: [UInt8], at offset: UInt64) -> Int? {
    unsafe bytes.withUnsafeBytes { bytes in
      let shortest = BlockFrame.headerBytes + 1
      guard bytes.count >= shortest else { return nil }
      return (shortest...bytes.count).first { length in
        do throws(BlockFlaw) {
          let frame = unsafe UnsafeRawBufferPointer(rebasing: bytes[..<length])
          _ = try unsafe BlockFrame.open(frame, fileID: table.fileID, offset: offset)
          return true
        } catch {
          return false
        }
      }
    }
  }

  /// No frame of a block that is not an entry of its own is longer: compression that makes more of
  /// it is not kept.
  private static let walkedFrameBytesMax = BlockFrame.headerBytes + BlockFormat.bytesMax

  /// A part of a file; `nil` when it cannot be read.
  private static func bytes(of file: any File, at offset: UInt64, count: UInt64) throws -> [UInt8]?
  {
    var bytes = [UInt8](repeating: 0, count: Int(count))
    do {
      return try file.read(into: &bytes, at: offset) == bytes.count ? bytes : nil
    } catch {
      guard error.code == .inputOutput else { throw error }
      return nil
    }
  }
}

extension BlockBuffer {
  /// Reads a block; `nil` when it is not whole. Throws `FileError`, but for a part of the disk that
  /// cannot be read.
  fileprivate func readWhole(
    _ file: any File, _ range: Range<UInt32>, fileID: UInt64
  ) throws -> BlockView? {
    do {
      return try read(
        TableFile(file: file, number: FileNumber(0), fileID: fileID, byteCount: 0),
        Int(range.lowerBound)..<Int(range.upperBound))
    } catch is Corruption {
      return nil
    } catch let error as FileError where error.code == .inputOutput {
      return nil
    }
  }
}
