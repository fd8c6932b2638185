internal import SedimentIO

extension StoreCore {
  /// Runs of a shard at which writers wait for merges.
  static let runsMax = 64

  /// Replaces a shard's active memtable by an empty one and hands the old one to be flushed.
  ///
  /// Waits while too many are frozen already or too many runs wait to be merged, which is the
  /// back-pressure on writers; the time is counted as a stall. The caller is the shard's writer.
  ///
  /// - Parameter slotsMax: the most slots of the fresh one; when `nil` it may be so many times as
  ///   large as the one before.
  /// - Throws: `noSpace` when the disk stays full for longer than the options allow.
  func freeze(
    _ shard: Shard, of keyspace: HashedKeyspace, waits: Bool = true, slotsMax: Int? = nil
  ) throws {
    // First, for what is flushed meanwhile leaves memory.
    if waits { try waitForRoom(shard, keyspace) }
    let view = shard.view
    let slots = view.active.geometry.slotCount
    // Shards fill evenly and would all be frozen at once, again and again: their first memtables of
    // full size are filled to different shares, and from then on the shards take turns.
    let share = Double(shard.index + 1) / Double(keyspace.shards.count)
    let fresh = try makeMemtable(
      layout: view.active.layout, groups: shard.groups,
      slotsMax: slotsMax ?? slots * MemoryPlan.memtableGrowth,
      fillShare: shard.takesTurns ? 1 : share)
    if fresh.geometry.slotCount < slots * MemoryPlan.memtableGrowth { shard.takesTurns = true }
    let isLogged = shard.activeIsLogged
    monitor.withLock {
      if view.active.isEmpty {
        shard.update { ShardView(active: fresh, frozen: $0.frozen, runs: $0.runs) }
      } else {
        let frozen = FrozenMemtable(memtable: view.active, sequence: shard.nextSequence)
        shard.nextSequence += 1
        shard.update {
          ShardView(active: fresh, frozen: [frozen] + $0.frozen, runs: $0.runs)
        }
        if isLogged { shard.frozenIsLogged = true }
      }
      monitor.broadcast()
    }
    shard.activeIsLogged = false
    shard.hasPrepared = false
  }

  /// Lets the memory of the next memtable be touched once the active one is three quarters full,
  /// unless one is being flushed, whose memory comes back. The caller is the shard's writer.
  func prepareNext(_ shard: Shard) {
    guard !shard.hasPrepared else { return }
    let view = shard.view
    guard view.active.fill > 0.75, view.frozen.isEmpty else { return }
    shard.hasPrepared = true
    prepareMemtable(
      layout: view.active.layout, groups: shard.groups,
      slotsMax: view.active.geometry.slotCount * MemoryPlan.memtableGrowth)
    monitor.withLock { monitor.broadcast() }
  }

  private func waitForRoom(_ shard: Shard, _ keyspace: HashedKeyspace) throws {
    try stall(writersOf: keyspace.name) {
      shard.view.frozen.count >= MemoryPlan.frozenMax - 1
        || (shard.view.runs.count >= Self.runsMax && !shard.busyRuns.isEmpty)
    }
  }

  /// Waits for flushes and merges as long as a keyspace has no room; the time is counted.
  ///
  /// - Parameter hasNoRoom: called under the monitor.
  func stall(writersOf keyspace: String, while hasNoRoom: () -> Bool) throws {
    let start = options.clock.monotonicNanos()
    var hasWaited = false
    defer {
      if hasWaited {
        let waited = options.clock.monotonicNanos() &- start
        statistics.update {
          $0.stalls += 1
          $0.stallNanos += waited
        }
        options.onEvent?(.stalled(keyspace: keyspace, nanoseconds: waited))
      }
    }
    try monitor.withLock {
      while hasNoRoom() {
        hasWaited = true
        try waitForProgress(since: start)
      }
    }
  }

  /// Waits for a change under the monitor, which the caller holds; throws what makes waiting
  /// useless: the store is poisoned or being closed, or the disk stays full.
  func waitForProgress(since start: UInt64) throws {
    if let failure { throw failure }
    if isStopping { throw Self.closed }
    if let retryableError {
      let waited = options.clock.monotonicNanos() &- start
      if waited >= options.fullDiskPatienceNanos { throw retryableError }
    }
    _ = monitor.wait(nanoseconds: 100_000_000)
  }
}
