// A thread that opens partitions which the group gave, beside the one that takes their records.
// Opening asks brokers, and waits for transactions of others; the other partitions go on meanwhile.
//
// Concurrency: one thread opens one partition after the other; `monitor` guards the queue.

internal import SedimentIO

/// Opens partitions in turn; what became of them is taken by another thread.
// @unchecked because everything that changes is touched only with `monitor` held.
final class OpeningThread<Opened: Sendable>: @unchecked Sendable {
  /// Opens a partition and hands it over; not at all where it has gone in between.
  typealias Open = @Sendable (TopicPartition, _ handOver: (Opened) -> Void) throws -> Void

  private let open: Open
  private let onOpened: @Sendable () -> Void
  private let monitor = Monitor()
  private var wanted: [TopicPartition] = []
  private var opened: [Opened] = []
  private var failure: (any Error)?
  private var isBusy = false
  private var isStopping = false
  private let thread = SystemThreads()

  /// - Parameter onOpened: called from the opening thread after every partition.
  init(
    name: String, onOpened: @escaping @Sendable () -> Void, open: @escaping Open
  ) throws {
    self.open = open
    self.onOpened = onOpened
    try thread.start(name: name) { [self] in run() }
  }

  /// Has partitions opened, in turn.
  func want(_ partitions: [TopicPartition]) {
    monitor.withLock {
      wanted += partitions
      monitor.broadcast()
    }
  }

  /// Forgets partitions that are not opened yet, and waits for one that is being opened.
  func forget(_ partitions: [TopicPartition]) {
    monitor.withLock {
      wanted.removeAll { partitions.contains($0) }
      while isBusy { monitor.wait() }
    }
  }

  /// What was opened since the last time. Throws what one failed with.
  func takeOpened() throws -> [Opened] {
    try monitor.withLock {
      if let failure { throw failure }
      defer { opened.removeAll() }
      return opened
    }
  }

  /// Ends the thread, when it has done what it is at. What was opened and not taken is returned.
  @discardableResult
  func stop() -> [Opened] {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
    thread.waitUntilEnded()
    return monitor.withLock { opened }
  }

  private func run() {
    while let partition = next() {
      let result = Result {
        try open(partition) { made in monitor.withLock { opened.append(made) } }
      }
      monitor.withLock {
        isBusy = false
        if case .failure(let error) = result { failure = error }
        monitor.broadcast()
      }
      onOpened()
      if case .failure = result { return }
    }
  }

  private func next() -> TopicPartition? {
    monitor.withLock {
      while wanted.isEmpty, !isStopping { monitor.wait() }
      guard !isStopping else { return nil }
      isBusy = true
      return wanted.removeFirst()
    }
  }
}
