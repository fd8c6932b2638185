// What opening a table reads before its filter: the footer, held against what the manifest says,
// the index, and the geometry of the filter. It is all that must be known to divide memory among
// the filters of many tables, and a reader is made of it without anything being read again.
//
// Invariants
// 1. No memory is taken for a number from the file before the number was checked against the file's
//    size, which was checked against the manifest.
// 2. The index never decreases, so `TableProbe` finds every page.
//
// Concurrency: immutable after opening; any number of threads may read.

package import SedimentIO

/// A table's file, footer, index and filter geometry, found whole.
///
/// Owns the file and the index: the file is closed with the last reference.
@safe
package final class TableOutline {
  /// What the manifest says of the table; the footer agrees.
  package let metadata: TableMetadata
  /// The filter that the file has.
  package let filter: FilterGeometry
  let footer: TableFooter
  let quanta: TableQuanta
  let file: any File
  /// A quantum for each unit.
  let index: UnsafeMutablePointer<UInt32>

  /// Opens the table that `metadata` describes as far as its filter.
  ///
  /// Throws `FileError`, `UnsupportedFormat`, or `Corruption` when the file is not that table, or
  /// what is read of it is damaged.
  ///
  /// - Parameter fileName: where the file is not named by its number; errors name the table either
  ///   way.
  package convenience init(
    directory: any Directory, metadata: TableMetadata, fileName: String? = nil
  ) throws {
    let file = try directory.openFile(fileName ?? metadata.number.tableName, .read)
    do {
      try self.init(file: file, metadata: metadata)
    } catch {
      file.close()
      throw error
    }
  }

  private init(file: any File, metadata: TableMetadata) throws {
    let footer = try Self.readFooter(of: file, metadata)
    guard let quanta = TableQuanta(rangeLow: footer.rangeLow, rangeHigh: footer.rangeHigh) else {
      throw TableReader.flaw(metadata, "footer", "hash range upside down")
    }
    filter = try TableFilterSection.readGeometry(
      of: Self.filterSection(of: file, metadata, footer))
    unsafe index = unsafe try Self.readIndex(of: file, metadata, footer, quanta)
    self.file = file
    self.metadata = metadata
    self.footer = footer
    self.quanta = quanta
  }

  deinit {
    unsafe index.deallocate()
    file.close()
  }

  /// Where the filter lies.
  var filterSection: FilterSection { Self.filterSection(of: file, metadata, footer) }

  private static func filterSection(
    of file: any File, _ metadata: TableMetadata, _ footer: TableFooter
  ) -> FilterSection {
    FilterSection(
      table: TableFile(
        file: file, number: metadata.number, fileID: metadata.fileID,
        byteCount: metadata.fileBytes),
      offset: footer.filterOffset, byteCount: footer.filterBytes, kind: metadata.filterKind)
  }

  /// Bytes of memory held for the index.
  package var indexBytes: Int { Int(footer.indexBytes) }
}

// @unchecked because the only memory it owns, the index, is written once, before anyone sees it.
extension TableOutline: @unchecked Sendable {}

extension TableOutline {
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
      throw TableReader.flaw(metadata, "file size", "\(size), which no table has", offset: 0)
    }
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: TableFormat.footerBytes, alignment: 8)
    defer { unsafe bytes.deallocate() }
    try unsafe TableReader.readFully(file, bytes, at: size - footerBytes, metadata, "footer")
    guard let base = UnsafeRawPointer(bytes.baseAddress) else {
      throw TableReader.flaw(metadata, "footer", "no bytes")
    }
    if let flaw = unsafe TableFooter.flaw(in: base, fileID: metadata.fileID) {
      throw TableReader.flaw(metadata, "footer", flaw)
    }
    let version = unsafe TableFooter.version(of: base)
    guard version == TableFormat.version else {
      throw UnsupportedFormat(
        file: metadata.number.tableName, version: UInt64(version),
        supported: UInt64(TableFormat.version))
    }
    if let flaw = unsafe TableFooter.badFlag(in: base) {
      throw TableReader.flaw(metadata, "footer", flaw)
    }
    let footer = unsafe TableFooter(base)
    if let flaw = footer.flaw(against: metadata) {
      throw TableReader.flaw(metadata, "footer", flaw)
    }
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
      try unsafe TableReader.readFully(file, bytes, at: footer.indexOffset, metadata, "index")
      let sum = unsafe Checksum.of(
        UnsafeRawBufferPointer(bytes),
        seed: Checksum.seed(fileID: metadata.fileID, place: TableFormat.Place.index))
      guard sum == footer.indexChecksum else {
        throw Corruption(
          file: metadata.number.tableName, offset: footer.indexOffset, what: "index checksum",
          expected: footer.indexChecksum, found: sum)
      }
      if let flaw = unsafe indexFlaw(index, count, footer, quanta) {
        throw TableReader.flaw(metadata, "index", flaw, offset: footer.indexOffset)
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
