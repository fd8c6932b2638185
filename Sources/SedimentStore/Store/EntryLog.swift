package import SedimentIO

/// Reads the entries of a log that a state names.
package struct EntryLog {
  /// What the state says of it.
  package let reference: LogReference
  /// The file's name where it lies.
  package let name: String
  /// The shape of its entries.
  package let layout: EntryLayout

  /// A log of a keyspace of this layout, under the name that it has where it lies.
  package init(_ reference: LogReference, name: String, layout: EntryLayout) {
    self.reference = reference
    self.name = name
    self.layout = layout
  }

  /// Calls `body` with every entry that counts, in the order they were written.
  ///
  /// - Parameter stopsAtCommitted: whether only the committed part counts; else all does up to a
  ///   torn tail.
  /// - Returns: the length of the part that counts.
  /// - Throws: `FileError`, `Corruption` or `UnsupportedFormat`.
  @discardableResult
  package func read(
    in directory: any Directory, stopsAtCommitted: Bool,
    _ body: (EntryReference) throws -> Void
  ) throws -> UInt64 {
    try readRecords(in: directory, stopsAtCommitted: stopsAtCommitted) { payload in
      _ = try EntryBatchCoding.read(payload, layout: layout, body)
    }
  }

  /// Calls `body` with the payload of every record that counts, as `read` does with entries. A
  /// `CodingError` that it throws is damage of the record.
  @discardableResult
  func readRecords(
    in directory: any Directory, stopsAtCommitted: Bool, _ body: ([UInt8]) throws -> Void
  ) throws -> UInt64 {
    var reader = try RecordLogReader(
      directory: directory, name: name, kind: .entries, fileID: reference.fileID)
    while let record = try reader.next(
      committedLength: reference.committedLength, stopsThere: stopsAtCommitted)
    {
      guard record.type == EntryBatchCoding.recordType else {
        throw Corruption(
          file: name, offset: record.offset, what: "record type",
          expected: UInt64(EntryBatchCoding.recordType), found: UInt64(record.type))
      }
      do {
        try body(record.payload)
      } catch let error as CodingError {
        throw Corruption(file: name, offset: record.offset, what: "entries", undecodable: error)
      }
    }
    return reader.offset
  }
}
