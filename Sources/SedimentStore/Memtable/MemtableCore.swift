internal import CSedimentKernels

/// One slot as it lies in memory.
struct MemtableSlot {
  var high: UInt64
  var low: UInt64
  var time: Int64
  var meta: UInt64
}

/// What a slot's `meta` word says.
struct SlotMeta: Equatable {
  enum State: UInt64 {
    case empty = 0
    case tentative = 1
    case live = 2
    case cached = 3
    case dead = 4
    /// Live, and being changed in place this moment.
    case rewriting = 5
  }

  var bits: UInt64

  @inline(__always)
  init(bits: UInt64) { self.bits = bits }

  @inline(__always)
  init(_ state: State, kind: EntryKind, version: UInt64, keyUnit: Int) {
    bits =
      state.rawValue | UInt64(kind.rawValue) << 3 | (version & Self.versionMask) << 6
      | UInt64(truncatingIfNeeded: keyUnit) << 24
  }

  static let versionMask: UInt64 = 0x3FFFF

  @inline(__always) var version: UInt64 { (bits >> 6) & Self.versionMask }
  @inline(__always) var stateBits: UInt64 { bits & 7 }
  @inline(__always) var isEmpty: Bool { bits & 7 == 0 }
  @inline(__always) var isLive: Bool { bits & 7 == State.live.rawValue }
  @inline(__always) var isTentative: Bool { bits & 7 == State.tentative.rawValue }
  /// Live or cached: what a slot answers with to the writer.
  @inline(__always) var isDefinitive: Bool {
    bits & 7 == State.live.rawValue || bits & 7 == State.cached.rawValue
  }
  /// Dead or cached: what the writer may take for another entry.
  @inline(__always) var isReusable: Bool { bits & 7 >= State.cached.rawValue }

  @inline(__always) var kind: EntryKind {
    switch (bits >> 3) & 3 {
    case 0: .insert
    case 1: .put
    default: .remove
    }
  }

  @inline(__always) var isDirty: Bool { bits & (1 << 5) != 0 }
  @inline(__always) var keyUnit: Int { Int(truncatingIfNeeded: bits >> 24) }

  @inline(__always)
  func marked(dirty: Bool) -> SlotMeta {
    SlotMeta(bits: dirty ? bits | (1 << 5) : bits & ~(1 << 5))
  }

  /// The same key in another state, its version one higher.
  @inline(__always)
  func advanced(to state: State, kind: EntryKind) -> SlotMeta {
    SlotMeta(state, kind: kind, version: version &+ 1, keyUnit: keyUnit).marked(dirty: isDirty)
  }
}

/// The memtable's memory: trivially copyable, so that hot loops hold it in registers.
@safe
package struct MemtableCore {
  static let slotBytes = 32
  static let deltaBytes = 4
  /// A key in the arena: u32 length, then the bytes, rounded up to a unit of 8.
  static let keyOverhead = 12
  static let keyUnitBytes = 8

  let slots: UnsafeMutablePointer<MemtableSlot>
  let delta: UnsafeMutablePointer<UInt32>
  let values: UnsafeMutableRawPointer
  let arena: UnsafeMutableRawPointer
  let arenaBytes: Int
  let valueWidth: Int
  let isExact: Bool
  let geometry: MemtableGeometry

  /// Where the parts lie in one allocation.
  struct Placement {
    let deltaOffset: Int
    let valueOffset: Int
    let arenaOffset: Int
    let arenaBytes: Int
    let byteCount: Int

    init(_ layout: EntryLayout, _ geometry: MemtableGeometry, arenaBytes: Int) {
      deltaOffset = geometry.slotCount * slotBytes
      valueOffset = deltaOffset + (geometry.slotCount * deltaBytes + 63) / 64 * 64
      arenaOffset = valueOffset + (geometry.slotCount * Int(layout.valueWidth) + 63) / 64 * 64
      self.arenaBytes = layout.isExact ? max(arenaBytes, Self.arenaBytesMin) : 0
      byteCount = arenaOffset + self.arenaBytes
    }

    /// The longest key and a few more must fit into an empty arena.
    static let arenaBytesMin = 2 * EntryLayout.keyBytesMax
  }

  init(
    base: UnsafeMutableRawPointer, plan: Placement, layout: EntryLayout,
    geometry: MemtableGeometry
  ) {
    unsafe slots = base.assumingMemoryBound(to: MemtableSlot.self)
    unsafe delta = (base + plan.deltaOffset).assumingMemoryBound(to: UInt32.self)
    unsafe values = base + plan.valueOffset
    unsafe arena = base + plan.arenaOffset
    arenaBytes = plan.arenaBytes
    valueWidth = Int(layout.valueWidth)
    isExact = layout.isExact
    self.geometry = geometry
  }

  @inline(__always)
  func prefetch(_ hash: KeyHash) {
    let home = unsafe slots + geometry.home(hash.high)
    unsafe sediment_prefetch_write(home)
    unsafe sediment_prefetch_write(home + 2)
  }

  /// Asks for the memory of a slot's key.
  @inline(__always)
  func prefetchKey(_ meta: SlotMeta) {
    unsafe sediment_prefetch_read(arena + meta.keyUnit &* Self.keyUnitBytes)
  }

  @inline(__always)
  func meta(_ slot: Int) -> SlotMeta {
    unsafe SlotMeta(bits: slots[slot].meta)
  }

  /// Stores `meta` so that a reader who sees it sees what was written before.
  @inline(__always)
  func publish(_ meta: SlotMeta, at slot: Int) {
    unsafe sediment_store_release_u64(metaPointer(slot), meta.bits)
  }

  @inline(__always)
  func metaPointer(_ slot: Int) -> UnsafeMutablePointer<UInt64> {
    unsafe UnsafeMutableRawPointer(slots + slot).assumingMemoryBound(to: UInt64.self) + 3
  }

  @inline(__always)
  func value(at slot: Int) -> UnsafeMutableRawPointer {
    unsafe values + slot &* valueWidth
  }

  /// The key that begins at `unit` of the arena.
  @inline(__always)
  func key(atUnit unit: Int) -> UnsafeRawBufferPointer {
    let start = unsafe UnsafeRawPointer(arena + unit &* Self.keyUnitBytes)
    return unsafe UnsafeRawBufferPointer(start: start + 4, count: Int(start.load(as: UInt32.self)))
  }

  @inline(__always)
  func keyEquals(_ meta: SlotMeta, _ key: UnsafeRawBufferPointer) -> Bool {
    let own = unsafe self.key(atUnit: meta.keyUnit)
    return unsafe own.count == key.count
      && (key.count == 0 || sediment_bytes_equal(own.baseAddress!, key.baseAddress!, key.count))
  }

  /// The entry in a slot that nobody changes meanwhile.
  @inline(__always)
  func entry(at slot: Int) -> EntryReference {
    let stored = unsafe slots[slot]
    let meta = SlotMeta(bits: stored.meta)
    var entry = unsafe EntryReference(
      hash: KeyHash(high: stored.high, low: stored.low), time: stored.time, kind: meta.kind,
      value: valueWidth == 0 ? nil : UnsafeRawPointer(value(at: slot)))
    if isExact {
      let key = unsafe self.key(atUnit: meta.keyUnit)
      unsafe entry.key = key.baseAddress
      entry.keyLength = UInt32(key.count)
    }
    return entry
  }
}
