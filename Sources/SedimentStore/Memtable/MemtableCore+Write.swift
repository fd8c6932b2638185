// The writer's side of a memtable: probe, insert tentatively, and settle what was tentative.
// One record is: `probe` → (answer elsewhere) → `accept`, `cache` or `withdraw` of its slot.

internal import CSedimentKernels

/// What the active memtable says of a record.
package enum MemtableAnswer: UInt8 {
  /// An entry that counts has the record's key and is within the TTL of its time.
  case duplicate
  /// Another record of this batch holds the key tentatively: ask again when that is settled.
  case followsTentative
  /// Nothing matched and a `put` or `remove` hides all that is older. A tentative slot was made.
  case hidden
  /// Nothing matched here. A tentative slot was made.
  case absent
  /// Nothing matched and there is no room: freeze first.
  case full
}

/// The record's side of a probe.
@safe
package struct MemtableProbe {
  /// The key's hash.
  package var hash: KeyHash
  /// The record's time.
  package var time: Int64
  /// The keyspace's watermark at this record.
  package var watermark: Int64
  /// The record's key; exact mode only.
  package var key: UnsafeRawBufferPointer

  /// A probe that borrows its key.
  @inline(__always)
  package init(hash: KeyHash, time: Int64, watermark: Int64, key: UnsafeRawBufferPointer) {
    self.hash = hash
    self.time = time
    self.watermark = watermark
    unsafe self.key = unsafe key
  }

  /// Whether an entry first seen at `firstSeen` makes this record a duplicate.
  @inline(__always)
  func matches(_ firstSeen: Int64, ttl: Int64) -> Bool {
    let distance = time &- firstSeen
    return (distance < 0 ? 0 &- distance : distance) < ttl && watermark &- firstSeen < ttl
  }
}

extension MemtableCore {
  /// No slot.
  package static let noSlot = UInt32.max

  /// Looks the record up in the active memtable, and makes a tentative slot when it is not there.
  ///
  /// - Parameters:
  ///   - slot: receives the tentative slot made.
  ///   - expired: receives a live slot of the same key that the record's watermark has expired,
  ///     which `accept` may write over; `noSlot` when there is none.
  @inline(__always)
  package func probe(
    _ record: MemtableProbe, ttl: Int64, counters: inout Memtable.Counters,
    slot: inout UInt32, expired: inout UInt32
  ) -> MemtableAnswer {
    var at = geometry.home(record.hash.high)
    var reusable = -1
    var isHidden = false
    expired = Self.noSlot
    while true {
      guard at < geometry.slotCount else { break }
      let stored = unsafe slots[at]
      let meta = SlotMeta(bits: stored.meta)
      if meta.isEmpty { break }
      if meta.isReusable && reusable < 0 { reusable = at }
      if unsafe stored.low == record.hash.low && stored.high == record.hash.high
        && meta.stateBits != SlotMeta.State.dead.rawValue
        && (!isExact || keyEquals(meta, record.key))
      {
        if meta.isTentative { return .followsTentative }
        if meta.kind != .remove && record.matches(stored.time, ttl: ttl) { return .duplicate }
        if meta.isLive {
          if meta.kind.hidesOlder { isHidden = true }
          // A `put` must stay older than the inserts behind it, so it is not written over.
          if meta.kind == .insert && record.watermark &- stored.time >= ttl {
            expired = UInt32(truncatingIfNeeded: at)
          }
        }
      }
      at &+= 1
    }
    let isReused = reusable >= 0
    let target = isReused ? reusable : at
    guard target < geometry.slotCount else { return .full }
    var keyUnit = 0
    if isExact {
      keyUnit = unsafe store(record.key, counters: &counters)
      guard keyUnit >= 0 else { return .full }
    }
    let old = meta(target)
    if isReused {
      if old.stateBits == SlotMeta.State.cached.rawValue { counters.cached &-= 1 }
    } else {
      counters.used &+= 1
    }
    unsafe slots[target].high = record.hash.high
    unsafe slots[target].low = record.hash.low
    unsafe slots[target].time = record.time
    publish(
      SlotMeta(
        .tentative, kind: .insert, version: old.version &+ (isReused ? 1 : 0), keyUnit: keyUnit
      ).marked(dirty: old.isDirty), at: target)
    slot = UInt32(truncatingIfNeeded: target)
    return isHidden ? .hidden : .absent
  }

  /// Copies a key into the arena; returns its unit, or -1 when it does not fit.
  @inline(__always)
  func store(_ key: UnsafeRawBufferPointer, counters: inout Memtable.Counters) -> Int {
    let bytes = (key.count &+ 4 &+ Self.keyUnitBytes &- 1) & ~(Self.keyUnitBytes &- 1)
    guard counters.arena &+ bytes <= arenaBytes else { return -1 }
    let start = counters.arena
    unsafe (arena + start).storeBytes(of: UInt32(key.count), as: UInt32.self)
    if key.count > 0 {
      unsafe (arena + start + 4).copyMemory(from: key.baseAddress!, byteCount: key.count)
    }
    counters.arena &+= bytes
    return start / Self.keyUnitBytes
  }

  /// Makes a tentative slot live: the record is new.
  ///
  /// Where `expired` names a slot, that one takes the record instead, so that a key seen for ever
  /// does not grow a chain of expired entries.
  @inline(__always)
  package func accept(
    slot: UInt32, expired: UInt32, time: Int64, value: UnsafeRawPointer?,
    counters: inout Memtable.Counters
  ) {
    if time < counters.smallestTime { counters.smallestTime = time }
    if time > counters.largestTime { counters.largestTime = time }
    if expired != Self.noSlot {
      withdraw(slot: slot, counters: &counters)
      let kind = meta(Int(expired)).kind
      unsafe rewrite(
        slot: Int(expired), kind: kind, time: time, value: value, counters: &counters)
      return
    }
    let at = Int(slot)
    if valueWidth > 0 { unsafe setValue(value, at: at) }
    let old = meta(at)
    publish(old.advanced(to: .live, kind: old.kind).marked(dirty: true), at: at)
    if !old.isDirty {
      unsafe delta[counters.delta] = slot
      counters.delta &+= 1
    }
    counters.live &+= 1
  }

  /// Whether a record of the batch holds a tentative slot for the key.
  package func hasTentative(_ hash: KeyHash, key: UnsafeRawBufferPointer) -> Bool {
    var at = geometry.home(hash.high)
    while at < geometry.slotCount {
      let stored = unsafe slots[at]
      let meta = SlotMeta(bits: stored.meta)
      if meta.isEmpty { break }
      if unsafe meta.isTentative && stored.low == hash.low && stored.high == hash.high
        && (!isExact || keyEquals(meta, key))
      {
        return true
      }
      at &+= 1
    }
    return false
  }

  /// Makes a tentative slot the one entry of its key: a `put` at `time`.
  package func acceptAlone(
    slot: UInt32, _ record: MemtableProbe, time: Int64, counters: inout Memtable.Counters
  ) {
    let known = entries(of: record)
    if known.lastLive >= 0 {
      // The slot may lie before the live one, where a reader has passed by.
      withdraw(slot: slot, counters: &counters)
      unsafe replace(
        known, of: record, kind: .put, time: time, value: nil, counters: &counters)
      return
    }
    let own = Int(slot)
    // Nobody reads a tentative slot.
    unsafe slots[own].time = time
    publish(meta(own).advanced(to: .tentative, kind: .put), at: own)
    unsafe accept(
      slot: slot, expired: Self.noSlot, time: time, value: nil, counters: &counters)
    counters.hasKinds = true
    if known.others > 0 { supersedeAll(of: record, but: own, counters: &counters) }
  }

  /// Lets a tentative slot answer for the entry found at `firstSeen` in a table, where there is
  /// room for that; else takes it back.
  @inline(__always)
  package func cache(slot: UInt32, firstSeen: Int64, counters: inout Memtable.Counters) {
    guard counters.cached < geometry.slotCount / 8 else {
      withdraw(slot: slot, counters: &counters)
      return
    }
    let at = Int(slot)
    unsafe slots[at].time = firstSeen
    publish(meta(at).advanced(to: .cached, kind: .insert), at: at)
    counters.cached &+= 1
  }

  /// Takes a tentative slot back; it is empty again where nothing was displaced past it.
  @inline(__always)
  package func withdraw(slot: UInt32, counters: inout Memtable.Counters) {
    let at = Int(slot)
    let old = meta(at)
    let next = at &+ 1
    // A slot that was ever live keeps its version, which a slow reader may compare with.
    if old.version == 0 && next < geometry.slotCount && meta(next).isEmpty {
      publish(SlotMeta(bits: 0), at: at)
      counters.used &-= 1
    } else {
      publish(old.advanced(to: .dead, kind: .insert), at: at)
    }
  }

  /// Changes a live slot in place.
  func rewrite(
    slot at: Int, kind: EntryKind, time: Int64, value: UnsafeRawPointer?,
    counters: inout Memtable.Counters
  ) {
    let old = meta(at)
    publish(old.advanced(to: .rewriting, kind: old.kind), at: at)
    sediment_fence_release()
    let timePointer =
      unsafe UnsafeMutableRawPointer(slots + at).assumingMemoryBound(
        to: UInt64.self) + 2
    unsafe sediment_store_relaxed_u64(timePointer, UInt64(bitPattern: time))
    if valueWidth > 0 { unsafe setValue(value, at: at) }
    publish(meta(at).advanced(to: .live, kind: kind).marked(dirty: true), at: at)
    if !old.isDirty {
      unsafe delta[counters.delta] = UInt32(truncatingIfNeeded: at)
      counters.delta &+= 1
    }
    if kind.hidesOlder { counters.hasKinds = true }
    if time < counters.smallestTime { counters.smallestTime = time }
    if time > counters.largestTime { counters.largestTime = time }
  }

  /// Writes a value so that a reader who copies it at the same time reads bytes, if mixed ones.
  func setValue(_ value: UnsafeRawPointer?, at slot: Int) {
    let target = unsafe self.value(at: slot).assumingMemoryBound(to: UInt8.self)
    for index in 0..<(valueWidth) {
      unsafe sediment_store_relaxed_u8(
        target + index, value == nil ? 0 : value!.load(fromByteOffset: index, as: UInt8.self))
    }
  }

  /// Puts an entry that hides everything older of its key. `false`: no room, freeze first.
  ///
  /// - Parameters:
  ///   - kind: `put` or `remove`.
  ///   - keepsLargestTime: whether a later time that the key has in this memtable stands.
  package func put(
    _ record: MemtableProbe, kind: EntryKind, value: UnsafeRawPointer?,
    keepsLargestTime: Bool = false, counters: inout Memtable.Counters
  ) -> Bool {
    let known = entries(of: record)
    let time = keepsLargestTime ? max(record.time, known.largestTime) : record.time
    if known.lastLive >= 0 {
      unsafe replace(known, of: record, kind: kind, time: time, value: value, counters: &counters)
      return true
    }
    let at = known.end
    guard at < geometry.slotCount else { return false }
    var keyUnit = 0
    if isExact {
      keyUnit = unsafe store(record.key, counters: &counters)
      guard keyUnit >= 0 else { return false }
    }
    counters.used &+= 1
    unsafe slots[at].high = record.hash.high
    unsafe slots[at].low = record.hash.low
    unsafe slots[at].time = time
    publish(SlotMeta(.tentative, kind: kind, version: 0, keyUnit: keyUnit), at: at)
    unsafe accept(
      slot: UInt32(truncatingIfNeeded: at), expired: Self.noSlot, time: time, value: value,
      counters: &counters)
    counters.hasKinds = true
    if known.others > 0 { supersedeAll(of: record, but: at, counters: &counters) }
    return true
  }

  /// What there is of a key: live and cached slots.
  private struct KeyEntries {
    /// The last live slot on the way; -1 when there is none.
    var lastLive = -1
    /// Live and cached slots beside `lastLive`.
    var others = 0
    var largestTime = Int64.min
    /// The empty slot behind the cluster, or the number of slots.
    var end = 0
  }

  private func entries(of record: MemtableProbe) -> KeyEntries {
    var known = KeyEntries()
    var at = geometry.home(record.hash.high)
    while at < geometry.slotCount {
      let stored = unsafe slots[at]
      let meta = SlotMeta(bits: stored.meta)
      if meta.isEmpty { break }
      if unsafe meta.isDefinitive && stored.low == record.hash.low
        && stored.high == record.hash.high && (!isExact || keyEquals(meta, record.key))
      {
        known.largestTime = max(known.largestTime, stored.time)
        if !meta.isLive || known.lastLive >= 0 { known.others += 1 }
        if meta.isLive { known.lastLive = at }
      }
      at &+= 1
    }
    known.end = at
    return known
  }

  /// Makes the last live slot of a key its only entry.
  ///
  /// The last, and before the others go: a reader walks towards it, so one that finds another gone
  /// finds the new entry behind it. The key is never missed.
  private func replace(
    _ known: KeyEntries, of record: MemtableProbe, kind: EntryKind, time: Int64,
    value: UnsafeRawPointer?, counters: inout Memtable.Counters
  ) {
    unsafe rewrite(
      slot: known.lastLive, kind: kind, time: time, value: value, counters: &counters)
    if known.others > 0 { supersedeAll(of: record, but: known.lastLive, counters: &counters) }
  }

  /// Makes the live and cached slots of a key dead, all but one. A live one leaves the delta list
  /// by no longer being live.
  private func supersedeAll(
    of record: MemtableProbe, but kept: Int, counters: inout Memtable.Counters
  ) {
    var at = geometry.home(record.hash.high)
    while at < geometry.slotCount {
      let stored = unsafe slots[at]
      let meta = SlotMeta(bits: stored.meta)
      if meta.isEmpty { break }
      if unsafe at != kept && meta.isDefinitive && stored.low == record.hash.low
        && stored.high == record.hash.high && (!isExact || keyEquals(meta, record.key))
      {
        if meta.isLive { counters.live &-= 1 } else { counters.cached &-= 1 }
        publish(meta.advanced(to: .dead, kind: meta.kind), at: at)
      }
      at &+= 1
    }
    // A slot that is taken for another entry must not be seen to change before it is dead.
    sediment_fence_release()
  }
}
