internal import SedimentIO
internal import SedimentStore

/// The entries of a log that belong to a state: those of its committed part.
struct LogEntries {
  private let log: LogReference
  private let layout: EntryLayout

  init(_ log: LogReference, layout: EntryLayout) {
    self.log = log
    self.layout = layout
  }

  /// Calls `body` with each entry, in the order they were written.
  ///
  /// - Throws: `FileError` or `Corruption`.
  func read(in directory: any Directory, _ body: (EntryReference) throws -> Void) throws {
    let name = FileNaming.state.name(of: log)
    var reader = try RecordLogReader(
      directory: directory, name: name, kind: .entries, fileID: log.fileID)
    while let record = try reader.next(committedLength: log.committedLength, stopsThere: true) {
      guard record.type == EntryBatchCoding.recordType else {
        throw Corruption(
          file: name, offset: record.offset, what: "record type",
          expected: UInt64(EntryBatchCoding.recordType), found: UInt64(record.type))
      }
      do {
        _ = try EntryBatchCoding.read(record.payload, layout: layout, body)
      } catch let error as CodingError {
        throw Corruption(file: name, offset: record.offset, what: "entries", undecodable: error)
      }
    }
  }
}
