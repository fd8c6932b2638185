/// Deals the entries of log records to shards, so that each can take its own.
///
/// A record is checked whole before anything of it is dealt. What is kept of an entry is where in
/// the payload it begins, in memory that the next record uses again.
///
/// Concurrency: one thread deals; then any number may read what was dealt.
@safe
package final class EntryDealer {
  private let layout: EntryLayout
  /// Where the key groups of each shard end.
  private let ends: [UInt32]
  private var capacity = 0
  /// Where each entry begins, and whose it is, in the order of the record.
  private var offsets: UnsafeMutablePointer<UInt32>
  private var owners: UnsafeMutablePointer<UInt8>
  /// The same offsets shard by shard.
  private var dealt: UnsafeMutablePointer<UInt32>
  /// Where the offsets of each shard begin in `dealt`; behind the last one, their number.
  private let starts: UnsafeMutablePointer<Int>
  /// What all records dealt so far hold for each shard.
  package private(set) var loads: [ReplayLoad]

  /// A dealer for records of entries of one layout.
  ///
  /// - Parameter shards: 1 to 256, which cover all key groups in order.
  package init(layout: EntryLayout, shards: [KeyGroupRange]) {
    precondition(shards.count <= StoreState.shardsMax, "a shard's number is a byte")
    self.layout = layout
    ends = shards.map { UInt32($0.last) + 1 }
    loads = [ReplayLoad](repeating: ReplayLoad(), count: shards.count)
    unsafe offsets = .allocate(capacity: 0)
    unsafe owners = .allocate(capacity: 0)
    unsafe dealt = .allocate(capacity: 0)
    unsafe starts = .allocate(capacity: shards.count + 1)
    unsafe starts.initialize(repeating: 0, count: shards.count + 1)
  }

  deinit {
    unsafe offsets.deallocate()
    unsafe owners.deallocate()
    unsafe dealt.deallocate()
    unsafe starts.deallocate()
  }

  /// Checks a payload and deals its entries.
  ///
  /// - Returns: the largest time seen that it carries, `EntryTime.none` for none.
  package func deal(_ payload: UnsafeRawBufferPointer) throws(CodingError) -> Int64 {
    let head = try unsafe EntryBatchCoding.readHead(of: payload, layout: layout)
    if head.count > capacity { grow(to: head.count) }
    try unsafe note(payload, count: head.count)
    var start = 0
    for shard in ends.indices {
      // `note` has counted there.
      let count = unsafe starts[shard]
      loads[shard].entries += count
      unsafe starts[shard] = start
      start += count
    }
    unsafe starts[ends.count] = start
    sortByOwner(count: head.count)
    return head.largestTime
  }

  /// How many entries the record has.
  package var count: Int { unsafe starts[ends.count] }

  /// How many of them are a shard's.
  package func count(of shard: Int) -> Int { unsafe starts[shard + 1] - starts[shard] }

  /// Where in the payload a shard's entries begin, oldest first; valid until the next is dealt.
  package func places(of shard: Int) -> UnsafeBufferPointer<UInt32> {
    unsafe UnsafeBufferPointer(start: dealt + starts[shard], count: count(of: shard))
  }

  /// Checks the entries, notes where each begins and whose it is, and counts those of each shard.
  private func note(_ payload: UnsafeRawBufferPointer, count: Int) throws(CodingError) {
    unsafe starts.update(repeating: 0, count: ends.count + 1)
    let (layout, offsets, owners, starts) = unsafe (layout, offsets, owners, starts)
    let least = EntryBatchCoding.leastEntryBytes(layout)
    var offset = EntryBatchCoding.headBytes
    for index in 0..<count {
      let end = try unsafe EntryBatchCoding.end(ofEntryAt: offset, in: payload, layout: layout)
      let high = unsafe UInt64(
        littleEndian: payload.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      let shard = unsafe ends.withUnsafeBufferPointer { unsafe BatchScratch.shard(high, $0) }
      // SAFETY: there is room for `count`, a payload has less than 2³² bytes, and there are at most
      // 256 shards.
      unsafe offsets[index] = UInt32(truncatingIfNeeded: offset)
      unsafe owners[index] = UInt8(truncatingIfNeeded: shard)
      unsafe starts[shard] &+= 1
      if layout.isExact { loads[shard].keyBytes += end &- offset &- least }
      offset = end
    }
    try unsafe EntryBatchCoding.expectEnd(of: payload, at: offset)
  }

  private func sortByOwner(count: Int) {
    let (offsets, owners, starts, dealt) = unsafe (offsets, owners, starts, dealt)
    for index in 0..<count {
      let shard = unsafe Int(owners[index])
      unsafe dealt[starts[shard]] = offsets[index]
      unsafe starts[shard] &+= 1
    }
    // Each start has moved to the next shard's.
    for shard in stride(from: ends.count, to: 0, by: -1) {
      unsafe starts[shard] = starts[shard - 1]
    }
    unsafe starts[0] = 0
  }

  private func grow(to count: Int) {
    unsafe offsets.deallocate()
    unsafe owners.deallocate()
    unsafe dealt.deallocate()
    capacity = count
    unsafe offsets = .allocate(capacity: count)
    unsafe owners = .allocate(capacity: count)
    unsafe dealt = .allocate(capacity: count)
  }
}

// @unchecked because whoever deals is alone, and what was dealt does not change until then.
extension EntryDealer: @unchecked Sendable {}

/// What logs hold for one shard: the memtable that they are replayed into is chosen by it.
package struct ReplayLoad: Sendable, Equatable {
  /// Entries, the same key as often as it was written.
  package var entries = 0
  /// Bytes of their keys; exact mode only.
  package var keyBytes = 0

  /// What so many entries with keys of so many bytes in all are.
  package init(entries: Int = 0, keyBytes: Int = 0) {
    self.entries = entries
    self.keyBytes = keyBytes
  }
}
