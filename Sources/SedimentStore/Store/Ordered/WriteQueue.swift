// Writes to the ordered keyspaces of a store, in one order.
//
// Whoever comes first leads: takes what waits behind, numbers it, writes it to the log, one record
// a batch and one call for all, synchronises when one of them wants that, enters it in the
// memtables, publishes the last number and wakes the others. Who comes meanwhile waits for the next
// turn.
//
// Invariants
// 1. One thread leads at a time, and everything that writes to memtables or the log does.
// 2. A write that readers see is in the log, where its keyspace has one.
// 3. Sequence numbers rise from record to record; a number is published after all below it.
//
// Source: the group commit of LevelDB's and RocksDB's write thread.

internal import SedimentIO
internal import Synchronization

/// See the file's header.
final class WriteQueue: @unchecked Sendable {
  // @unchecked because what changes is guarded by `monitor`, or the leader's.
  /// A batch on its way; its memory is kept for another.
  private final class Pending {
    var batch = WriteBatch()
    var durability = Durability.buffered
    var isDone = false
    var failure: StoreError?
  }

  let log = WriteLog()
  private let monitor = Monitor()
  private var waiting: [Pending] = []
  /// The leader's group.
  private var group: [Pending] = []
  /// Batches that nobody uses at the moment.
  private var spare: [Pending] = []
  private static let spareMax = 64
  /// More than so many bytes are not kept.
  private static let spareBytesMax = 64 << 10
  private var hasLeader = false
  /// Threads that wait to be alone, and those of them that writes wait for.
  private var waiters = 0
  private var urgentWaiters = 0
  /// Bytes of batches that are written together.
  private static let groupBytesMax = 1 << 20

  private let published: Atomic<UInt64>
  /// The leader's: the number of the last write in the log.
  private var lastLogged: UInt64

  /// - Parameters:
  ///   - lastSequence: of all that was ever written.
  ///   - lastLogged: of what the log holds; 0 when it holds nothing.
  init(lastSequence: UInt64, lastLogged: UInt64) {
    published = Atomic(lastSequence)
    self.lastLogged = lastLogged
  }

  /// The number of the last write that reads see.
  var publishedSequence: UInt64 { published.load(ordering: .acquiring) }

  /// Writes the batch that `fill` makes of an empty one.
  func write(
    _ durability: Durability, of store: StoreCore,
    _ fill: (inout WriteBatch) throws(StoreError) -> Void
  ) throws(StoreError) {
    let own = monitor.withLock { spare.popLast() } ?? Pending()
    defer { giveBack(own) }
    try fill(&own.batch)
    guard !own.batch.isEmpty else { return }
    own.durability = durability
    monitor.lock()
    waiting.append(own)
    while !own.isDone {
      if hasLeader || urgentWaiters > 0 {
        monitor.wait()
      } else {
        // Those who came before may be enough for a group without the caller's own batch.
        lead(store)
      }
    }
    monitor.unlock()
    if let failure = own.failure { throw failure }
  }

  private func giveBack(_ pending: Pending) {
    pending.batch.removeAll()
    pending.isDone = false
    pending.failure = nil
    guard pending.batch.capacity <= Self.spareBytesMax else { return }
    monitor.withLock { if spare.count < Self.spareMax { spare.append(pending) } }
  }

  /// Writes the first of those that wait, as much as is written together. The caller holds the
  /// monitor, and nobody leads.
  private func lead(_ store: StoreCore) {
    hasLeader = true
    takeGroup()
    monitor.unlock()
    var failure: StoreError?
    do throws(StoreError) {
      try wrapping { try perform(of: store) }
    } catch {
      failure = error
    }
    monitor.lock()
    for pending in group {
      pending.isDone = true
      pending.failure = failure
    }
    let isAlone = group.count == 1
    group.removeAll(keepingCapacity: true)
    hasLeader = false
    if !isAlone || waiters > 0 || !waiting.isEmpty { monitor.broadcast() }
  }

  private func takeGroup() {
    var bytes = 0
    var removalWeight = 0
    var count = 0
    while count < waiting.count,
      count == 0 || (bytes < Self.groupBytesMax && removalWeight < WriteBatch.removalWeightMax)
    {
      bytes += waiting[count].batch.buffer.byteCount
      removalWeight += waiting[count].batch.removalWeight
      count += 1
    }
    if count == waiting.count {
      swap(&waiting, &group)
    } else {
      group.append(contentsOf: waiting[..<count])
      waiting.removeFirst(count)
    }
  }

  /// Runs `body` alone: no write is under way.
  ///
  /// - Parameter hasPriority: whether writes that come meanwhile wait behind it.
  func withExclusive<Answer, Failure: Error>(
    hasPriority: Bool = false, _ body: () throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    monitor.withLock {
      waiters += 1
      if hasPriority { urgentWaiters += 1 }
      while hasLeader || (!hasPriority && urgentWaiters > 0) { monitor.wait() }
      waiters -= 1
      if hasPriority { urgentWaiters -= 1 }
      hasLeader = true
    }
    defer {
      monitor.withLock {
        hasLeader = false
        monitor.broadcast()
      }
    }
    return try body()
  }

  /// Writes a batch for a caller that is alone.
  func writeAlone(_ batch: WriteBatch, _ durability: Durability, of store: StoreCore) throws {
    let own = Pending()
    own.batch = batch
    own.durability = durability
    group.append(own)
    defer { group.removeAll(keepingCapacity: true) }
    try perform(of: store)
  }

  // MARK: - Leading

  private func perform(of store: StoreCore) throws {
    try store.checkWritable()
    try makeRoom()
    let first = published.load(ordering: .relaxed) + 1
    try append(first: first, of: store)
    var sequence = first
    for pending in group {
      do {
        try enter(&pending.batch, first: sequence)
      } catch {
        // The log has it.
        store.poison(error)
        throw error
      }
      sequence += UInt64(pending.batch.count)
    }
    published.store(sequence - 1, ordering: .releasing)
  }

  /// Sees to it that the memtables take what a group has.
  private func makeRoom() throws {
    var parts = group[0].batch.parts
    for pending in group.dropFirst() {
      for part in pending.batch.parts {
        if let index = parts.firstIndex(where: { $0.keyspace === part.keyspace }) {
          parts[index].entries += part.entries
          parts[index].bytes += part.bytes
          parts[index].removalWeight += part.removalWeight
        } else {
          parts.append(part)
        }
      }
    }
    let last = published.load(ordering: .relaxed)
    // Room for one may have another's memtable flushed that holds the log back, and replaced by one
    // of the usual size.
    while let part = parts.first(where: {
      !$0.keyspace.view.active.fits(
        entries: $0.entries, bytes: $0.bytes, removalWeight: $0.removalWeight)
    }) {
      try part.keyspace.makeRoom(entries: part.entries, bytes: part.bytes, lastSequence: last)
    }
  }

  /// Writes a group to the log, as far as its keyspaces have it, and makes it durable when one of
  /// its batches is to be.
  private func append(first: UInt64, of store: StoreCore) throws {
    guard group.contains(where: \.batch.isLogged) else { return }
    do {
      try store.openWriteLog()
    } catch {
      if !StoreCore.isFullDisk(error) { store.poison(error) }
      throw error
    }
    var last = lastLogged
    var sequence = first
    var durability = Durability.buffered
    for pending in group {
      if pending.batch.isLogged {
        log.append(pending.batch.payload(firstSequence: sequence, previous: last))
        last = sequence + UInt64(pending.batch.count) - 1
        durability = max(durability, pending.durability)
      }
      sequence += UInt64(pending.batch.count)
    }
    do {
      try log.write()
    } catch {
      // What the log may have held of it is gone again, or the store stops.
      if !StoreCore.isFullDisk(error) { store.poison(error) }
      throw error
    }
    lastLogged = last
    guard durability == .synchronized else { return }
    do {
      try log.synchronize()
    } catch {
      // Whether it is durable is not known, so nothing may be said of anything behind it.
      store.poison(error)
      throw error
    }
  }

  /// Enters a batch in the memtables, which have room.
  private func enter(_ batch: inout WriteBatch, first: UInt64) throws {
    let payload = batch.payload(firstSequence: first, previous: 0)
    guard let part = batch.parts.first else { return }
    let (id, memtable) = (part.keyspace.id, part.keyspace.view.active)
    // Mostly there are no others.
    let others =
      batch.parts.count == 1
      ? [] : batch.parts.map { (id: $0.keyspace.id, memtable: $0.keyspace.view.active) }
    try unsafe payload.withUnsafeBytes { bytes in
      _ = try unsafe WriteBatchCoding.read(bytes) { write in
        let target =
          write.keyspace == id
          ? memtable : others.first { $0.id == write.keyspace }?.memtable ?? memtable
        let isIn = try target.enter(write)
        precondition(isIn, "a memtable without the room that was made")
      }
    }
  }
}

extension OrderedMemtable {
  /// Enters a write of the log.
  ///
  /// - Returns: whether there was room.
  func enter(_ write: WriteBatchCoding.Write) throws(CodingError) -> Bool {
    guard write.tag.kind == .removeRange else {
      return unsafe insert(key: write.key, tag: write.tag, value: write.value)
    }
    let removal = unsafe RangeRemoval(
      key: write.key, value: write.value, sequence: write.tag.sequence)
    guard let removal else { throw .invalid("bounds of a removal") }
    return unsafe insert(removal, bytes: write.key.count + write.value.count)
  }
}
