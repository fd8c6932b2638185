// Lets old checkpoints of an instance's partitions go, in the storage where states are handed over:
// every epoch publishes one.
//
// What stays: the newest few, and all from the last one on that is known to be committed. One that
// nobody is known to have committed may be what the brokers name, so nothing goes before the first
// commit of an opening.
//
// Concurrency: a thread of its own, for it asks the storage many things. `monitor` guards what is
// to be looked at; `hasFailed` is the thread's. What fails is tried again at the next turn, and
// told once.

internal import SedimentIO
internal import SedimentStore

/// See the file's header.
// @unchecked because everything that changes is touched only with `monitor` held.
final class HandoverKeeper: @unchecked Sendable {
  private let storage: any CheckpointStorage
  private let retained: Int
  private let intervalNanos: UInt64
  private let clock: any Clock
  private let report: @Sendable (JobMessage) -> Void
  private let monitor = Monitor()
  /// Instances say at least once a minute that they upload or restore.
  private static let gracePeriod = Duration.seconds(1800)
  /// The last committed checkpoint of every state that has one since it was last looked at.
  private var committed: [StoreIdentity: String] = [:]
  private var hasFailed = false
  private var isStopping = false
  private let thread = SystemThreads()

  /// - Parameters:
  ///   - retained: how many checkpoints of a state stay at least.
  ///   - intervalMillis: from one turn to the next.
  init(
    _ storage: any CheckpointStorage, retained: Int, intervalMillis: Int64, clock: any Clock,
    report: @escaping @Sendable (JobMessage) -> Void
  ) throws {
    self.storage = storage
    self.retained = max(retained, 1)
    self.clock = clock
    self.report = report
    intervalNanos = UInt64(max(intervalMillis, 1)) * 1_000_000
    try thread.start(name: "sediment-keep") { [self] in run() }
  }

  /// Told that a checkpoint is committed.
  func noteCommitted(_ id: String, of identity: StoreIdentity) {
    monitor.withLock { committed[identity] = id }
  }

  /// Ends the thread, when it has done what it is at.
  func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
    thread.waitUntilEnded()
  }

  private func run() {
    while let states = waitForTurn() {
      for (identity, id) in states {
        if monitor.withLock({ isStopping }) { return }
        do throws(StoreError) {
          let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
          try checkpoints.retain(retained, protecting: [id])
          try checkpoints.collectGarbage(gracePeriod: Self.gracePeriod, dryRun: false)
          hasFailed = false
        } catch {
          guard !hasFailed else { continue }
          hasFailed = true
          report(
            JobMessage(
              .warning, "old checkpoints in \(storage.location) could not be removed: \(error)"))
        }
      }
    }
  }

  /// What is to be looked at, in order; `nil` at the end.
  private func waitForTurn() -> [(StoreIdentity, String)]? {
    monitor.withLock {
      let end = SystemClock().monotonicNanos() &+ intervalNanos
      while !isStopping {
        let now = SystemClock().monotonicNanos()
        guard now < end else { break }
        _ = monitor.wait(nanoseconds: end - now)
      }
      guard !isStopping else { return nil }
      defer { committed.removeAll() }
      return committed.sorted { $0.key.description < $1.key.description }
    }
  }
}
