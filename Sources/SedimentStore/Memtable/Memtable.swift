// Memtable: the keys of one shard that are not in a table yet.
//
// Open addressing in memory taken once. A slot's home is a monotone function of the hash
// (`MemtableGeometry`), probing is linear and never wraps, so the entries of a maximal run of used
// slots (a cluster) are exactly those whose homes lie in it: sorting cluster by cluster sorts all.
//
//   slot (32 bytes):  high u64 │ low u64 │ time i64 │ meta u64
//   meta:             state (3 bits) │ kind (2) │ dirty (1) │ version (18) │ key offset / 8 (40)
//
// The life of a slot:  empty ─▶ tentative ─▶ live                      (accepted)
//                                  │  └────▶ cached                    (found in a table)
//                                  └───────▶ dead or empty             (withdrawn)
// `cached` entries answer for a table and are never flushed; `dead` and `cached` are the writer's
// alone. A `live` slot changes only in place, by way of `rewriting` and with a new version.
//
// Invariants
// 1. A hash that is present lies between its home and the first empty slot behind it.
// 2. Of one key at most one live `put` or `remove` exists, and it is older than its live `insert`s.
// 3. A slot is in the delta list iff it is live and dirty: changed since the last epoch's cut.
// 4. `counters.used` = slots that are not empty ≤ slotCount.
//
// Concurrency: one writer at a time, who holds the shard. Readers on any thread see live slots
// only: they load `meta` (acquire), copy the slot, and load `meta` again; a difference means try
// again. After `freeze` nothing changes, and cursors may walk it.

internal import CSedimentKernels
package import SedimentIO
internal import Synchronization

/// A memtable of one shard of a hashed keyspace.
///
/// `@unchecked Sendable` because the writer is serialised by its shard and readers follow the
/// protocol above.
@safe
package final class Memtable: @unchecked Sendable {
  package let layout: EntryLayout
  package let geometry: MemtableGeometry
  /// The slots and all they point to; the struct is what hot loops work on.
  package let core: MemtableCore
  private let memory: AlignedBuffer
  private let pool: MemtableMemory?
  private let keepsMemory: Bool

  /// What it holds, counted. A batch works on a copy and stores it back at its end.
  package var counters = Counters() {
    didSet { publishedLive.store(counters.live, ordering: .relaxed) }
  }
  /// `counters.live` as any thread may read it, a batch old at most.
  private let publishedLive = Atomic(0)
  /// The window of the last batch that inserted here.
  package var window: Int64 = 0

  /// Counts of a memtable, kept by its writer.
  package struct Counters: Sendable {
    /// Slots that are not empty.
    package var used = 0
    /// Slots that a flush would write.
    package var live = 0
    /// Slots that only cache what a table holds.
    package var cached = 0
    /// Bytes of the key arena in use.
    package var arena = 0
    /// Slots in the delta list.
    package var delta = 0
    /// Whether a live slot was ever anything but `insert`.
    package var hasKinds = false
    /// Smallest and largest time of the entries ever made live; `.max` and `.min` when none was.
    package var smallestTime = Int64.max
    package var largestTime = Int64.min
  }

  /// Takes all the memory it will ever use; untouched pages cost nothing.
  ///
  /// - Parameters:
  ///   - arenaBytes: room for keys, exact mode only.
  ///   - pool: where its memory comes from and goes to; the system when `nil`.
  ///   - keepsMemory: whether the pool is to keep it for another one.
  package init(
    layout: EntryLayout, geometry: MemtableGeometry, arenaBytes: Int, pool: MemtableMemory? = nil,
    keepsMemory: Bool = true
  ) throws(AllocationError) {
    self.pool = pool
    self.keepsMemory = keepsMemory
    self.layout = layout
    self.geometry = geometry
    let plan = MemtableCore.Placement(layout, geometry, arenaBytes: arenaBytes)
    if let pool {
      memory = try pool.take(
        byteCount: plan.byteCount, zeroBytes: geometry.slotCount * MemtableCore.slotBytes)
    } else {
      memory = try AlignedBuffer(byteCount: plan.byteCount, hugePages: true)
    }
    guard let base = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: plan.byteCount)
    }
    // SAFETY: `memory` lives as long as `self`, and `plan` was computed for it.
    unsafe core = MemtableCore(
      base: base, plan: plan, layout: layout, geometry: geometry)
  }

  deinit {
    pool?.give(
      memory, dirtyBytes: geometry.slotCount * MemtableCore.slotBytes, keeps: keepsMemory)
  }

  /// Bytes of memory that a memtable of this shape takes.
  package static func byteCount(
    layout: EntryLayout, geometry: MemtableGeometry, arenaBytes: Int
  ) -> Int {
    MemtableCore.Placement(layout, geometry, arenaBytes: arenaBytes).byteCount
  }

  /// Bytes of memory taken.
  package var byteCount: Int { unsafe memory.bytes.count }

  /// Bytes of the key arena; 0 in fingerprint mode.
  package var arenaBytes: Int { core.arenaBytes }

  /// Bytes of memory for each slot, its keys left out.
  package static func slotBytes(_ layout: EntryLayout) -> Int {
    MemtableCore.slotBytes + MemtableCore.deltaBytes + Int(layout.valueWidth)
  }

  /// Whether `count` more entries with `keyBytes` bytes of keys fit, unless their hashes crowd
  /// behind the last home: then a probe says `full`.
  package func fits(count: Int, keyBytes: Int) -> Bool {
    guard counters.used + count <= geometry.fillLimit else { return false }
    return !layout.isExact
      || counters.arena + keyBytes + count * MemtableCore.keyOverhead <= core.arenaBytes
  }

  /// About how many entries with keys of so many bytes fit one of this shape that is empty and
  /// filled to the full.
  package func roomWhenEmpty(keyBytes: Int) -> Int {
    let room = geometry.homeCount / 4 * 3
    return layout.isExact
      ? min(room, core.arenaBytes / (keyBytes + MemtableCore.keyOverhead)) : room
  }

  package var isEmpty: Bool { counters.live == 0 }

  /// Live entries as of the writer's last chunk; unlike `counters`, for any thread.
  package var approximateLive: Int { publishedLive.load(ordering: .relaxed) }

  /// Share of the capacity in use, 0 to 1.
  package var fill: Double {
    let slots = Double(counters.used) / Double(geometry.fillLimit)
    return layout.isExact ? max(slots, Double(counters.arena) / Double(core.arenaBytes)) : slots
  }
}
