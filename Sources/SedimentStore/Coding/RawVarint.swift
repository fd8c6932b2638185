// Varints at raw addresses, as `ByteWriter.writeVarint` writes them, for loops that have checked
// the bytes before, or check them as they go.

extension UnsafeRawPointer {
  /// The varint at `offset`, which is moved behind it. The bytes are known to hold one.
  @inline(__always)
  func loadVarint(at offset: inout Int) -> UInt64 {
    let byte = unsafe load(fromByteOffset: offset, as: UInt8.self)
    offset &+= 1
    return byte < 0x80 ? UInt64(byte) : unsafe loadLongVarint(UInt64(byte & 0x7F), at: &offset)
  }

  private func loadLongVarint(_ low: UInt64, at offset: inout Int) -> UInt64 {
    var value = low
    var shift: UInt64 = 7
    while true {
      let byte = unsafe load(fromByteOffset: offset, as: UInt8.self)
      offset &+= 1
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 || shift >= 63 { return value }
      shift &+= 7
    }
  }

  /// The varint at `offset`, which is moved behind it; `nil` when it does not end before `end`, or
  /// has more than 64 bits.
  @inline(__always)
  func checkedVarint(at offset: inout Int, end: Int) -> UInt64? {
    var value: UInt64 = 0
    var shift: UInt64 = 0
    while offset < end {
      let byte = unsafe load(fromByteOffset: offset, as: UInt8.self)
      offset &+= 1
      if shift == 63 && byte > 1 { return nil }
      value |= UInt64(byte & 0x7F) &<< shift
      if byte < 0x80 { return value }
      shift &+= 7
    }
    return nil
  }
}

extension UnsafeMutableRawPointer {
  /// Stores a varint at `offset`, which is moved behind it: up to ten bytes.
  @inline(__always)
  func storeVarint(_ value: UInt64, at offset: inout Int) {
    var rest = value
    while rest >= 0x80 {
      unsafe storeBytes(
        of: UInt8(truncatingIfNeeded: rest) | 0x80, toByteOffset: offset, as: UInt8.self)
      offset &+= 1
      rest &>>= 7
    }
    unsafe storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: offset, as: UInt8.self)
    offset &+= 1
  }
}

/// How long varints are.
enum Varint {
  /// Bytes of the varint of a value.
  @inline(__always)
  static func byteCount(_ value: UInt64) -> Int {
    // Nine bits in 64ths are a byte for seven: exact for all 64 lengths.
    let bits = 64 &- (value | 1).leadingZeroBitCount
    return (bits &* 9 &+ 64) &>> 6
  }
}
