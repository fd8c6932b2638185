// An open table.
//
// Opening reads the outline (see `TableOutline`) and loads as much of the filter as is planned.
// After that a lookup costs a filter probe, a look at the index and the read of one page.
//
// Invariants
// 1. A `PageView` is handed out only of a page whose checksum and header hold; whatever else a page
//    says, views of it stay inside its bytes.
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
  /// The file, which the outline closes.
  let file: any File
  /// What was read first; owns the file and the index that `probe` reads.
  let outline: TableOutline

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
    let outline = try TableOutline(
      directory: directory, metadata: metadata, fileName: fileName)
    try self.init(outline, filter: outline.filter.loadPlan(byteBudget: filterByteBudget))
  }

  /// Opens the table of an outline, with the part of its filter that `plan` says.
  ///
  /// Throws `FileError`, or `Corruption` when that part is damaged.
  package init(_ outline: TableOutline, filter plan: FilterLoadPlan) throws {
    let metadata = outline.metadata
    self.outline = outline
    self.metadata = metadata
    file = outline.file
    filter = try TableFilterSection.load(plan, of: outline.filterSection)
    let footer = outline.footer
    let shape = PageShape(
      layout: metadata.layout, hasKinds: metadata.hasKinds, timeBase: footer.timeBase,
      timeWidth: Int(footer.timeWidth))
    probe = unsafe TableProbe(
      quanta: outline.quanta, shape: shape, filter: filter.probe, fileID: metadata.fileID,
      index: UnsafePointer(outline.index), unitCount: Int(footer.pageUnits),
      entryCount: footer.entryCount)
  }

  /// The file's name.
  package var name: String { metadata.number.tableName }
  /// Bytes of memory held for the index.
  package var indexBytes: Int { outline.indexBytes }

  /// Loads all of the filter, whatever was loaded when the table was opened.
  func loadWholeFilter() throws -> LoadedFilter {
    try TableFilterSection.load(outline.filter.loadPlan(), of: outline.filterSection)
  }

  /// Reads the page of `count` units that begins with unit `first`, and checks it.
  ///
  /// - Parameters:
  ///   - first: as `TableProbe.place(for:)` says, `count` too.
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

  /// The page of one unit that a request of this table's file, one of those of a batch, has read.
  func view(of request: ReadRequest, files: [any File], first: UInt32) throws -> PageView {
    try checkCount(try request.byteCount(of: files), ofPageAt: request.offset)
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

// @unchecked because what `probe` points to is written once, before anyone sees it.
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
}
