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

  /// Bytes before the first entry.
  static let headBytes = 12

  /// Calls `body` with every entry of a payload; returns the largest time seen it carries.
  package static func read(
    _ payload: [UInt8], layout: EntryLayout,
    _ body: (EntryReference) throws -> Void
  ) throws -> Int64 {
    try unsafe payload.withUnsafeBytes { bytes in
      let head = try unsafe readHead(of: bytes, layout: layout)
      var offset = headBytes
      for _ in 0..<head.count {
        let end = try unsafe end(ofEntryAt: offset, in: bytes, layout: layout)
        // SAFETY: the entry was just checked to lie within the payload, which is not empty then.
        if let base = bytes.baseAddress {
          try body(unsafe entry(at: offset, of: base, layout: layout))
        }
        offset = end
      }
      try unsafe expectEnd(of: bytes, at: offset)
      return head.largestTime
    }
  }

  /// What stands in front of a payload's entries. Of fixed size they all lie within the payload.
  static func readHead(
    of payload: UnsafeRawBufferPointer, layout: EntryLayout
  ) throws(CodingError) -> (largestTime: Int64, count: Int) {
    var reader = unsafe ByteReader(payload)
    let largestTime = try reader.readInt64()
    guard
      largestTime == EntryTime.none
        || (largestTime >= EntryTime.min && largestTime <= EntryTime.max)
    else {
      throw CodingError.invalid("largest time \(largestTime)")
    }
    return (largestTime, try reader.readCount32(itemBytes: leastEntryBytes(layout)))
  }

  /// Checks the entry that begins at `offset`; returns where it ends.
  @inline(__always)
  static func end(
    ofEntryAt offset: Int, in payload: UnsafeRawBufferPointer, layout: EntryLayout
  ) throws(CodingError) -> Int {
    let end = offset &+ leastEntryBytes(layout)
    guard end <= payload.count else { throw .truncated(offset: offset) }
    // SAFETY: the bytes before `end` are the payload's.
    let time = unsafe Int64(
      littleEndian: payload.loadUnaligned(fromByteOffset: offset &+ 16, as: Int64.self))
    guard time >= EntryTime.min && time <= EntryTime.max else { throw .invalid("time \(time)") }
    let kind = unsafe payload.loadUnaligned(fromByteOffset: offset &+ 24, as: UInt8.self)
    guard EntryKind(rawValue: kind) != nil else { throw .invalid("entry kind \(kind)") }
    guard layout.isExact else { return end }
    let length = unsafe UInt32(
      littleEndian: payload.loadUnaligned(fromByteOffset: end &- 4, as: UInt32.self))
    guard length <= EntryLayout.keyBytesMax else { throw .invalid("key of \(length) bytes") }
    guard Int(length) <= payload.count &- end else { throw .truncated(offset: end) }
    return end &+ Int(length)
  }

  /// The entry that begins at `offset`; its value and key are the payload's.
  ///
  /// SAFETY: `end(ofEntryAt:)` has found it whole.
  @inline(__always)
  static func entry(
    at offset: Int, of payload: UnsafeRawPointer, layout: EntryLayout
  ) -> EntryReference {
    let bytes = unsafe payload + offset
    let kind = unsafe EntryKind(rawValue: bytes.load(fromByteOffset: 24, as: UInt8.self))
    var entry = unsafe EntryReference(
      hash: KeyHash(high: high(ofEntryAt: offset, of: payload), low: word(bytes, at: 8)),
      time: Int64(bitPattern: word(bytes, at: 16)), kind: kind ?? .insert)
    let width = Int(layout.valueWidth)
    if width > 0 { unsafe entry.value = bytes + fixedBytes }
    if layout.isExact {
      let length = unsafe bytes.loadUnaligned(fromByteOffset: fixedBytes &+ width, as: UInt32.self)
      entry.keyLength = UInt32(littleEndian: length)
      unsafe entry.key = bytes + (fixedBytes &+ width &+ 4)
    }
    return entry
  }

  /// The high word of the hash of the entry that begins at `offset`. SAFETY: as for `entry`.
  @inline(__always)
  static func high(ofEntryAt offset: Int, of payload: UnsafeRawPointer) -> UInt64 {
    unsafe word(payload + offset, at: 0)
  }

  /// Throws unless the last entry ends with the payload.
  static func expectEnd(
    of payload: UnsafeRawBufferPointer, at offset: Int
  ) throws(CodingError) {
    guard offset == payload.count else {
      throw .invalid("\(payload.count - offset) bytes too many at \(offset)")
    }
  }

  /// Bytes of an entry, those of its key left out.
  @inline(__always)
  static func leastEntryBytes(_ layout: EntryLayout) -> Int {
    fixedBytes &+ Int(layout.valueWidth) &+ (layout.isExact ? 4 : 0)
  }

  @inline(__always)
  private static func word(_ bytes: UnsafeRawPointer, at offset: Int) -> UInt64 {
    unsafe UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
  }
}
