// Entries in a log: the payload of a record of type `EntryBatchCoding.recordType`.
//
//   largest time seen i64 │ count u32 │ count × entry
//   entry: high u64 │ low u64 │ time i64 │ kind u8 │ value (width) │ exact: key length u32, key

/// Reads batches of entries from log records; `EntryBuffer` makes them.
package enum EntryBatchCoding {
  /// The type of a record of entries. On disk: never renumber.
  package static let recordType: UInt8 = 1
  /// A record is closed when it has grown past this.
  package static let recordBytesTarget = 1 << 20

  /// Bytes of an entry before its value and key.
  static let fixedBytes = 25

  /// Calls `body` with every entry of a payload; returns the largest time seen it carries.
  package static func read(
    _ payload: [UInt8], layout: EntryLayout,
    _ body: (EntryReference) throws -> Void
  ) throws -> Int64 {
    try unsafe payload.withUnsafeBytes { bytes in
      var reader = unsafe ByteReader(bytes)
      let largestTime = try reader.readInt64()
      guard
        largestTime == EntryTime.none
          || (largestTime >= EntryTime.min && largestTime <= EntryTime.max)
      else {
        throw CodingError.invalid("largest time \(largestTime)")
      }
      let entryBytes = fixedBytes + Int(layout.valueWidth) + (layout.isExact ? 4 : 0)
      let count = try reader.readCount32(itemBytes: entryBytes)
      for _ in 0..<count {
        try body(readEntry(&reader, layout: layout))
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
    guard time >= EntryTime.min && time <= EntryTime.max else { throw .invalid("time \(time)") }
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
    return entry
  }
}
