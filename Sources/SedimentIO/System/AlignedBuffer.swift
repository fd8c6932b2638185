import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The system has no memory left to give.
public struct AllocationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What was asked for.
  public var byteCount: Int

  /// An error about a number of bytes.
  public init(byteCount: Int) {
    self.byteCount = byteCount
  }

  public var description: String { "cannot allocate \(byteCount) bytes" }
}

/// Zero-filled memory that begins on a page, given back when the last reference goes.
///
/// Pages are taken from the system when they are first touched. The bytes belong to whoever holds
/// the buffer: it orders nothing between threads.
// @unchecked because the addresses never change, and the bytes are for the holders to share.
@safe public final class AlignedBuffer: @unchecked Sendable {
  /// All bytes; valid for as long as the buffer lives.
  public let bytes: UnsafeMutableRawBufferPointer
  private let wantsHugePages: Bool

  /// Takes `byteCount` bytes; `hugePages` hints that large pages would serve.
  ///
  /// - Throws: `AllocationError`, also for a negative count.
  public init(byteCount: Int, hugePages: Bool = false) throws(AllocationError) {
    // No mapping is empty; a buffer may be.
    guard byteCount >= 0,
      let start = unsafe sediment_map_memory(UInt64(max(1, byteCount)))
    else { throw AllocationError(byteCount: byteCount) }
    wantsHugePages = hugePages
    if hugePages { unsafe sediment_advise_huge_pages(start, UInt64(max(1, byteCount))) }
    unsafe bytes = UnsafeMutableRawBufferPointer(start: start, count: byteCount)
  }

  deinit {
    // SAFETY: the mapping was made by `init` with this size, and nobody holds the buffer any more.
    _ = unsafe munmap(bytes.baseAddress, max(1, bytes.count))
  }

  /// Gives the memory back and has all bytes read zero again.
  ///
  /// - Throws: `AllocationError`; the bytes are then as before.
  public func discard() throws(AllocationError) {
    try discard(from: 0, byteCount: max(1, unsafe bytes.count))
  }

  /// Gives the system's whole pages within part of the memory back, which then read zero again.
  ///
  /// - Throws: `AllocationError`; the bytes are then as before.
  public func discardPages(in range: Range<Int>) throws(AllocationError) {
    let byteCount = unsafe bytes.count
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "beyond the buffer")
    let pageBytes = Int(getpagesize())
    let first = (range.lowerBound + pageBytes - 1) / pageBytes * pageBytes
    let end = range.upperBound / pageBytes * pageBytes
    if first < end { try discard(from: first, byteCount: end - first) }
  }

  private func discard(from offset: Int, byteCount: Int) throws(AllocationError) {
    guard let base = unsafe bytes.baseAddress else { return }
    let start = unsafe base + offset
    if unsafe sediment_discard_memory(start, UInt64(byteCount)) != 0 {
      throw AllocationError(byteCount: byteCount)
    }
    if wantsHugePages { unsafe sediment_advise_huge_pages(start, UInt64(byteCount)) }
  }
}
