internal import SedimentIO
internal import Synchronization

extension HashedKeyspace {
  /// Inserts the keys that no entry counts for yet, and says which those were.
  ///
  /// A record is a duplicate iff an unexpired entry of its key lies less than the TTL from its
  /// time; of equal keys in one batch the first wins. The keyspace's watermark advances record by
  /// record.
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
    guard unsafe keys.count > 0 else { return }
    try unsafe checkTimes(times, count: keys.count)
    // SAFETY: the columns outlive the call, and `withLock` runs its body before it returns.
    nonisolated(unsafe) let borrowed = unsafe (
      keys: keys, times: times, values: values, decisions: decisions
    )
    let failure = withWriter { writer -> StoreError? in
      // The batch before may have failed while this one waited.
      do throws(StoreError) { try store.checkWritable() } catch { return error }
      do {
        try unsafe insert(
          borrowed.keys, times: borrowed.times, values: borrowed.values, late: late,
          decisions: borrowed.decisions, &writer)
        return nil
      } catch {
        store.poison(error)
        return StoreError(wrapping: error)
      }
    }
    if let failure { throw failure }
  }

  private func checkTimes(_ times: UnsafePointer<Int64>, count: Int) throws(StoreError) {
    var isOutside = false
    for index in 0..<count {
      let time = unsafe times[index]
      isOutside = isOutside || time < StoreState.timeMin || time > StoreState.timeMax
    }
    if isOutside { throw StoreError(.invalidArgument, "a time is not within ±2⁶¹ ms") }
  }

  // MARK: - Under the writer's lock

  private func insert(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>, values: UnsafeRawPointer?,
    late: LatePolicy, decisions: UnsafeMutablePointer<UInt8>, _ writer: inout KeyspaceWriter
  ) throws {
    let count = unsafe keys.count
    let options = self.options
    prepareColumns(&writer, count: count)
    let largest = unsafe computeWatermarks(
      times, count: count, options: options, after: writer.largestTime,
      into: &writer.watermarks)
    let shardCounts = unsafe hashAndDeal(keys, &writer)
    let window = options.window(of: largest)
    // Before anything is inserted: a memtable that is frozen in mid-batch is in the log too.
    if options.log != .epochs { for shard in shards { shard.activeIsLogged = true } }
    try unsafe writer.hashes.withUnsafeBufferPointer { hashes in
      try unsafe writer.watermarks.withUnsafeBufferPointer { watermarks in
        try unsafe writer.order.withUnsafeBufferPointer { order in
          guard let hashes = hashes.baseAddress,
            let watermarks = watermarks.baseAddress, let order = order.baseAddress
          else { return }
          let columns = unsafe BatchColumns(
            count: count, hashes: hashes, times: times, watermarks: watermarks, keys: keys,
            values: values, decisions: decisions, ttl: options.timeToLive.limit, late: late,
            layout: options.layout, refreshesOnSeen: options.refreshesOnSeen)
          try unsafe decide(columns, order: order, shardCounts: shardCounts, window: window)
        }
      }
    }
    let movesWatermark =
      options.timeToLive != .forever && largest > writer.largestTime ?? EntryTime.none
    writer.largestTime = largest
    largestTime.store(largest, ordering: .releasing)
    if case .everyBatch(let synchronized) = options.log {
      try unsafe logBatch(
        keys, times: times, values: values, decisions: decisions, synchronized: synchronized,
        movesWatermark: movesWatermark, &writer)
    }
  }

  private func prepareColumns(_ writer: inout KeyspaceWriter, count: Int) {
    guard writer.hashes.count < count else { return }
    writer.hashes = [KeyHash](repeating: KeyHash(high: 0, low: 0), count: count)
    writer.watermarks = [Int64](repeating: 0, count: count)
    writer.order = [UInt32](repeating: 0, count: count)
  }

  /// Advances the watermark record by record, before the batch is dealt to shards.
  ///
  /// - Returns: the largest time seen after the batch.
  private func computeWatermarks(
    _ times: UnsafePointer<Int64>, count: Int, options: KeyspaceOptions, after previous: Int64?,
    into watermarks: inout [Int64]
  ) -> Int64 {
    var largest = unsafe max(previous ?? StoreState.timeMin, times[0])
    let isForever = options.timeToLive == .forever
    let lateness = options.allowedLateness
    for index in 0..<count {
      largest = unsafe max(largest, times[index])
      watermarks[index] = isForever ? StoreState.timeMin : largest &- lateness
    }
    return largest
  }

  /// Hashes the keys and sorts record numbers by shard; returns how many each shard has.
  private func hashAndDeal(_ keys: KeyBatchView, _ writer: inout KeyspaceWriter) -> [Int] {
    let count = unsafe keys.count
    unsafe writer.hashes.withUnsafeMutableBufferPointer { hashes in
      if let base = hashes.baseAddress { unsafe hasher.hash(keys, into: base) }
    }
    guard shards.count > 1 else {
      for index in 0..<count { writer.order[index] = UInt32(truncatingIfNeeded: index) }
      return [count]
    }
    var counts = [Int](repeating: 0, count: shards.count)
    for index in 0..<count { counts[shardIndex(writer.hashes[index].high)] += 1 }
    var next = [Int](repeating: 0, count: shards.count)
    for shard in 1..<shards.count { next[shard] = next[shard - 1] + counts[shard - 1] }
    for index in 0..<count {
      let shard = shardIndex(writer.hashes[index].high)
      writer.order[next[shard]] = UInt32(truncatingIfNeeded: index)
      next[shard] += 1
    }
    return counts
  }

  /// Below this many records it is quicker to decide all shards on the calling thread.
  private static let parallelRecordsMin = 1024

  private func decide(
    _ columns: BatchColumns, order: UnsafePointer<UInt32>, shardCounts: [Int], window: Int64
  ) throws {
    var starts: [Int] = [0]
    for count in shardCounts { starts.append(starts[starts.count - 1] + count) }
    let boundaries = starts
    nonisolated(unsafe) let work = unsafe (columns: columns, order: order)
    let failures = Mutex<(any Error)?>(nil)
    // SAFETY: `run` returns only when every call of its body has, so the columns outlive them; and
    // every shard is touched by one call only.
    let decideShard: @Sendable (Int) -> Void = { [self] index in
      do {
        let count = boundaries[index + 1] - boundaries[index]
        guard count > 0 else { return }
        try unsafe decide(
          shards[index], work.columns, work.order + boundaries[index], count: count, window: window)
      } catch {
        failures.withLock { $0 = $0 ?? error }
      }
    }
    if columns.count >= Self.parallelRecordsMin {
      store.workers.run(shards.count, decideShard)
    } else {
      for index in shards.indices { decideShard(index) }
    }
    if let failure = failures.withLock({ $0 }) { throw failure }
  }

  /// Decides the records of one shard, chunk by chunk.
  private func decide(
    _ shard: Shard, _ columns: BatchColumns, _ records: UnsafePointer<UInt32>, count: Int,
    window: Int64
  ) throws {
    try startWindow(window, of: shard)
    var counts = ShardDecider.Counts()
    defer { note(counts) }
    var next = 0
    var left = 0
    while next < count || left > 0 {
      let chunk = unsafe takeChunk(
        shard, columns, records, from: &next, to: count, left: left)
      if left > 0 || !shard.view.active.fits(count: chunk.count, keyBytes: chunk.keyBytes) {
        try store.freeze(shard, of: self)
        shard.view.active.window = window
      }
      var decider = ShardDecider(
        view: shard.view, columns: columns, scratch: shard.scratch, cache: store.cache)
      defer { counts.add(decider.counts) }
      left = try decider.decide(count: chunk.count)
    }
  }

  /// Freezes a memtable of an earlier window once it is worth a table, so that runs, and with them
  /// whole files, belong to one window.
  private func startWindow(_ window: Int64, of shard: Shard) throws {
    let active = shard.view.active
    if active.window != window && active.counters.live >= Self.windowEntriesMin {
      try store.freeze(shard, of: self)
    }
    shard.view.active.window = window
    store.prepareNext(shard)
  }

  /// A table of fewer entries would cost more in number than it saves by expiring early.
  private static let windowEntriesMin = 16_384

  /// Fills `scratch.records` behind the `left` records already there.
  private func takeChunk(
    _ shard: Shard, _ columns: BatchColumns, _ records: UnsafePointer<UInt32>,
    from next: inout Int, to end: Int, left: Int
  ) -> (count: Int, keyBytes: Int) {
    let active = shard.view.active
    let countMax = min(ShardScratch.chunkRecords, max(active.geometry.fillLimit / 2, 1))
    let scratch = shard.scratch
    var count = left
    guard columns.layout.isExact else {
      let taken = max(min(countMax - count, end - next), 0)
      unsafe (scratch.records + count).update(from: records + next, count: taken)
      next += taken
      return (count + taken, 0)
    }
    let bytesMax = active.arenaBytes / 2
    var keyBytes = 0
    for index in 0..<left { keyBytes += unsafe columns.key(Int(scratch.records[index])).count }
    while next < end, count < countMax {
      let bytes = unsafe columns.key(Int(records[next])).count
      if count > 0 && keyBytes + bytes > bytesMax { break }
      unsafe scratch.records[count] = unsafe records[next]
      keyBytes += bytes
      count += 1
      next += 1
    }
    return (count, keyBytes)
  }

  private func note(_ counts: ShardDecider.Counts) {
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
