// Checked pages of one unit, kept in memory.
//
// A fixed number of frames of 4096 bytes is divided among 16 stripes by the page's hash. Each
// stripe has a lock, a table from page to frame and a clock hand: a hit marks its frame, the hand
// clears marks and takes the first frame without mark or pin. Pages of files that are gone age out.
// A full cache takes in what comes twice (see `PageCacheStripe`).
//
// Invariants
// 1. A frame is evicted only under its stripe's lock and only while nobody pins it; a pin is taken
//    only under the lock. So a pinned page does not change.
// 2. Only checked pages get in: who finds one here need not check it again.
//
// Concurrency: any number of threads. A lock is held for a look-up or a copy of one page; `unpin`
// takes none.

internal import CSedimentKernels
package import SedimentIO
internal import Synchronization

/// A cache of table pages within a byte budget that is taken up front.
@safe
package final class PageCache {
  /// A page held in the cache until `unpin`.
  @safe
  package struct PinnedPage {
    /// `TableFormat.unitBytes` bytes of a page for `PageShape.view(checked:)`.
    package let address: UnsafeRawPointer
    fileprivate let frame: Int
  }

  /// What happened so far.
  package struct Statistics: Sendable, Equatable {
    /// Pages found.
    package var hits: UInt64 = 0
    /// Pages asked for that were not there.
    package var misses: UInt64 = 0
    /// Pages taken in.
    package var insertions: UInt64 = 0
    /// Pages that made room for others.
    package var evictions: UInt64 = 0
  }

  private static let stripeCount = 16

  /// Frames in all stripes; 0 makes a cache in which nothing is ever found.
  package let frameCount: Int
  private let memory: AlignedBuffer
  private let pages: UnsafeMutableRawPointer
  private let frames: UnsafeMutablePointer<PageCacheFrame>
  /// All stripes' slots, `slotsPerStripe` each.
  private let slots: UnsafeMutablePointer<UInt64>
  private let slotsPerStripe: Int
  private let stripes: UnsafeMutablePointer<Mutex<PageCacheStripe>>

  /// A cache whose frames fit `byteBudget` bytes; their bookkeeping takes about 1 % more.
  package init(byteBudget: Int) throws(AllocationError) {
    // At most 2²⁸ frames, 1 TiB: frame numbers fit 32 bits.
    frameCount = min(max(0, byteBudget) / TableFormat.unitBytes, 1 << 28)
    memory = try AlignedBuffer(
      byteCount: max(frameCount, 1) * TableFormat.unitBytes, hugePages: true)
    guard let pages = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: frameCount * TableFormat.unitBytes)
    }
    unsafe self.pages = unsafe pages
    unsafe frames = .allocate(capacity: frameCount)
    for frame in 0..<frameCount { unsafe (frames + frame).initialize(to: PageCacheFrame()) }
    let framesPerStripe = (frameCount + Self.stripeCount - 1) / Self.stripeCount
    var slotCount = 2
    while slotCount < 2 * framesPerStripe { slotCount *= 2 }
    slotsPerStripe = slotCount
    unsafe slots = .allocate(capacity: slotCount * Self.stripeCount)
    unsafe slots.initialize(repeating: 0, count: slotCount * Self.stripeCount)
    unsafe stripes = .allocate(capacity: Self.stripeCount)
    for stripe in 0..<Self.stripeCount {
      let first = frameCount * stripe / Self.stripeCount
      let end = frameCount * (stripe + 1) / Self.stripeCount
      unsafe (stripes + stripe).initialize(
        to: Mutex(
          PageCacheStripe(
            frames: frames, firstFrame: first, frameCount: end - first,
            slots: slots + stripe * slotCount, slotCount: slotCount)))
    }
  }

  deinit {
    unsafe stripes.deinitialize(count: Self.stripeCount)
    unsafe stripes.deallocate()
    unsafe frames.deinitialize(count: frameCount)
    unsafe frames.deallocate()
    unsafe slots.deallocate()
  }

  /// Asks for the memory that `lookup` will read first.
  @inline(__always)
  package func prefetch(fileID: UInt64, unit: UInt32) {
    let hash = Self.hash(fileID, unit)
    let slot =
      Self.stripe(hash) &* slotsPerStripe &+ Int(truncatingIfNeeded: hash)
      & (slotsPerStripe &- 1)
    unsafe sediment_prefetch_read(slots + slot)
  }

  /// The page of `unit` of the file with `fileID`, pinned; `nil` when it is not here.
  package func lookup(fileID: UInt64, unit: UInt32) -> PinnedPage? {
    let hash = Self.hash(fileID, unit)
    // SAFETY: the stripe's number is below `stripeCount`; a frame's is below `frameCount`.
    let found: Int? = unsafe stripes[Self.stripe(hash)].withLock { stripe in
      guard let frame = stripe.find(fileID: fileID, unit: unit, hash: hash) else { return nil }
      _ = unsafe frames[frame].pins.wrappingAdd(1, ordering: .relaxed)
      return frame
    }
    guard let found else { return nil }
    return unsafe PinnedPage(
      address: UnsafeRawPointer(pages + found * TableFormat.unitBytes), frame: found)
  }

  /// Gives a page back; its address is not to be used again.
  package func unpin(_ page: PinnedPage) {
    // Releasing: what was read of the page was read before it may be overwritten.
    let before = unsafe frames[page.frame].pins.wrappingSubtract(1, ordering: .releasing).oldValue
    precondition(before > 0, "unpinned more often than pinned")
  }

  /// Offers a checked page of one unit, of which a copy may be kept: not when it is here already,
  /// when every frame of its stripe is pinned, or, in a full cache, at its first coming.
  package func insert(fileID: UInt64, unit: UInt32, copying page: UnsafeRawPointer) {
    let hash = Self.hash(fileID, unit)
    // SAFETY: as in `lookup`; the frame given out by `claim` is in use by nobody.
    unsafe stripes[Self.stripe(hash)].withLock { stripe in
      guard let claimed = stripe.claim(fileID: fileID, unit: unit, hash: hash) else { return }
      unsafe (pages + claimed * TableFormat.unitBytes).copyMemory(
        from: page, byteCount: TableFormat.unitBytes)
    }
  }

  /// Sums over all stripes.
  package var statistics: Statistics {
    var sum = Statistics()
    for stripe in 0..<Self.stripeCount {
      let part = unsafe stripes[stripe].withLock { $0.statistics }
      sum.hits += part.hits
      sum.misses += part.misses
      sum.insertions += part.insertions
      sum.evictions += part.evictions
    }
    return sum
  }

  /// File ids are random, but neighbouring units must spread.
  @inline(__always)
  private static func hash(_ fileID: UInt64, _ unit: UInt32) -> UInt64 {
    let mixed = (fileID ^ UInt64(unit)) &* 0x9E37_79B9_7F4A_7C15
    return (mixed ^ (mixed >> 32)) &* 0xD6E8_FEB8_6659_FD93
  }

  @inline(__always)
  private static func stripe(_ hash: UInt64) -> Int { Int(hash >> 60) }
}

// @unchecked because its memory is reached only as invariant 1 says.
extension PageCache: @unchecked Sendable {}
