// Flushes and merges, on threads of the store's own.
//
// A thread takes the most urgent task that no other has: a flush (writers may wait for it), then
// memory for the memtables to come, then a merge. A merge takes seconds, so it looks every few
// milliseconds whether something more urgent has come, and does that first. What a task made
// becomes visible by publishing a new view of the shard, and durable with the next epoch, which is
// what synchronises it.

internal import SedimentIO
internal import Synchronization

extension StoreCore {
  /// What a background thread does next.
  enum BackgroundTask {
    case prepareMemory
    case flush(HashedKeyspace, Shard, FrozenMemtable)
    case merge(HashedKeyspace, Shard, CompactionChoice, CompactionPicker)
    case flushOrdered(OrderedKeyspace, FrozenOrderedMemtable)
    case mergeOrdered(OrderedKeyspace, OrderedCompactionChoice)
    case mergePart(PartedMerge, Int)
    case makeLog
    case record
    case meet(SharingDemands)

    /// Whether writers may wait for it, or others.
    var isUrgent: Bool {
      switch self {
      case .merge, .mergeOrdered, .mergePart: false
      default: true
      }
    }
  }

  /// The body of a background thread: works until the store stops.
  func runBackground() {
    while let task = nextTask() {
      do {
        try withPermit(isUrgent: task.isUrgent) { try perform(task) }
      } catch {
        handle(error)
      }
    }
  }

  private func perform(_ task: BackgroundTask) throws {
    switch task {
    case .prepareMemory:
      memtableMemory.prepareOne()
    case .flush(let keyspace, let shard, let frozen):
      try flush(frozen, of: shard, in: keyspace)
      try balanceFilters()
      noteRetry(nil)
    case .merge(let keyspace, let shard, let choice, let picker):
      try merge(choice, of: shard, in: keyspace, picker)
      try balanceFilters()
      noteRetry(nil)
    case .flushOrdered(let keyspace, let frozen):
      try flush(frozen, in: keyspace)
      noteRetry(nil)
    case .mergeOrdered(let keyspace, let choice):
      try merge(choice, in: keyspace)
      noteRetry(nil)
    case .mergePart(let merge, let index):
      // Whoever began the merge learns of a failure.
      merge.perform(index)
    case .makeLog:
      try makeNextWriteLog()
      noteRetry(nil)
    case .record:
      try recordOrdered()
      noteRetry(nil)
    case .meet(let demands):
      try meet(demands)
    }
  }

  /// Does what is more urgent than the merge that calls it. With every thread in a merge writers
  /// would wait for the end of one.
  ///
  /// - Throws: what a flush throws, for the merge to end by: on a full disk what it has written so
  ///   far is room for the flush.
  func performUrgentTasks() throws {
    giveWay()
    while let task = monitor.withLock({ isStopping || failure != nil ? nil : pickUrgentTask() }) {
      try perform(task)
    }
  }

  /// A full disk is waited for, unless it was a synchronisation that found it; all else poisons.
  private func handle(_ error: any Error) {
    if Self.isFullDisk(error) {
      noteRetry(StoreError(wrapping: error))
      monitor.withLock { if !isStopping { _ = monitor.wait(nanoseconds: 50_000_000) } }
    } else {
      poison(error)
    }
  }

  private func nextTask() -> BackgroundTask? {
    monitor.withLock {
      while !isStopping {
        if failure == nil, let task = pickTask() { return task }
        if let nanoseconds = nanosUntilQuiet {
          _ = monitor.wait(nanoseconds: nanoseconds)
        } else {
          monitor.wait()
        }
      }
      return nil
    }
  }

  /// The caller holds the monitor.
  private func pickTask() -> BackgroundTask? {
    if let task = pickUrgentTask() { return task }
    for keyspace in keyspaces {
      for shard in keyspace.shards {
        if let task = pickMerge(keyspace, shard) { return task }
      }
    }
    for keyspace in orderedKeyspaces {
      if let task = pickMerge(keyspace) { return task }
    }
    guard mayShareMerges else { return nil }
    for merge in partedMerges {
      if let index = merge.claim() { return .mergePart(merge, index) }
    }
    return nil
  }

  /// The caller holds the monitor.
  private func pickUrgentTask() -> BackgroundTask? {
    for keyspace in keyspaces {
      for shard in keyspace.shards where !shard.isFlushing {
        if let oldest = shard.view.frozen.last {
          shard.isFlushing = true
          return .flush(keyspace, shard, oldest)
        }
      }
    }
    if let task = pickOrderedUrgentTask() { return task }
    if !demands.isEmpty {
      defer { demands = [] }
      return .meet(demands)
    }
    return memtableMemory.hasWork ? .prepareMemory : nil
  }

  private func pickMerge(_ keyspace: HashedKeyspace, _ shard: Shard) -> BackgroundTask? {
    let picker = makePicker(keyspace, shard)
    let runs = mergeableRuns(shard)
    guard let choice = picker.pick(runs, busy: shard.busyRuns) else { return nil }
    shard.busyRuns.formUnion(choice.inputs)
    return .merge(keyspace, shard, choice, picker)
  }

  /// Runs that a merge may take in: while an epoch is being committed only those that belong to it.
  func mergeableRuns(_ shard: Shard) -> [RunState] {
    let limit = cuts[ObjectIdentifier(shard)]?.sequence ?? .max
    return shard.view.runs.lazy.map(\.state).filter { $0.sequence <= limit }
  }

  /// A picker at the time that retention may use: while an epoch is being committed its own.
  func makePicker(_ keyspace: HashedKeyspace, _ shard: Shard) -> CompactionPicker {
    let largest = keyspace.largestTime.load(ordering: .acquiring)
    var picker = CompactionPicker(
      options: keyspace.options, largestTime: largest == EntryTime.none ? nil : largest)
    if let cut = cuts[ObjectIdentifier(shard)] {
      picker.watermark = min(picker.watermark, cut.watermark)
    }
    return picker
  }

  // MARK: - Flush

  func flush(
    _ frozen: FrozenMemtable, of shard: Shard, in keyspace: HashedKeyspace
  ) throws {
    defer {
      monitor.withLock {
        shard.isFlushing = false
        monitor.broadcast()
      }
    }
    let start = options.clock.monotonicNanos()
    // The watermark and the time to live of one moment: a change of both may come between.
    let picker = monitor.withLock { makePicker(keyspace, shard) }
    // Nothing can be left out for being at the bottom: older entries lie in runs.
    var retention = EntryRetention(
      EntryRetention.Rules(
        isExact: keyspace.options.layout.isExact, ttl: picker.options.timeToLive.limit,
        watermark: picker.watermark, isBottommost: false))
    let counters = frozen.memtable.counters
    var output = RunWriter(
      store: self,
      plan: RunWriter.Plan(
        groups: shard.groups, layout: keyspace.options.layout, hasKinds: counters.hasKinds,
        timeBounds: counters.smallestTime...max(counters.smallestTime, counters.largestTime),
        entries: counters.live,
        bytes: UInt64(counters.live * frozen.memtable.layout.fixedEntryBytes + counters.arena)))
    do {
      var cursor = MemtableCursor(frozen.memtable)
      var block = EntryBlock(layout: frozen.memtable.layout, hasKinds: counters.hasKinds)
      while cursor.fill(&block) {
        retention.thin(&block)
        try output.append(block)
      }
      let tables = try output.finish()
      let run = try makeRun(
        tables, groups: shard.groups, level: 0, window: frozen.memtable.window,
        sequence: frozen.sequence)
      monitor.withLock {
        finishFiles(tables.map(\.number))
        shard.update { view in
          ShardView(
            active: view.active, frozen: view.frozen.filter { $0.sequence != frozen.sequence },
            runs: (view.runs + (run.map { [$0] } ?? [])).sorted {
              $0.state.sequence > $1.state.sequence
            })
        }
      }
      noteFlush(keyspace, tables, nanoseconds: options.clock.monotonicNanos() &- start)
    } catch {
      output.abort()
      throw error
    }
  }

  private func noteFlush(_ keyspace: HashedKeyspace, _ tables: [TableMetadata], nanoseconds: UInt64)
  {
    noteFlush(
      keyspace.name, entries: tables.reduce(0) { $0 + $1.entryCount },
      bytes: tables.reduce(0) { $0 + $1.fileBytes }, nanoseconds: nanoseconds)
  }

  func noteFlush(_ keyspace: String, entries: UInt64, bytes: UInt64, nanoseconds: UInt64) {
    statistics.update {
      $0.flushes += 1
      $0.entriesFlushed += entries
      $0.bytesFlushed += bytes
    }
    options.onEvent?(
      .flushed(keyspace: keyspace, entries: entries, bytes: bytes, nanoseconds: nanoseconds))
  }

  /// Opens what a flush or merge wrote; `nil` when it wrote nothing.
  private func makeRun(
    _ tables: [TableMetadata], groups: KeyGroupRange, level: UInt8, window: Int64, sequence: UInt64
  ) throws -> OpenRun? {
    guard !tables.isEmpty else { return nil }
    let slices = tables.map { TableSlice(table: $0, clip: $0.smallestHigh...$0.largestHigh) }
    let state = RunState(
      id: allocateFileNumber().rawValue, sequence: sequence, level: level, window: window,
      tables: slices)
    return try open(state)
  }

  // MARK: - Merge

  /// Merges runs of a shard that are marked busy, and publishes the result.
  func merge(
    _ choice: CompactionChoice, of shard: Shard, in keyspace: HashedKeyspace,
    _ picker: CompactionPicker
  ) throws {
    let inputIDs = Set(choice.inputs)
    defer {
      monitor.withLock {
        shard.busyRuns.subtract(inputIDs)
        monitor.broadcast()
      }
    }
    let start = options.clock.monotonicNanos()
    let inputs = shard.view.runs.filter { inputIDs.contains($0.state.id) }
    let merge = RunMerge(
      store: self, layout: keyspace.options.layout, timeToLive: picker.options.timeToLive,
      watermark: picker.watermark, isBottommost: choice.isBottommost,
      filters: filterChoice(keyspace, shard, merging: inputs))
    let tables = try merge.run(inputs, groups: shard.groups)
    let output: OpenRun?
    do {
      output = try makeRun(
        tables, groups: shard.groups, level: choice.level, window: choice.window,
        sequence: choice.sequence)
    } catch {
      giveUp(tables.map(\.number))
      throw error
    }
    monitor.withLock {
      finishFiles(tables.map(\.number))
      shard.update { view in
        let kept = view.runs.filter { !inputIDs.contains($0.state.id) }
        return ShardView(
          active: view.active, frozen: view.frozen,
          runs: (kept + (output.map { [$0] } ?? [])).sorted {
            $0.state.sequence > $1.state.sequence
          })
      }
    }
    noteMerge(
      keyspace, inputs, tables, nanoseconds: options.clock.monotonicNanos() &- start)
  }

  private func filterChoice(
    _ keyspace: HashedKeyspace, _ shard: Shard, merging inputs: [OpenRun]
  ) -> FilterChoice {
    let tables = keyspace.shards.flatMap(\.view.runs).flatMap(\.tables).map(\.reader.metadata)
    return FilterChoice(
      keyspaceBytes: tables.reduce(0) { $0 + $1.fileBytes },
      keyspaceEntries: tables.reduce(0) { $0 + $1.entryCount },
      shardEntries: shard.view.runs.reduce(0) { $0 + $1.state.entryCount },
      runEntries: inputs.reduce(0) { $0 + $1.state.entryCount },
      pageMemoryBytes: ProcessStatistics.systemMemoryBytes() / 2,
      filterMemoryBytes: filters.limit,
      builderBytesMax: plan.bufferBytes / 2 / backgroundTasksMax)
  }

  private func noteMerge(
    _ keyspace: HashedKeyspace, _ inputs: [OpenRun], _ tables: [TableMetadata], nanoseconds: UInt64
  ) {
    noteMerge(
      .merged(
        keyspace: keyspace.name, inputs: inputs.count,
        entriesIn: inputs.reduce(0) { $0 + $1.state.entryCount },
        entriesOut: tables.reduce(0) { $0 + $1.entryCount },
        bytes: tables.reduce(0) { $0 + $1.fileBytes }, nanoseconds: nanoseconds))
  }

  func noteMerge(_ event: StoreEvent) {
    guard case .merged(_, _, _, _, let bytes, _) = event else { return }
    statistics.update {
      $0.merges += 1
      $0.bytesMerged += bytes
    }
    options.onEvent?(event)
  }

  // MARK: - Expiry

  /// Takes runs out of the shards' views whose entries have all expired. Their files go with the
  /// next epoch. The caller holds the monitor.
  func expireRuns() -> [StoreEvent] {
    var events: [StoreEvent] = []
    for keyspace in keyspaces {
      for shard in keyspace.shards {
        let expired = Set(makePicker(keyspace, shard).expired(mergeableRuns(shard)))
          .subtracting(shard.busyRuns)
        guard !expired.isEmpty else { continue }
        let tables = shard.view.runs.filter { expired.contains($0.state.id) }.flatMap(\.tables)
        shard.update { view in
          ShardView(
            active: view.active, frozen: view.frozen,
            runs: view.runs.filter { !expired.contains($0.state.id) })
        }
        events.append(
          .expired(
            keyspace: keyspace.name, tables: tables.count,
            bytes: tables.reduce(0) { $0 + $1.reader.metadata.fileBytes }))
      }
    }
    return events
  }
}
