/// The time at which an entry expires, which stands in front of its value.
enum EntryExpiry {
  static let byteCount = 8

  /// Milliseconds since 1970. SAFETY: an entry that expires has eight bytes at the least.
  @inline(__always)
  static func time(of value: UnsafeRawBufferPointer) -> Int64 {
    unsafe Int64(littleEndian: value.loadUnaligned(as: Int64.self))
  }
}
