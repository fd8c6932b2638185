// Makes epochs durable beside the thread that decides.
//
//   sinks: prepare ─▶ store: commit ─▶ sinks: publish ─▶ topics: told ─▶ now and then: a checkpoint
//   └ transaction: flush            └ transaction: commit, store: confirm, where outputs are topics
//
// Invariants
// 1. One epoch at a time; `begin` is called only when `isIdle`.
// 2. Nothing is published before the state that promises it is durable, and where outputs are
//    topics before the brokers have taken the epoch.
// 3. After a failure nothing more is committed: the job goes back to the last durable epoch.
//
// Concurrency: `monitor` guards all that changes; the work runs outside it on one thread.

internal import SedimentIO
internal import SedimentStore

/// The committing thread of one opening of a state.
// @unchecked because everything that changes is touched only with `monitor` held.
final class EpochCommitter: @unchecked Sendable {
  /// What makes one epoch durable and shows its outputs.
  typealias Commit = @Sendable () throws -> Void

  private let clock: any Clock
  private let onIdle: @Sendable () -> Void
  private let monitor = Monitor()
  private var work: (epoch: UInt64, commit: Commit)?
  private var isBusy = false
  private var isStopping = false
  private let thread = SystemThreads()
  private var failure: (any Error)?
  private var nanos: UInt64 = 0
  private var committed: UInt64 = 0

  /// - Parameter onIdle: called from the committing thread after every epoch.
  init(clock: any Clock, onIdle: @escaping @Sendable () -> Void) throws {
    self.clock = clock
    self.onIdle = onIdle
    try thread.start(name: "sediment-epoch") { [self] in run() }
  }

  /// Whether the epoch before has ended. Throws what made it fail.
  func isIdle() throws -> Bool {
    try monitor.withLock {
      if let failure { throw failure }
      return !isBusy
    }
  }

  /// What made an epoch fail; `nil` while none has.
  var reason: (any Error)? { monitor.withLock { failure } }

  /// How long the last epoch took, in nanoseconds; 0 before the first.
  var lastNanos: UInt64 { monitor.withLock { nanos } }

  /// The number of the last epoch that went through all steps; 0 before the first.
  var committedEpoch: UInt64 { monitor.withLock { committed } }

  /// Begins to make an epoch durable.
  ///
  /// - Parameter epoch: its number, for `committedEpoch`.
  func begin(_ epoch: UInt64, _ commit: @escaping Commit) {
    monitor.withLock {
      precondition(!isBusy, "the epoch before has not ended")
      isBusy = true
      work = (epoch, commit)
      monitor.broadcast()
    }
  }

  /// Waits until the epoch that was begun is durable and published.
  func waitUntilIdle() throws {
    try monitor.withLock {
      while isBusy, failure == nil { monitor.wait() }
      if let failure { throw failure }
    }
  }

  /// Waits for what is under way, and ends the thread.
  func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
    thread.waitUntilEnded()
  }

  private func run() {
    while let work = next() {
      var failure: (any Error)?
      let start = clock.monotonicNanos()
      do {
        try work.commit()
      } catch {
        failure = error
      }
      monitor.withLock {
        isBusy = false
        self.failure = failure
        if failure == nil { committed = work.epoch }
        nanos = clock.monotonicNanos() &- start
        monitor.broadcast()
      }
      onIdle()
      if failure != nil { return }
    }
  }

  private func next() -> (epoch: UInt64, commit: Commit)? {
    monitor.withLock {
      while work == nil, !isStopping { monitor.wait() }
      defer { work = nil }
      return work
    }
  }
}

/// What was cut of a job with one state, on its way to durability.
struct EpochWork: Sendable {
  let store: StateStore
  let outputs: OutputSet
  let checkpoints: CheckpointKeeper?
  /// Told of epochs that are durable.
  let topics: (any TopicReader)?
  /// Of the outputs that are topics.
  let transactions: TransactionWriter?

  let epoch: PendingEpoch
  let cuts: OutputCuts
  /// Where the input stands with it.
  let topicPositions: TopicPositions
  /// What the brokers are to keep of it, where outputs are topics.
  let offsets: [TopicPartition: CommittedOffset]

  func commit() throws {
    do {
      try takeSteps()
    } catch {
      // Whoever writes may wait for the end of this transaction, which will not come.
      transactions?.giveUp()
      throw error
    }
  }

  private func takeSteps() throws {
    try outputs.prepare(cuts)
    try transactions?.flush()
    try store.commit(epoch)
    try transactions?.commit(offsets, readBy: topics)
    try store.confirmEpoch()
    try outputs.publish(cuts)
    // Where there are transactions, only they commit offsets.
    if transactions == nil { topics?.epochCommitted(topicPositions) }
    checkpoints?.epochCommitted()
  }
}
