// An open table.
//
// Opening reads the footer, holds it against what the manifest says, reads the index and loads as
// much of the filter as its budget allows. After that a lookup costs a filter probe, a look at the
// index and the read of one page.
//
// Invariants
// 1. No memory is taken for a number from the file before the number was checked against the file's
//    size, which was checked against the manifest.
// 2. A `PageView` is handed out only of a page whose checksum and header hold; whatever else a page
//    says, views of it stay inside its bytes.
// 3. The index never decreases, so `TableProbe` finds every page.
//
// Concurrency: immutable after opening; any number of threads may read.

package import SedimentIO

/// An open, immutable table.
@safe
package final class TableReader {
  /// What the manifest says of the table; the footer agrees.
  package let metadata: TableMetadata
  /// For hot loops: copy it out, keep the reader alive.
  package let probe: TableProbe
  /// The part of the filter that was loaded; owns what `probe.filter` reads.
  package let filter: LoadedFilter
  let footer: TableFooter
  let file: any File
  private let index: UnsafeMutablePointer<UInt32>

  /// Opens the table that `metadata` describes.
  ///
  /// Throws `FileError`, `UnsupportedFormat`, or `Corruption` when the file is not that table,
  /// intact as far as opening reads it: size, footer, index and the loaded part of the filter.
  /// Pages are checked when read.
  ///
  /// - Parameters:
  ///   - fileName: where the file is not named by its number; errors name the table either way.
  ///   - filterByteBudget: memory for the filter; one that does not fit is loaded in part.
  package convenience init(
    directory: any Directory, metadata: TableMetadata, fileName: String? = nil,
    filterByteBudget: Int = .max
  ) throws {
    let file = try directory.openFile(fileName ?? metadata.number.tableName, .read)
    do {
      try self.init(
        file: file, metadata: metadata, filterByteBudget: filterByteBudget)
    } catch {
      file.close()
      throw error
    }
  }

  private init(file: any File, metadata: TableMetadata, filterByteBudget: Int) throws {
    self.file = file
    self.metadata = metadata
    let footer = try Self.readFooter(of: file, metadata)
    self.footer = footer
    guard let quanta = TableQuanta(rangeLow: footer.rangeLow, rangeHigh: footer.rangeHigh) else {
      throw Self.flaw(metadata, "footer", "hash range upside down")
    }
    filter = try TableFilterSection.load(
      from: file, metadata, footer, byteBudget: filterByteBudget)
    unsafe index = unsafe try Self.readIndex(of: file, metadata, footer, quanta)
    let shape = PageShape(
      layout: metadata.layout, hasKinds: metadata.hasKinds, timeBase: footer.timeBase,
      timeWidth: Int(footer.timeWidth))
    probe = unsafe TableProbe(
      quanta: quanta, shape: shape, filter: filter.probe, fileID: metadata.fileID,
      index: UnsafePointer(index), unitCount: Int(footer.pageUnits),
      entryCount: footer.entryCount)
  }

  deinit {
    unsafe index.deallocate()
    file.close()
  }

  /// The file's name.
  package var name: String { metadata.number.tableName }
  /// Bytes of memory held for the index.
  package var indexBytes: Int { Int(footer.indexBytes) }

  /// Reads the page of `count` units that begins with unit `first`, and checks it.
  ///
  /// - Parameters:
  ///   - first: as `TableProbe.page(for:)` says, `count` too.
  ///   - memory: room for `count` × 4096 bytes at a multiple of 8; the view borrows it.
  /// Throws `FileError`, or `Corruption` when the page is not the one that was written there.
  package func readPage(
    first: UInt32, count: UInt32, into memory: UnsafeMutableRawPointer
  ) throws -> PageView {
    let buffer = unsafe UnsafeMutableRawBufferPointer(
      start: memory, count: Int(count) * TableFormat.unitBytes)
    let offset = UInt64(first) * UInt64(TableFormat.unitBytes)
    try unsafe Self.readFully(file, buffer, at: offset, metadata, "page")
    return try unsafe checkedView(of: UnsafeRawPointer(memory), first: first, count: count)
  }

  /// The page of one unit that begins with unit `first`, as `readPage`, when the system has it in
  /// memory; `nil` when it would have to wait for the disk.
  func readPageWithoutWaiting(
    first: UInt32, into memory: UnsafeMutableRawPointer
  ) throws -> PageView? {
    let buffer = unsafe UnsafeMutableRawBufferPointer(
      start: memory, count: TableFormat.unitBytes)
    let offset = UInt64(first) * UInt64(TableFormat.unitBytes)
    guard let count = try unsafe file.readWithoutWaiting(into: buffer, at: offset) else {
      return nil
    }
    try checkCount(count, ofPageAt: offset)
    return try unsafe checkedView(of: UnsafeRawPointer(memory), first: first, count: 1)
  }

  /// The page of one unit that a request of this table's file has read.
  func view(of request: ReadRequest, first: UInt32) throws -> PageView {
    try checkCount(try request.byteCount(of: [file]), ofPageAt: request.offset)
    guard let page = unsafe UnsafeRawPointer(request.destination.baseAddress) else {
      throw AllocationError(byteCount: TableFormat.unitBytes)
    }
    return try unsafe checkedView(of: page, first: first, count: 1)
  }

  private func checkCount(_ count: Int, ofPageAt offset: UInt64) throws(Corruption) {
    guard count < TableFormat.unitBytes else { return }
    throw Self.flaw(
      metadata, "page", "\(count) of \(TableFormat.unitBytes) bytes", offset: offset)
  }

  /// Reads consecutive units as they are, for `checkedView` to check page by page.
  func readUnits(
    first: Int, count: Int, into memory: UnsafeMutableRawPointer
  ) throws {
    let buffer = unsafe UnsafeMutableRawBufferPointer(
      start: memory, count: count * TableFormat.unitBytes)
    let offset = UInt64(first) * UInt64(TableFormat.unitBytes)
    try unsafe Self.readFully(file, buffer, at: offset, metadata, "pages")
  }

  /// Checks the bytes of a page that were read into `page`, aligned to 8.
  package func checkedView(
    of page: UnsafeRawPointer, first: UInt32, count: UInt32
  ) throws(Corruption) -> PageView {
    let bytes = Int(count) * TableFormat.unitBytes
    let expected = unsafe page.loadLittle(UInt64.self, at: 0)
    let found = unsafe Checksum.of(
      UnsafeRawBufferPointer(start: page + 8, count: bytes - 8),
      seed: Checksum.seed(fileID: metadata.fileID, place: UInt64(first)))
    guard expected == found else {
      throw Corruption(
        file: name, offset: UInt64(first) * UInt64(TableFormat.unitBytes), what: "page checksum",
        expected: expected, found: found)
    }
    if let flaw = unsafe probe.shape.flaw(in: page, units: Int(count)) {
      throw self.flaw(inPage: Int(first), flaw)
    }
    let view = unsafe probe.shape.view(checked: page)
    guard view.hasValidKinds else { throw flaw(inPage: Int(first), "an unknown kind of entry") }
    return view
  }

  /// Damage of the page that begins with unit `first`.
  func flaw(inPage first: Int, _ flaw: String) -> Corruption {
    Self.flaw(
      metadata, "page", flaw, offset: UInt64(first) * UInt64(TableFormat.unitBytes))
  }
}

// @unchecked because the only memory it owns, the index, is written once, before anyone sees it.
extension TableReader: @unchecked Sendable {}

extension TableReader {
  static func flaw(
    _ metadata: TableMetadata, _ what: String, _ found: String, offset: UInt64? = nil
  ) -> Corruption {
    Corruption(
      file: metadata.number.tableName,
      offset: offset ?? metadata.fileBytes &- UInt64(TableFormat.footerBytes), what: what,
      expected: "what the writer wrote", found: found)
  }

  /// Fills `buffer` or throws: the file's size was checked, so a short read is damage.
  static func readFully(
    _ file: any File, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64,
    _ metadata: TableMetadata, _ what: String
  ) throws {
    let count = try unsafe file.read(into: buffer, at: offset)
    if count < buffer.count {
      throw flaw(metadata, what, "\(count) of \(buffer.count) bytes", offset: offset)
    }
  }

  private static func readFooter(
    of file: any File, _ metadata: TableMetadata
  ) throws -> TableFooter {
    let size = try file.size()
    guard size == metadata.fileBytes else {
      throw Corruption(
        file: metadata.number.tableName, offset: 0, what: "file size",
        expected: "\(metadata.fileBytes)", found: "\(size)")
    }
    let footerBytes = UInt64(TableFormat.footerBytes)
    guard size > footerBytes, size <= TableFormat.fileBytesMax, size % footerBytes == 0 else {
      throw flaw(metadata, "file size", "\(size), which no table has", offset: 0)
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: TableFormat.footerBytes, alignment: 8)
    defer { unsafe bytes.deallocate() }
    try unsafe readFully(file, bytes, at: size - footerBytes, metadata, "footer")
    guard let base = UnsafeRawPointer(bytes.baseAddress) else {
      throw flaw(metadata, "footer", "no bytes")
    }
    if let flaw = unsafe TableFooter.flaw(in: base, fileID: metadata.fileID) {
      throw Self.flaw(metadata, "footer", flaw)
    }
    let version = unsafe TableFooter.version(of: base)
    guard version == TableFormat.version else {
      throw UnsupportedFormat(
        file: metadata.number.tableName, version: UInt64(version),
        supported: UInt64(TableFormat.version))
    }
    if let flaw = unsafe TableFooter.badFlag(in: base) {
      throw Self.flaw(metadata, "footer", flaw)
    }
    let footer = unsafe TableFooter(base)
    if let flaw = footer.flaw(against: metadata) { throw Self.flaw(metadata, "footer", flaw) }
    return footer
  }

  private static func readIndex(
    of file: any File, _ metadata: TableMetadata, _ footer: TableFooter, _ quanta: TableQuanta
  ) throws -> UnsafeMutablePointer<UInt32> {
    // The footer's check bounds pageUnits by the file's size.
    let count = Int(footer.pageUnits)
    let index = UnsafeMutablePointer<UInt32>.allocate(capacity: count)
    do {
      let bytes = unsafe UnsafeMutableRawBufferPointer(start: index, count: count * 4)
      try unsafe readFully(file, bytes, at: footer.indexOffset, metadata, "index")
      let sum = unsafe Checksum.of(
        UnsafeRawBufferPointer(bytes),
        seed: Checksum.seed(fileID: metadata.fileID, place: TableFormat.Place.index))
      guard sum == footer.indexChecksum else {
        throw Corruption(
          file: metadata.number.tableName, offset: footer.indexOffset, what: "index checksum",
          expected: footer.indexChecksum, found: sum)
      }
      if let flaw = unsafe indexFlaw(index, count, footer, quanta) {
        throw Self.flaw(metadata, "index", flaw, offset: footer.indexOffset)
      }
    } catch {
      unsafe index.deallocate()
      throw error
    }
    return unsafe index
  }

  /// Brings the index to the machine's byte order and says what is wrong with it.
  private static func indexFlaw(
    _ index: UnsafeMutablePointer<UInt32>, _ count: Int, _ footer: TableFooter,
    _ quanta: TableQuanta
  ) -> String? {
    var previous: UInt32 = 0
    var repeats = 0
    for unit in 0..<count {
      let value = unsafe UInt32(littleEndian: index[unit])
      unsafe index[unit] = value
      if value < previous { return "unit \(unit) begins before the one in front of it" }
      repeats = unit > 0 && value == previous ? repeats + 1 : 1
      if repeats > TableFormat.pageUnitsMax { return "a page of \(repeats) units" }
      previous = value
    }
    if unsafe index[0] != quanta.quantum(of: footer.smallestHigh) {
      return "the first page does not begin with the smallest hash"
    }
    return previous > quanta.quantum(of: footer.largestHigh)
      ? "the last page begins behind the largest hash" : nil
  }
}
