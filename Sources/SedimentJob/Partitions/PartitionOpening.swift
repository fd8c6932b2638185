// Opens the states of partitions that the group gave, beside the thread that decides of the others.
//
//   assigned ─▶ `UnitOpening`: the state, at the epoch that happened ─▶ the reader begins ─▶ unit
//
// Partitions that come together go together: the brokers are asked once for the offsets of all
// (`CommittedOffsets`), and reading begins when the last of them is open, so that one epoch commits
// the places of all that are new. One that is being restored, which may take minutes, is not waited
// for.
//
// Concurrency: a few threads, each at one step of one partition; `monitor` guards the lists. A
// partition is in one of them, or in `busy`.

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
  /// They are to be opened.
  private var wanted: [TopicPartition] = []
  /// They are open, and to be begun with the others.
  private var ready: [PartitionUnit] = []
  /// All that were to be begun together are open.
  private var starting: [PartitionUnit] = []
  private var opened: [PartitionUnit] = []
  /// Threads are at them.
  private var busy: Set<TopicPartition> = []
  /// Those of `busy` whose state comes from the storage.
  private var restoring: Set<TopicPartition> = []
  private var failure: (any Error)?
  private var isStopping = false
  private let threads = SystemThreads()
  private let onOpened: @Sendable () -> Void

  private enum Step {
    case open(TopicPartition)
    case begin(PartitionUnit)

    var partition: TopicPartition {
      switch self {
      case .open(let partition): partition
      case .begin(let unit): unit.partition
      }
    }
  }

  /// Opening mostly waits for synchronisations, which a file system does side by side.
  private static let threadsMax = 8

  /// - Parameters:
  ///   - outputs: those that all partitions write together, if they do.
  ///   - onOpened: called from an opening thread after every partition.
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
    do {
      for number in 0..<Self.threadsMax {
        try threads.start(name: "sediment-open\(number)") { [self] in run() }
      }
    } catch {
      stop()
      throw error
    }
  }

  /// Has partitions opened.
  func want(_ partitions: [TopicPartition]) {
    if case .brokers(_, let offsets) = arbiter { offsets.expect(partitions) }
    monitor.withLock {
      wanted += partitions.sorted()
      monitor.broadcast()
    }
  }

  /// Forgets partitions that are not begun yet, and waits for those that a thread is at.
  func forget(_ partitions: [TopicPartition]) {
    let forgotten = monitor.withLock { () -> [PartitionUnit] in
      var units: [PartitionUnit] = []
      while true {
        wanted.removeAll { partitions.contains($0) }
        let open = (ready + starting).filter { partitions.contains($0.partition) }
        ready.removeAll { partitions.contains($0.partition) }
        starting.removeAll { partitions.contains($0.partition) }
        units += open
        // Others may have waited for these.
        monitor.broadcast()
        if busy.isDisjoint(with: partitions) { return units }
        monitor.wait()
      }
    }
    for unit in forgotten { close(unit) }
  }

  /// Whether more partitions are about to be begun together with those that were.
  var isStarting: Bool {
    monitor.withLock {
      failure == nil && (!starting.isEmpty || !busy.subtracting(restoring).isEmpty)
    }
  }

  /// Units that were begun since the last time. Throws what one failed with.
  func takeOpened() throws -> [PartitionUnit] {
    try monitor.withLock {
      if let failure { throw failure }
      defer { opened.removeAll() }
      return opened
    }
  }

  /// Ends the threads, when they have done what they are at.
  func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
    }
    threads.waitUntilEnded()
    let rest = monitor.withLock { () -> [PartitionUnit] in
      defer { (opened, ready, starting) = ([], [], []) }
      return opened + ready + starting
    }
    for unit in rest { try? unit.close() }
  }

  private func close(_ unit: PartitionUnit) {
    do {
      try unit.close()
    } catch {
      fail(error)
    }
  }

  private func fail(_ error: any Error) {
    monitor.withLock {
      failure = failure ?? error
      monitor.broadcast()
    }
  }

  private func run() {
    while let step = next() {
      do {
        try perform(step)
      } catch {
        fail(error)
      }
      monitor.withLock {
        busy.remove(step.partition)
        restoring.remove(step.partition)
        monitor.broadcast()
      }
      if case .begin = step { onOpened() }
    }
    // Who waits for a partition looks at what went wrong.
    onOpened()
  }

  private func next() -> Step? {
    monitor.withLock {
      while !isStopping, failure == nil {
        if let step = pick() {
          busy.insert(step.partition)
          return step
        }
        monitor.wait()
      }
      return nil
    }
  }

  /// The caller holds the monitor.
  private func pick() -> Step? {
    if !starting.isEmpty { return .begin(starting.removeFirst()) }
    if !wanted.isEmpty { return .open(wanted.removeFirst()) }
    guard !ready.isEmpty, busy.subtracting(restoring).isEmpty else { return nil }
    swap(&starting, &ready)
    // The other threads begin some of them.
    monitor.broadcast()
    return .begin(starting.removeFirst())
  }

  private func perform(_ step: Step) throws {
    switch step {
    case .open(let partition):
      let unit = try open(partition)
      monitor.withLock { ready.append(unit) }
    case .begin(let unit): try begin(unit)
    }
  }

  // MARK: - One partition

  private func open(_ partition: TopicPartition) throws -> PartitionUnit {
    try openings().open(partition) { [self] in
      // The others are not to wait for it.
      monitor.withLock {
        _ = restoring.insert(partition)
        monitor.broadcast()
      }
    }
  }

  /// Has a partition read, and its unit taken.
  private func begin(_ unit: PartitionUnit) throws {
    do {
      var isHandedOver = false
      // The unit is there before its first record.
      _ = try reader.begin(
        unit.partition, at: unit.position, isAdded: unit.isAdded
      ) { offset in
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
