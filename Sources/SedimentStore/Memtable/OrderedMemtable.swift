// The entries of an ordered keyspace that are in no table yet, in order.
//
// A skip list in memory taken once (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced
// Trees", 1990). The first eight bytes of every key lie in its node as a number, so that most steps
// of a search compare two words of one cache line; and an entry behind all others, as keys in
// order bring it, is linked in without a search.
//
// Invariants
// 1. Entries lie in rising order of keys; those of one key newest first; no two have the same tag.
// 2. An entry does not change once it is linked, and stays until the memtable is gone.
// 3. A node that is met at a level is complete, and linked at all levels below.
//
// Concurrency: one writer at a time. Readers on any thread take no lock: links are stored with
// release and loaded with acquire, and what they lead to never changes. What a reader sees of
// entries that are being written is not defined; it passes over what is newer than its snapshot.

package import SedimentIO
internal import Synchronization

/// A memtable of an ordered keyspace.
// @unchecked because the writer is serialised by the keyspace, and readers follow the protocol
// above.
@safe
package final class OrderedMemtable: @unchecked Sendable {
  /// The entries; what hot loops and cursors work on, good as long as this object.
  package let core: OrderedMemtableCore
  private let memory: AlignedBuffer
  /// Where the memory goes when the memtable is gone.
  private let pool: MemtableMemory?
  /// The writer's.
  private var filling: Filling
  /// What it holds.
  package var counters: Counters { filling.counters }
  private let publishedBytes = Atomic(OrderedMemtableCore.preambleBytes)
  private let removals = Mutex(Removals())
  private let removalWeight = Atomic(0)

  /// More removals of ranges than weigh so much come in only if they are the first: each that is
  /// added has the map made anew, ranges that overlap make it large, and the manifest has them all.
  private static let removalWeightMax = 256

  /// What the removal of a range weighs whose bounds have so many bytes.
  package static func removalWeight(bytes: Int) -> Int { 1 + bytes / 1024 }

  /// What writes need of a memtable.
  package struct Need: Sendable {
    /// Entries and removals of ranges.
    package var entries: Int
    /// Of keys and values, times of expiry counted.
    package var bytes: Int
    /// Of the removals of ranges among them, together.
    package var removalWeight: Int

    /// Nothing, where nothing is said.
    package init(entries: Int = 0, bytes: Int = 0, removalWeight: Int = 0) {
      self.entries = entries
      self.bytes = bytes
      self.removalWeight = removalWeight
    }

    package static func += (sum: inout Need, other: Need) {
      sum.entries += other.entries
      sum.bytes += other.bytes
      sum.removalWeight += other.removalWeight
    }
  }

  /// Removals of ranges, and what they hide; the map is made when it is asked for.
  private struct Removals {
    var list: [RangeRemoval] = []
    var map: RangeRemovalMap?
  }

  /// Counts of a memtable, kept by its writer.
  package struct Counters: Sendable, Equatable {
    /// Entries in it.
    package var entries = 0
    /// Those that are no puts.
    package var others = 0
    /// The sequence numbers of its entries; upside down when there are none.
    package var smallestSequence = UInt64.max
    package var largestSequence: UInt64 = 0
  }

  /// How far the memtable is filled. A value of its own, so that a write has to be checked for
  /// exclusive access once.
  private struct Filling {
    var counters = Counters()
    var used = OrderedMemtableCore.preambleBytes
    var randomWord: UInt64

    mutating func insert(
      key: UnsafeRawBufferPointer, tag: EntryTag, value: UnsafeRawBufferPointer,
      in core: OrderedMemtableCore
    ) -> Bool {
      let isIn = unsafe core.insert(
        key: key, tag: tag, value: value, height: nextHeight(), used: &used)
      guard isIn else { return false }
      counters.entries += 1
      if tag.kind != .put { counters.others += 1 }
      counters.smallestSequence = min(counters.smallestSequence, tag.sequence)
      counters.largestSequence = max(counters.largestSequence, tag.sequence)
      return true
    }

    /// Heights of towers: one in four is taller by a level.
    private mutating func nextHeight() -> Int {
      randomWord ^= randomWord &<< 13
      randomWord ^= randomWord &>> 7
      randomWord ^= randomWord &<< 17
      // Two bits a level.
      let levels = (randomWord &>> 20 | 1 &<< 42).trailingZeroBitCount / 2
      return min(1 + levels, OrderedMemtableCore.heightMax)
    }
  }

  /// Takes all the memory it will ever use; untouched pages cost nothing.
  ///
  /// - Parameters:
  ///   - byteCount: for entries and what they need beside: 28 to 72 bytes each.
  ///   - seed: of the heights of towers.
  ///   - pool: where memory is asked for first, and given back.
  package init(
    byteCount: Int, seed: UInt64 = .random(in: 1 ... .max), pool: MemtableMemory? = nil
  ) throws(AllocationError) {
    let wanted = max(byteCount, 1024) / 8 * 8
    guard wanted <= OrderedMemtableCore.byteCountMax else {
      throw AllocationError(byteCount: byteCount)
    }
    if let pool {
      memory = try pool.take(byteCount: wanted, zeroBytes: 0)
    } else {
      memory = try AlignedBuffer(byteCount: wanted, hugePages: true)
    }
    self.pool = pool
    guard let base = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: wanted)
    }
    // SAFETY: the memory lives as long as this object, is its own and begins on a page.
    unsafe core = OrderedMemtableCore(base: base, byteCount: wanted)
    filling = Filling(randomWord: seed | 1)
  }

  deinit { pool?.giveClean(memory) }

  /// Whether it holds nothing.
  package var isEmpty: Bool {
    counters.entries == 0 && removalWeight.load(ordering: .relaxed) == 0
  }

  /// Bytes in use, as of the writer's last entry; for any thread.
  package var usedBytes: Int { publishedBytes.load(ordering: .relaxed) }

  /// Whether what is to be written surely fits; for any thread.
  package func fits(_ need: Need) -> Bool {
    let weight = removalWeight.load(ordering: .relaxed)
    if need.removalWeight > 0, weight > 0, weight + need.removalWeight > Self.removalWeightMax {
      return false
    }
    return need.entries * OrderedMemtableCore.entryBytesMax(key: 7, value: 0) + need.bytes
      <= core.byteCount - usedBytes
  }

  /// Enters an entry. The caller is the only writer.
  ///
  /// - Parameter value: with the time of its expiry in front where the tag says so.
  /// - Returns: whether there was room.
  package func insert(
    key: UnsafeRawBufferPointer, tag: EntryTag, value: UnsafeRawBufferPointer
  ) -> Bool {
    guard unsafe filling.insert(key: key, tag: tag, value: value, in: core) else { return false }
    publishedBytes.store(filling.used, ordering: .relaxed)
    return true
  }

  /// Enters the removal of a range, whose bounds have so many bytes. The caller is the only writer.
  ///
  /// - Returns: whether there was room.
  package func insert(_ removal: RangeRemoval, bytes: Int) -> Bool {
    // Memory is taken in words, and no more of it than `fits` reckons with.
    let taken = (OrderedMemtableCore.entryBytesMax(key: 7, value: 0) + bytes) & ~7
    guard taken <= core.byteCount - filling.used else { return false }
    filling.used += taken
    removals.withLock { removals in
      removals.list.append(removal)
      removals.map = nil
    }
    removalWeight.add(Self.removalWeight(bytes: bytes), ordering: .releasing)
    filling.counters.largestSequence = max(counters.largestSequence, removal.sequence)
    publishedBytes.store(filling.used, ordering: .relaxed)
    return true
  }

  /// Removals of ranges, oldest first.
  package var rangeRemovals: [RangeRemoval] {
    removalWeight.load(ordering: .acquiring) == 0 ? [] : removals.withLock(\.list)
  }

  /// The number of the newest removal of a range that holds a key and that a read at `sequence`
  /// sees; 0 without one.
  @inline(__always)
  package func newestRemoval(of key: UnsafeRawBufferPointer, at sequence: UInt64) -> UInt64 {
    if removalWeight.load(ordering: .acquiring) == 0 { return 0 }
    return unsafe removalMap().newest(of: key, at: sequence)
  }

  private func removalMap() -> RangeRemovalMap {
    removals.withLock { removals in
      if let map = removals.map { return map }
      let map = RangeRemovalMap(removals.list)
      removals.map = map
      return map
    }
  }

}

/// Walks the entries of an ordered memtable, in order or back, while others may be entered.
package struct OrderedMemtableCursor {
  private let memtable: OrderedMemtable
  private let core: OrderedMemtableCore
  private var node = OrderedMemtableCore.Node.none

  /// A cursor at no entry.
  package init(_ memtable: OrderedMemtable) {
    self.memtable = memtable
    core = memtable.core
  }

  /// Whether it is at an entry.
  @inline(__always) package var isValid: Bool { !node.isNone }
  /// The entry's key; good as long as the memtable.
  @inline(__always) package var key: UnsafeRawBufferPointer { unsafe core.key(node) }
  /// When it was written, and what it does.
  @inline(__always) package var tag: EntryTag { core.tag(node) }
  /// Its value, the time of its expiry in front where it has one.
  @inline(__always) package var value: UnsafeRawBufferPointer { unsafe core.value(node) }

  /// Goes to the first entry of `key` that is no newer than `tag`, or to the first behind.
  package mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) {
    node = unsafe core.seek(OrderedMemtableCore.Target(key, tag: tag))
  }

  /// Goes to the last entry before where `seek` goes.
  package mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) {
    node = unsafe core.seekBefore(OrderedMemtableCore.Target(key, tag: tag))
  }

  /// Goes to the first entry.
  package mutating func seekToFirst() { node = core.firstEntry }
  /// Goes to the last entry.
  package mutating func seekToLast() { node = core.lastEntry }
  /// Goes one on; the cursor is at an entry.
  @inline(__always)
  package mutating func moveNext() { node = core.entry(after: node) }
  /// Goes one back; the cursor is at an entry.
  package mutating func movePrevious() { node = core.entry(before: node) }
}
