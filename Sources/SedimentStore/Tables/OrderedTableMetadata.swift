/// What the manifest knows of a table of an ordered keyspace, and what opening it is checked
/// against.
package struct OrderedTableMetadata: Hashable, Sendable {
  package var number: FileNumber
  /// Random, drawn when the file was made; seeds its checksums.
  package var fileID: UInt64
  package var fileBytes: UInt64
  package var entryCount: UInt64
  /// Entries that are no puts.
  package var otherCount: UInt64
  package var smallestSequence: UInt64
  package var largestSequence: UInt64
  package var smallestKey: [UInt8]
  package var largestKey: [UInt8]
  package var filterKind: FilterKind
  /// Whether the table came in from sorted input: in the file every entry has sequence number 0,
  /// and counts as written at `smallestSequence`, which is the largest, too.
  package var isIngested = false

  package init(
    number: FileNumber, fileID: UInt64, fileBytes: UInt64, entryCount: UInt64, otherCount: UInt64,
    smallestSequence: UInt64, largestSequence: UInt64, smallestKey: [UInt8], largestKey: [UInt8],
    filterKind: FilterKind
  ) {
    self.number = number
    self.fileID = fileID
    self.fileBytes = fileBytes
    self.entryCount = entryCount
    self.otherCount = otherCount
    self.smallestSequence = smallestSequence
    self.largestSequence = largestSequence
    self.smallestKey = smallestKey
    self.largestKey = largestKey
    self.filterKind = filterKind
  }
}

extension OrderedTableMetadata {
  /// The sequence numbers as the file has them.
  package var sequencesInFile: ClosedRange<UInt64> {
    isIngested ? 0...0 : smallestSequence...largestSequence
  }

  /// What a tag in the file lacks.
  package var tagBase: UInt64 { isIngested ? smallestSequence << 4 : 0 }

  /// Appends the description: seven words in the order of the properties, both keys with their
  /// lengths in front, u8 filter kind and 128 for one that came in from sorted input, as of version
  /// 4 of states. On disk: never change.
  package func encode(into writer: inout ByteWriter) {
    writer.writeUInt64(number.rawValue)
    writer.writeUInt64(fileID)
    writer.writeUInt64(fileBytes)
    writer.writeUInt64(entryCount)
    writer.writeUInt64(otherCount)
    writer.writeUInt64(smallestSequence)
    writer.writeUInt64(largestSequence)
    writer.writeLengthPrefixed(smallestKey)
    writer.writeLengthPrefixed(largestKey)
    writer.writeUInt8(filterKind.rawValue | (isIngested ? Self.ingestedBit : 0))
  }

  private static let ingestedBit: UInt8 = 128

  /// Reads a description and checks what can be checked without the table.
  ///
  /// - Parameter mayBeIngested: whether states of the version know such tables.
  package static func decode(
    from reader: inout ByteReader, mayBeIngested: Bool
  ) throws(CodingError) -> OrderedTableMetadata {
    var metadata = OrderedTableMetadata(
      number: FileNumber(try reader.readUInt64()), fileID: try reader.readUInt64(),
      fileBytes: try reader.readUInt64(), entryCount: try reader.readUInt64(),
      otherCount: try reader.readUInt64(), smallestSequence: try reader.readUInt64(),
      largestSequence: try reader.readUInt64(),
      smallestKey: try reader.readLengthPrefixed(maxBytes: EntryLayout.keyBytesMax),
      largestKey: try reader.readLengthPrefixed(maxBytes: EntryLayout.keyBytesMax),
      filterKind: .none)
    let kind = try reader.readUInt8()
    metadata.isIngested = mayBeIngested && kind & ingestedBit != 0
    metadata.filterKind = try filterKind(metadata.isIngested ? kind & ~ingestedBit : kind)
    // Bounds that every table keeps, so that no sum over tables overflows.
    guard metadata.fileBytes <= TableFormat.fileBytesMax,
      metadata.entryCount <= OrderedTableFormat.entryCountMax(fileBytes: metadata.fileBytes)
    else {
      throw .invalid("a table of \(metadata.fileBytes) bytes and \(metadata.entryCount) entries")
    }
    guard metadata.entryCount > 0, metadata.otherCount <= metadata.entryCount,
      metadata.smallestSequence <= metadata.largestSequence,
      metadata.largestSequence <= EntryTag.sequenceMax,
      !metadata.largestKey.lexicographicallyPrecedes(metadata.smallestKey)
    else { throw .invalid("an empty table, or a range upside down") }
    guard !metadata.isIngested || metadata.smallestSequence == metadata.largestSequence else {
      throw .invalid("a table of sorted input with more than one sequence number")
    }
    return metadata
  }

  private static func filterKind(_ value: UInt8) throws(CodingError) -> FilterKind {
    guard let kind = FilterKind(rawValue: value) else {
      throw .invalid("a kind of filter that is not known")
    }
    return kind
  }
}
