// Writes of ordered keyspaces in the store's log: the payload of a record of type
// `WriteBatchCoding.recordType`.
//
//   sequence number of the first write u64 │ that of the last write of the record before u64
//   │ writes u32 │ writes × write
//   write:  keyspace u32 │ kind u8, as the low four bits of a tag │ varint key length
//           │ varint value length │ key │ value
//
// The value begins with the time of expiry, i64 ms, where the kind says that it has one. Of the
// removal of a range, key and value are its bounds, as `RangeRemoval.bounds` has them. A record
// is one batch: it is whole or not there. Each record names the one before, in whatever file that
// is, so that a record that is missing between two is noticed.

/// Gathers writes in the form in which the log has them.
package struct WriteBatchBuffer: Sendable {
  private var bytes: ByteWriter
  /// Writes in it.
  package private(set) var count = 0

  /// An empty buffer.
  package init(capacity: Int = 0) {
    bytes = ByteWriter(capacity: WriteBatchCoding.headBytes + capacity)
    bytes.writeZeros(WriteBatchCoding.headBytes)
  }

  /// Empties it and keeps its memory.
  package mutating func removeAll() {
    bytes.truncate(to: WriteBatchCoding.headBytes)
    count = 0
  }

  /// Bytes of memory it holds.
  var capacity: Int { bytes.bytes.capacity }

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

  /// Numbers its writes from `firstSequence` on.
  ///
  /// - Parameter previous: the number of the last write of the record before; 0 for none.
  package mutating func number(firstSequence: UInt64, previous: UInt64) {
    bytes.patchUInt64(firstSequence, at: 0)
    bytes.patchUInt64(previous, at: WriteBatchCoding.previousAt)
    bytes.patchUInt32(UInt32(truncatingIfNeeded: count), at: 16)
  }

  /// Calls `body` with the payload, as it was numbered last.
  package func withPayload<Answer, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    try unsafe bytes.withUnsafeBytes(body)
  }
}

/// Reads what `WriteBatchBuffer` made.
package enum WriteBatchCoding {
  /// The type of a record of writes. On disk: never renumber.
  package static let recordType: UInt8 = 2
  /// Bytes before the first write.
  static let headBytes = 20
  /// Where among them the number of the last write of the record before stands.
  static let previousAt = 8
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

  /// What stands in front of a record's writes.
  package struct Head: Hashable, Sendable {
    /// The sequence number of the first write.
    package var first: UInt64
    /// That of the last write of the record before; 0 for none.
    package var previous: UInt64
    /// Writes of the record, at least one.
    package var count: Int

    /// The sequence number of the last write.
    package var last: UInt64 { first + UInt64(count) - 1 }
  }

  /// Calls `body` with every write of a payload, in order.
  ///
  /// - Returns: what stands in front of them.
  /// - Throws: `CodingError` where the payload is none, and what `body` throws.
  @discardableResult
  package static func read(
    _ payload: UnsafeRawBufferPointer, _ body: (Write) throws -> Void
  ) throws -> Head {
    var reader = unsafe ByteReader(payload)
    let head = try readHead(&reader)
    for index in 0..<head.count {
      try body(try readWrite(&reader, sequence: head.first + UInt64(index)))
    }
    try reader.expectEnd()
    return head
  }

  private static func readHead(_ reader: inout ByteReader) throws(CodingError) -> Head {
    let head = Head(
      first: try reader.readUInt64(), previous: try reader.readUInt64(),
      count: try reader.readCount32(itemBytes: writeBytesMin))
    guard head.count > 0, head.first > head.previous,
      head.first <= EntryTag.sequenceMax - UInt64(head.count)
    else { throw .invalid("\(head.count) writes from \(head.first), behind \(head.previous)") }
    return head
  }

  private static func readWrite(
    _ reader: inout ByteReader, sequence: UInt64
  ) throws(CodingError) -> Write {
    let keyspace = try reader.readUInt32()
    let bits = try reader.readUInt8()
    let tag = EntryTag(word: sequence << 4 | UInt64(bits))
    guard bits < 16, tag.isValid || bits == OrderedKind.removeRange.rawValue else {
      throw .invalid("write of kind \(bits)")
    }
    let keyCount = try reader.readVarint()
    let valueCount = try reader.readVarint()
    guard keyCount <= UInt64(EntryLayout.keyBytesMax) else {
      throw .invalid("key of \(keyCount) bytes")
    }
    guard valueCount <= UInt64(RecordLogFormat.payloadBytesMax), !tag.expires || valueCount >= 8
    else { throw .invalid("value of \(valueCount) bytes") }
    let write = unsafe Write(
      keyspace: keyspace, tag: tag, key: try reader.readBytes(Int(keyCount)),
      value: try reader.readBytes(Int(valueCount)))
    guard unsafe tag.kind != .removeRange || RangeRemoval.isBound(write.value) else {
      throw .invalid("bound of a removal")
    }
    return write
  }
}
