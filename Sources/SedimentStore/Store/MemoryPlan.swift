// How the one memory budget is divided.
//
//   3/8  memtables: every shard of every keyspace has an active one and up to two frozen ones
//   3/8  filters and indexes; what does not fit is loaded in part
//   1/8  page cache, and what filters and indexes leave of their share
//   1/8  buffers: merges, flushes, logs, batches
//
// Memory of memtables is taken when they are made, of filters as tables open, of the cache as pages
// come in; buffers are bounded by construction (threads × read-ahead × fan-in).

/// The division of a memory budget: a pure function of it.
package struct MemoryPlan: Sendable, Equatable {
  package var memtableBytes: Int
  package var filterBytes: Int
  package var cacheBytes: Int
  package var bufferBytes: Int

  package init(budget: Int) {
    memtableBytes = budget / 8 * 3
    filterBytes = budget / 8 * 3
    cacheBytes = budget / 8
    bufferBytes = budget / 8
  }

  /// The shape of one memtable.
  package struct MemtableShape: Sendable, Equatable {
    package var slots: Int
    package var arenaBytes: Int
  }

  /// Frozen memtables a shard may have: one filled in mid-epoch, one frozen by an epoch's cut.
  package static let frozenMax = 2

  /// Mean bytes of a key for which an exact memtable's arena is as full as its slots.
  private static let arenaBytesPerSlot = 32

  /// Bytes of a memtable when so many of them are filled at a time, in a store that has the budget
  /// for itself.
  package func memtableBytes(parts: Int) -> Int {
    memtableBytes / ((1 + Self.frozenMax) * max(parts, 1))
  }

  /// The shape of a memtable of so many bytes.
  package static func memtable(layout: EntryLayout, bytes: Int) -> MemtableShape {
    let perSlot = Memtable.slotBytes(layout) + (layout.isExact ? arenaBytesPerSlot : 0)
    let slots = min(max(bytes / perSlot, MemtableGeometry.slotsMin), slotsMax)
    return MemtableShape(
      slots: slots, arenaBytes: layout.isExact ? slots * arenaBytesPerSlot : 0)
  }

  /// Bytes of a memtable of an ordered keyspace that is given so many.
  package static func orderedMemtableBytes(given bytes: Int) -> Int {
    min(max(bytes, orderedBytesMin), orderedBytesMax)
  }

  private static let orderedBytesMin = 256 << 10
  /// A table of so many bytes is flushed in a second or two.
  private static let orderedBytesMax = 256 << 20

  /// Slots of a shard's first memtable, and how many times larger the next one may be. Memory that
  /// is touched for the first time costs a page fault for each page: all at once, 128 MB of it held
  /// up the first batches by 0.4 s and more. It also keeps small states small.
  package static let firstMemtableSlots = 1 << 16
  package static let memtableGrowth = 8

  /// Slots of a shard's first memtable when logs hold entries for it: those of the first of growing
  /// memtables that is at most half full of them.
  ///
  /// - Parameter first: those where logs hold nothing.
  package static func firstMemtableSlots(
    for load: ReplayLoad, from first: Int = firstMemtableSlots
  ) -> Int {
    let arenaBytes = load.keyBytes + load.entries * MemtableCore.keyOverhead
    let wanted = 2 * max(load.entries, load.keyBytes == 0 ? 0 : arenaBytes / arenaBytesPerSlot)
    var slots = max(first, 1)
    while slots < wanted && slots < slotsMax { slots *= memtableGrowth }
    return slots
  }

  /// Slots are numbered by u32, and a table of more entries would be cut anyway.
  private static let slotsMax = 1 << 26

  /// Bytes of read-ahead for each input of a merge of `fanIn` runs by one of `threads`.
  package func readAheadBytes(fanIn: Int, threads: Int) -> Int {
    let share = bufferBytes / (2 * max(threads, 1) * max(fanIn, 1))
    return min(max(share / 4096 * 4096, 64 << 10), 1 << 20)
  }

  /// Size at which a merge begins another table.
  package var tableBytes: UInt64 {
    UInt64(min(max(bufferBytes / 2, 4 << 20), 128 << 20))
  }
}
