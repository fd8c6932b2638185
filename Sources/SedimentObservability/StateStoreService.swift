// A store as a service of swift-service-lifecycle.
//
// How it works: the store is open before the group starts, so that other services may use it from
// their first line. `run` looks at statistics and commits epochs at intervals until the group shuts
// down; then it commits a last epoch, if it was to commit any, and closes the store.
//
// Invariants
// 1. Whatever ends `run`, the store is closed when it has returned.
// 2. A failure is thrown, and of several the first; others are logged.

public import Logging
public import SedimentAsync
public import SedimentIO
public import SedimentStore
public import ServiceLifecycle

/// Holds a store open for the other services of a group, and closes it after them.
///
/// ```swift
/// let service = try await StateStoreService.open(at: "clicks.state", logger: logger)
/// let clicks = try await service.store.orderedKeyspace("clicks")
/// let group = ServiceGroup(
///   services: [service, Server(clicks)], gracefulShutdownSignals: [.sigterm], logger: logger)
/// try await group.run()
/// ```
///
/// Put it in front of the services that use the store: a group shuts down from the last to the
/// first.
///
/// **Shutdown.** When the group shuts down gracefully, a last epoch is committed if epochs were
/// asked for, and the store is closed. When it is cancelled the store is closed without: what no
/// epoch and no log has made durable is as after a crash.
///
/// **Failures.** A full disk gives an epoch up, which is logged, and the next one is tried at its
/// time; at the last epoch it is thrown. Any other failure of an epoch ends `run`: the store is
/// poisoned, and must be opened again.
public struct StateStoreService: Service {
  /// What a service does beside holding the store.
  public struct Options: Sendable {
    /// How long between two looks at the statistics, when there are metrics.
    public var metricsInterval: Duration
    /// How long between two epochs; `nil` where the program commits its own, or needs none.
    public var epochInterval: Duration?
    /// The metadata of these epochs, made right before each: the last epoch's unless another is
    /// given. Called where tasks run; must return quickly.
    public var epochMetadata: @Sendable (StateStore) -> [UInt8]
    /// What intervals are measured by.
    public var clock: any _Concurrency.Clock<Duration>

    /// Options with their defaults.
    public init(
      metricsInterval: Duration = .seconds(10), epochInterval: Duration? = nil,
      epochMetadata: @escaping @Sendable (StateStore) -> [UInt8] = { $0.lastEpoch.metadata },
      clock: any _Concurrency.Clock<Duration> = ContinuousClock()
    ) {
      self.metricsInterval = metricsInterval
      self.epochInterval = epochInterval
      self.epochMetadata = epochMetadata
      self.clock = clock
    }
  }

  /// The store, for as long as `run` has not returned.
  public let store: AsyncStateStore
  private let options: Options
  private let logger: Logger
  private let metrics: StoreMetrics?

  /// A service of an open store. Its events go where its `StoreOptions.onEvent` sends them.
  ///
  /// - Parameter metrics: what is kept up to date with the statistics.
  public init(
    _ store: AsyncStateStore, options: Options = Options(), logger: Logger,
    metrics: StoreMetrics? = nil
  ) {
    self.store = store
    self.options = options
    self.logger = logger
    self.metrics = metrics
  }

  /// Opens a store, whose events go to the logger and the metrics.
  ///
  /// - Throws: as `StateStore.open`, and `cancelled`.
  public static func open(
    at path: String, storeOptions: StoreOptions = StoreOptions(), options: Options = Options(),
    threads: StoreThreads = StoreThreads(), logger: Logger, metrics: StoreMetrics? = nil,
    fileSystem: any FileSystem = PosixFileSystem()
  ) async throws(StoreError) -> StateStoreService {
    var storeOptions = storeOptions
    storeOptions.observe(logger: logger, metrics: metrics)
    let store = try await AsyncStateStore.open(
      at: path, options: storeOptions, threads: threads, fileSystem: fileSystem)
    return StateStoreService(store, options: options, logger: logger, metrics: metrics)
  }

  /// Keeps the store open until the group shuts down; see the type.
  public func run() async throws {
    logger.info("a store is held open", metadata: ["sediment.path": "\(store.base.path)"])
    var failure: (any Error)?
    do {
      try await workUntilShutdown()
      if options.epochInterval != nil {
        try await store.commitEpoch(metadata: options.epochMetadata(store.base))
      }
    } catch {
      failure = error
    }
    metrics?.update(from: store.base)
    do throws(StoreError) {
      try await store.close()
      logger.info("a store was closed", metadata: ["sediment.path": "\(store.base.path)"])
    } catch {
      logger.error("a store was not closed", metadata: ["sediment.reason": "\(error)"])
      failure = failure ?? error
    }
    if let failure { throw failure }
  }

  /// Returns when the group shuts down; throws when it is cancelled or an epoch fails.
  private func workUntilShutdown() async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      defer { group.cancelAll() }
      group.addTask { try await gracefulShutdown() }
      if let metrics {
        group.addTask {
          try await repeating(every: options.metricsInterval) { metrics.update(from: store.base) }
        }
      }
      if let interval = options.epochInterval {
        group.addTask { try await repeating(every: interval) { try await commitEpoch() } }
      }
      // Whatever ends first: the others go on until they are cancelled.
      try await group.next()
    }
  }

  private func repeating(every interval: Duration, _ body: () async throws -> Void) async throws {
    while true {
      try await options.clock.sleep(for: interval)
      try await body()
    }
  }

  /// Commits an epoch; a full disk gives it up.
  private func commitEpoch() async throws {
    do throws(StoreError) {
      try await store.commitEpoch(metadata: options.epochMetadata(store.base))
    } catch {
      guard error.code == .noSpace else { throw error }
      logger.warning(
        "an epoch was given up; the next one takes in what it held",
        metadata: ["sediment.reason": "\(error)"])
    }
  }
}
