// Writes of ordered keyspaces in the store's log: the payload of a record of type
// `WriteBatchCoding.recordType`.
//
//   sequence number of the first write u64 │ writes u32 │ writes × write
//   write:  keyspace u32 │ kind u8, as the low four bits of a tag │ varint key length
//           │ varint value length │ key │ value
//
// The value begins with the time of expiry, i64 ms, where the kind says that it has one. A record
// is one batch, or several that were written together: it is whole or not there, and so are they.

/// Gathers writes in the form in which the log has them.
package struct WriteBatchBuffer: Sendable {
  private var bytes: ByteWriter
  /// Writes in it.
  package private(set) var count = 0

  /// An empty buffer.
  package init(capacity: Int = 0) {
    bytes = ByteWriter(capacity: WriteBatchCoding.headBytes + capacity)
    removeAll()
  }

  /// Empties it and keeps its memory.
  package mutating func removeAll() {
    bytes.removeAll()
    bytes.writeZeros(WriteBatchCoding.headBytes)
    count = 0
  }

  /// Bytes of the record's payload.
  package var byteCount: Int { bytes.count }

  /// Appends a write.
  ///
  /// - Parameter expiresAt: milliseconds since 1970, when the entry expires.
  /// - Returns: whether it fits a record with those before; nothing is changed when it does not.
  /// - Precondition: the key has at most 65,536 bytes.
  package mutating func append(
    keyspace: UInt32, kind: OrderedKind, key: UnsafeRawBufferPointer,
    value: UnsafeRawBufferPointer, expiresAt: Int64? = nil
  ) -> Bool {
    precondition(key.count <= EntryLayout.keyBytesMax, "a key of \(key.count) bytes")
    let timeBytes = expiresAt == nil ? 0 : 8
    let room = RecordLogFormat.payloadBytesMax - bytes.count
    guard value.count <= room - key.count - WriteBatchCoding.writeBytesMax else { return false }
    bytes.writeUInt32(keyspace)
    bytes.writeUInt8(kind.rawValue | (expiresAt == nil ? 0 : EntryTag.expiresBit))
    bytes.writeVarint(UInt64(key.count))
    bytes.writeVarint(UInt64(value.count + timeBytes))
    unsafe bytes.writeBytes(key)
    if let expiresAt { bytes.writeInt64(expiresAt) }
    unsafe bytes.writeBytes(value)
    count += 1
    return true
  }

  /// Appends the writes of another buffer; `false` when they do not fit a record with these.
  package mutating func append(_ other: WriteBatchBuffer) -> Bool {
    let body = other.byteCount - WriteBatchCoding.headBytes
    guard body <= RecordLogFormat.payloadBytesMax - bytes.count else { return false }
    unsafe other.bytes.withUnsafeBytes { bytes in
      unsafe self.bytes.writeBytes(
        UnsafeRawBufferPointer(rebasing: bytes[WriteBatchCoding.headBytes...]))
    }
    count += other.count
    return true
  }

  /// The payload, with its writes numbered from `firstSequence` on.
  package mutating func payload(firstSequence: UInt64) -> ByteWriter {
    bytes.patchUInt64(firstSequence, at: 0)
    bytes.patchUInt32(UInt32(truncatingIfNeeded: count), at: 8)
    return bytes
  }
}

/// Reads what `WriteBatchBuffer` made.
package enum WriteBatchCoding {
  /// The type of a record of writes. On disk: never renumber.
  package static let recordType: UInt8 = 2
  /// Bytes before the first write.
  static let headBytes = 12
  /// Bytes of a write beside its key and value, at the most.
  static let writeBytesMax = 4 + 1 + 3 + 4 + 8
  private static let writeBytesMin = 4 + 1 + 1 + 1

  /// One write; key and value are the payload's.
  @safe
  package struct Write {
    /// The number of the keyspace.
    package var keyspace: UInt32
    /// When it was written, and what it does.
    package var tag: EntryTag
    /// What was written to.
    package var key: UnsafeRawBufferPointer
    /// With the time of its expiry in front where it has one.
    package var value: UnsafeRawBufferPointer
  }

  /// Calls `body` with every write of a payload, in order.
  ///
  /// - Throws: `CodingError` where the payload is none, and what `body` throws.
  package static func read(
    _ payload: UnsafeRawBufferPointer, _ body: (Write) throws -> Void
  ) throws {
    var reader = unsafe ByteReader(payload)
    let first = try reader.readUInt64()
    let count = try reader.readCount32(itemBytes: writeBytesMin)
    guard first <= EntryTag.sequenceMax - UInt64(count) else {
      throw CodingError.invalid("sequence number \(first)")
    }
    for index in 0..<count {
      try body(try readWrite(&reader, sequence: first + UInt64(index)))
    }
    try reader.expectEnd()
  }

  private static func readWrite(
    _ reader: inout ByteReader, sequence: UInt64
  ) throws(CodingError) -> Write {
    let keyspace = try reader.readUInt32()
    let bits = try reader.readUInt8()
    let tag = EntryTag(word: sequence << 4 | UInt64(bits))
    guard bits < 16, tag.isValid else { throw .invalid("write of kind \(bits)") }
    let keyCount = try reader.readVarint()
    let valueCount = try reader.readVarint()
    guard keyCount <= UInt64(EntryLayout.keyBytesMax) else {
      throw .invalid("key of \(keyCount) bytes")
    }
    guard valueCount <= UInt64(RecordLogFormat.payloadBytesMax), !tag.expires || valueCount >= 8
    else { throw .invalid("value of \(valueCount) bytes") }
    return unsafe Write(
      keyspace: keyspace, tag: tag, key: try reader.readBytes(Int(keyCount)),
      value: try reader.readBytes(Int(valueCount)))
  }
}
