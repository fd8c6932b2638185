/// One stripe of a `PageCache`: which page is in which of its frames. Used under the stripe's lock.
///
/// The table is open addressing with linear probing, at most half full, and has no tombstones: a
/// removal moves later slots of the cluster back.
struct PageCacheStripe {
  private struct Frame {
    var fileID: UInt64 = 0
    var unit: UInt32 = 0
    var isUsed = false
    /// The clock's mark: found since the hand last passed.
    var isMarked = false
    /// The page's hash, so that moving a slot need not compute it.
    var hash: UInt64 = 0
  }

  private let firstFrame: Int
  private var frames: [Frame]
  /// For each slot the frame's number in the stripe plus 1; 0 when empty.
  private var slots: [UInt32]
  private let mask: Int
  private var hand = 0
  private(set) var statistics = PageCache.Statistics()

  /// A stripe of the cache's frames from `firstFrame` on.
  init(firstFrame: Int, frameCount: Int) {
    self.firstFrame = firstFrame
    frames = Array(repeating: Frame(), count: frameCount)
    var slotCount = 2
    while slotCount < 2 * frameCount { slotCount *= 2 }
    slots = Array(repeating: 0, count: slotCount)
    mask = slotCount - 1
  }

  /// The cache's number of the frame that holds the page; marks it.
  mutating func find(fileID: UInt64, unit: UInt32, hash: UInt64) -> Int? {
    guard let frame = position(fileID: fileID, unit: unit, hash: hash) else {
      statistics.misses += 1
      return nil
    }
    statistics.hits += 1
    frames[frame].isMarked = true
    return firstFrame + frame
  }

  /// Gives a frame to a page that is to be copied in: the cache's number of it, or `nil` when the
  /// page is here already or no frame is free.
  mutating func claim(
    fileID: UInt64, unit: UInt32, hash: UInt64, isUnpinned: (Int) -> Bool
  ) -> Int? {
    if position(fileID: fileID, unit: unit, hash: hash) != nil { return nil }
    guard let frame = victim(isUnpinned: isUnpinned) else { return nil }
    if frames[frame].isUsed {
      remove(frame)
      statistics.evictions += 1
    }
    // Without a mark: a page that is read once leaves before one that is read again.
    frames[frame] = Frame(fileID: fileID, unit: unit, isUsed: true, hash: hash)
    var slot = home(hash)
    while slots[slot] != 0 { slot = (slot + 1) & mask }
    slots[slot] = UInt32(frame + 1)
    statistics.insertions += 1
    return firstFrame + frame
  }

  @inline(__always)
  private func home(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash) & mask }

  private func position(fileID: UInt64, unit: UInt32, hash: UInt64) -> Int? {
    var slot = home(hash)
    while slots[slot] != 0 {
      let frame = Int(slots[slot]) - 1
      if frames[frame].fileID == fileID && frames[frame].unit == unit { return frame }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// The first frame from the hand on that is free, or neither marked nor pinned. Two rounds: the
  /// first may do no more than clear marks.
  private mutating func victim(isUnpinned: (Int) -> Bool) -> Int? {
    for _ in 0..<2 * frames.count {
      let frame = hand
      hand = hand + 1 == frames.count ? 0 : hand + 1
      if !frames[frame].isUsed { return frame }
      if frames[frame].isMarked {
        frames[frame].isMarked = false
      } else if isUnpinned(firstFrame + frame) {
        return frame
      }
    }
    return nil
  }

  /// Takes a frame's page out of the table.
  private mutating func remove(_ frame: Int) {
    var hole = home(frames[frame].hash)
    while slots[hole] != UInt32(frame + 1) { hole = (hole + 1) & mask }
    var slot = (hole + 1) & mask
    while slots[slot] != 0 {
      let home = home(frames[Int(slots[slot]) - 1].hash)
      // A slot may move into the hole unless its home lies behind the hole.
      if (slot - home) & mask >= (slot - hole) & mask {
        slots[hole] = slots[slot]
        hole = slot
      }
      slot = (slot + 1) & mask
    }
    slots[hole] = 0
  }
}
