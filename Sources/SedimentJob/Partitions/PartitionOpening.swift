// Opens the states of partitions that the group gave, beside the thread that decides of the others.
//
//   assigned ─▶ committed offsets, stable ones ─▶ state of their name: here? else from the storage
//            ─▶ open ─▶ the reader begins at its position ─▶ unit
//
// The directory of the job holds one state a partition, `<topic>-<number>`. One that is not what
// the offsets name is of an earlier time, when the partition was ours before: it is removed, and
// made anew from the storage.
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
  private let producer: any TopicProducer
  private let reader: any GroupReader
  private let group: String
  private let monitor = Monitor()
  private var wanted: [TopicPartition] = []
  private var opened: [PartitionUnit] = []
  private var failure: (any Error)?
  private var isBusy = false
  private var isStopping = false
  private var hasThread = false
  private let onOpened: @Sendable () -> Void

  /// - Parameter onOpened: called from the opening thread after every partition.
  init(
    _ options: JobOptions, _ environment: JobEnvironment, _ partitioning: Partitioning,
    group: String, producer: any TopicProducer, reader: any GroupReader,
    onOpened: @escaping @Sendable () -> Void
  ) throws {
    self.options = options
    self.environment = environment
    self.partitioning = partitioning
    self.group = group
    self.producer = producer
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
    let committed = try producer.committed([partition.topic]).filter { $0.key == partition }
    var options = self.options
    options.statePath = Self.path(of: partition, in: self.options.statePath)
    let epochs = try TransactionOpening.localEpochs(
      options, environment, positions: { Self.positions(of: partition, in: $0) })
    let mark = committed[partition].flatMap { OffsetMark($0.metadata) }
    let choice: EpochChoice
    if let mark, !epochs.contains(where: { $0.mark?.tag == mark.tag }) {
      try restore(mark, of: partition, to: options.statePath)
      let restored = try TransactionOpening.localEpochs(
        options, environment, positions: { Self.positions(of: partition, in: $0) })
      choice = try EpochChoice.decide(
        epochs: restored, committed: committed, group: group, assumption: nil)
    } else {
      choice = try EpochChoice.decide(
        epochs: epochs, committed: committed, group: group,
        assumption: options.commitAssumption)
    }
    let state = try StateOpening(options, environment).open(at: choice)
    do {
      let router = BatchRouter(
        missingKey: options.missingKey, learns: options.learns,
        writesRejects: options.targets[.rejects] != nil)
      // As in `JobSession`: what was assumed once must not be assumed again.
      let isKnown = !committed.isEmpty && options.commitAssumption == nil
      let unit = PartitionUnit(partition, state, router: router, isKnown: isKnown)
      var isHandedOver = false
      // The unit is there before its first record.
      _ = try reader.begin(partition, at: unit.position) { offset in
        if unit.position != offset { unit.position = offset }
        tell(unit, offset)
        monitor.withLock { opened.append(unit) }
        isHandedOver = true
      }
      if !isHandedOver { try state.store.close() }
    } catch {
      try state.store.close()
      throw error
    }
  }

  private func tell(_ unit: PartitionUnit, _ offset: Int64) {
    let keys = Figure.count(unit.dedup.keyspace.approximateEntryCount)
    environment.report(
      JobMessage(.detail, "\(unit.partition): \(keys) keys, reading from offset \(offset)"))
  }

  /// Makes the state of a partition from the checkpoint that the brokers know.
  private func restore(
    _ mark: OffsetMark, of partition: TopicPartition, to path: String
  ) throws {
    guard let checkpoint = mark.checkpoint, let job = EpochTag(mark.job[...]) else {
      throw JobError(
        .failed,
        "the group \(group) names an epoch of \(partition) that was committed by a job without "
          + "checkpoint storage: give another --group")
    }
    try StateDirectory.remove(path, in: environment.fileSystem)
    let start = environment.clock.monotonicNanos()
    let made = try StateStore.restore(
      from: partitioning.storage, of: StoreIdentity(high: job.high, low: job.low),
      id: checkpoint, to: path, fileSystem: environment.fileSystem, clock: environment.clock)
    let millis = Int64((environment.clock.monotonicNanos() &- start) / 1_000_000)
    environment.report(
      JobMessage(
        .information,
        "\(partition): restored \(Figure.bytes(made.totalBytes)) from "
          + "\(partitioning.storage.location) in \(Figure.duration(millis))"))
  }

  /// The directory of a partition's state. Names of topics have no slash.
  static func path(of partition: TopicPartition, in directory: String) -> String {
    PathName.join(directory, "\(partition.topic)-\(partition.partition)")
  }

  private static func positions(
    of partition: TopicPartition, in metadata: JobMetadata
  ) -> TopicPositions {
    var positions = TopicPositions()
    positions[partition] = metadata.topicPositions[partition]
    return positions
  }
}
