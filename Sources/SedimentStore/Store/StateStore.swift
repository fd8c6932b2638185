// The public face of a store.

public import SedimentIO
internal import Synchronization

/// A durable store of keyed state in a directory.
///
/// ```swift
/// let store = try StateStore.open(at: "state")
/// let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
/// let isNew = try seen.insertIfAbsent(Array("user-17".utf8), time: 0)
/// try store.commitEpoch()
/// try store.close()
/// ```
///
/// One opener at a time: the directory is locked. What is durable changes only by `commitEpoch`
/// (and logs, for keyspaces that have them): after a crash the store is as of its last epoch,
/// whole.
///
/// Thread-safe. `close` ends it; a store that is dropped without is closed as by a crash.
public final class StateStore: Sendable {
  /// What tells the store from every other; checkpoints of it and stores restored from those share
  /// it, unless restored as `RestoredIdentity.new`.
  public let identity: StoreIdentity
  /// The directory it was opened at.
  public let path: String
  let core: StoreCore
  let seed: HashSeed
  /// Drawn when it was opened: tells this opening from every other, on whatever machine.
  let opening = StoreIdentity.random()
  private let lock: any DirectoryLock
  private let life: Mutex<Life>
  var commitLock: Monitor { core.commitLock }

  private struct Life {
    var isOpen = true
  }

  /// The name of the lock file.
  package static let lockName = "LOCK"
  /// The name of the file that says which checkpoint is being downloaded into a directory.
  static let restoringName = "RESTORING"

  init(path: String, core: StoreCore, lock: any DirectoryLock) {
    let state = core.manifest.state
    identity = state.identity
    seed = state.seed
    self.path = path
    self.core = core
    self.lock = lock
    life = Mutex(Life())
  }

  deinit {
    // Nobody may write here once the lock is free.
    core.endThreads()
    core.releaseKeyspaces()
    core.endSharing()
  }

  /// Opens the store in a directory, and makes it when there is none.
  ///
  /// - Parameters:
  ///   - path: the directory; made, with its parents, when missing.
  ///   - seed: of the hash, for a store that is made; stores of one job share theirs. Random when
  ///     `nil`. Ignored by a store that exists.
  ///   - epoch: the number of the epoch to open at, one of `epochs(at:)`: all that came after it is
  ///     dropped for good, as by a crash. `nil` for the last one; 0 is the store before its first.
  /// - Throws: `StoreError` with code `locked`, `corrupted`, `unsupportedFormat`, `inputOutput` …;
  ///   `notFound` when the store cannot be opened at `epoch`, with the numbers at which it can;
  ///   `invalidArgument` when `epoch` is not the last one and a keyspace has a log that epochs do
  ///   not end.
  public static func open(
    at path: String, options: StoreOptions = StoreOptions(), seed: HashSeed? = nil,
    epoch: UInt64? = nil, fileSystem: any FileSystem = PosixFileSystem()
  ) throws(StoreError) -> StateStore {
    try open(
      at: path, options: options, seed: seed, identity: nil, epoch: epoch, fileSystem: fileSystem)
  }

  /// The same, with the identity of a store that is made: one that others know it by already.
  package static func open(
    at path: String, options: StoreOptions, seed: HashSeed?, identity: StoreIdentity?,
    epoch: UInt64? = nil, fileSystem: any FileSystem
  ) throws(StoreError) -> StateStore {
    try wrapping {
      try StoreOpening(
        path: path, options: options, seed: seed, identity: identity, epoch: epoch,
        fileSystem: fileSystem
      ).open()
    }
  }

  /// The clock it was opened with.
  package var clock: any Clock { core.options.clock }

  // MARK: - Keyspaces

  /// Names of the keyspaces, in the order they were made.
  public var keyspaceNames: [String] { core.manifest.state.keyspaceNames }

  /// Opens a keyspace, and makes it when there is none of that name.
  ///
  /// - Parameter name: 1 to 255 bytes of UTF-8.
  /// - Throws: `optionsDiffer`, naming what differs, when it was made with other options.
  public func keyspace(
    _ name: String, _ options: KeyspaceOptions
  ) throws(StoreError) -> HashedKeyspace {
    try core.checkWritable()
    if let existing = keyspace(named: name) {
      try Self.check(existing.options.differences(from: options), of: name)
      return existing
    }
    return try create(name, options)
  }

  /// The keyspace of a name; `nil` when there is none.
  public func keyspace(named name: String) -> HashedKeyspace? {
    core.monitor.withLock { core.keyspaces.first { $0.name == name } }
  }

  private func create(
    _ name: String, _ options: KeyspaceOptions
  ) throws(StoreError) -> HashedKeyspace {
    try Self.check(name: name)
    if let complaint = options.complaint { throw StoreError(.invalidArgument, complaint) }
    if options.refreshesOnSeen && (options.valueWidth > 0 || options.log != .epochs) {
      throw StoreError(
        .invalidArgument, "a keyspace that refreshes on seen holds no values and has no log")
    }
    commitLock.lock()
    defer { commitLock.unlock() }
    // Another thread may have made it meanwhile, or closed the store.
    try core.checkWritable()
    if keyspace(named: name) != nil { return try keyspace(name, options) }
    if orderedKeyspace(named: name) != nil {
      throw StoreError(.optionsDiffer, "keyspace \(name) is an ordered one, not a hashed one")
    }
    return try wrapping {
      let before = core.manifest.state
      try Self.checkCount(before)
      let state = KeyspaceState(
        id: before.nextKeyspaceID, name: name, options: options,
        shards: KeyGroupRange.split(into: core.options.shards).map { ShardState(groups: $0) })
      // First what may fail and leaves nothing behind: its memory.
      let keyspace = try StoreOpening.makeKeyspace(
        state, tables: OpenTables(), loads: state.shards.map { _ in ReplayLoad() }, core: core,
        seed: seed, keyspaceCount: core.keyspaceCount + 1)
      try core.replaceManifest(number: core.allocateFileNumber()) { stored in
        stored.keyspaces.append(state)
        stored.nextKeyspaceID += 1
        stored.nextFileNumber = max(stored.nextFileNumber, core.peekNextFileNumber)
      }
      core.add(keyspace)
      return keyspace
    }
  }

  static func check(name: String) throws(StoreError) {
    guard !name.isEmpty, name.utf8.count <= StoreState.nameBytesMax else {
      throw StoreError(.invalidArgument, "a keyspace's name has 1 to 255 bytes")
    }
  }

  /// Throws when a keyspace was made with other options than it is opened with.
  static func check(
    _ differences: [(name: String, stored: String, given: String)], of name: String
  ) throws(StoreError) {
    guard !differences.isEmpty else { return }
    let list = differences.map { "\($0.name) is \($0.stored), not \($0.given)" }
    throw StoreError(.optionsDiffer, "keyspace \(name): " + list.joined(separator: "; "))
  }

  /// Throws when a state has as many keyspaces as there can be.
  static func checkCount(_ state: StoreState) throws(StoreError) {
    guard state.keyspaces.count + state.orderedKeyspaces.count < StoreState.keyspacesMax else {
      throw StoreError(
        .invalidArgument, "a store has at most \(StoreState.keyspacesMax) keyspaces")
    }
  }

  /// Changes a keyspace's time to live, and with it the allowed lateness.
  ///
  /// A shorter one expires entries at once. A longer one, or a larger lateness, does not bring back
  /// what was expired and merged away or unlinked before: a record whose entry is gone counts as
  /// new.
  ///
  /// - Parameter allowedLateness: in milliseconds; `nil` leaves one that was chosen as it is, and
  ///   lets one that was an eighth of the time to live follow it.
  /// - Throws: `notFound`, `invalidArgument`, `poisoned`, `closed`, and what writing the manifest
  ///   throws.
  @discardableResult
  public func changeTimeToLive(
    of name: String, to timeToLive: TimeToLive, allowedLateness: Int64? = nil
  ) throws(StoreError) -> TimeToLiveChange {
    commitLock.lock()
    defer { commitLock.unlock() }
    try core.checkWritable()
    guard let keyspace = keyspace(named: name) else {
      throw StoreError(.notFound, "there is no keyspace \(name)")
    }
    let before = keyspace.options
    let changed = before.changing(timeToLive: timeToLive, allowedLateness: allowedLateness)
    if let complaint = changed.complaint { throw StoreError(.invalidArgument, complaint) }
    try wrapping {
      try keyspace.withWriter { _ in
        try core.replaceManifest(number: core.allocateFileNumber()) { state in
          for index in state.keyspaces.indices where state.keyspaces[index].name == name {
            state.keyspaces[index].options = changed
          }
          state.nextFileNumber = max(state.nextFileNumber, core.peekNextFileNumber)
        }
        keyspace.options = changed
      }
    }
    return TimeToLiveChange(from: before.timeToLive, to: timeToLive)
  }

  // MARK: - Epochs

  /// The number and metadata of the last durable epoch.
  public var lastEpoch: (id: EpochID, metadata: [UInt8]) {
    let state = core.manifest.state
    return (EpochID(epoch: state.epoch, writerEpoch: state.writerEpoch), state.metadata)
  }

  /// One higher with every opening: what tells this writer's work from an earlier one's.
  public var writerEpoch: UInt64 { core.manifest.state.writerEpoch }

  /// Makes everything written so far durable, together with `metadata`, in one step.
  ///
  /// - Parameter metadata: up to 16 MiB of the caller's: source positions and the like.
  /// - Returns: what identifies the epoch.
  /// - Throws: `noSpace` when the disk is full: the epoch is given up, nothing durable changed, and
  ///   the next one takes in what it held; `invalidArgument` when `metadata` is too long or an
  ///   epoch is pending; `poisoned` after an earlier failure; `closed`. Any other error
  ///   (`inputOutput`, `corrupted`) poisons the store at the last durable epoch.
  @discardableResult
  public func commitEpoch(metadata: [UInt8] = []) throws(StoreError) -> EpochID {
    // Cut and commit in one turn, so that other committers and checkpoints wait for theirs.
    commitLock.lock()
    defer { commitLock.unlock() }
    let pending = try beginEpoch(metadata: metadata)
    return try pending.commitLocked()
  }

  /// Cuts an epoch: what was written so far belongs to it, what follows does not. It becomes
  /// durable by `commit`, on any thread, while writing goes on.
  ///
  /// - Parameter metadata: as for `commitEpoch`.
  /// - Throws: `invalidArgument` when the epoch before has not ended or `metadata` is over 16 MiB;
  ///   `poisoned` after an earlier failure; `closed`. Any other error poisons the store.
  public func beginEpoch(metadata: [UInt8] = []) throws(StoreError) -> PendingEpoch {
    try wrapping { try core.cutEpoch(metadata: metadata) }
  }

  /// Makes an epoch durable; see `PendingEpoch.commit`.
  ///
  /// - Throws: `noSpace` when the disk is full: the epoch is given up, and a later one takes in
  ///   what it held; `invalidArgument` when it was committed or abandoned before; `poisoned` after
  ///   an earlier failure. Any other error poisons the store at the last durable epoch.
  @discardableResult
  public func commit(_ epoch: PendingEpoch) throws(StoreError) -> EpochID {
    try epoch.commit()
  }

  // MARK: - Maintenance

  /// Merges every shard's runs as far as they may be merged: one run a time window, or one in all
  /// with `forever`. Takes effect on disk with the next epoch; of ordered keyspaces with a log it
  /// has when this returns, unless an epoch is under way.
  ///
  /// Costs reading and writing everything that is merged, on the caller's thread.
  ///
  /// - Throws: `noSpace` when the disk is full: what was merged so far stays, and the call can be
  ///   made again; `poisoned` after an earlier failure; `closed`; `corrupted` and `inputOutput`
  ///   when a table cannot be read or written.
  public func compact() throws(StoreError) {
    try core.checkWritable()
    try wrapping {
      for keyspace in core.monitor.withLock({ core.keyspaces }) {
        for shard in keyspace.shards { try core.compact(shard, of: keyspace) }
      }
      for keyspace in core.monitor.withLock({ core.orderedKeyspaces }) {
        try core.compact(keyspace, from: [], to: nil)
      }
      try core.balanceFilters()
    }
  }

  /// Counters since the store was opened, and what it holds at the moment.
  ///
  /// Costs a few locks, held for a moment each, and a look at every pin; it does not wait for the
  /// disk.
  public var statistics: StoreStatistics {
    var statistics = core.statistics.snapshot
    let cache = core.cache.statistics
    statistics.cacheHits = cache.hits
    statistics.cacheMisses = cache.misses
    let pins = core.snapshots.pins
    statistics.pins = pins.count
    statistics.oldestPinNanos =
      pins.oldestNanos.map { core.options.clock.monotonicNanos() &- $0 } ?? 0
    return statistics
  }

  /// Bytes of memory that filters and indexes of the open tables take at the moment.
  public var filterBytesInUse: Int { core.filters.used }

  /// The most that they may take; where stores share their resources, as things are.
  public var filterBytesMax: Int { core.filters.limit }

  /// Of every open table: keys of its run, bytes of its filter that are loaded, and of all of it.
  package var filterShares: [(runKeys: UInt64, loaded: Int, whole: Int)] { core.filterShares }

  /// Waits until no flush or merge is under way or due.
  ///
  /// - Throws: `noSpace` when the disk stays full for longer than `StoreOptions.fullDiskPatience`;
  ///   `poisoned` after a failure, of the work that was waited for or before.
  public func waitUntilIdle() throws(StoreError) {
    try wrapping { try core.waitUntilIdle() }
  }

  /// Ends background work and releases the directory. What no epoch has made durable is dropped.
  public func close() throws(StoreError) {
    try core.checkIsNotIngesting()
    let isFirst = life.withLock { life -> Bool in
      defer { life.isOpen = false }
      return life.isOpen
    }
    guard isFirst else { return }
    core.endThreads()
    defer {
      core.releaseKeyspaces()
      core.endSharing()
      lock.unlock()
    }
    if core.monitor.withLock({ core.failure }) == nil {
      try wrapping {
        for keyspace in core.monitor.withLock({ core.keyspaces }) {
          try keyspace.withWriter { writer in try writer.log?.synchronize() }
        }
        try core.writes.log.synchronize()
        core.writes.log.close()
        try core.manifest.close()
      }
    }
  }
}

extension StoreCore {
  /// Replaces the manifest; when that fails in mid-way, nobody knows which one the disk names, and
  /// nothing may be appended to either.
  func replaceManifest(
    number: FileNumber, _ change: (inout StoreState) throws -> Void
  ) throws {
    do {
      try manifest.replace(number: number, change)
    } catch let error as ManifestFailure {
      poison(error)
      throw error
    }
  }

  /// Merges what `CompactionPicker.pickManual` names until nothing is left.
  func compact(_ shard: Shard, of keyspace: HashedKeyspace) throws {
    while true {
      let task = try monitor.withLock { () -> (CompactionChoice, CompactionPicker)? in
        while !shard.busyRuns.isEmpty && failure == nil && !isStopping { monitor.wait() }
        if let failure { throw failure }
        let picker = makePicker(keyspace, shard)
        guard !isStopping, let choice = picker.pickManual(mergeableRuns(shard)) else { return nil }
        shard.busyRuns.formUnion(choice.inputs)
        return (choice, picker)
      }
      guard let (choice, picker) = task else { return }
      do {
        try merge(choice, of: shard, in: keyspace, picker)
      } catch {
        // As on a background thread: only a full disk may pass.
        if !Self.isFullDisk(error) { poison(error) }
        throw error
      }
    }
  }

  func waitUntilIdle() throws {
    let start = options.clock.monotonicNanos()
    try monitor.withLock {
      idleWaiters += 1
      defer { idleWaiters -= 1 }
      // Time alone makes merges due, and wakes nobody.
      monitor.broadcast()
      while keyspaces.contains(where: { keyspace in
        keyspace.shards.contains { shard in
          !shard.view.frozen.isEmpty || !shard.busyRuns.isEmpty
            || makePicker(keyspace, shard).pick(mergeableRuns(shard)) != nil
        }
      }) || isOrderedBusy {
        try waitForProgress(since: start)
      }
      if let failure { throw failure }
    }
  }
}
