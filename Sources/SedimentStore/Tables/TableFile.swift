internal import SedimentIO

/// A table's file and who it is, of either layout: for reading parts that must be there, and for
/// naming damage.
struct TableFile: Sendable {
  let file: any File
  let number: FileNumber
  /// Seeds the checksums.
  let fileID: UInt64
  let byteCount: UInt64

  /// Fills `buffer` or throws: the file's size was checked, so a short read is damage.
  func readFully(
    _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64, _ what: String
  ) throws {
    let count = try unsafe file.read(into: buffer, at: offset)
    if count < buffer.count {
      throw flaw(what, "\(count) of \(buffer.count) bytes", offset: offset)
    }
  }

  /// Makes the content of a finished table durable and closes its file, which is gone when that
  /// fails.
  static func settle(
    _ file: any File, _ number: FileNumber, in directory: any Directory
  ) throws(FileError) {
    do {
      try file.synchronize()
      file.close()
    } catch {
      discard(file, number, from: directory)
      throw error
    }
  }

  /// Closes and removes a file that did not become a table.
  static func discard(_ file: any File, _ number: FileNumber, from directory: any Directory) {
    file.close()
    do {
      try directory.remove(number.tableName)
    } catch {
      // Nobody names the file: recovery removes it as an orphan. The error that led here is the
      // one that is reported.
    }
  }

  /// Damage of the file; of the footer unless another place is said.
  func flaw(_ what: String, _ found: String, offset: UInt64? = nil) -> Corruption {
    Corruption(
      file: number.tableName, offset: offset ?? byteCount &- UInt64(TableFormat.footerBytes),
      what: what, expected: "what the writer wrote", found: found)
  }
}

/// Where a table's filter lies, and what the manifest says of it.
struct FilterSection {
  let table: TableFile
  let offset: UInt64
  let byteCount: UInt64
  let kind: FilterKind
}
