// Checked pages of one unit, kept in memory.
//
// Frames of 4096 bytes are divided among 16 stripes by the page's hash. Each stripe has a lock, a
// table from page to frame and a clock hand: a hit marks its frame, the hand clears marks and takes
// the first frame without mark or pin. Pages of files that are gone age out. A full cache takes in
// what comes twice (see `PageCacheStripe`).
//
// How many frames may be used changes with the memory that others leave (`resize`); the addresses
// of all that there can ever be are taken at the start, and memory that is given up goes back to
// the system.
//
// Invariants
// 1. A frame is evicted only under its stripe's lock and only while nobody pins it; a pin is taken
//    only under the lock. So a pinned page does not change.
// 2. Only checked pages get in: who finds one here need not check it again.
// 3. A frame at or behind its stripe's limit holds a page only while that is pinned, or until the
//    next `resize`.
//
// Concurrency: any number of threads. The lock of the limit comes before those of stripes, which
// are held for a look at the stripe's table, and while `resize` gives memory back; pages are copied
// outside. `unpin` and `prefetchPage` take none.

internal import CSedimentKernels
package import SedimentIO
internal import Synchronization

/// A cache of table pages within a byte budget.
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
  private let frameMemory: AlignedBuffer
  private let frames: UnsafeMutablePointer<PageCacheFrame>
  private let slotMemory: AlignedBuffer
  /// All stripes' slots, `slotsPerStripe` each.
  private let slots: UnsafeMutablePointer<UInt64>
  private let slotsPerStripe: Int
  private let stripes: UnsafeMutablePointer<Mutex<PageCacheStripe>>
  /// Frames that may be used; held while that changes.
  private let limit: Mutex<Int>

  /// Frames of a stripe that make a huge page: sizes are multiples of that where they are large.
  private static let stepFrames = 512

  /// A cache whose frames fit `byteBudget` bytes, all of which may be used until `resize` says
  /// otherwise. Their bookkeeping takes about 2 % more. Memory is taken as pages come in.
  package init(byteBudget: Int) throws(AllocationError) {
    frameCount = Self.frameCount(byteBudget: byteBudget)
    memory = try AlignedBuffer(
      byteCount: max(frameCount, 1) * TableFormat.unitBytes, hugePages: true)
    let framesPerStripe = (frameCount + Self.stripeCount - 1) / Self.stripeCount
    var slotCount = 2
    while slotCount < 2 * framesPerStripe { slotCount *= 2 }
    slotsPerStripe = slotCount
    frameMemory = try AlignedBuffer(
      byteCount: max(frameCount, 1) * MemoryLayout<PageCacheFrame>.stride)
    slotMemory = try AlignedBuffer(byteCount: slotCount * Self.stripeCount * 8)
    guard let pages = unsafe memory.bytes.baseAddress,
      let frameBytes = unsafe frameMemory.bytes.baseAddress,
      let slotBytes = unsafe slotMemory.bytes.baseAddress
    else { throw AllocationError(byteCount: frameCount * TableFormat.unitBytes) }
    unsafe self.pages = unsafe pages
    // SAFETY: memory is zero, which is a frame that is not used and a slot that is empty; a frame
    // is integers and an atomic one, and needs no destruction.
    unsafe frames = frameBytes.bindMemory(to: PageCacheFrame.self, capacity: max(frameCount, 1))
    unsafe slots = slotBytes.bindMemory(
      to: UInt64.self, capacity: slotCount * Self.stripeCount)
    limit = Mutex(frameCount)
    unsafe stripes = .allocate(capacity: Self.stripeCount)
    for stripe in 0..<Self.stripeCount {
      let range = Self.frames(ofStripe: stripe, of: frameCount)
      unsafe (stripes + stripe).initialize(
        to: Mutex(
          PageCacheStripe(
            frames: frames, firstFrame: range.lowerBound, frameCount: range.count,
            slots: slots + stripe * slotCount, slotCount: slotCount)))
    }
  }

  deinit {
    unsafe stripes.deinitialize(count: Self.stripeCount)
    unsafe stripes.deallocate()
  }

  private static func frameCount(byteBudget: Int) -> Int {
    // At most 2²⁸ frames, 1 TiB: frame numbers fit 32 bits.
    let count = min(max(0, byteBudget) / TableFormat.unitBytes, 1 << 28)
    let step = stepFrames * stripeCount
    return count < step ? count : count / step * step
  }

  private static func frames(ofStripe stripe: Int, of count: Int) -> Range<Int> {
    count * stripe / stripeCount..<count * (stripe + 1) / stripeCount
  }

  /// Changes how many bytes of frames may be used, up to what the cache was made for. Pages in the
  /// frames given up are dropped, and their memory goes back to the system.
  package func resize(byteBudget: Int) {
    let wanted = min(Self.frameCount(byteBudget: byteBudget), frameCount)
    limit.withLock { limit in
      guard limit != wanted else { return }
      limit = wanted
      for stripe in 0..<Self.stripeCount {
        let own = Self.frames(ofStripe: stripe, of: frameCount)
        let share = Self.frames(ofStripe: stripe, of: wanted).count
        // SAFETY: the stripe's number is below `stripeCount`.
        unsafe stripes[stripe].withLock { stripe in
          stripe.setLimit(min(share, own.count)) { released in
            discard(own.lowerBound + released.lowerBound..<own.lowerBound + released.upperBound)
          }
        }
      }
    }
  }

  /// Gives the memory of frames that hold nothing back to the system.
  private func discard(_ frames: Range<Int>) {
    let unit = TableFormat.unitBytes
    do {
      try memory.discardPages(
        in: frames.lowerBound * unit..<frames.upperBound * unit)
    } catch {
      // The memory stays taken until the frames are used again: that harms nobody but the budget.
    }
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

  /// Asks for the memory that looking into a page will read, if it is here; best some time after
  /// `prefetch`. Takes no lock; when the page is being replaced this moment, memory is asked for in
  /// vain.
  @inline(__always)
  func prefetchPage(_ place: PagePlace, of probe: TableProbe) {
    let hash = Self.hash(probe.fileID, place.first)
    let mask = slotsPerStripe &- 1
    let stripe = Self.stripe(hash)
    let own = Self.frames(ofStripe: stripe, of: frameCount)
    var slot = Int(truncatingIfNeeded: hash) & mask
    for _ in 0..<Self.slotsFetched {
      // SAFETY: the slot is one of the stripe's; a word being changed is the old or the new one.
      let word = unsafe sediment_load_relaxed_u64(slots + (stripe &* slotsPerStripe &+ slot))
      if word == 0 { return }
      if PageCacheStripe.isTagged(word, hash) {
        let frame = own.lowerBound &+ PageCacheStripe.frame(word)
        unsafe sediment_prefetch_read(frames + frame)
        unsafe probe.shape.prefetch(
          UnsafeRawPointer(pages + frame &* TableFormat.unitBytes), entries: probe.pageEntries,
          near: place.part)
        return
      }
      slot = (slot &+ 1) & mask
    }
  }

  /// Slots that `prefetchPage` looks at: the table is at most half full, and clusters short.
  private static let slotsFetched = 4

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
    // SAFETY: as in `lookup`; the frame given out by `claim` is in use by nobody until `publish`.
    let claimed = unsafe stripes[Self.stripe(hash)].withLock { stripe in
      stripe.claim(fileID: fileID, unit: unit, hash: hash)
    }
    guard let claimed else { return }
    // Outside the lock: memory that is touched for the first time takes the system a while.
    unsafe (pages + claimed * TableFormat.unitBytes).copyMemory(
      from: page, byteCount: TableFormat.unitBytes)
    unsafe stripes[Self.stripe(hash)].withLock { stripe in stripe.publish(claimed) }
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
