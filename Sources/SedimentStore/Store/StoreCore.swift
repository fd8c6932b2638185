// The heart of an open store: what batches, lookups, background threads and epochs share.
//
// Lock order: `commitLock` ─▶ gates of keyspaces, by id ─▶ a shard ─▶ `monitor` ─▶ a shard's view;
// in full in ARCHITECTURE.md §7.
//
// Invariants
// 1. `durable` is the state of the last manifest record that was synchronised.
// 2. A file is unlinked only when `durable` does not name it, no shard's view does, no checkpoint
//    that is being made and no epoch that is held needs it, and it is not being made; so it is in
//    `present` exactly while it is in the directory.
// 3. Once `failure` is set nothing is written any more.

internal import SedimentIO
internal import Synchronization

/// See the file's header.
final class StoreCore: @unchecked Sendable {
  // @unchecked because everything that changes is guarded by `monitor`, as marked.
  let fileSystem: any FileSystem
  let directory: any Directory
  let options: StoreOptions
  let share: ResourceShare
  let plan: MemoryPlan
  let cache: PageCache
  let filters: ByteBudget
  let memtableMemory: MemtableMemory
  /// Of ordered keyspaces' memtables, which need no zeros.
  let orderedMemtableMemory: MemtableMemory
  /// What synchronising the directory failed with.
  private let directoryFailure = Mutex<FileError?>(nil)
  /// All writes of ordered keyspaces.
  let writes: WriteQueue
  let snapshots = SnapshotRegister()
  /// The seed of hashes, and so of the filters of ordered tables.
  let seed: HashSeed
  let statistics = StatisticsCounters()
  let monitor = Monitor()
  let workers: ShardWorkers
  let manifest: DurableManifest
  /// Held while an epoch is committed, a keyspace made or changed, and a checkpoint's files pinned.
  let commitLock = Monitor()
  /// Held while what ordered keyspaces flushed and merged is recorded, and while files are removed.
  let recording = Monitor()
  /// Held while tables are synchronised.
  private let synchronizing = Monitor()
  /// Held while the memory for filters is divided.
  let balancing = Monitor()
  /// Held while a table is opened.
  let tableOpening = Monitor()

  // Guarded by `monitor`.
  private(set) var keyspaces: [HashedKeyspace] = []
  private(set) var orderedKeyspaces: [OrderedKeyspace] = []
  private(set) var failure: StoreError? { didSet { isHalted.store(true, ordering: .releasing) } }
  private(set) var isStopping = false { didSet { isHalted.store(true, ordering: .releasing) } }
  /// Whether one of the two was set; for those who do not hold the monitor.
  private let isHalted = Atomic(false)
  /// Callers who wait until there is nothing to do.
  var idleWaiters = 0
  /// What stores that share their resources with this one have asked for.
  var demands: SharingDemands = []
  /// Merges of which background threads may take a part.
  var partedMerges: [PartedMerge] = []
  /// The threads that write tables of sorted input.
  var ingesting: [UInt] = []
  private var nextFileNumber: UInt64
  /// Names of tables and logs in the directory that are or were part of the state.
  private var present: Set<String> = []
  /// Names being written by background threads.
  private var inProgress: Set<String> = []
  /// Tables that are complete and not synchronised, open since they were made, oldest first.
  private var unsynchronized: [(name: String, file: any File)] = []
  /// How many there may be: each is an open file, and more than epochs of seconds bring.
  private static let unsynchronizedMax = 64
  /// How many checkpoints that are being made, and epochs that are held, need a file of this name.
  private var pinned: [String: Int] = [:]
  /// The last error of a task that is tried again, until one succeeds.
  private(set) var retryableError: StoreError?
  /// Threads that flush and merge.
  var backgroundThreadCount = 0
  /// Whether an epoch was cut and has not ended.
  var hasPendingEpoch = false
  /// The epochs that the store can be opened at; empty where they are not confirmed one by one.
  var heldEpochs = HeldEpochs()
  /// The limits of the epoch being committed; see `ShardCut`.
  var cuts: [ObjectIdentifier: ShardCut] = [:]
  /// Of the epoch being committed: the last write of ordered keyspaces that belongs to it.
  var orderedCut: UInt64?
  /// How many checkpoints are about to take the state as it is: nothing is recorded meanwhile.
  var recordingHolds = 0
  /// Whether a thread makes the next file of the log.
  var isMakingLog = false
  /// Whether a thread records what ordered keyspaces flushed and merged.
  var isRecording = false

  /// - Parameters:
  ///   - share: memory and cache; tables that are open have of it what they need.
  ///   - workers: `shards − 1` threads, which end with this store's others.
  init(
    fileSystem: any FileSystem, directory: any Directory, options: StoreOptions,
    manifest: DurableManifest, nextFileNumber: UInt64, present: Set<String>,
    share: ResourceShare, workers: ShardWorkers, writes: WriteQueue
  ) throws {
    self.fileSystem = fileSystem
    self.directory = directory
    self.options = options
    self.share = share
    plan = share.plan
    cache = share.cache
    filters = share.filters
    memtableMemory = MemtableMemory(countMax: options.shards, share: share.memtables)
    orderedMemtableMemory = MemtableMemory(countMax: 1, share: share.memtables)
    self.workers = workers
    self.manifest = manifest
    self.writes = writes
    seed = manifest.state.seed
    self.nextFileNumber = nextFileNumber
    self.present = present
  }

  // MARK: - State under the monitor

  func allocateFileNumber() -> FileNumber {
    monitor.withLock {
      nextFileNumber += 1
      return FileNumber(nextFileNumber - 1)
    }
  }

  var peekNextFileNumber: UInt64 { monitor.withLock { nextFileNumber } }

  func add(_ keyspace: HashedKeyspace) {
    monitor.withLock {
      keyspaces.append(keyspace)
      keyspaces.sort { $0.id < $1.id }
      monitor.broadcast()
    }
  }

  func add(_ keyspace: OrderedKeyspace) {
    monitor.withLock {
      orderedKeyspaces.append(keyspace)
      orderedKeyspaces.sort { $0.id < $1.id }
      monitor.broadcast()
    }
  }

  /// Stops all writing; the first reason stays. What was interrupted by closing is no failure.
  func poison(_ error: any Error) {
    let cause = StoreError(wrapping: error)
    if cause.code == .closed, monitor.withLock({ isStopping }) { return }
    monitor.withLock {
      guard failure == nil else { return }
      failure = StoreError(
        .poisoned,
        "the store stopped writing after a failure (\(cause.message)): close it and open it again; "
          + "the last epoch stands", cause: cause)
      monitor.broadcast()
    }
    share.shared?.permits.wake()
    if cause.code == .corrupted { options.onEvent?(.corruption(message: cause.message)) }
  }

  /// Whether the store was poisoned or closed, as far as this thread knows.
  var isHaltedNow: Bool { isHalted.load(ordering: .acquiring) }

  /// Throws when the store was poisoned or closed.
  func checkWritable() throws(StoreError) {
    guard isHaltedNow else { return }
    let problem = monitor.withLock { () -> StoreError? in
      failure ?? (isStopping ? Self.closed : nil)
    }
    if let problem { throw problem }
  }

  static let closed = StoreError(.closed, "the store is closed")

  func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
    share.shared?.permits.wake()
  }

  /// Stops, and returns when none of the store's threads runs any more, no epoch is being committed
  /// and no caller merges: nobody writes to the directory from then on.
  func endThreads() {
    stop()
    waitForBackgroundThreads()
    workers.stop()
    commitLock.lock()
    commitLock.unlock()
    writes.withExclusive(hasPriority: true) {}
    monitor.withLock {
      while keyspaces.contains(where: { $0.shards.contains { !$0.busyRuns.isEmpty } })
        || orderedKeyspaces.contains(where: { !$0.busy.isEmpty })
        || ingesting.contains(where: { $0 != SystemThread.current })
      {
        monitor.wait()
      }
    }
  }

  /// Lets go of the keyspaces, which hold the core as it holds them: else neither would ever be
  /// freed. Follows `endThreads`.
  func releaseKeyspaces() {
    // The last reference to a memtable or a file may go here, and must not under the monitor.
    var released: [HashedKeyspace] = []
    var releasedOrdered: [OrderedKeyspace] = []
    var files: [(name: String, file: any File)] = []
    monitor.withLock {
      swap(&released, &keyspaces)
      swap(&releasedOrdered, &orderedKeyspaces)
      swap(&files, &unsynchronized)
    }
  }

  func noteRetry(_ error: StoreError?) {
    let isNew = monitor.withLock { () -> Bool in
      let isNew = error != nil && retryableError == nil
      retryableError = error
      monitor.broadcast()
      return isNew
    }
    if isNew, let error { options.onEvent?(.retrying(message: error.message)) }
  }

  // MARK: - Files

  func beginFile(_ name: String) {
    _ = monitor.withLock { inProgress.insert(name) }
  }

  /// A table is complete; the epoch that names it synchronises it first. Where no epoch comes for
  /// long, the oldest are synchronised here, one for one.
  func noteUnsynchronized(_ file: any File, named name: String) throws {
    let oldest = monitor.withLock {
      unsynchronized.append((name, file))
      return unsynchronized.count > Self.unsynchronizedMax ? unsynchronized.first : nil
    }
    if let oldest { try synchronize([oldest.name]) }
  }

  /// Makes the content of tables durable. A table that a merge took in before an epoch named it
  /// mostly never costs a synchronisation.
  func synchronize(_ tables: [TableMetadata]) throws {
    try synchronize(Set(tables.map(\.number.tableName)))
  }

  /// One caller at a time: the system tells of a lost write once, so whoever comes behind a failure
  /// would be told that all is well. A failure poisons before the next one's turn.
  func synchronize(_ names: Set<String>) throws {
    synchronizing.lock()
    defer { synchronizing.unlock() }
    let files = try monitor.withLock {
      if let failure { throw failure }
      return unsynchronized.filter { names.contains($0.name) }
    }
    for (name, file) in files {
      do {
        try file.synchronize()
      } catch {
        poison(error)
        throw error
      }
      monitor.withLock { unsynchronized.removeAll { $0.name == name } }
    }
  }

  /// The file is complete; it is kept until nothing names it.
  func finishFile(_ name: String) {
    monitor.withLock {
      inProgress.remove(name)
      present.insert(name)
    }
  }

  /// The tables' run is being published: from now on views and state tell whether they are needed.
  /// The caller holds the monitor, so that nobody sees them between the two.
  func finishFiles(_ tables: [FileNumber]) {
    for table in tables {
      inProgress.remove(table.tableName)
      present.insert(table.tableName)
    }
  }

  /// The tables will never be published: their room may be what the disk lacks.
  func giveUp(_ tables: [FileNumber]) {
    let names = Set(tables.map(\.tableName))
    // Closed outside the monitor.
    var files: [(name: String, file: any File)] = []
    monitor.withLock {
      inProgress.subtract(names)
      files = unsynchronized.filter { names.contains($0.name) }
      unsynchronized.removeAll { names.contains($0.name) }
    }
    for (_, file) in files { file.close() }
    for name in names.sorted() {
      do {
        try directory.remove(name)
      } catch {
        // Nobody names it: an epoch to come removes it, or the next opening.
        finishFile(name)
      }
    }
  }

  func abandonFile(_ name: String) {
    _ = monitor.withLock { inProgress.remove(name) }
  }

  /// Keeps files of the durable state, whatever becomes of it, until `unpin`. The caller holds
  /// `commitLock`.
  func pin(_ names: [String]) {
    monitor.withLock { for name in names { pinned[name, default: 0] += 1 } }
  }

  /// Lets files go; an epoch to come unlinks those that nothing needs.
  func unpin(_ names: [String]) {
    monitor.withLock {
      for name in names {
        guard let count = pinned[name] else { continue }
        pinned[name] = count > 1 ? count - 1 : nil
      }
    }
  }

  /// Unlinks every file that nothing needs any more. The caller holds `recording`.
  ///
  /// What is about to be named by the manifest was taken from views: by an epoch's commit, or under
  /// `recording`. So without an epoch that is under way, all that views do not show any more and
  /// that the manifest does not name, when it is read after them, never will be named.
  ///
  /// - Parameter isCommitting: whether the caller holds `commitLock`, so that no epoch takes
  ///   anything from views.
  func removeUnneededFiles(isCommitting: Bool) throws(FileError) {
    // Candidates first: a log of batches is finished after the state names it, so a state that is
    // read later names every candidate that is needed.
    let candidates = monitor.withLock { present }
    let named = Set(manifest.state.fileNames)
    // Closed below, outside the monitor.
    var dropped: [(name: String, file: any File)] = []
    let found = monitor.withLock { () -> [String] in
      guard isCommitting || !hasPendingEpoch else { return [] }
      var live = named
      for shard in keyspaces.flatMap(\.shards) {
        for table in shard.view.runs.flatMap(\.tables) { live.insert(table.reader.name) }
      }
      for table in orderedKeyspaces.flatMap(\.view.levels.metadata.tables).joined() {
        live.insert(table.number.tableName)
      }
      live.formUnion(pinned.keys)
      let unneeded = candidates.subtracting(live)
      present.subtract(unneeded)
      dropped = unsynchronized.filter { unneeded.contains($0.name) }
      unsynchronized.removeAll { unneeded.contains($0.name) }
      return unneeded.sorted()
    }
    dropped.removeAll()
    let namedMeanwhile = found.isEmpty ? [] : Set(manifest.state.fileNames).intersection(found)
    if !namedMeanwhile.isEmpty { monitor.withLock { present.formUnion(namedMeanwhile) } }
    for name in found where !namedMeanwhile.contains(name) {
      do {
        try directory.remove(name)
      } catch {
        // Gone already is as good as removed; a file left over goes at the next opening.
        if error.code != .notFound { throw error }
      }
    }
  }

  /// Opens a table for lookups, with as much of its filter as the budget allows.
  func open(_ slice: TableSlice) throws -> OpenTable {
    // One at a time, so that two do not take the same part of the budget.
    tableOpening.lock()
    defer { tableOpening.unlock() }
    let outline = try TableOutline(directory: directory, metadata: slice.table)
    let (plan, grant) = filters.dividing {
      let plan = outline.filter.loadPlan(byteBudget: filters.available)
      return (plan, outline.grant(for: plan, of: filters))
    }
    return OpenTable(
      reader: try TableReader(outline, filter: plan), clip: slice.clip, grant: grant)
  }

  func open(_ run: RunState) throws -> OpenRun {
    OpenRun(state: run, tables: try run.tables.map { try open($0) })
  }

  /// Makes names in the directory durable. After a failure it fails for every thread: the system
  /// reports a lost entry once only, and whoever asks next may be told that all is well.
  ///
  /// The store is poisoned before it throws, whatever the caller does about the error: other
  /// threads may find names gone.
  func synchronizeDirectory() throws(FileError) {
    try directoryFailure.withLock { failure throws(FileError) in
      if let failure { throw failure }
      do throws(FileError) {
        try directory.synchronize()
      } catch {
        failure = error
        poison(error)
        throw error
      }
    }
  }

  /// Keyspaces of both kinds, which share the memory for memtables.
  var keyspaceCount: Int { monitor.withLock { keyspaceCountLocked } }

  /// The same for a caller that holds the monitor.
  var keyspaceCountLocked: Int { keyspaces.count + orderedKeyspaces.count }

  /// A new memtable for a shard of a keyspace, of at most `slotsMax` slots.
  ///
  /// Those of full size share their memory; see `MemtableMemory`.
  ///
  /// - Parameter fillShare: how much of one of full size is used before it is frozen, 0 to 1.
  func makeMemtable(
    layout: EntryLayout, groups: KeyGroupRange, keyspaces: Int? = nil, slotsMax: Int,
    fillShare: Double = 1
  ) throws(AllocationError) -> Memtable {
    var (geometry, arenaBytes, isFull) = memtableShape(layout, groups, keyspaces, slotsMax)
    if isFull && fillShare < 1 {
      geometry = MemtableGeometry(
        slots: geometry.slotCount, range: groups.hashRange, fillShare: fillShare)
    }
    return try Memtable(
      layout: layout, geometry: geometry, arenaBytes: arenaBytes, pool: memtableMemory,
      keepsMemory: isFull)
  }

  /// Lets memory for a memtable of at most `slotsMax` slots be touched, when it will be a full one.
  func prepareMemtable(layout: EntryLayout, groups: KeyGroupRange, slotsMax: Int) {
    let (geometry, arenaBytes, isFull) = memtableShape(layout, groups, nil, slotsMax)
    guard isFull else { return }
    memtableMemory.want(
      byteCount: Memtable.byteCount(layout: layout, geometry: geometry, arenaBytes: arenaBytes))
  }

  private func memtableShape(
    _ layout: EntryLayout, _ groups: KeyGroupRange, _ keyspaces: Int?, _ slotsMax: Int
  ) -> (geometry: MemtableGeometry, arenaBytes: Int, isFull: Bool) {
    let parts = max(keyspaces ?? keyspaceCount, 1) * options.shards
    let shape = MemoryPlan.memtable(layout: layout, bytes: memtableBytes(parts: parts))
    let full = min(shape.slots, options.memtableSlotsMax)
    let slots = min(full, slotsMax)
    // No product overflows: an arena has a few dozen bytes a slot.
    let arenaBytes = shape.arenaBytes / max(shape.slots, 1) * max(slots, MemtableGeometry.slotsMin)
    return (MemtableGeometry(slots: slots, range: groups.hashRange), arenaBytes, slots == full)
  }

  /// Slots of a shard's first memtable, where so many are filled at a time.
  func firstMemtableSlots(layout: EntryLayout, parts: Int) -> Int {
    guard let memtables = share.memtables else { return MemoryPlan.firstMemtableSlots }
    let shape = MemoryPlan.memtable(layout: layout, bytes: memtables.first(parts: parts))
    return min(shape.slots, MemoryPlan.firstMemtableSlots)
  }

  /// Bytes of the next memtable, where so many are filled at a time.
  func memtableBytes(parts: Int) -> Int {
    guard let memtables = share.memtables else { return plan.memtableBytes(parts: parts) }
    return memtables.next(
      parts: parts, spare: memtableMemory.keptBytes + orderedMemtableMemory.keptBytes)
  }
}

/// While an epoch is being committed: what of a shard belongs to it.
///
/// Runs up to `sequence` do; merges take no newer ones in, and nothing is dropped that `watermark`
/// has not expired, because both become durable with this epoch.
struct ShardCut: Sendable {
  var sequence: UInt64
  var watermark: Int64
}

extension FileNumber {
  /// The name of the log of this number.
  package var logName: String { digits + ".log" }
}
