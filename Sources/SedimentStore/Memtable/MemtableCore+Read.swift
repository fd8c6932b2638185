// The readers' side of a memtable: any thread, beside the writer.

internal import CSedimentKernels

/// What a source holds of a key, for lookups.
package struct FoundEntry {
  /// The entry's time.
  package var time: Int64
  /// What it does to older ones.
  package var kind: EntryKind
  /// Whether its time was accepted; if not, it is a `put` or `remove` that hides what is older.
  package var isAccepted: Bool
}

extension MemtableCore {
  /// Finds a live entry of a key whose time is accepted, or one that hides what is older.
  ///
  /// Of several that are accepted it is the first on the way; none of them is hidden, since a `put`
  /// or `remove` is the oldest of its key (invariant 2).
  ///
  /// - Parameters:
  ///   - value: receives `valueWidth` bytes when an `insert` or `put` is found; may be `nil`.
  ///   - accepts: whether an entry first seen at that time counts.
  /// - Returns: an `insert` or `put` that counts; `remove` when something hides all that is older;
  ///   `nil` when the search must go on elsewhere.
  @inline(__always)
  package func find(
    _ hash: KeyHash, key: UnsafeRawBufferPointer, value: UnsafeMutableRawPointer?,
    accepts: (Int64) -> Bool
  ) -> FoundEntry? {
    var at = geometry.home(hash.high)
    var hider: FoundEntry?
    while at < geometry.slotCount {
      let before = unsafe SlotMeta(bits: sediment_load_acquire_u64(metaPointer(at)))
      if before.isEmpty { break }
      if before.isLive {
        let words = unsafe UnsafeMutableRawPointer(slots + at).assumingMemoryBound(to: UInt64.self)
        let isMatch =
          unsafe sediment_load_relaxed_u64(words) == hash.high
          && sediment_load_relaxed_u64(words + 1) == hash.low
        if unsafe isMatch && (!isExact || keyEquals(before, key)) {
          let time = unsafe Int64(bitPattern: sediment_load_relaxed_u64(words + 2))
          let counts = before.kind != .remove && accepts(time)
          if counts { unsafe copyValue(at: at, into: value) }
          sediment_fence_acquire()
          let after = unsafe SlotMeta(bits: sediment_load_relaxed_u64(metaPointer(at)))
          if before != after { continue }
          if counts { return FoundEntry(time: time, kind: before.kind, isAccepted: true) }
          if before.kind.hidesOlder {
            hider = FoundEntry(time: time, kind: before.kind, isAccepted: false)
          }
        }
      } else if before.stateBits == SlotMeta.State.rewriting.rawValue {
        // A few stores away from live again; its hash does not change.
        continue
      }
      at &+= 1
    }
    return hider
  }

  private func copyValue(at slot: Int, into target: UnsafeMutableRawPointer?) {
    guard let target = unsafe target else { return }
    let source = unsafe value(at: slot).assumingMemoryBound(to: UInt8.self)
    for index in 0..<(valueWidth) {
      unsafe target.storeBytes(
        of: sediment_load_relaxed_u8(source + index), toByteOffset: index, as: UInt8.self)
    }
  }
}
