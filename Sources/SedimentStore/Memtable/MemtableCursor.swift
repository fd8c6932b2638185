/// Walks the live entries of a frozen memtable in the order of tables: by hash, and newest first
/// for one hash.
///
/// The homes of a cluster's entries lie inside the cluster, so clusters follow each other in hash
/// order and each is sorted for itself. At the fill limit the mean cluster has about ten slots.
///
/// What is sorted are hashes and slot numbers, some whole clusters at a time; then the columns of a
/// block are gathered from the slots, which are still in the cache.
@safe
package struct MemtableCursor: ~Copyable {
  /// A live slot, by the part of its hash that mostly decides.
  private struct Place {
    var high: UInt64
    var slot: Int
  }

  /// Entries of a cluster that are inserted in order. A longer one is sorted at once: insertion
  /// would take its length squared.
  private static let insertionMax = 1024

  private let memtable: Memtable
  private let core: MemtableCore
  /// The first slot that was not looked at yet.
  private var next = 0
  /// Sorted slots of whole clusters, of which `index ..< count` are still to be given out.
  private var places: UnsafeMutablePointer<Place>
  private var capacity = 2 * EntryBlock.capacity
  private var count = 0
  private var index = 0

  /// - Parameter memtable: frozen: nobody writes to it while the cursor lives.
  package init(_ memtable: Memtable) {
    self.memtable = memtable
    core = memtable.core
    unsafe places = .allocate(capacity: capacity)
  }

  deinit { unsafe places.deallocate() }

  /// Replaces what the block holds by the next live entries; `false` when there are none. Values
  /// and keys are valid as long as the memtable.
  package mutating func fill(_ block: inout EntryBlock) -> Bool {
    if index == count { sortNextClusters() }
    let taken = min(count - index, EntryBlock.capacity)
    let from = unsafe places + index
    for index in 0..<taken {
      let place = unsafe from[index]
      let stored = unsafe core.slots + place.slot
      unsafe block.highs[index] = place.high
      unsafe block.lows[index] = stored.pointee.low
      unsafe block.times[index] = stored.pointee.time
    }
    if !block.isPlain {
      // Keys lie in the arena in the order of their coming: all over it in this one.
      if core.isExact {
        for index in 0..<taken { unsafe core.prefetchKey(core.meta(from[index].slot)) }
      }
      for index in 0..<taken {
        unsafe block.setRest(of: index, to: core.entry(at: from[index].slot))
      }
    }
    block.count = taken
    index += taken
    return taken > 0
  }

  /// Sorts the next clusters, as many as fill a block.
  private mutating func sortNextClusters() {
    let (slots, end) = unsafe (core.slots, memtable.geometry.slotCount)
    var (slot, count, cluster) = (next, 0, 0)
    while slot < end {
      let meta = unsafe SlotMeta(bits: slots[slot].meta)
      if meta.isLive {
        if count == capacity { grow() }
        unsafe Self.insert(slot, into: places, cluster: cluster, count: count, slots)
        count &+= 1
      } else if meta.isEmpty {
        if count &- cluster > Self.insertionMax {
          unsafe Self.sortLong(places, cluster..<count, slots)
        }
        cluster = count
        if count >= EntryBlock.capacity { break }
      }
      slot &+= 1
    }
    if count &- cluster > Self.insertionMax {
      unsafe Self.sortLong(places, cluster..<count, slots)
    }
    (next, self.count, index) = (slot, count, 0)
  }

  /// Puts a slot behind the others and in order with its cluster, unless that is a long one.
  @inline(__always)
  private static func insert(
    _ slot: Int, into places: UnsafeMutablePointer<Place>, cluster: Int, count: Int,
    _ slots: UnsafeMutablePointer<MemtableSlot>
  ) {
    let place = unsafe Place(high: slots[slot].high, slot: slot)
    var at = count
    if count &- cluster < insertionMax {
      while at > cluster, unsafe precedes(place, places[at &- 1], slots) {
        unsafe places[at] = places[at &- 1]
        at &-= 1
      }
    }
    unsafe places[at] = place
  }

  /// Sorts a cluster to which slots were added without order.
  @inline(never)
  private static func sortLong(
    _ places: UnsafeMutablePointer<Place>, _ cluster: Range<Int>,
    _ slots: UnsafeMutablePointer<MemtableSlot>
  ) {
    var long = unsafe UnsafeMutableBufferPointer(
      start: places + cluster.lowerBound, count: cluster.count)
    unsafe long.sort { unsafe precedes($0, $1, slots) }
  }

  @inline(__always)
  private static func precedes(
    _ a: Place, _ b: Place, _ slots: UnsafeMutablePointer<MemtableSlot>
  ) -> Bool {
    if a.high != b.high { return a.high < b.high }
    return unsafe tiePrecedes(slots[a.slot], slots[b.slot])
  }

  /// Slots of equal `high`: by hash; of one hash the `insert`s first, for the `put` or `remove` is
  /// the oldest (invariant 2 of the memtable), and the later time first among them.
  @inline(never)
  private static func tiePrecedes(_ a: MemtableSlot, _ b: MemtableSlot) -> Bool {
    if a.low != b.low { return a.low < b.low }
    let firstHides = SlotMeta(bits: a.meta).kind.hidesOlder
    let secondHides = SlotMeta(bits: b.meta).kind.hidesOlder
    if firstHides != secondHides { return secondHides }
    return a.time > b.time
  }

  /// Doubles the memory for `places`, all of which are set.
  @inline(never)
  private mutating func grow() {
    let larger = UnsafeMutablePointer<Place>.allocate(capacity: capacity * 2)
    unsafe larger.update(from: places, count: capacity)
    unsafe places.deallocate()
    unsafe places = larger
    capacity *= 2
  }
}

extension Memtable {
  /// Calls `body` with every entry changed since the last cut and begins a new delta list: the
  /// part of an epoch that goes to its log. The caller is the writer.
  package func takeDelta(_ body: (EntryReference) throws -> Void) rethrows {
    // Slots are reused, so the list is not in order of age: what hides goes first (invariant 2), or
    // replaying it would hide inserts that are younger.
    if counters.hasKinds { try takeDelta(where: { $0.kind.hidesOlder }, body) }
    try takeDelta(where: { _ in true }, body)
    counters.delta = 0
  }

  private func takeDelta(
    where isWanted: (SlotMeta) -> Bool, _ body: (EntryReference) throws -> Void
  ) rethrows {
    for index in 0..<counters.delta {
      let slot = unsafe Int(core.delta[index])
      let meta = core.meta(slot)
      guard meta.isDirty, isWanted(meta) else { continue }
      core.publish(meta.marked(dirty: false), at: slot)
      if meta.isLive { try body(core.entry(at: slot)) }
    }
  }

  /// Puts an entry that hides everything older of its key. `false`: no room.
  ///
  /// - Parameter entry: a `put` or `remove`.
  package func put(_ entry: EntryReference) -> Bool {
    var counters = self.counters
    defer { self.counters = counters }
    return unsafe core.put(
      Self.record(of: entry), kind: entry.kind, value: entry.value, counters: &counters)
  }

  /// The probe of an entry for which nothing has expired.
  @inline(__always)
  static func record(of entry: EntryReference) -> MemtableProbe {
    // Earlier than any time, and far enough from the end that no difference overflows.
    let watermark: Int64 = -(1 << 61)
    return unsafe MemtableProbe(
      hash: entry.hash, time: entry.time, watermark: watermark, key: entry.keyBytes)
  }
}
