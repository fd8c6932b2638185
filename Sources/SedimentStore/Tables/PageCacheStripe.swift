internal import CSedimentKernels
internal import Synchronization

/// One frame of a `PageCache`: which page is in it.
struct PageCacheFrame: ~Copyable {
  var fileID: UInt64 = 0
  /// The page's hash, so that moving a slot need not compute it.
  var hash: UInt64 = 0
  var unit: UInt32 = 0
  var isUsed = false
  /// The clock's mark: found since the hand last passed.
  var isMarked = false
  /// Who reads the page, or copies it in. Taken under the stripe's lock, given back without.
  let pins = Atomic<UInt32>(0)
}

/// One stripe of a `PageCache`: which page is in which of its frames. Used under the stripe's lock.
///
/// The table is open addressing with linear probing, at most half full, and has no tombstones: a
/// removal moves later slots of the cluster back. A slot is 32 bits of the page's hash over the
/// frame's number in the stripe plus 1, so that a page that is not here costs one cache line.
///
/// When all frames are in use a page gets in at its second coming: the first leaves a bit in the
/// *doorkeeper*. Pages that are read evenly over far more than the cache holds would push each
/// other out before they are read again, and taking one in costs as much as reading it. The bits
/// are cleared after as many first comings as there are frames.
///
/// Source: Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy"
/// (2017), for the doorkeeper.
@safe
struct PageCacheStripe: ~Copyable {
  private let frames: UnsafeMutablePointer<PageCacheFrame>
  private let firstFrame: Int
  private let slots: UnsafeMutablePointer<UInt64>
  private let mask: Int
  /// Frames that may be used: the first ones.
  private var limit: Int
  /// Behind the last frame that holds a page, or may come to.
  private var end: Int
  private var framesUsed = 0
  private var hand = 0
  private var doorkeeper: [UInt64]
  private var comings = 0
  private(set) var statistics = PageCache.Statistics()

  /// A stripe of some of the cache's frames, with so many slots: a power of two, at least twice as
  /// many as frames, all 0.
  init(
    frames: UnsafeMutablePointer<PageCacheFrame>, firstFrame: Int, frameCount: Int,
    slots: UnsafeMutablePointer<UInt64>, slotCount: Int
  ) {
    unsafe self.frames = unsafe frames + firstFrame
    self.firstFrame = firstFrame
    unsafe self.slots = unsafe slots
    mask = slotCount - 1
    limit = frameCount
    end = frameCount
    // Four to eight bits a frame, a power of two of words.
    doorkeeper = Array(repeating: 0, count: max(slotCount / 32, 1))
  }

  /// Changes how many frames may be used, and drops the pages of those behind that nobody reads
  /// this moment.
  ///
  /// - Parameter release: is called with the stripe's frames that hold nothing from now on.
  mutating func setLimit(_ wanted: Int, release: (Range<Int>) -> Void) {
    let before = max(end, wanted)
    end = wanted
    var free = wanted
    for frame in wanted..<before where unsafe frames[frame].isUsed {
      if unsafe frames[frame].pins.load(ordering: .acquiring) > 0 {
        if free < frame { release(free..<frame) }
        (end, free) = (frame + 1, frame + 1)
        continue
      }
      remove(frame)
      unsafe frames[frame].isUsed = false
      framesUsed -= 1
    }
    if free < before { release(free..<before) }
    // The frames that were added are free: the hand begins there.
    hand = wanted > limit ? limit : min(hand, max(wanted - 1, 0))
    limit = wanted
  }

  /// The cache's number of the frame that holds the page; marks it.
  mutating func find(fileID: UInt64, unit: UInt32, hash: UInt64) -> Int? {
    let frame = position(fileID: fileID, unit: unit, hash: hash)
    guard frame >= 0 else {
      statistics.misses += 1
      return nil
    }
    statistics.hits += 1
    unsafe frames[frame].isMarked = true
    return firstFrame + frame
  }

  /// Gives a frame to a page that is to be copied in and then published: the cache's number of it,
  /// pinned, or `nil` when the page is here already, is not to be taken in yet, or no frame is
  /// free.
  mutating func claim(fileID: UInt64, unit: UInt32, hash: UInt64) -> Int? {
    guard framesUsed < limit || hasComeBefore(hash) else { return nil }
    guard position(fileID: fileID, unit: unit, hash: hash) < 0, let frame = victim() else {
      return nil
    }
    if unsafe frames[frame].isUsed {
      remove(frame)
      statistics.evictions += 1
    } else {
      framesUsed += 1
    }
    unsafe frames[frame].fileID = fileID
    unsafe frames[frame].hash = hash
    unsafe frames[frame].unit = unit
    unsafe frames[frame].isUsed = true
    // A page that is read once leaves before one that is read again.
    unsafe frames[frame].isMarked = false
    unsafe frames[frame].pins.store(1, ordering: .relaxed)
    return firstFrame + frame
  }

  /// Lets a page be found that was copied into the frame given by `claim`.
  mutating func publish(_ claimed: Int) {
    let frame = claimed - firstFrame
    let hash = unsafe frames[frame].hash
    defer { unsafe frames[frame].pins.store(0, ordering: .releasing) }
    // Another thread may have brought it meanwhile, or the cache have become smaller.
    guard frame < limit,
      unsafe position(fileID: frames[frame].fileID, unit: frames[frame].unit, hash: hash) < 0
    else {
      unsafe frames[frame].isUsed = false
      framesUsed -= 1
      return
    }
    var slot = home(hash)
    while unsafe slots[slot] != 0 { slot = (slot + 1) & mask }
    set(slot, to: Self.tag(hash) | UInt64(frame + 1))
    statistics.insertions += 1
  }

  @inline(__always)
  private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

  /// Bits of the hash that choose neither the stripe nor, but in the largest caches, the slot.
  @inline(__always)
  private static func tag(_ hash: UInt64) -> UInt64 { (hash &>> 28) &<< 32 }

  /// Whether a slot that is not empty may be of a page.
  @inline(__always)
  static func isTagged(_ slot: UInt64, _ hash: UInt64) -> Bool {
    slot & ~0xFFFF_FFFF == tag(hash)
  }

  /// The frame of a slot that is not empty, by its number in the stripe.
  @inline(__always)
  static func frame(_ slot: UInt64) -> Int { Int(truncatingIfNeeded: slot & 0xFFFF_FFFF) &- 1 }

  /// The page's frame in the stripe; -1 when it has none.
  private func position(fileID: UInt64, unit: UInt32, hash: UInt64) -> Int {
    var slot = home(hash)
    while true {
      let word = unsafe slots[slot]
      if word == 0 { return -1 }
      if Self.isTagged(word, hash) {
        let frame = Self.frame(word)
        if unsafe frames[frame].fileID == fileID && frames[frame].unit == unit { return frame }
      }
      slot = (slot &+ 1) & mask
    }
  }

  /// Whether the page has come since the bits were last cleared; notes that it has now.
  private mutating func hasComeBefore(_ hash: UInt64) -> Bool {
    let word = Int(truncatingIfNeeded: hash &>> 26) & (doorkeeper.count - 1)
    let bit = UInt64(1) << ((hash &>> 20) & 63)
    if doorkeeper[word] & bit != 0 { return true }
    comings += 1
    if comings > limit {
      comings = 0
      for index in doorkeeper.indices { doorkeeper[index] = 0 }
    }
    doorkeeper[word] |= bit
    return false
  }

  /// The first frame from the hand on that is free, or neither marked nor pinned. Two rounds: the
  /// first may do no more than clear marks.
  private mutating func victim() -> Int? {
    for _ in 0..<2 * limit {
      let frame = hand
      hand = hand + 1 >= limit ? 0 : hand + 1
      if unsafe !frames[frame].isUsed { return frame }
      if unsafe frames[frame].isMarked {
        unsafe frames[frame].isMarked = false
      } else if unsafe frames[frame].pins.load(ordering: .acquiring) == 0 {
        return frame
      }
    }
    return nil
  }

  /// Takes a frame's page out of the table.
  private func remove(_ frame: Int) {
    var hole = unsafe home(frames[frame].hash)
    while unsafe UInt32(truncatingIfNeeded: slots[hole]) != UInt32(frame + 1) {
      hole = (hole + 1) & mask
    }
    var slot = (hole + 1) & mask
    while unsafe slots[slot] != 0 {
      let holder = unsafe Int(UInt32(truncatingIfNeeded: slots[slot])) - 1
      let home = unsafe home(frames[holder].hash)
      // A slot may move into the hole unless its home lies behind the hole.
      if (slot - home) & mask >= (slot - hole) & mask {
        unsafe set(hole, to: slots[slot])
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    set(hole, to: 0)
  }

  /// `PageCache.prefetchPage` reads slots without the lock.
  @inline(__always)
  private func set(_ slot: Int, to word: UInt64) {
    unsafe sediment_store_relaxed_u64(slots + slot, word)
  }
}
