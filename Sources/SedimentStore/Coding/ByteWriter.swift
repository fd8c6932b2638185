/// A growing buffer to which integers are written little-endian. The twin of `ByteReader`.
package struct ByteWriter: Sendable {
  /// What was written so far.
  package private(set) var bytes: [UInt8] = []

  /// An empty writer with room for `capacity` bytes.
  package init(capacity: Int = 0) {
    bytes.reserveCapacity(capacity)
  }

  /// Bytes written.
  package var count: Int { bytes.count }

  /// Empties the writer and keeps its memory.
  package mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
  }

  /// Takes back what was written behind the first `count` bytes, and keeps the memory.
  package mutating func truncate(to count: Int) {
    bytes.removeLast(bytes.count - count)
  }

  /// Appends one byte.
  package mutating func writeUInt8(_ value: UInt8) { bytes.append(value) }
  /// Appends two bytes.
  package mutating func writeUInt16(_ value: UInt16) { write(value) }
  /// Appends four bytes.
  package mutating func writeUInt32(_ value: UInt32) { write(value) }
  /// Appends eight bytes.
  package mutating func writeUInt64(_ value: UInt64) { write(value) }
  /// Appends eight bytes, two's complement.
  package mutating func writeInt64(_ value: Int64) { write(value) }

  /// Appends 1-10 bytes: seven bits a byte, the lowest first, the top bit set on all but the last.
  package mutating func writeVarint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  /// Appends the bytes as they are.
  package mutating func writeBytes(_ value: [UInt8]) { bytes.append(contentsOf: value) }

  /// Appends the bytes as they are.
  package mutating func writeBytes(_ value: UnsafeRawBufferPointer) {
    unsafe bytes.append(contentsOf: value)
  }

  /// Appends `count` zeros.
  package mutating func writeZeros(_ count: Int) {
    guard count <= 8 else {
      bytes.append(contentsOf: repeatElement(0, count: count))
      return
    }
    // Several times as fast as the general way.
    unsafe Swift.withUnsafeBytes(of: UInt64(0)) {
      unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[..<count]))
    }
  }

  /// Appends the length as a varint, then the bytes.
  package mutating func writeLengthPrefixed(_ value: [UInt8]) {
    writeVarint(UInt64(value.count))
    writeBytes(value)
  }

  /// Appends the length of the UTF-8 as a varint, then the UTF-8.
  package mutating func writeString(_ value: String) {
    writeLengthPrefixed(Array(value.utf8))
  }

  /// Bytes of a varint.
  package static func varintBytes(_ value: UInt64) -> Int {
    max((UInt64.bitWidth - value.leadingZeroBitCount + 6) / 7, 1)
  }

  /// Overwrites the bytes from `offset` on by a varint; as many must have been written.
  ///
  /// - Returns: where it ends.
  package mutating func patchVarint(_ value: UInt64, at offset: Int) -> Int {
    var rest = value
    var offset = offset
    while rest >= 0x80 {
      bytes[offset] = UInt8(truncatingIfNeeded: rest) | 0x80
      rest >>= 7
      offset += 1
    }
    bytes[offset] = UInt8(truncatingIfNeeded: rest)
    return offset + 1
  }

  /// Overwrites the four bytes at `offset`, which must have been written.
  package mutating func patchUInt32(_ value: UInt32, at offset: Int) { patch(value, at: offset) }

  /// Overwrites the eight bytes at `offset`, which must have been written.
  package mutating func patchUInt64(_ value: UInt64, at offset: Int) { patch(value, at: offset) }

  /// Calls `body` with what was written so far.
  package func withUnsafeBytes<Answer, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    try unsafe bytes.span.bytes.withUnsafeBytes(body)
  }

  private mutating func write(_ value: some FixedWidthInteger) {
    unsafe Swift.withUnsafeBytes(of: value.littleEndian) { unsafe bytes.append(contentsOf: $0) }
  }

  private mutating func patch(_ value: some FixedWidthInteger, at offset: Int) {
    unsafe Swift.withUnsafeBytes(of: value.littleEndian) { word in
      precondition(offset >= 0 && offset <= bytes.count - word.count, "patch beyond the end")
      unsafe bytes.withUnsafeMutableBytes { bytes in
        unsafe UnsafeMutableRawBufferPointer(rebasing: bytes[offset...]).copyMemory(from: word)
      }
    }
  }
}
