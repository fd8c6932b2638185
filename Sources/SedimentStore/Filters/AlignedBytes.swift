internal import SedimentIO

/// Memory at a multiple of 64 bytes, owned by one value.
///
/// Filters are probed at random, and with pages of 4 KiB nearly every probe of a large one misses
/// the processor's table of pages as well: what is not small comes from huge pages.
@safe
struct AlignedBytes: ~Copyable {
  static let alignment = 64
  /// Less memory than this comes from the heap.
  private static let pooledBytesMin = 128 << 10

  /// Who owns memory that does not come from the heap.
  private enum Owner {
    case pool(PooledMemory)
    case mapping(AlignedBuffer)
  }

  private(set) var base: UnsafeMutableRawPointer
  private(set) var count: Int
  private let owner: Owner?

  /// `count` zero bytes.
  init(zeroed count: Int) {
    self.init(uninitialized: count)
    // What was mapped is zero already.
    if case .mapping = owner { return }
    unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: count)
  }

  /// `count` bytes of any content, for who writes each before it is read.
  init(uninitialized count: Int) {
    self.count = count
    owner = Self.take(count)
    let taken = unsafe Self.base(of: owner)
    unsafe base =
      taken
      ?? .allocate(byteCount: max(count, Self.alignment), alignment: Self.alignment)
  }

  deinit {
    if case nil = owner { unsafe base.deallocate() }
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

  /// `nil` for little memory, and when the system gives none: then the heap is asked, which knows
  /// no answer but memory.
  private static func take(_ count: Int) -> Owner? {
    guard count >= pooledBytesMin else { return nil }
    do {
      return count <= HugePagePool.pieceBytesMax
        ? .pool(try HugePagePool.shared.take(byteCount: count))
        : .mapping(try AlignedBuffer(byteCount: count, hugePages: true))
    } catch {
      return nil
    }
  }

  private static func base(of owner: Owner?) -> UnsafeMutableRawPointer? {
    switch owner {
    case .pool(let memory): unsafe memory.bytes.baseAddress
    case .mapping(let buffer): unsafe buffer.bytes.baseAddress
    case nil: nil
    }
  }
}

// @unchecked because it is the only owner of its memory.
extension AlignedBytes: @unchecked Sendable {}
