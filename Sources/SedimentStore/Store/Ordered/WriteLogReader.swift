package import SedimentIO

/// Reads a log of writes of ordered keyspaces.
package enum WriteLogReader {
  /// How a log ended.
  package struct End: Sendable {
    /// Bytes that count.
    package var length: UInt64
    /// What stands in front of the first record's writes; `nil` without records.
    package var first: WriteBatchCoding.Head?
    /// The same of the last record.
    package var last: WriteBatchCoding.Head?
    /// Whether anything of it is known to have been durable.
    package var hasAcknowledgement: Bool
  }

  /// Calls `body` with every write of the records that count, in order.
  ///
  /// - Parameters:
  ///   - name: of the file, where it lies.
  ///   - stopsAtCommitted: whether only the committed part counts; else all does up to a torn tail.
  /// - Throws: `FileError`, `Corruption`, `UnsupportedFormat`, and what `body` throws.
  @discardableResult
  package static func read(
    _ log: LogReference, name: String, in directory: any Directory, stopsAtCommitted: Bool = true,
    _ body: (WriteBatchCoding.Write) throws -> Void
  ) throws -> End {
    var reader = try RecordLogReader(
      directory: directory, name: name, kind: .writes, fileID: log.fileID)
    var end = End(length: reader.offset, hasAcknowledgement: false)
    while let record = try reader.next(
      committedLength: log.committedLength, stopsThere: stopsAtCommitted)
    {
      let head = try read(record, name: name, body)
      if let last = end.last, head.previous != last.last {
        throw Corruption(
          file: name, offset: record.offset, what: "record before", expected: "\(last.last)",
          found: "\(head.previous)")
      }
      if end.first == nil { end.first = head }
      end.last = head
    }
    end.length = reader.offset
    end.hasAcknowledgement = reader.hasAcknowledgement
    return end
  }

  private static func read(
    _ record: RecordLogReader.Record, name: String, _ body: (WriteBatchCoding.Write) throws -> Void
  ) throws -> WriteBatchCoding.Head {
    guard WriteBatchCoding.isRecord(record.type) else {
      throw Corruption(
        file: name, offset: record.offset, what: "record type",
        expected: UInt64(WriteBatchCoding.recordType), found: UInt64(record.type))
    }
    do {
      return try unsafe record.payload.span.bytes.withUnsafeBytes {
        try unsafe WriteBatchCoding.read($0, type: record.type, body)
      }
    } catch let error as CodingError {
      throw Corruption(file: name, offset: record.offset, what: "writes", undecodable: error)
    }
  }
}
