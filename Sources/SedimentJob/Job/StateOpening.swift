// Opens a job's state: the store in its directory, and the job that the last epoch describes.

internal import SedimentDedup
internal import SedimentIO
internal import SedimentStore
internal import Synchronization

/// A state that is open and belongs to the job that is asked for.
struct OpenState {
  var store: StateStore
  var dedup: Deduplicator
  var metadata: JobMetadata
  /// The epoch it goes on from; `nil` for new state.
  var resumedFrom: String?
}

/// Opens states.
struct StateOpening {
  private let options: JobOptions
  private let environment: JobEnvironment

  init(_ options: JobOptions, _ environment: JobEnvironment) {
    self.options = options
    self.environment = environment
  }

  /// Opens the state or makes a new one.
  ///
  /// - Parameters:
  ///   - choice: what the brokers say goes on; `nil` where they are not asked.
  ///   - made: identity and seed of a state that is made; random ones for `nil`.
  /// - Throws: `JobError` when it is another job's, naming what differs and the way out.
  func open(
    at choice: EpochChoice?, making made: (identity: StoreIdentity, seed: HashSeed)? = nil
  ) throws -> OpenState {
    try StateDirectory(options, environment).refuseForeign()
    var storeOptions = StoreOptions(
      memoryBudget: options.memoryBudget, shards: options.parallelism,
      backgroundThreads: options.backgroundThreads, clock: environment.clock)
    // Waiting any longer than the job does would keep it from giving up.
    storeOptions.fullDiskPatience = min(
      storeOptions.fullDiskPatience, .milliseconds(options.fullDiskPatienceMillis))
    let report = environment.report
    let lowDisk = LowDiskWatch()
    storeOptions.onEvent = { event in
      switch event {
      case .lowDisk(let bytes):
        guard lowDisk.isNews(bytes) else { return }
        report(JobMessage(.warning, "only \(Figure.bytes(bytes)) of disk space are left"))
      case .retrying(let message), .corruption(let message):
        report(JobMessage(.warning, message))
      default: break
      }
    }
    storeOptions.confirmsEpochs = choice != nil
    storeOptions.resources = options.resources
    var epoch: UInt64?
    if case .open(let number) = choice { epoch = number }
    let store = try StateStore.open(
      at: options.statePath, options: storeOptions, seed: made?.seed, identity: made?.identity,
      epoch: epoch, fileSystem: environment.fileSystem)
    do {
      return try open(store)
    } catch {
      try store.close()
      throw error
    }
  }

  private func open(_ store: StateStore) throws -> OpenState {
    let (id, bytes) = store.lastEpoch
    guard !bytes.isEmpty else {
      guard store.keyspaceNames.allSatisfy({ $0 == Deduplicator.defaultName }), id.epoch == 0
      else {
        throw JobError(
          .failed, "\(options.statePath) holds a store that is no job's: give another --state")
      }
      return OpenState(
        store: store, dedup: try makeDeduplicator(store),
        metadata: JobMetadata(description: options.description), resumedFrom: nil)
    }
    var metadata = try JobMetadata(decoding: bytes)
    settle(&metadata)
    // Nothing was decided by the old description yet: a mistyped key is not held against anybody.
    let isUnused = metadata.totals.events == 0
    if isUnused {
      metadata.description.format = options.description.format
      metadata.csvHeader = nil
      metadata.positions = []
      metadata.adoptOrigin(of: options.description)
    }
    try requireSameJob(metadata.description, mayChangeTimes: isUnused || options.changesTimeToLive)
    if let text = try changeTimeToLive(of: store, from: metadata.description), !isUnused {
      environment.report(JobMessage(.information, text))
    }
    let cluster = metadata.description.origin.topics?.cluster
    metadata.description = options.description
    metadata.setCluster(cluster)
    return OpenState(
      store: store, dedup: try makeDeduplicator(store), metadata: metadata, resumedFrom: "\(id)")
  }

  /// All that is open is committed: the brokers said so, or are asked no more. What is decided
  /// without them is nothing that they know by the mark's name.
  private func settle(_ metadata: inout JobMetadata) {
    let hasTags = options.topicOutput != nil || options.partitioning != nil
    metadata.mark = hasTags ? metadata.mark.map { .settled($0.tag) } : nil
  }

  private func makeDeduplicator(_ store: StateStore) throws -> Deduplicator {
    let description = options.description
    let time: Deduplicator.Options.Time =
      description.format.hasEventTime
      ? .event(maxAhead: options.maxAheadMillis.map { .milliseconds($0) }) : .processing
    return try Deduplicator(
      store: store,
      options: Deduplicator.Options(
        timeToLive: description.timeToLive, keyMode: description.keyMode,
        allowedLateness: .milliseconds(description.allowedLateness), time: time,
        late: options.late.option))
  }

  private func requireSameJob(
    _ stored: JobDescription, mayChangeTimes: Bool
  ) throws(JobError) {
    let path = options.statePath
    let different = stored.differences(from: options.description)
    guard different.isEmpty else {
      throw JobError(
        .failed,
        "\(path) was made with " + Self.list(different)
          + ": give the same, or another --state, or --fresh for a new job")
    }
    let times = stored.timeToLiveDifferences(from: options.description)
    guard times.isEmpty || mayChangeTimes else {
      throw JobError(
        .failed,
        "\(path) was made with " + Self.list(times)
          + ": give the same, or --change-ttl to change it, or another --state")
    }
  }

  private static func list(_ differences: [JobDescription.Difference]) -> String {
    differences.map { "\($0.option) \($0.stored), not \($0.given)" }.joined(separator: "; ")
  }

  /// Makes the TTL that is asked for the state's; what it means, when it was another.
  private func changeTimeToLive(
    of store: StateStore, from stored: JobDescription
  ) throws -> String? {
    let asked = options.description
    // The keyspace, not the metadata, says what holds: a crash may have come between the two.
    guard let keyspace = store.keyspace(named: Deduplicator.defaultName),
      keyspace.options.timeToLive != asked.timeToLive
        || keyspace.options.allowedLateness != asked.allowedLateness
    else { return nil }
    let asBefore = keyspace.options
    let change = try store.changeTimeToLive(
      of: Deduplicator.defaultName, to: asked.timeToLive, allowedLateness: asked.allowedLateness)
    var before = stored
    before.timeToLive = asBefore.timeToLive
    before.allowedLateness = asBefore.allowedLateness
    let changes = before.timeToLiveDifferences(from: asked)
      .map { "\($0.option) is \($0.given) now, and was \($0.stored)" }
    return changes.joined(separator: "; ") + ": " + change.consequence
  }
}

/// When little space is worth a message: the store says so at every epoch.
final class LowDiskWatch: Sendable {
  private let lastTold = Mutex<UInt64?>(nil)

  /// True the first time, and whenever half of what was left at the last time is gone.
  func isNews(_ availableBytes: UInt64) -> Bool {
    lastTold.withLock { last in
      if let told = last, availableBytes > told / 2 { return false }
      last = availableBytes
      return true
    }
  }
}

/// Names in a state's directory beside the store's.
package enum StateNames {
  /// Local checkpoints.
  package static let checkpoints = "checkpoints"

  /// Parts on their way to another machine, until they have lost their name.
  package static let spool = "output.spool"

  static func isOurs(_ name: String) -> Bool {
    name == checkpoints || name == spool || name == StateStore.lockName
  }
}
