/// Zeroed memory at a multiple of 64 bytes, owned by one value.
@safe
struct AlignedBytes: ~Copyable {
  static let alignment = 64

  private(set) var base: UnsafeMutableRawPointer
  private(set) var count: Int

  /// `count` zero bytes.
  init(zeroed count: Int) {
    self.count = count
    unsafe base = AlignedBytes.allocate(count)
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  deinit {
    unsafe base.deallocate()
  }

  /// The bytes, as long as this value lives.
  var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: base, count: count)
  }

  /// Grows to `larger` bytes; the new ones are zero.
  mutating func grow(to larger: Int) {
    precondition(larger >= count, "memory only grows")
    let grown = unsafe AlignedBytes.allocate(larger)
    unsafe grown.copyMemory(from: base, byteCount: count)
    unsafe (grown + count).initializeMemory(as: UInt8.self, repeating: 0, count: larger - count)
    unsafe base.deallocate()
    unsafe base = grown
    count = larger
  }

  private static func allocate(_ count: Int) -> UnsafeMutableRawPointer {
    .allocate(byteCount: max(count, alignment), alignment: alignment)
  }
}

// @unchecked because it is the only owner of its memory.
extension AlignedBytes: @unchecked Sendable {}
