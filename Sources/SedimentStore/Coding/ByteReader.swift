/// Reads little-endian integers and byte strings from bytes that may be damaged or crafted.
///
/// Every read checks the bounds and throws `CodingError`; a count is checked against the bytes that
/// are left before any memory is taken for it. A read that throws leaves the place unchanged.
///
/// The reader borrows its bytes: whoever makes it keeps them alive.
@safe
package struct ByteReader {
  private let base: UnsafeRawBufferPointer

  /// Bytes read so far.
  package private(set) var offset = 0

  /// A reader at the start of `bytes`.
  package init(_ bytes: UnsafeRawBufferPointer) {
    unsafe base = unsafe bytes
  }

  /// Calls `body` with a reader over `bytes`.
  package static func reading<Answer>(
    _ bytes: [UInt8], _ body: (inout ByteReader) throws(CodingError) -> Answer
  ) throws(CodingError) -> Answer {
    try unsafe bytes.span.bytes.withUnsafeBytes { (bytes) throws(CodingError) in
      var reader = unsafe ByteReader(bytes)
      return try body(&reader)
    }
  }

  /// Bytes not read yet.
  package var remaining: Int { unsafe base.count - offset }

  /// Whether all bytes were read.
  package var isAtEnd: Bool { remaining == 0 }

  // MARK: - Integers

  /// Reads one byte.
  package mutating func readUInt8() throws(CodingError) -> UInt8 { try readInteger() }
  /// Reads two bytes.
  package mutating func readUInt16() throws(CodingError) -> UInt16 { try readInteger() }
  /// Reads four bytes.
  package mutating func readUInt32() throws(CodingError) -> UInt32 { try readInteger() }
  /// Reads eight bytes.
  package mutating func readUInt64() throws(CodingError) -> UInt64 { try readInteger() }
  /// Reads eight bytes, two's complement.
  package mutating func readInt64() throws(CodingError) -> Int64 { try readInteger() }

  /// Reads a varint of 1-10 bytes. Only the shortest form of a number is accepted, so that equal
  /// values have equal bytes.
  package mutating func readVarint() throws(CodingError) -> UInt64 {
    var next = self
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard next.remaining > 0 else { throw .truncated(offset: offset) }
      let byte = try next.readUInt8()
      if shift == 63 && byte > 1 { throw .invalid("varint of more than 64 bits at \(offset)") }
      value |= UInt64(byte & 0x7f) << shift
      guard byte < 0x80 else { continue }
      if byte == 0 && shift > 0 { throw .invalid("varint at \(offset) is longer than needed") }
      self = next
      return value
    }
    throw .invalid("varint of more than ten bytes at \(offset)")
  }

  /// Reads a varint that counts items of at least `itemBytes` bytes each, all of which follow.
  package mutating func readCount(itemBytes: Int) throws(CodingError) -> Int {
    var next = self
    let count = try next.readVarint()
    try next.requireRoom(for: count, itemBytes: itemBytes)
    self = next
    return Int(count)
  }

  /// Reads a u32 that counts items of at least `itemBytes` bytes each, all of which follow.
  package mutating func readCount32(itemBytes: Int) throws(CodingError) -> Int {
    var next = self
    let count = try next.readUInt32()
    try next.requireRoom(for: UInt64(count), itemBytes: itemBytes)
    self = next
    return Int(count)
  }

  // MARK: - Bytes

  /// Reads `count` bytes without copying them; they live as long as the reader's own.
  package mutating func readBytes(_ count: Int) throws(CodingError) -> UnsafeRawBufferPointer {
    guard count >= 0 && count <= remaining else { throw .truncated(offset: offset) }
    let bytes = unsafe UnsafeRawBufferPointer(rebasing: base[offset..<offset + count])
    offset += count
    return unsafe bytes
  }

  /// Reads a copy of `count` bytes.
  package mutating func readArray(_ count: Int) throws(CodingError) -> [UInt8] {
    try unsafe Array(readBytes(count))
  }

  /// Passes over `count` bytes.
  package mutating func skip(_ count: Int) throws(CodingError) {
    _ = try unsafe readBytes(count)
  }

  /// Reads a varint length of at most `maxBytes`, and that many bytes.
  package mutating func readLengthPrefixed(
    maxBytes: Int = .max
  ) throws(CodingError) -> [UInt8] {
    var next = self
    let count = try next.readCount(itemBytes: 1)
    guard count <= maxBytes else {
      throw .invalid("\(count) bytes at \(offset) where at most \(maxBytes) are allowed")
    }
    let bytes = try next.readArray(count)
    self = next
    return bytes
  }

  /// Reads a varint length of at most `maxBytes`, and that many bytes of valid UTF-8.
  package mutating func readString(maxBytes: Int = .max) throws(CodingError) -> String {
    var next = self
    let bytes = try next.readLengthPrefixed(maxBytes: maxBytes)
    guard let string = String(validating: bytes, as: UTF8.self) else {
      throw .invalid("string at \(offset) is not UTF-8")
    }
    self = next
    return string
  }

  /// Throws if bytes are left.
  package func expectEnd() throws(CodingError) {
    guard isAtEnd else { throw .invalid("\(remaining) bytes too many at \(offset)") }
  }

  // MARK: - Checks

  private func requireRoom(for count: UInt64, itemBytes: Int) throws(CodingError) {
    precondition(itemBytes >= 1, "an item of no bytes bounds nothing")
    guard count <= UInt64(remaining / itemBytes) else { throw .truncated(offset: offset) }
  }

  private mutating func readInteger<Value: FixedWidthInteger & BitwiseCopyable>()
    throws(CodingError) -> Value
  {
    let size = MemoryLayout<Value>.size
    guard size <= remaining else { throw .truncated(offset: offset) }
    // SAFETY: the bytes at `offset` were just checked to be there; any bits are a valid integer.
    let raw = unsafe base.loadUnaligned(fromByteOffset: offset, as: Value.self)
    offset += size
    return Value(littleEndian: raw)
  }
}
