// Replaying logs: what they hold goes into the memtables of their keyspace.
//
// Record by record its entries are dealt to the shards, and each shard inserts its own, side by
// side on the store's threads. Entries of one key are of one shard, so they keep their order. A
// shard whose memtable is full keeps the rest for the caller's thread, which flushes it.
//
// Concurrency: nobody else knows the keyspace yet.

internal import SedimentIO
internal import Synchronization

extension HashedKeyspace {
  /// Puts what the logs hold into the memtables.
  func replayLogs(_ state: KeyspaceState) throws {
    guard !state.logs.isEmpty else { return }
    let dealer = EntryDealer(state)
    for log in state.logs {
      try state.readRecords(of: log, in: store.directory) { payload in
        let time = try unsafe payload.withUnsafeBytes { bytes in
          let time = try unsafe dealer.deal(bytes)
          if let base = bytes.baseAddress { try unsafe replay(dealer, of: base) }
          return time
        }
        if time != EntryTime.none { updateClock { $0.advance(to: time) } }
      }
    }
    let window = options.window(of: clock.withLock { $0.largest } ?? 0)
    // Not changes of the next epoch: the logs have them.
    store.workers.run(shards.count) { [shards] index in
      shards[index].view.active.takeDelta { _ in }
    }
    for shard in shards where !shard.view.active.isEmpty {
      shard.activeIsLogged = true
      shard.view.active.window = window
    }
  }

  /// Replays the record that was dealt, whose payload begins at `payload`.
  private func replay(_ dealer: EntryDealer, of payload: UnsafeRawPointer) throws {
    // SAFETY: threads only read it, and have done so when `map` returns.
    nonisolated(unsafe) let payload = unsafe payload
    let replayOne = { @Sendable [shards] index in
      unsafe shards[index].view.active.replay(dealer.places(of: index), of: payload)
    }
    let taken =
      dealer.count < Self.sideBySideMin
      ? shards.indices.map(replayOne) : try store.workers.map(shards.count, replayOne)
    for (shard, taken) in zip(shards, taken) where taken < dealer.count(of: shard.index) {
      let rest = unsafe dealer.places(of: shard.index)[taken...]
      try unsafe replay(UnsafeBufferPointer(rebasing: rest), of: payload, flushing: shard)
    }
  }

  /// Entries of a record for which it pays to wake other threads: a batch of a log of batches has
  /// less, a record of an epoch forty thousand.
  private static let sideBySideMin = 8192

  /// Replays entries into a shard whose memtable has no room for the first of them: with a smaller
  /// budget than before the logs may hold more than a memtable does.
  private func replay(
    _ places: UnsafeBufferPointer<UInt32>, of payload: UnsafeRawPointer, flushing shard: Shard
  ) throws {
    let largestTime = clock.withLock { $0.largest }
    var next = 0
    while next < places.count {
      let entry = unsafe EntryBatchCoding.entry(
        at: Int(places[next]), of: payload, layout: options.layout)
      shard.activeIsLogged = true
      shard.view.active.window = options.window(of: max(largestTime ?? entry.time, entry.time))
      try store.freeze(shard, of: self, waits: false)
      // No thread flushes yet, and memory is bounded.
      if let frozen = shard.view.frozen.last { try store.flush(frozen, of: shard, in: self) }
      let rest = unsafe UnsafeBufferPointer(rebasing: places[next...])
      let taken = unsafe shard.view.active.replay(rest, of: payload)
      guard taken > 0 else {
        throw StoreError(.inputOutput, "an entry of the log does not fit an empty memtable")
      }
      next += taken
    }
  }
}

extension EntryDealer {
  /// Deals what the logs of a keyspace hold.
  convenience init(_ keyspace: KeyspaceState) {
    self.init(layout: keyspace.options.layout, shards: keyspace.shards.map(\.groups))
  }
}

extension KeyspaceState {
  /// Calls `body` with the payload of every record of a log that counts. A log of batches counts to
  /// its torn tail, one of epochs to its committed length.
  ///
  /// - Returns: the length of the part that counts.
  @discardableResult
  func readRecords(
    of log: LogReference, in directory: any Directory, _ body: ([UInt8]) throws -> Void
  ) throws -> UInt64 {
    try EntryLog(log, name: FileNaming.state.name(of: log), layout: options.layout).readRecords(
      in: directory, stopsAtCommitted: options.log == .epochs, body)
  }
}
