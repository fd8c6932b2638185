// Opening a store for writing, and with it recovery.
//
//   1. open the directory, take LOCK
//   2. read the manifest: the state of the last durable epoch, or of the one asked for; none: a new
//      store
//   3. arrange tables for the number of shards asked for
//   4. read the logs that count to their end, and open the tables: see `TableOpening` and
//      `WriteLogSurvey`
//   5. write, sync and publish a new manifest with the next writer epoch
//   6. remove what the state does not name: tables of flushes and merges no epoch took in, and what
//      epochs after the one asked for added
//   7. replay logs into memtables; what does not fit them is flushed
//
// Nothing is renamed or removed before step 5 is durable: after a failed sync what the page cache
// shows may not be on disk. And nothing is written before step 5, so that a store which is damaged
// or of a newer format is refused as it is: whatever opening reads, filters included, was read and
// found whole by then. A log that the state names may go on behind its committed length, with
// entries of an epoch that is dropped: it is read to that length only, and never appended to,
// because every opening begins a new log. Step 7 reads again what step 4 has read, the logs, which
// fit no budget.

internal import SedimentIO

/// Opens one store.
struct StoreOpening {
  let path: String
  let options: StoreOptions
  /// Seed and identity of a store that is made; random ones for `nil`.
  let seed: HashSeed?
  let identity: StoreIdentity?
  /// The epoch to open at; `nil` for the last one.
  let epoch: UInt64?
  let fileSystem: any FileSystem

  func open() throws -> StateStore {
    if let complaint = options.complaint { throw StoreError(.invalidArgument, complaint) }
    // Where an epoch is asked for there must be one.
    let directory = try fileSystem.openNamed(path, creating: (epoch ?? 0) == 0)
    let lock = try directory.lock(StateStore.lockName, advice: "stop it, or wait for it")
    do {
      return try open(directory, lock)
    } catch {
      lock.unlock()
      throw error
    }
  }

  private func open(_ directory: any Directory, _ lock: any DirectoryLock) throws -> StateStore {
    let found = try readState(directory)
    if found == nil {
      try checkIsNew(directory)
      try synchronizeParent()
    }
    var state =
      found
      ?? StoreState(
        identity: identity ?? .random(), seed: seed ?? .random(), nextFileNumber: 1)
    state.nextFileNumber = max(state.nextFileNumber, try highestFileNumber(directory) + 1)
    state.writerEpoch += 1
    for index in state.keyspaces.indices {
      state.keyspaces[index].arrange(
        shards: self.options.shards, nextNumber: &state.nextFileNumber)
    }
    let number = FileNumber(state.nextFileNumber)
    state.nextFileNumber += 1
    let workers = try ShardWorkers(threads: options.shards - 1)
    do {
      return try open(directory, lock, state: state, number: number, workers: workers)
    } catch {
      workers.stop()
      throw error
    }
  }

  /// The state to open; `nil` when there is no store.
  private func readState(_ directory: any Directory) throws -> StoreState? {
    guard let epoch else { return try ManifestReader.read(directory)?.state }
    return try EpochHistory(directory, at: path).state(at: epoch)
  }

  /// Opens what `state` names, under a manifest of this number.
  private func open(
    _ directory: any Directory, _ lock: any DirectoryLock, state: StoreState, number: FileNumber,
    workers: ShardWorkers
  ) throws -> StateStore {
    var state = state
    // Everything is read, and what was read is durable, before the new manifest promises anything.
    let loads = try settleLogs(&state, directory)
    let survey = try WriteLogSurvey(state, in: directory)
    state.writeLogs = survey.segments.map(\.log)
    let share = try ResourceShare(options)
    let filters = share.filters
    let tables = try TableOpening(directory: directory, budget: filters, workers: workers)
      .open(state)
    var orderedTables: [FileNumber: OpenOrderedTable] = [:]
    for table in state.orderedTables {
      orderedTables[table.number] = OpenOrderedTable(
        try OrderedTableReader(
          directory: directory, metadata: table, filterByteBudget: filters.available),
        of: filters)
    }
    let manifest = try DurableManifest(
      directory: directory, number: number, state: state, confirmsEpochs: options.confirmsEpochs)
    let core = try StoreCore(
      fileSystem: fileSystem, directory: directory, options: options, manifest: manifest,
      nextFileNumber: state.nextFileNumber, present: Self.names(of: state), share: share,
      workers: workers,
      writes: WriteQueue(
        lastSequence: state.orderedKeyspaces.map(\.flushedSequence)
          .reduce(survey.lastSequence, max), lastLogged: survey.lastSequence))
    core.hold(state)
    do {
      // Before the logs are replayed, which may flush tables that no epoch names yet.
      try removeUnknown(directory, state: state, manifestName: manifest.name)
      for (keyspace, loads) in zip(state.keyspaces, loads) {
        core.add(
          try Self.makeKeyspace(
            keyspace, tables: tables, loads: loads, core: core, seed: state.seed,
            keyspaceCount: state.keyspaces.count + state.orderedKeyspaces.count))
      }
      try core.addOrdered(state, tables: orderedTables, survey)
      core.beginSharing()
      try core.startBackgroundThreads()
    } catch {
      core.endThreads()
      core.releaseKeyspaces()
      core.endSharing()
      throw error
    }
    return StateStore(path: path, core: core, lock: lock)
  }

  /// Makes the directory's own entry durable: an earlier opening may have made it and failed to.
  private func synchronizeParent() throws {
    var components = path.split(separator: "/", omittingEmptySubsequences: true)
    guard components.popLast() != nil else { return }
    let parent = (path.hasPrefix("/") ? "/" : "./") + components.joined(separator: "/")
    do {
      try fileSystem.openDirectory(at: parent, creating: false).synchronize()
    } catch {
      // Who may not read the parent did not make the entry either.
      guard error.code == .permissionDenied else { throw error }
    }
  }

  /// A directory without CURRENT must hold no other file of a store: a lost CURRENT is damage, and
  /// starting over would be silent loss.
  private func checkIsNew(_ directory: any Directory) throws {
    if try directory.metadata(of: StateStore.restoringName) != nil {
      throw StoreError(
        .notFound,
        "\(path) holds a part of a checkpoint: restore it again, which goes on where it ended")
    }
    let entries = try directory.entries().filter { StoreFileName($0.name) != nil }
    if entries.count == 1, try isUnfinished(entries[0], directory) {
      // Gone, so that a second interruption leaves no more than the first one did.
      return try directory.remove(entries[0].name)
    }
    guard let entry = entries.first else { return }
    throw Corruption(
      file: ManifestFiles.current, offset: 0, what: "file", expected: "there beside \(entry.name)",
      found: "missing")
  }

  /// Whether a file is the first manifest of a store whose making was cut short: it may be torn,
  /// and nothing was ever appended to it.
  private func isUnfinished(_ entry: DirectoryEntry, _ directory: any Directory) throws -> Bool {
    guard entry.kind == .file, entry.name == ManifestFiles.name(FileNumber(1)) else { return false }
    do {
      var reader = try RecordLogReader(
        directory: directory, name: entry.name, kind: .manifest, fileID: nil)
      guard try reader.next(committedLength: 0) != nil else { return true }
      return try reader.next(committedLength: 0) == nil
    } catch is Corruption {
      return true
    }
  }

  private func highestFileNumber(_ directory: any Directory) throws -> UInt64 {
    try directory.entries().compactMap { StoreFileName($0.name)?.number }.max() ?? 0
  }

  private static func names(of state: StoreState) -> Set<String> {
    Set(state.fileNames)
  }

  /// Reads every log to its end. A log of batches may end in records that its writer never
  /// synchronised: they count now, so they are made durable here.
  ///
  /// - Returns: what the logs of each keyspace hold for its shards.
  private func settleLogs(
    _ state: inout StoreState, _ directory: any Directory
  ) throws -> [[ReplayLoad]] {
    try state.keyspaces.indices.map { index in
      let keyspace = state.keyspaces[index]
      let dealer = EntryDealer(keyspace)
      for (position, log) in keyspace.logs.enumerated() {
        let length = try keyspace.readRecords(of: log, in: directory) { payload in
          _ = try unsafe payload.withUnsafeBytes { try unsafe dealer.deal($0) }
        }
        guard keyspace.options.log != .epochs else { continue }
        let file = try directory.openFile(log.number.logName, .readWrite)
        defer { file.close() }
        try file.synchronize()
        state.keyspaces[index].logs[position].committedLength = max(length, log.committedLength)
      }
      return dealer.loads
    }
  }

  /// Removes files of stores that the state does not name.
  private func removeUnknown(
    _ directory: any Directory, state: StoreState, manifestName: String
  ) throws {
    let known = Self.names(of: state).union([manifestName, ManifestFiles.current])
    for entry in try directory.entries()
    where entry.kind == .file && StoreFileName(entry.name) != nil && !known.contains(entry.name) {
      try directory.remove(entry.name)
    }
    if try directory.metadata(of: ManifestFiles.currentTemporary) != nil {
      try directory.remove(ManifestFiles.currentTemporary)
    }
  }

  /// Makes a keyspace of its state and open tables, and replays its logs.
  ///
  /// - Parameter loads: what the logs hold for each shard.
  static func makeKeyspace(
    _ state: KeyspaceState, tables: OpenTables, loads: [ReplayLoad], core: StoreCore,
    seed: HashSeed, keyspaceCount: Int
  ) throws -> HashedKeyspace {
    let layout = state.options.layout
    let first = core.firstMemtableSlots(
      layout: layout, parts: max(keyspaceCount, 1) * state.shards.count)
    let shards = try state.shards.enumerated().map { index, shard in
      let runs = shard.runs.map { run in
        OpenRun(state: run, tables: run.tables.map { tables.table($0) })
      }
      return try Shard(
        index: index, groups: shard.groups,
        active: core.makeMemtable(
          layout: layout, groups: shard.groups, keyspaces: keyspaceCount,
          slotsMax: MemoryPlan.firstMemtableSlots(for: loads[index], from: first)),
        runs: runs, cache: core.cache)
    }
    let keyspace = HashedKeyspace(
      state: state, store: core, seed: seed, shards: shards,
      writer: KeyspaceWriter(logs: state.logs))
    try keyspace.replayLogs(state)
    return keyspace
  }
}

/// A file name that a store gives.
package struct StoreFileName {
  /// What a file of a store holds.
  package enum Kind: Sendable { case table, log, manifest }

  /// What the file holds.
  package var kind: Kind
  /// The number in the name; a store gives each once.
  package var number: UInt64

  /// `nil` for any other name.
  package init?(_ name: String) {
    var digits = name[...]
    if name.hasSuffix(".sst") {
      kind = .table
      digits = digits.dropLast(4)
    } else if name.hasSuffix(".log") {
      kind = .log
      digits = digits.dropLast(4)
    } else if name.hasPrefix(ManifestFiles.prefix) {
      kind = .manifest
      digits = digits.dropFirst(ManifestFiles.prefix.count)
    } else {
      return nil
    }
    guard digits.utf8.count >= 12, digits.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }),
      let number = UInt64(digits), number < Counter.max
    else { return nil }
    self.number = number
  }
}

extension KeyspaceState {
  /// Arranges the runs for another number of shards, by reference: tables are clipped, not
  /// rewritten.
  package mutating func arrange(shards count: Int, nextNumber: inout UInt64) {
    guard shards.count != count else { return }
    let old = shards
    shards = KeyGroupRange.split(into: count).map { ShardState(groups: $0) }
    for index in shards.indices {
      let range = shards[index].groups.hashRange
      shards[index].runs = Self.merged(
        old.map { $0.runs.compactMap { $0.clipped(to: range) } }, nextNumber: &nextNumber)
    }
  }
}

extension KeyspaceState {
  /// The runs of several shards, newest first, as those of one.
  ///
  /// Of each shard the order is that of age and stays. Of two shards' runs no one hides entries of
  /// the other, so theirs is free: that of windows, which lets merges find neighbours.
  package static func merged(_ shards: [[RunState]], nextNumber: inout UInt64) -> [RunState] {
    var queues = shards
    var runs: [RunState] = []
    while let next = oldest(queues), var run = queues[next].popLast() {
      run.id = nextNumber
      nextNumber += 1
      run.sequence = UInt64(runs.count) + 1
      runs.append(run)
    }
    return runs.reversed()
  }

  /// The queue whose last run comes first by window and sequence number.
  private static func oldest(_ queues: [[RunState]]) -> Int? {
    func key(_ index: Int) -> (Int64, UInt64) {
      queues[index].last.map { ($0.window, $0.sequence) } ?? (.max, .max)
    }
    return queues.indices.filter { !queues[$0].isEmpty }.min { key($0) < key($1) }
  }
}

extension RunState {
  /// The part of the run in a hash range; `nil` when there is none.
  package func clipped(to range: ClosedRange<UInt64>) -> RunState? {
    var run = self
    run.tables = tables.compactMap { slice in
      let low = max(slice.clip.lowerBound, range.lowerBound)
      let high = min(slice.clip.upperBound, range.upperBound)
      return low <= high ? TableSlice(table: slice.table, clip: low...high) : nil
    }
    return run.tables.isEmpty ? nil : run
  }
}

extension StoreCore {
  /// Starts the threads that flush and merge.
  func startBackgroundThreads() throws {
    for index in 0..<options.backgroundThreads {
      let thread = try SystemThread(name: "sediment-bg\(index)") { [self] in
        runBackground()
        monitor.withLock {
          backgroundThreadCount -= 1
          monitor.broadcast()
        }
      }
      monitor.withLock { backgroundThreadCount += 1 }
      _ = consume thread
    }
  }

  /// Waits until the threads have seen `stop` and ended.
  func waitForBackgroundThreads() {
    monitor.withLock { while backgroundThreadCount > 0 { monitor.wait() } }
  }
}
