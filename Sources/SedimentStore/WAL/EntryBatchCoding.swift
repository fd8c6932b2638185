// Entries in a log: the payload of a record of type `EntryBatchCoding.recordType`.
//
//   largest time seen i64 │ count u32 │ count × entry
//   entry: high u64 │ low u64 │ time i64 │ kind u8 │ value (width) │ exact: key length u32, key

/// Writes and reads batches of entries as log records.
package enum EntryBatchCoding {
  package static let recordType: UInt8 = 1
  /// A record is closed when it has grown past this.
  package static let recordBytesTarget = 1 << 20

  /// Begins a payload whose count is patched by `finish`.
  package static func begin(_ writer: inout ByteWriter, largestTime: Int64) {
    writer.removeAll()
    writer.writeInt64(largestTime)
    writer.writeUInt32(0)
  }

  package static func append(
    _ entry: EntryReference, layout: EntryLayout, to writer: inout ByteWriter
  ) {
    writer.writeUInt64(entry.hash.high)
    writer.writeUInt64(entry.hash.low)
    writer.writeInt64(entry.time)
    writer.writeUInt8(entry.kind.rawValue)
    let width = Int(layout.valueWidth)
    if width > 0 {
      if let value = unsafe entry.value {
        unsafe writer.writeBytes(UnsafeRawBufferPointer(start: value, count: width))
      } else {
        writer.writeZeros(width)
      }
    }
    if layout.isExact {
      writer.writeUInt32(entry.keyLength)
      unsafe writer.writeBytes(entry.keyBytes)
    }
  }

  package static func finish(_ writer: inout ByteWriter, count: Int) {
    writer.patchUInt32(UInt32(count), at: 8)
  }

  /// Calls `body` with every entry of a payload; returns the largest time seen it carries.
  package static func read(
    _ payload: [UInt8], layout: EntryLayout,
    _ body: (EntryReference) throws -> Void
  ) throws -> Int64 {
    try unsafe payload.withUnsafeBytes { bytes in
      var reader = unsafe ByteReader(bytes)
      let largestTime = try reader.readInt64()
      let entryBytes = 25 + Int(layout.valueWidth) + (layout.isExact ? 4 : 0)
      let count = try reader.readCount32(itemBytes: entryBytes)
      for _ in 0..<count {
        try unsafe body(readEntry(&reader, layout: layout))
      }
      try reader.expectEnd()
      return largestTime
    }
  }

  private static func readEntry(
    _ reader: inout ByteReader, layout: EntryLayout
  ) throws(CodingError) -> EntryReference {
    let hash = KeyHash(high: try reader.readUInt64(), low: try reader.readUInt64())
    let time = try reader.readInt64()
    let rawKind = try reader.readUInt8()
    guard let kind = EntryKind(rawValue: rawKind) else {
      throw .invalid("entry kind \(rawKind)")
    }
    var entry = EntryReference(hash: hash, time: time, kind: kind)
    if layout.valueWidth > 0 {
      unsafe entry.value = try reader.readBytes(Int(layout.valueWidth)).baseAddress
    }
    if layout.isExact {
      let length = try reader.readUInt32()
      guard length <= EntryLayout.keyBytesMax else { throw .invalid("key of \(length) bytes") }
      entry.keyLength = length
      unsafe entry.key = try reader.readBytes(Int(length)).baseAddress
    }
    return unsafe entry
  }
}
