/// Walks the live entries of a frozen memtable in the order of tables: by hash, and newest first
/// for one hash.
///
/// The homes of a cluster's entries lie inside the cluster, so clusters follow each other in hash
/// order and each is sorted for itself. At the fill limit the mean cluster has about ten slots.
@safe
package struct MemtableCursor: ~Copyable {
  private let memtable: Memtable
  private let core: MemtableCore
  private var next = 0
  private var sorted: [UInt32] = []
  private var index = 0

  /// - Parameter memtable: frozen: nobody writes to it while the cursor lives.
  package init(_ memtable: Memtable) {
    self.memtable = memtable
    core = memtable.core
    sorted.reserveCapacity(1024)
  }

  /// The next live entry, valid as long as the memtable; `nil` at the end.
  package mutating func advance() -> EntryReference? {
    while index == sorted.count {
      guard fillFromNextCluster() else { return nil }
    }
    index += 1
    return core.entry(at: Int(sorted[index - 1]))
  }

  /// Sorts the next cluster; `false` when there is none.
  private mutating func fillFromNextCluster() -> Bool {
    sorted.removeAll(keepingCapacity: true)
    index = 0
    let end = memtable.geometry.slotCount
    while next < end, core.meta(next).isEmpty { next &+= 1 }
    guard next < end else { return false }
    while next < end {
      let meta = core.meta(next)
      if meta.isEmpty { break }
      if meta.isLive { insert(UInt32(truncatingIfNeeded: next)) }
      next &+= 1
    }
    return true
  }

  /// Insertion sort: clusters are short and nearly sorted; a very long one is sorted at once.
  private mutating func insert(_ slot: UInt32) {
    sorted.append(slot)
    var at = sorted.count - 1
    while at > 0, Self.precedes(core, slot, sorted[at - 1]) {
      sorted[at] = sorted[at - 1]
      at -= 1
    }
    sorted[at] = slot
  }

  /// By hash; of one hash the `insert`s first, for the `put` or `remove` is the oldest (invariant 2
  /// of the memtable), and the later time first among them.
  @inline(__always)
  private static func precedes(_ core: MemtableCore, _ a: UInt32, _ b: UInt32) -> Bool {
    let left = unsafe core.slots[Int(a)]
    let right = unsafe core.slots[Int(b)]
    if left.high != right.high { return left.high < right.high }
    if left.low != right.low { return left.low < right.low }
    let leftHides = SlotMeta(bits: left.meta).kind.hidesOlder
    let rightHides = SlotMeta(bits: right.meta).kind.hidesOlder
    if leftHides != rightHides { return rightHides }
    return left.time > right.time
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

  /// Inserts an entry that a log holds, as the newest of its key. `false`: no room.
  package func replay(_ entry: EntryReference) -> Bool {
    if entry.kind.hidesOlder { return put(entry) }
    var counters = self.counters
    defer { self.counters = counters }
    var slot: UInt32 = 0
    var expired: UInt32 = 0
    // A TTL of 1 finds exactly the entry with the same time: replaying twice changes nothing.
    switch core.probe(
      Self.record(of: entry), ttl: 1, counters: &counters, slot: &slot, expired: &expired)
    {
    case .duplicate, .followsTentative: return true
    case .full: return false
    case .absent, .hidden:
      unsafe core.accept(
        slot: slot, expired: MemtableCore.noSlot, time: entry.time, value: entry.value,
        counters: &counters)
      return true
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
  private static func record(of entry: EntryReference) -> MemtableProbe {
    // Earlier than any time, and far enough from the end that no difference overflows.
    let watermark: Int64 = -(1 << 61)
    return unsafe MemtableProbe(
      hash: entry.hash, time: entry.time, watermark: watermark, key: entry.keyBytes)
  }
}
