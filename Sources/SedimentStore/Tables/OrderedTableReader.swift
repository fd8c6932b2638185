// An open table of an ordered keyspace.
//
// Opening reads footer, index and as much of the filter as is planned. After that a lookup costs a
// filter probe, a look at the index and the read of one block.
//
// Invariants
// 1. A `BlockView` is made only of a block whose checksum held and in which `BlockView.flaw` found
//    nothing.
// 2. No memory is taken for a number from the file before the number was checked against the file's
//    size, which was checked against the manifest.
//
// Concurrency: immutable after opening; any number of threads may read.

package import SedimentIO

/// An open, immutable table of an ordered keyspace.
package final class OrderedTableReader: Sendable {
  /// What the manifest says of the table; the footer agrees.
  package let metadata: OrderedTableMetadata
  /// The part of the filter that was loaded.
  package let filter: LoadedFilter
  let index: BlockIndex
  /// What is added to the tags in the file.
  let tagBase: UInt64
  private let table: TableFile
  private let filterSection: FilterSection
  /// Who has the file open; `nil` when it is this reader's own.
  private let holder: HeldOrderedTable?

  /// Opens the table that `metadata` describes.
  ///
  /// Throws `FileError`, `UnsupportedFormat`, or `Corruption` when the file is not that table,
  /// intact as far as opening reads it: size, footer, index and the loaded part of the filter.
  /// Blocks are checked when read.
  ///
  /// - Parameters:
  ///   - fileName: where the file is not named by its number; errors name the table either way.
  ///   - filterByteBudget: memory for the filter; one that does not fit is loaded in part.
  package convenience init(
    directory: any Directory, metadata: OrderedTableMetadata, fileName: String? = nil,
    filterByteBudget: Int = .max
  ) throws {
    let file = try directory.openFile(fileName ?? metadata.number.tableName, .read)
    do {
      try self.init(file, metadata, holder: nil, filterByteBudget: filterByteBudget)
    } catch {
      file.close()
      throw error
    }
  }

  /// Opens a table whose file is held by another; throws as above.
  convenience init(held: HeldOrderedTable, filterByteBudget: Int) throws {
    try self.init(held.file, held.metadata, holder: held, filterByteBudget: filterByteBudget)
  }

  private init(
    _ file: any File, _ metadata: OrderedTableMetadata, holder: HeldOrderedTable?,
    filterByteBudget: Int
  ) throws {
    let table = TableFile(
      file: file, number: metadata.number, fileID: metadata.fileID, byteCount: metadata.fileBytes)
    let footer = try Self.readFooter(of: table, metadata)
    index = try Self.readIndex(of: table, footer)
    filterSection = FilterSection(
      table: table, offset: footer.blocksEnd, byteCount: footer.filterBytes,
      kind: metadata.filterKind)
    let geometry = try TableFilterSection.readGeometry(of: filterSection)
    filter = try TableFilterSection.load(
      geometry.loadPlan(byteBudget: filterByteBudget), of: filterSection)
    self.metadata = metadata
    tagBase = metadata.tagBase
    self.table = table
    self.holder = holder
  }

  deinit {
    if holder == nil { table.file.close() }
  }

  /// Bytes of memory held for index and filter.
  package var memoryBytes: Int { index.memoryBytes + filter.memoryBytes }

  /// Blocks of the table.
  package var blockCount: Int { index.blockCount }

  private static func readFooter(
    of table: TableFile, _ metadata: OrderedTableMetadata
  ) throws -> OrderedTableFooter {
    let size = try table.file.size()
    guard size == metadata.fileBytes else {
      throw Corruption(
        file: metadata.number.tableName, offset: 0, what: "file size",
        expected: "\(metadata.fileBytes)", found: "\(size)")
    }
    let footerBytes = UInt64(TableFormat.footerBytes)
    guard size > footerBytes, size <= TableFormat.fileBytesMax else {
      throw table.flaw("file size", "\(size), which no table has", offset: 0)
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: TableFormat.footerBytes, alignment: 8)
    defer { unsafe bytes.deallocate() }
    try unsafe table.readFully(bytes, at: size - footerBytes, "footer")
    guard let base = UnsafeRawPointer(bytes.baseAddress) else {
      throw table.flaw("footer", "no bytes")
    }
    if let flaw = unsafe OrderedTableFooter.flaw(in: base, fileID: metadata.fileID) {
      throw table.flaw("footer", flaw)
    }
    let version = unsafe OrderedTableFooter.version(of: base)
    guard version == OrderedTableFormat.version else {
      throw UnsupportedFormat(
        file: metadata.number.tableName, version: UInt64(version),
        supported: UInt64(OrderedTableFormat.version))
    }
    let footer = unsafe OrderedTableFooter(base)
    if let flaw = footer.flaw(against: metadata) { throw table.flaw("footer", flaw) }
    return footer
  }

  private static func readIndex(
    of table: TableFile, _ footer: OrderedTableFooter
  ) throws -> BlockIndex {
    // The footer's check bounds the section by the file's size.
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(Int(footer.indexBytes), 1), alignment: 8)
    guard let base = bytes.baseAddress else { throw table.flaw("index", "no bytes") }
    do {
      let section = unsafe UnsafeMutableRawBufferPointer(
        rebasing: bytes[..<Int(footer.indexBytes)])
      try unsafe table.readFully(section, at: footer.indexOffset, "index")
      let sum = unsafe Checksum.of(
        UnsafeRawBufferPointer(section),
        seed: Checksum.seed(fileID: table.fileID, place: TableFormat.Place.index))
      guard sum == footer.indexChecksum else {
        throw Corruption(
          file: table.number.tableName, offset: footer.indexOffset, what: "index checksum",
          expected: footer.indexChecksum, found: sum)
      }
    } catch {
      unsafe bytes.deallocate()
      throw error
    }
    do throws(BlockFlaw) {
      return try unsafe BlockIndex.make(
        taking: base, byteCount: Int(footer.indexBytes), blocksEnd: footer.blocksEnd)
    } catch {
      throw table.flaw("index", error.text, offset: footer.indexOffset)
    }
  }

  /// Loads all of the filter, whatever was loaded when the table was opened.
  func loadWholeFilter() throws -> LoadedFilter {
    let geometry = try TableFilterSection.readGeometry(of: filterSection)
    return try TableFilterSection.load(geometry.loadPlan(), of: filterSection)
  }

  /// Damage that reading all of the table found.
  func flaw(inBlock index: Int, _ found: String) -> Corruption {
    table.flaw("block", found, offset: UInt64(self.index.range(ofBlock: index).lowerBound))
  }

  /// Damage of the table as a whole.
  func flaw(_ what: String, _ found: String) -> Corruption { table.flaw(what, found) }

  // MARK: - Blocks

  /// Reads a block into memory of the caller's and checks it.
  ///
  /// Throws `FileError`, or `Corruption` when the block is not the one that was written there.
  ///
  /// - Returns: its bytes in `buffer`, good until that reads another.
  func readBlock(_ index: Int, into buffer: BlockBuffer) throws -> BlockView {
    try buffer.read(table, self.index.range(ofBlock: index))
  }
}

/// Memory to read blocks into, one at a time; kept from block to block.
@safe
final class BlockBuffer {
  private var frameMemory: UnsafeMutableRawBufferPointer
  private var blockMemory: UnsafeMutableRawBufferPointer

  init() {
    unsafe frameMemory = .allocate(byteCount: BlockFormat.bytesMax + 64, alignment: 64)
    // A frame of the page cache is copied from here, whole.
    unsafe blockMemory = .allocate(byteCount: BlockFormat.bytesMax, alignment: 64)
  }

  deinit {
    unsafe frameMemory.deallocate()
    unsafe blockMemory.deallocate()
  }

  /// Reads the block that lies in `range` of a table's file, and checks it.
  ///
  /// Throws `FileError`, or `Corruption` when it is not the one that was written there.
  ///
  /// - Returns: its bytes in this memory, good until it reads another.
  func read(_ table: TableFile, _ range: Range<Int>) throws -> BlockView {
    let frame = unsafe frame(range.count)
    try unsafe table.readFully(frame, at: UInt64(range.lowerBound), "block")
    do throws(BlockFlaw) {
      let bytes = UnsafeRawBufferPointer(frame)
      let header = try unsafe BlockFrame.open(
        bytes, fileID: table.fileID, offset: UInt64(range.lowerBound))
      let block = unsafe block(header.blockBytes)
      try unsafe BlockFrame.unpack(bytes, header, into: block)
      return unsafe BlockView(checked: blockBase)
    } catch {
      throw table.flaw("block", error.text, offset: UInt64(range.lowerBound))
    }
  }

  /// Room for the bytes of a block as it is in a file.
  private func frame(_ count: Int) -> UnsafeMutableRawBufferPointer {
    unsafe Self.grow(&frameMemory, to: count)
    return unsafe UnsafeMutableRawBufferPointer(rebasing: frameMemory[..<count])
  }

  /// Room for the bytes of a block.
  private func block(_ count: Int) -> UnsafeMutableRawBufferPointer {
    unsafe Self.grow(&blockMemory, to: count)
    return unsafe UnsafeMutableRawBufferPointer(rebasing: blockMemory[..<count])
  }

  /// The block read last, followed by enough to be copied as a whole frame.
  var blockBase: UnsafeRawPointer {
    guard let base = unsafe blockMemory.baseAddress else {
      preconditionFailure("memory that was allocated has an address")
    }
    return UnsafeRawPointer(base)
  }

  private static func grow(_ memory: inout UnsafeMutableRawBufferPointer, to count: Int) {
    guard count > memory.count else { return }
    unsafe memory.deallocate()
    unsafe memory = .allocate(byteCount: count, alignment: 64)
  }
}
