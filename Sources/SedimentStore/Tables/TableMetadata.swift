/// What the manifest knows of a table, and what opening the table is checked against.
package struct TableMetadata: Hashable, Sendable {
  package var number: FileNumber
  /// Random, drawn when the file was made; seeds its checksums.
  package var fileID: UInt64
  package var fileBytes: UInt64
  package var entryCount: UInt64
  package var smallestHigh: UInt64
  package var largestHigh: UInt64
  package var smallestTime: Int64
  package var largestTime: Int64
  package var layout: EntryLayout
  /// Whether the table stores kinds; without them every entry is an insert.
  package var hasKinds: Bool
  package var filterKind: FilterKind

  package init(
    number: FileNumber, fileID: UInt64, fileBytes: UInt64, entryCount: UInt64,
    smallestHigh: UInt64, largestHigh: UInt64, smallestTime: Int64, largestTime: Int64,
    layout: EntryLayout, hasKinds: Bool, filterKind: FilterKind
  ) {
    self.number = number
    self.fileID = fileID
    self.fileBytes = fileBytes
    self.entryCount = entryCount
    self.smallestHigh = smallestHigh
    self.largestHigh = largestHigh
    self.smallestTime = smallestTime
    self.largestTime = largestTime
    self.layout = layout
    self.hasKinds = hasKinds
    self.filterKind = filterKind
  }
}

extension TableMetadata {
  /// Bytes of an encoded description.
  package static let encodedBytes = 68

  /// Appends the description: eight words in the order of the properties, then u8 exact, u8 value
  /// width, u8 kinds, u8 filter kind. On disk: never change.
  package func encode(into writer: inout ByteWriter) {
    writer.writeUInt64(number.rawValue)
    writer.writeUInt64(fileID)
    writer.writeUInt64(fileBytes)
    writer.writeUInt64(entryCount)
    writer.writeUInt64(smallestHigh)
    writer.writeUInt64(largestHigh)
    writer.writeInt64(smallestTime)
    writer.writeInt64(largestTime)
    writer.writeUInt8(layout.isExact ? 1 : 0)
    writer.writeUInt8(layout.valueWidth)
    writer.writeUInt8(hasKinds ? 1 : 0)
    writer.writeUInt8(filterKind.rawValue)
  }

  /// Reads a description and checks what can be checked without the table.
  package static func decode(from reader: inout ByteReader) throws(CodingError) -> TableMetadata {
    let number = try reader.readUInt64()
    let fileID = try reader.readUInt64()
    let fileBytes = try reader.readUInt64()
    let entryCount = try reader.readUInt64()
    let smallestHigh = try reader.readUInt64()
    let largestHigh = try reader.readUInt64()
    let smallestTime = try reader.readInt64()
    let largestTime = try reader.readInt64()
    let isExact = try readFlag(from: &reader)
    let valueWidth = try reader.readUInt8()
    let hasKinds = try readFlag(from: &reader)
    guard let filterKind = FilterKind(rawValue: try reader.readUInt8()) else {
      throw .invalid("a kind of filter that is not known")
    }
    guard valueWidth <= EntryLayout.valueWidthMax else {
      throw .invalid("values of \(valueWidth) bytes")
    }
    // Bounds that every table keeps, so that no sum over tables overflows.
    guard fileBytes <= TableFormat.fileBytesMax, entryCount <= fileBytes / 16 else {
      throw .invalid("a table of \(fileBytes) bytes and \(entryCount) entries")
    }
    guard entryCount > 0, smallestHigh <= largestHigh, smallestTime <= largestTime else {
      throw .invalid("an empty table, or a range upside down")
    }
    return TableMetadata(
      number: FileNumber(number), fileID: fileID, fileBytes: fileBytes, entryCount: entryCount,
      smallestHigh: smallestHigh, largestHigh: largestHigh, smallestTime: smallestTime,
      largestTime: largestTime, layout: EntryLayout(isExact: isExact, valueWidth: valueWidth),
      hasKinds: hasKinds, filterKind: filterKind)
  }

  private static func readFlag(from reader: inout ByteReader) throws(CodingError) -> Bool {
    switch try reader.readUInt8() {
    case 0: return false
    case 1: return true
    default: throw .invalid("a flag that is neither 0 nor 1")
    }
  }
}
