/// Reading and changing little-endian numbers in the bytes of a file.
extension [UInt8] {
  /// The bytes at an offset as a number.
  func word(at offset: Int, bytes count: Int = 8) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(self[offset + $1]) << (8 * UInt64($1)) }
  }

  /// Puts the lowest `count` bytes of a number at an offset.
  mutating func put(_ value: UInt64, bytes count: Int, at offset: Int) {
    for index in 0..<count {
      self[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index)))
    }
  }
}
