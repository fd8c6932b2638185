// Writes of ordered keyspaces in the store's log: the payload of a record of type
// `WriteBatchCoding.recordType`.
//
//   varint sequence number of the last write of the record before
//   │ varint how many numbers were skipped since then │ varint writes │ writes × write
//   write:  kind u8, as the low four bits of a tag │ varint keyspace │ varint key length
//           │ varint value length │ key │ value
//
// The value begins with the time of expiry, i64 ms, where the kind says that it has one. Of the
// removal of a range, key and value are its bounds, as `RangeRemoval.bounds` has them. A record
// is one batch: it is whole or not there. Each record names the one before, in whatever file that
// is, so that a record that is missing between two is noticed.
//
// Records of type `WriteBatchCoding.wideRecordType`, of logs of version 1, are read as well:
//
//   sequence number of the first write u64 │ that of the last write of the record before u64
//   │ writes u32 │ writes × (keyspace u32 │ kind u8 │ varint key length │ …)

/// Gathers writes in the form in which the log has them.
package struct WriteBatchBuffer: Sendable {
  /// The writes, behind room for the longest head.
  private var bytes: ByteWriter
  /// Where in that room the head begins, which ends where the writes begin.
  private var start = WriteBatchCoding.headBytesMax
  /// Writes in it.
  package private(set) var count = 0

  /// An empty buffer.
  package init(capacity: Int = 0) {
    bytes = ByteWriter(capacity: WriteBatchCoding.headBytesMax + capacity)
    bytes.writeZeros(WriteBatchCoding.headBytesMax)
  }

  /// Empties it and keeps its memory.
  package mutating func removeAll() {
    bytes.truncate(to: WriteBatchCoding.headBytesMax)
    count = 0
  }

  /// Bytes of memory it holds.
  var capacity: Int { bytes.bytes.capacity }

  /// Bytes of the record's payload, at the most.
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
    bytes.writeUInt8(kind.rawValue | (expiresAt == nil ? 0 : EntryTag.expiresBit))
    bytes.writeVarint(UInt64(keyspace))
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
    let numbers = (previous, firstSequence - previous - 1, UInt64(count))
    start =
      WriteBatchCoding.headBytesMax - ByteWriter.varintBytes(numbers.0)
      - ByteWriter.varintBytes(numbers.1) - ByteWriter.varintBytes(numbers.2)
    var end = bytes.patchVarint(numbers.0, at: start)
    end = bytes.patchVarint(numbers.1, at: end)
    _ = bytes.patchVarint(numbers.2, at: end)
  }

  /// Calls `body` with the payload, as it was numbered last.
  package func withPayload<Answer, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    try unsafe bytes.withUnsafeBytes { bytes throws(Failure) in
      try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }
  }
}

/// Reads what `WriteBatchBuffer` made.
package enum WriteBatchCoding {
  /// The type of a record of writes. On disk: never renumber.
  package static let recordType: UInt8 = 3
  /// The type of one in which numbers have a fixed width. On disk: never renumber.
  package static let wideRecordType: UInt8 = 2
  /// Bytes before the first write, at the most: two sequence numbers and a count.
  static let headBytesMax = 9 + 9 + 6
  /// Bytes of a write beside its key and value, at the most.
  static let writeBytesMax = 1 + 5 + 3 + 4 + 8
  private static let writeBytesMin = 1 + 1 + 1 + 1

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
  /// - Parameter type: the record's; `recordType` or `wideRecordType`.
  /// - Returns: what stands in front of them.
  /// - Throws: `CodingError` where the payload is none, and what `body` throws.
  @discardableResult
  package static func read(
    _ payload: UnsafeRawBufferPointer, type: UInt8 = recordType, _ body: (Write) throws -> Void
  ) throws -> Head {
    let isWide = type == wideRecordType
    var reader = unsafe ByteReader(payload)
    let head = try readHead(&reader, isWide: isWide)
    for index in 0..<head.count {
      try body(try readWrite(&reader, sequence: head.first + UInt64(index), isWide: isWide))
    }
    try reader.expectEnd()
    return head
  }

  /// Whether records of a type hold writes.
  package static func isRecord(_ type: UInt8) -> Bool {
    type == recordType || type == wideRecordType
  }

  /// The payload of a record of either type as one of `recordType` that follows on another record.
  ///
  /// - Parameter previous: the number of the last write of that; 0 for none.
  /// - Throws: `CodingError` where the payload is none.
  package static func payload(
    _ payload: UnsafeRawBufferPointer, type: UInt8, behind previous: UInt64
  ) throws -> WriteBatchBuffer {
    var buffer = WriteBatchBuffer(capacity: payload.count)
    let head = try unsafe read(payload, type: type) { write in
      let time = unsafe write.tag.expires ? EntryExpiry.time(of: write.value) : nil
      let value =
        unsafe write.tag.expires
        ? UnsafeRawBufferPointer(rebasing: write.value[EntryExpiry.byteCount...]) : write.value
      guard
        unsafe buffer.append(
          keyspace: write.keyspace, kind: write.tag.kind, key: write.key, value: value,
          expiresAt: time)
      else { throw CodingError.invalid("writes that are too long") }
    }
    buffer.number(firstSequence: head.first, previous: previous)
    return buffer
  }

  private static func readHead(
    _ reader: inout ByteReader, isWide: Bool
  ) throws(CodingError) -> Head {
    var head: Head
    if isWide {
      head = Head(
        first: try reader.readUInt64(), previous: try reader.readUInt64(),
        count: try reader.readCount32(itemBytes: writeBytesMin))
    } else {
      let previous = try reader.readVarint()
      let (first, isTooLarge) = previous.addingReportingOverflow(try reader.readVarint())
      guard !isTooLarge, first < EntryTag.sequenceMax else { throw .invalid("number of a write") }
      head = Head(
        first: first + 1, previous: previous, count: try reader.readCount(itemBytes: writeBytesMin))
    }
    guard head.count > 0, head.first > head.previous,
      head.first <= EntryTag.sequenceMax - UInt64(head.count)
    else { throw .invalid("\(head.count) writes from \(head.first), behind \(head.previous)") }
    return head
  }

  private static func readWrite(
    _ reader: inout ByteReader, sequence: UInt64, isWide: Bool
  ) throws(CodingError) -> Write {
    let keyspace: UInt32
    let bits: UInt8
    if isWide {
      keyspace = try reader.readUInt32()
      bits = try reader.readUInt8()
    } else {
      bits = try reader.readUInt8()
      let id = try reader.readVarint()
      guard id <= UInt32.max else { throw .invalid("keyspace \(id)") }
      keyspace = UInt32(id)
    }
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
