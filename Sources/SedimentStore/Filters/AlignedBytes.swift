internal import SedimentIO

/// Memory at a multiple of 64 bytes, owned by one value.
///
/// Filters are probed at random, and with pages of 4 KiB nearly every probe of a large one misses
/// the processor's table of pages as well: large memory asks for huge pages.
@safe
struct AlignedBytes: ~Copyable {
  static let alignment = 64
  /// The size of a huge page; less memory than that comes from the heap.
  private static let mappedBytesMin = 2 << 20

  private(set) var base: UnsafeMutableRawPointer
  private(set) var count: Int
  /// Owns the memory that does not come from the heap.
  private let mapping: AlignedBuffer?

  /// `count` zero bytes.
  init(zeroed count: Int) {
    self.init(uninitialized: count)
    // What was mapped is zero already.
    if mapping == nil {
      unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }
  }

  /// `count` bytes of any content, for who writes each before it is read.
  init(uninitialized count: Int) {
    self.count = count
    mapping = count >= Self.mappedBytesMin ? Self.map(count) : nil
    if let mapped = unsafe mapping?.bytes.baseAddress {
      unsafe base = mapped
    } else {
      unsafe base = .allocate(
        byteCount: max(count, Self.alignment), alignment: Self.alignment)
    }
  }

  deinit {
    if mapping == nil { unsafe base.deallocate() }
  }

  /// The bytes, as long as this value lives.
  var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: base, count: count)
  }

  /// Grows to `larger` bytes; the new ones are zero.
  mutating func grow(to larger: Int) {
    precondition(larger >= count, "memory only grows")
    var grown = AlignedBytes(zeroed: larger)
    unsafe grown.base.copyMemory(from: base, byteCount: count)
    swap(&self, &grown)
  }

  /// `nil` when the system gives none: then the heap is asked, which knows no answer but memory.
  private static func map(_ count: Int) -> AlignedBuffer? {
    do {
      return try AlignedBuffer(byteCount: count, hugePages: true)
    } catch {
      return nil
    }
  }
}

// @unchecked because it is the only owner of its memory.
extension AlignedBytes: @unchecked Sendable {}
