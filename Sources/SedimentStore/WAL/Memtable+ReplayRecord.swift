extension Memtable {
  /// Inserts the entries at `places` of a log record's payload in that order, each as the newest of
  /// its key.
  ///
  /// - Returns: how many were inserted: all, or there is no room for the next one.
  ///
  /// SAFETY: whole entries of this layout begin at `places`.
  func replay(_ places: UnsafeBufferPointer<UInt32>, of payload: UnsafeRawPointer) -> Int {
    let (core, layout) = (core, layout)
    var counters = self.counters
    defer { self.counters = counters }
    for index in 0..<places.count {
      let ahead = unsafe Int(places[min(index &+ Self.prefetchDistance, places.count &- 1)])
      unsafe core.prefetch(
        KeyHash(high: EntryBatchCoding.high(ofEntryAt: ahead, of: payload), low: 0))
      let entry = unsafe EntryBatchCoding.entry(
        at: Int(places[index]), of: payload, layout: layout)
      guard counters.used < geometry.fillLimit,
        !core.isExact
          || counters.arena &+ Int(entry.keyLength) &+ MemtableCore.keyOverhead <= core.arenaBytes,
        core.replay(entry, counters: &counters)
      else { return index }
    }
    return places.count
  }

  /// Entries ahead of which a slot is asked for: about the misses a core can have in flight.
  private static let prefetchDistance = 16
}
