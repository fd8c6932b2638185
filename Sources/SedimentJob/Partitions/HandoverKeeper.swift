// Lets old checkpoints of an instance's partitions go, in the storage where states are handed over:
// every epoch publishes one.
//
// What stays: the newest few, and all from the last one on that is known to be committed. One that
// nobody is known to have committed may be what the brokers name, so nothing goes before the first
// commit of an opening. States of former generations go (`FormerStates`) when a session has gone on
// for a while, and has committed in the present one.
//
// Concurrency: a thread of its own, for it asks the storage many things. `monitor` guards what is
// to be looked at; `troubles` and `mayHaveFormer` are the thread's. What fails is tried again at
// the next turn, and told once.

internal import SedimentIO
internal import SedimentStore

/// See the file's header.
// @unchecked because everything that changes is touched only with `monitor` held.
final class HandoverKeeper: @unchecked Sendable {
  private let partitioning: Partitioning
  private let storage: any CheckpointStorage
  private let retained: Int
  private let intervalNanos: UInt64
  private let clock: any Clock
  private let report: @Sendable (JobMessage) -> Void
  private let startNanos = SystemClock().monotonicNanos()
  private let monitor = Monitor()
  /// Instances say at least once a minute that they upload or restore.
  private static let gracePeriod = Duration.seconds(1800)
  /// The last committed checkpoint of every state that has one since it was last looked at.
  private var committed: [StoreIdentity: String] = [:]
  /// What fails, and was told.
  private var troubles: Set<Work> = []
  private var mayHaveFormer = true
  private var isStopping = false
  private let thread = SystemThreads()

  init(
    _ partitioning: Partitioning, clock: any Clock,
    report: @escaping @Sendable (JobMessage) -> Void
  ) throws {
    self.partitioning = partitioning
    storage = partitioning.storage
    retained = max(partitioning.retained, 1)
    self.clock = clock
    self.report = report
    intervalNanos = UInt64(max(partitioning.keepMillis, 1)) * 1_000_000
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
      if !states.isEmpty { attempt(.tidying) { try tidy(states) } }
      if isFormerDue { attempt(.former) { try removeFormer(committed: states.map(\.0)) } }
    }
  }

  private enum Work: Hashable {
    case tidying
    case former
  }

  private func attempt(_ work: Work, _ body: () throws -> Void) {
    do {
      try body()
      troubles.remove(work)
    } catch {
      guard troubles.insert(work).inserted else { return }
      report(
        JobMessage(
          .warning, "old checkpoints in \(storage.location) could not be removed: \(error)"))
    }
  }

  private func tidy(_ states: [(StoreIdentity, String)]) throws {
    var failure: (any Error)?
    for (identity, id) in states where !monitor.withLock({ isStopping }) {
      do {
        let checkpoints = try StoredCheckpoints(in: storage, of: identity, clock: clock)
        try checkpoints.retain(retained, protecting: [id])
        try checkpoints.collectGarbage(gracePeriod: Self.gracePeriod, dryRun: false)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
  }

  private var isFormerDue: Bool {
    let age = (SystemClock().monotonicNanos() &- startNanos) / 1_000_000
    return mayHaveFormer && age >= UInt64(clamping: partitioning.formerMillis)
  }

  /// - Parameter committed: states of which something was committed in this turn.
  private func removeFormer(committed: [StoreIdentity]) throws {
    guard let record = try HandoverRecord.last(of: partitioning.group, in: storage),
      record.allPartitions.contains(where: { committed.contains(record.identity(of: $0)) })
    else { return }
    let (bytes, isComplete) = try FormerStates(before: record, in: storage, clock: clock)
      .remove(gracePeriod: Self.gracePeriod) { monitor.withLock { isStopping } }
    mayHaveFormer = !isComplete
    guard bytes > 0 else { return }
    report(
      JobMessage(
        .information,
        "removed the states of before the last rescaling from \(storage.location): "
          + Figure.bytes(bytes)))
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
