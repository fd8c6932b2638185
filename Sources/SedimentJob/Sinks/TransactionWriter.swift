// The transactions of a job, one an epoch, between the thread that writes and the one that commits.
//
//   idle ─ first record ─▶ open ─ cut ─▶ closing ─ committed ─▶ idle
//     └──────────── cut with offsets ───────┘
//
// While a transaction is closing, the next epoch's records cannot go to the producer: they would be
// of this transaction. They are copied, up to `waitingBytesMax`, and produced behind it; whoever
// writes more waits.
//
// Invariants
// 1. Between two commits the producer gets exactly the records that were written between the two
//    cuts before them, in order.
// 2. In `open` the writing thread alone calls the producer, in `closing` the committing one.
// 3. After a failure nothing more is produced, and every later call throws it.
//
// Concurrency: `write` and `cut` as a `Sink`'s, by one thread at a time; `flush` and `commit` by
// one other. `monitor` guards what both look at.

package import SedimentIO

/// See the file's header.
// @unchecked because everything that changes is touched as the header says.
package final class TransactionWriter: @unchecked Sendable {
  private enum Phase {
    case idle
    case open
    case closing
  }

  /// Copied records of one role.
  private struct Waiting {
    var batch: RecordBatch
    var role: OutputRole
    var path: String
  }

  /// Takes the records.
  package let producer: any TopicProducer
  private let monitor = Monitor()
  private var phase = Phase.idle
  /// Whether the producer has begun the transaction that is open or closing.
  private var isBegun = false
  /// When it has.
  private var openedNanos: UInt64?
  private let clock: any Clock
  private var failure: SinkError?
  /// Of the epoch whose records are written now.
  private var tag: EpochTag
  private var waiting: [Waiting] = []
  private var waitingBytes = 0
  private let pool = RecordBatchPool(keptMax: 16, batchBytesMax: 2 << 20)
  /// 0, 1, 2 …
  private var allIndices: [UInt32] = []

  private let waitingBytesMax: Int

  /// Memory of the next epoch's records that are copied while a transaction closes.
  package static let waitingBytesMax = 32 << 20

  /// - Parameter tag: of the first epoch.
  package init(
    _ producer: any TopicProducer, tag: EpochTag, clock: any Clock,
    waitingBytesMax: Int = TransactionWriter.waitingBytesMax
  ) {
    self.waitingBytesMax = waitingBytesMax
    self.producer = producer
    self.tag = tag
    self.clock = clock
  }

  /// How long the transaction has been open, in nanoseconds; `nil` for none. From any thread.
  package var ageNanos: UInt64? {
    let now = clock.monotonicNanos()
    return monitor.withLock { openedNanos.map { now &- $0 } }
  }

  // MARK: - The writing thread

  /// Writes some records of a batch.
  package func write(
    _ batch: RecordBatch, indices: UnsafeBufferPointer<UInt32>, role: OutputRole, path: String
  ) throws(SinkError) {
    guard !indices.isEmpty else { return }
    if unsafe try keep(batch, indices, role, path) { return }
    try failing { () throws(SinkError) in
      try begin()
      try unsafe producer.produce(
        TopicRecords(batch, indices: indices, role: role, tag: tag, path: path))
    }
  }

  /// Ends the epoch: what is written from now on is of the epoch `next`. The transaction before has
  /// ended.
  ///
  /// - Parameter hasOffsets: whether the epoch has offsets to commit; one without either offsets or
  ///   records has no transaction.
  package func cut(next: EpochTag, hasOffsets: Bool) throws(SinkError) {
    try failing { () throws(SinkError) in
      let hasWaiting = monitor.withLock { !waiting.isEmpty }
      if hasWaiting { try begin() }
    }
    monitor.withLock {
      precondition(phase != .closing, "the transaction before has not ended")
      if phase == .open || hasOffsets { phase = .closing }
      tag = next
    }
  }

  /// Copies records when a transaction is closing; false when it is not.
  private func keep(
    _ batch: RecordBatch, _ indices: UnsafeBufferPointer<UInt32>, _ role: OutputRole,
    _ path: String
  ) throws(SinkError) -> Bool {
    monitor.lock()
    defer { monitor.unlock() }
    while phase == .closing, failure == nil, waitingBytes >= waitingBytesMax {
      monitor.wait()
    }
    if let failure { throw failure }
    guard phase == .closing else { return false }
    let copy = pool.take()
    unsafe copy.append(indices, of: batch)
    waitingBytes += copy.heldByteCount
    waiting.append(Waiting(batch: copy, role: role, path: path))
    return true
  }

  /// Begins the transaction unless it is open, with what waited for it.
  private func begin() throws(SinkError) {
    let now = clock.monotonicNanos()
    let (isIdle, kept) = monitor.withLock { () -> (Bool, [Waiting]) in
      guard phase == .idle else { return (false, []) }
      phase = .open
      isBegun = true
      openedNanos = now
      defer {
        waiting.removeAll(keepingCapacity: true)
        waitingBytes = 0
      }
      return (true, waiting)
    }
    guard isIdle else { return }
    try producer.begin()
    for item in kept {
      try produceAll(item)
      pool.give(item.batch)
    }
  }

  private func produceAll(_ item: Waiting) throws(SinkError) {
    while allIndices.count < item.batch.count { allIndices.append(UInt32(allIndices.count)) }
    let (producer, tag) = (producer, tag)
    let failure = unsafe allIndices.withUnsafeBufferPointer { all -> SinkError? in
      do throws(SinkError) {
        try unsafe producer.produce(
          TopicRecords(
            item.batch, indices: UnsafeBufferPointer(rebasing: all.prefix(item.batch.count)),
            role: item.role, tag: tag, path: item.path))
        return nil
      } catch {
        return error
      }
    }
    if let failure { throw failure }
  }

  // MARK: - The committing thread

  /// Waits until the brokers have all that was cut.
  package func flush() throws(SinkError) {
    guard monitor.withLock({ phase == .closing && isBegun }) else { return }
    try failing { () throws(SinkError) in try producer.flush() }
  }

  /// Commits what was cut, if that has a transaction.
  package func commit(
    _ offsets: [TopicPartition: CommittedOffset], readBy reader: (any TopicReader)?
  ) throws(SinkError) {
    guard let isBegun = monitor.withLock({ phase == .closing ? isBegun : nil }) else { return }
    try failing { () throws(SinkError) in
      if !isBegun { try producer.begin() }
      try producer.commit(offsets, readBy: reader)
    }
    monitor.withLock {
      phase = .idle
      self.isBegun = false
      openedNanos = nil
      monitor.broadcast()
    }
  }

  /// Nothing will be committed any more; whoever waits for that is told. From any thread.
  package func giveUp() {
    monitor.withLock {
      failure = failure ?? .epochAborted("the epoch was given up")
      monitor.broadcast()
    }
  }

  /// Disconnects; what is open is aborted.
  package func close() {
    giveUp()
    producer.close()
  }

  /// Runs `body` unless something failed before, and keeps what it fails with.
  private func failing(_ body: () throws(SinkError) -> Void) throws(SinkError) {
    if let failure = monitor.withLock({ failure }) { throw failure }
    do throws(SinkError) {
      try body()
    } catch {
      monitor.withLock {
        failure = error
        monitor.broadcast()
      }
      throw error
    }
  }
}
