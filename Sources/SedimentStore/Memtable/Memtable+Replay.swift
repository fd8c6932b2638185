extension Memtable {
  /// Inserts an entry that a log holds, as the newest of its key. `false`: no room.
  package func replay(_ entry: EntryReference) -> Bool {
    guard fits(count: 1, keyBytes: Int(entry.keyLength)) else { return false }
    var counters = self.counters
    defer { self.counters = counters }
    return core.replay(entry, counters: &counters)
  }
}

extension MemtableCore {
  /// Inserts an entry as the newest of its key. `false`: no room.
  @inline(__always)
  func replay(
    _ entry: EntryReference, counters: inout Memtable.Counters
  ) -> Bool {
    let record = Memtable.record(of: entry)
    if entry.kind.hidesOlder {
      return unsafe put(record, kind: entry.kind, value: entry.value, counters: &counters)
    }
    var slot: UInt32 = 0
    var expired: UInt32 = 0
    // A TTL of 1 finds exactly the entry with the same time: replaying twice changes nothing.
    switch probe(record, ttl: 1, counters: &counters, slot: &slot, expired: &expired) {
    case .duplicate, .followsTentative: return true
    case .full: return false
    case .absent, .hidden:
      unsafe accept(
        slot: slot, expired: Self.noSlot, time: entry.time, value: entry.value,
        counters: &counters)
      return true
    }
  }
}
