internal import SedimentIO
internal import Synchronization

extension HashedKeyspace {
  /// Inserts the keys that no entry counts for yet, and says which those were.
  ///
  /// A record is a duplicate iff an unexpired entry of its key lies less than the TTL from its
  /// time; of equal keys in one batch the first wins. The keyspace's watermark advances record by
  /// record. Batches of several threads are decided side by side; see **Thread safety**.
  ///
  /// - Parameters:
  ///   - keys: up to 1,048,576 keys of 0 to 65,536 bytes.
  ///   - times: milliseconds, one a key, within ±2⁶¹.
  ///   - values: `valueWidth` bytes a key, stored with the new ones; `nil` for zeros.
  ///   - late: what to do with records older than the watermark that are not found.
  /// - Returns: a bit a record.
  /// - Throws: `StoreError`. After an error other than `invalidArgument` the batch may be inserted
  ///   in part, and the store refuses further writes until it is opened again at its last epoch.
  public func insertIfAbsent(
    _ keys: KeyBatch, times: [Int64], values: [UInt8]? = nil, late: LatePolicy = .keep
  ) throws(StoreError) -> NewKeys {
    var decisions = [UInt8](repeating: 0, count: keys.count)
    try insertIfAbsent(keys, times: times, values: values, late: late, decisions: &decisions)
    return NewKeys(decisions: decisions)
  }

  /// The same for one key.
  ///
  /// - Returns: whether it was new.
  public func insertIfAbsent(
    _ key: [UInt8], time: Int64, value: [UInt8]? = nil
  ) throws(StoreError) -> Bool {
    let batch = KeyBatch(reservingKeys: 1, bytes: key.count)
    try wrapping { try batch.append(key) }
    return try insertIfAbsent(batch, times: [time], values: value)[0]
  }

  /// The same, with the decision about each record in full: `InsertDecision`'s raw values.
  public func insertIfAbsent(
    _ keys: KeyBatch, times: [Int64], values: [UInt8]? = nil, late: LatePolicy = .keep,
    decisions: inout [UInt8]
  ) throws(StoreError) {
    let width = Int(options.valueWidth)
    guard times.count == keys.count, decisions.count == keys.count,
      values == nil || values?.count == keys.count * width
    else {
      throw StoreError(
        .invalidArgument,
        "\(keys.count) keys need as many times and decisions, and \(width) bytes of value each")
    }
    try wrapping {
      try unsafe times.withUnsafeBufferPointer { times in
        try unsafe decisions.withUnsafeMutableBufferPointer { decisions in
          try unsafe withOptionalBytes(values) { values in
            guard let times = times.baseAddress, let decisions = decisions.baseAddress
            else { return }
            try unsafe insertIfAbsent(
              keys.view, times: times, values: values, late: late, decisions: decisions)
          }
        }
      }
    }
  }

  private func withOptionalBytes<Answer>(
    _ bytes: [UInt8]?, _ body: (UnsafeRawPointer?) throws -> Answer
  ) rethrows -> Answer {
    guard let bytes else { return try body(nil) }
    return try unsafe bytes.withUnsafeBytes { try unsafe body($0.baseAddress) }
  }

  /// The same on borrowed columns, for callers that reuse theirs.
  package func insertIfAbsent(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>, values: UnsafeRawPointer?,
    late: LatePolicy, decisions: UnsafeMutablePointer<UInt8>
  ) throws(StoreError) {
    let count = unsafe keys.count
    guard count > 0 else { return }
    let largest = try unsafe largestTime(times, count: count)
    let scratch = scratch.take(shards: shards.count, count: count)
    defer { self.scratch.give(scratch) }
    unsafe hasher.hash(keys, into: scratch.hashes)
    let insertion = unsafe Insertion(
      keys: keys, times: times, values: values, late: late, decisions: decisions,
      largestTime: largest)
    if options.log == .epochs {
      let isLonely = gate.enter()
      defer { gate.leave() }
      try poisoning { try insert(insertion, scratch, inParallel: isLonely) }
    } else {
      // Each batch is in the log as it was decided, so one comes after the other.
      gate.close()
      defer { gate.open() }
      try poisoning {
        // A memtable that is frozen in mid-batch is in the log too.
        for shard in shards { shard.activeIsLogged = true }
        let before = clock.withLock { $0.largest }
        try insert(insertion, scratch, inParallel: true)
        try log(insertion, scratch, before: before)
      }
    }
  }

  /// What `insertIfAbsent` was called with.
  @safe
  private struct Insertion {
    let keys: KeyBatchView
    let times: UnsafePointer<Int64>
    let values: UnsafeRawPointer?
    let late: LatePolicy
    let decisions: UnsafeMutablePointer<UInt8>
    let largestTime: Int64
  }

  private func poisoning(_ body: () throws -> Void) throws(StoreError) {
    // The batch before may have failed while this one waited.
    try store.checkWritable()
    do {
      try body()
    } catch {
      store.poison(error)
      throw StoreError(wrapping: error)
    }
  }

  /// The largest of the times, all of which must be within their bounds.
  private func largestTime(
    _ times: UnsafePointer<Int64>, count: Int
  ) throws(StoreError) -> Int64 {
    var smallest = Int64.max
    var largest = Int64.min
    for index in 0..<count {
      smallest = unsafe min(smallest, times[index])
      largest = unsafe max(largest, times[index])
    }
    guard smallest >= EntryTime.min && largest <= EntryTime.max else {
      throw StoreError(.invalidArgument, "a time is not within ±2⁶¹ ms")
    }
    return largest
  }

  // MARK: - Inside the gate

  private func insert(
    _ insertion: Insertion, _ scratch: BatchScratch, inParallel: Bool
  ) throws {
    let options = self.options
    let start = updateClock { $0.begin(insertion.largestTime) }
    defer { updateClock { $0.end(start) } }
    let count = unsafe insertion.keys.count
    if options.timeToLive != .forever {
      unsafe computeWatermarks(
        insertion.times, count: count, lateness: options.allowedLateness, after: start,
        into: scratch.watermarks)
    }
    let columns = unsafe BatchColumns(
      times: insertion.times, watermarks: scratch.watermarks, keys: insertion.keys,
      values: insertion.values, decisions: insertion.decisions, ttl: options.timeToLive.limit,
      late: insertion.late, layout: options.layout, refreshesOnSeen: options.refreshesOnSeen)
    let limit = unsafe stretchLimit(insertion.keys)
    var next = 0
    while next < count {
      // A batch beside this one may have failed in mid-way.
      try store.checkWritable()
      let records = next..<min(next + limit, count)
      next = records.upperBound
      scratch.deal(records, shardEnds: shardEnds)
      let largest =
        options.timeToLive == .forever
        ? max(start, insertion.largestTime)
        : unsafe scratch.watermarks[next - 1] &+ options.allowedLateness
      let stretch = Stretch(
        columns: columns, scratch: scratch, largestTime: largest, options: options)
      if inParallel && records.count >= Self.parallelRecordsMin && shards.count > 1 {
        try decideInParallel(stretch)
      } else {
        try decideInTurn(stretch)
      }
    }
  }

  /// How many records are dealt to the shards at once: few enough to be a small part of what their
  /// memtables hold. Records are decided in the order of their hashes, so a memtable that is frozen
  /// within a stretch holds more of the lower hashes, for which neither slots nor filters are made.
  private func stretchLimit(_ keys: KeyBatchView) -> Int {
    let room = shards[0].view.active.roomWhenEmpty(keyBytes: unsafe keys.meanBytes)
    return min(max(room * shards.count / 8, 1024), Self.stretchMax)
  }

  /// The most records that are dealt at once: their columns stay in the processor's caches.
  static let stretchMax = 65_536

  /// Advances the watermark record by record.
  private func computeWatermarks(
    _ times: UnsafePointer<Int64>, count: Int, lateness: Int64, after previous: Int64,
    into watermarks: UnsafeMutablePointer<Int64>
  ) {
    var largest = previous
    for index in 0..<count {
      largest = unsafe max(largest, times[index])
      unsafe watermarks[index] = largest &- lateness
    }
  }

  /// Part of a batch as its shards are given it.
  // @unchecked because the columns outlive the call, and each shard writes its own records only.
  private struct Stretch: @unchecked Sendable {
    let columns: BatchColumns
    let scratch: BatchScratch
    /// The largest time up to its last record.
    let largestTime: Int64
    let options: KeyspaceOptions
  }

  /// Below this many records it is quicker to decide all shards on the calling thread.
  private static let parallelRecordsMin = 1024

  /// Decides all shards side by side, on the store's threads too.
  private func decideInParallel(_ stretch: Stretch) throws {
    let failures = Mutex<(any Error)?>(nil)
    store.workers.run(shards.count) { [self] index in
      shards[index].holder.lock()
      defer { shards[index].holder.unlock() }
      do {
        try decide(shards[index], stretch)
      } catch {
        failures.withLock { $0 = $0 ?? error }
      }
    }
    if let failure = failures.withLock({ $0 }) { throw failure }
  }

  /// Decides one shard after the other, first those that no other batch holds.
  private func decideInTurn(_ stretch: Stretch) throws {
    let count = shards.count
    let first = stretch.scratch.ordinal % count
    var waiting = 0
    for turn in 0..<count {
      let shard = shards[(first + turn) % count]
      guard stretch.scratch.hasRecords(ofShard: shard.index) else { continue }
      if shard.holder.tryLock() {
        defer { shard.holder.unlock() }
        try decide(shard, stretch)
      } else {
        stretch.scratch.postpone(shard: shard.index, at: &waiting)
      }
    }
    for index in 0..<waiting {
      let shard = shards[stretch.scratch.postponedShard(at: index)]
      try shard.holder.withLock { try decide(shard, stretch) }
    }
  }

  // MARK: - Holding a shard

  /// Decides the records of one shard, chunk by chunk.
  private func decide(_ shard: Shard, _ stretch: Stretch) throws {
    var columns = stretch.columns
    // Another batch may have come to this shard first, though it began later.
    let latest = max(shard.largestTime ?? stretch.largestTime, stretch.largestTime)
    columns.watermarkMin = StoreState.watermark(
      largestTime: shard.largestTime, options: stretch.options)
    shard.largestTime = latest
    let window = stretch.options.window(of: latest)
    var next = unsafe stretch.scratch.starts[shard.index]
    let end = unsafe stretch.scratch.starts[shard.index + 1]
    try unsafe prepare(
      shard, window: window, records: end - next, keyBytes: columns.keys.meanBytes)
    var counts = ShardDecider.Counts()
    defer { note(counts) }
    var left = 0
    while next < end || left > 0 {
      let chunk = takeChunk(shard, columns, stretch.scratch, from: &next, to: end, left: left)
      if left > 0 || !shard.view.active.fits(count: chunk.count, keyBytes: chunk.keyBytes) {
        try store.freeze(shard, of: self)
        shard.view.active.window = window
      }
      var decider = ShardDecider(
        view: shard.view, columns: columns, scratch: shard.scratch, pages: shard.pages)
      defer { counts.add(decider.counts) }
      left = try decider.decide(count: chunk.count)
    }
  }

  /// Freezes a memtable that the records of a stretch would fill to the brim, and one of an earlier
  /// window once it is worth a table, so that runs, and with them whole files, belong to one
  /// window.
  private func prepare(
    _ shard: Shard, window: Int64, records: Int, keyBytes: Int
  ) throws {
    let active = shard.view.active
    let isOfAnother = active.window != window && active.counters.live >= Self.windowEntriesMin
    let isFull =
      !active.fits(count: records, keyBytes: records * keyBytes)
      && records <= active.roomWhenEmpty(keyBytes: keyBytes) / 4
    if isOfAnother || isFull { try store.freeze(shard, of: self) }
    shard.view.active.window = window
    store.prepareNext(shard)
  }

  /// A table of fewer entries would cost more in number than it saves by expiring early.
  private static let windowEntriesMin = 16_384

  /// Takes the next records of a shard, from `next` of those dealt on, behind the `left` that are
  /// in its scratch already.
  private func takeChunk(
    _ shard: Shard, _ columns: BatchColumns, _ batch: BatchScratch,
    from next: inout Int, to end: Int, left: Int
  ) -> (count: Int, keyBytes: Int) {
    let active = shard.view.active
    let countMax = min(ShardScratch.chunkRecords, max(active.geometry.fillLimit / 2, 1))
    let scratch = shard.scratch
    var taken = max(min(countMax - left, end - next), 0)
    var keyBytes = 0
    if columns.layout.isExact {
      let bytesMax = active.arenaBytes / 2
      for index in 0..<left { keyBytes += unsafe columns.key(Int(scratch.records[index])).count }
      let wanted = taken
      taken = 0
      while taken < wanted {
        let bytes = unsafe columns.key(Int(batch.order[next + taken])).count
        if left + taken > 0 && keyBytes + bytes > bytesMax { break }
        keyBytes += bytes
        taken += 1
      }
    }
    unsafe (scratch.records + left).update(from: batch.order + next, count: taken)
    unsafe (scratch.hashes + left).update(from: batch.dealt + next, count: taken)
    next += taken
    return (left + taken, keyBytes)
  }

  /// Logs what a batch inserted. The caller is alone.
  private func log(_ insertion: Insertion, _ scratch: BatchScratch, before: Int64?) throws {
    let options = self.options
    guard case .everyBatch(let synchronized) = options.log else { return }
    let movesWatermark =
      options.timeToLive != .forever && insertion.largestTime > before ?? EntryTime.none
    try withWriterUngated { writer in
      try unsafe logBatch(
        insertion.keys, times: insertion.times, values: insertion.values, hashes: scratch.hashes,
        decisions: insertion.decisions, synchronized: synchronized,
        movesWatermark: movesWatermark, &writer)
    }
  }

  func note(_ counts: ShardDecider.Counts) {
    store.statistics.update {
      $0.filterProbes += counts.filterProbes
      $0.pageLookups += counts.pageLookups
      $0.falsePositives += counts.falsePositives
    }
  }
}

extension ShardDecider.Counts {
  mutating func add(_ other: Self) {
    filterProbes += other.filterProbes
    pageLookups += other.pageLookups
    falsePositives += other.falsePositives
  }
}
