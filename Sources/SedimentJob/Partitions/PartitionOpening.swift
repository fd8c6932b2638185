// Opens the states of partitions that the group gave, beside the thread that decides of the others.
//
//   assigned ─▶ `UnitOpening`: the state, at the epoch that happened ─▶ the reader begins ─▶ unit
//
// Concurrency: one thread opens one partition after the other; `monitor` guards the queue.

internal import SedimentDedup
internal import SedimentIO
internal import SedimentStore

/// See the file's header.
// @unchecked because everything that changes is touched only with `monitor` held.
final class PartitionOpening: @unchecked Sendable {
  private let options: JobOptions
  private let environment: JobEnvironment
  private let partitioning: Partitioning
  private let arbiter: PartitionArbiter
  private let outputs: OutputSet?
  private let reader: any GroupReader
  private let monitor = Monitor()
  private var wanted: [TopicPartition] = []
  private var opened: [PartitionUnit] = []
  private var failure: (any Error)?
  private var isBusy = false
  private var isStopping = false
  private var hasThread = false
  private let onOpened: @Sendable () -> Void

  /// - Parameters:
  ///   - outputs: those that all partitions write together, if they do.
  ///   - onOpened: called from the opening thread after every partition.
  init(
    _ options: JobOptions, _ environment: JobEnvironment, _ partitioning: Partitioning,
    arbiter: PartitionArbiter, outputs: OutputSet?, reader: any GroupReader,
    onOpened: @escaping @Sendable () -> Void
  ) throws {
    self.options = options
    self.environment = environment
    self.partitioning = partitioning
    self.arbiter = arbiter
    self.outputs = outputs
    self.reader = reader
    self.onOpened = onOpened
    let thread = try SystemThread(name: "sediment-open") { [self] in
      run()
      monitor.withLock {
        hasThread = false
        monitor.broadcast()
      }
    }
    monitor.withLock { hasThread = true }
    _ = consume thread
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

  /// Units that were opened since the last time. Throws what one failed with.
  func takeOpened() throws -> [PartitionUnit] {
    try monitor.withLock {
      if let failure { throw failure }
      defer { opened.removeAll() }
      return opened
    }
  }

  /// Ends the thread, when it has done what it is at.
  func stop() {
    let rest = monitor.withLock { () -> [PartitionUnit] in
      isStopping = true
      monitor.broadcast()
      while hasThread { monitor.wait() }
      return opened
    }
    for unit in rest { try? unit.close() }
  }

  private func run() {
    while let partition = next() {
      let result = Result { try open(partition) }
      monitor.withLock {
        isBusy = false
        switch result {
        case .success: break
        case .failure(let error): failure = error
        }
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

  // MARK: - One partition

  private func open(_ partition: TopicPartition) throws {
    let unit = try openings().open(partition)
    do {
      var isHandedOver = false
      // The unit is there before its first record.
      _ = try reader.begin(partition, at: unit.position) { offset in
        if unit.position != offset { unit.position = offset }
        tell(unit, offset)
        monitor.withLock { opened.append(unit) }
        isHandedOver = true
      }
      if !isHandedOver { try unit.close() }
    } catch {
      try unit.close()
      throw error
    }
  }

  /// How partitions are opened. Asked anew for each: another generation may have begun.
  private func openings() throws -> UnitOpening {
    let record = try HandoverRecord.agree(
      for: partitioning.group, partitions: reader.partitionCounts,
      isByKeyGroup: partitioning.isByKeyGroup, in: partitioning.storage)
    return UnitOpening(
      options: options, environment: environment, partitioning: partitioning, record: record,
      arbiter: arbiter, outputs: outputs)
  }

  private func tell(_ unit: PartitionUnit, _ offset: Int64) {
    let keys = Figure.count(unit.dedup.keyspace.approximateEntryCount)
    environment.report(
      JobMessage(.detail, "\(unit.partition): \(keys) keys, reading from offset \(offset)"))
  }
}
