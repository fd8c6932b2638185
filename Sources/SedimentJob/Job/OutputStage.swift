// Routing and writing, behind the thread that decides.
//
//   JobSession decides batch n + 1 │ queue │ one thread routes batch n and hands it to the sinks
//
// Copying records to files takes about as long as deciding, so the two go side by side. Batches are
// written in the order in which they were submitted.
//
// Invariants
// 1. Sinks are written by this thread alone, and cut only when it is drained: an epoch's output is
//    that of the batches decided before it.
// 2. After a failure nothing more is written, and every later call throws it.
// 3. At most `waitingMax` decided batches wait.
//
// Concurrency: `monitor` guards all that changes but the routers, which are the thread's own while
// batches are under way, and the deciding thread's when drained.

internal import SedimentIO

/// The thread that writes one session's output.
// @unchecked because everything that changes is touched as the header says.
final class OutputStage: @unchecked Sendable {
  private struct Work {
    var batch: RecordBatch
    var router: BatchRouter
    var outputs: OutputSet
    var path: String
  }

  private let pool: RecordBatchPool
  private let monitor = Monitor()

  private var waiting: [Work] = []
  private var isBusy = false
  private var isStopping = false
  private let thread = SystemThreads()
  private var failure: (any Error)?
  private var countersSoFar = JobCounters()

  /// Decided batches that may wait to be written.
  static let waitingMax = 3

  init(pool: RecordBatchPool) throws {
    self.pool = pool
    waiting.reserveCapacity(Self.waitingMax)
    try thread.start(name: "sediment-output") { [self] in run() }
  }

  /// What was written so far, or a little less.
  var counters: JobCounters { monitor.withLock { countersSoFar } }

  /// Hands over a decided batch; waits while too many wait already.
  ///
  /// - Parameters:
  ///   - router: finds out what goes where, and counts.
  ///   - outputs: where it goes.
  ///   - path: the source's name, for rejects.
  /// - Throws: what an earlier batch failed with.
  func submit(
    _ batch: RecordBatch, router: BatchRouter, to outputs: OutputSet, path: String
  ) throws {
    try monitor.withLock {
      while failure == nil, waiting.count >= Self.waitingMax { monitor.wait() }
      if let failure { throw failure }
      waiting.append(Work(batch: batch, router: router, outputs: outputs, path: path))
      monitor.broadcast()
    }
  }

  /// Throws what an earlier batch failed with.
  func requireSound() throws {
    try monitor.withLock { if let failure { throw failure } }
  }

  /// Waits until everything submitted has been written.
  ///
  /// - Throws: what a batch failed with.
  func drain() throws {
    try monitor.withLock {
      while failure == nil, isBusy || !waiting.isEmpty { monitor.wait() }
      if let failure { throw failure }
    }
  }

  /// Ends the thread; batches that wait are not written.
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
      let before = work.router.counters
      do {
        try unsafe work.router.route(
          work.batch, decisions: UnsafePointer(work.batch.columns.decisions), path: work.path)
        try work.router.write(work.batch, to: work.outputs, path: work.path)
      } catch {
        failure = error
      }
      pool.give(work.batch)
      monitor.withLock {
        isBusy = false
        countersSoFar.add(work.router.counters.since(before))
        self.failure = failure
        monitor.broadcast()
      }
      if failure != nil { return }
    }
  }

  private func next() -> Work? {
    monitor.withLock {
      while waiting.isEmpty, !isStopping { monitor.wait() }
      if isStopping { return nil }
      isBusy = true
      monitor.broadcast()
      return waiting.removeFirst()
    }
  }
}
