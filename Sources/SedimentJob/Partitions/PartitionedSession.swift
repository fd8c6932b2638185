// One opening of a job that shares its topics with other instances: a state a partition, which
// comes and goes as the group gives the partition and takes it.
//
//   reader ─▶ batches of one partition each ─▶ decide by the unit of the partition ─▶ output
//     │ assigned ─▶ PartitionOpening ─▶ unit     epoch: all units that changed
//     │ revoked  ─▶ an epoch of all that changed ─▶ units are closed ─▶ release
//     │ lost     ─▶ the session fails as after an abort: nothing that was read may be committed
//
// Where outputs are topics, one transaction commits an epoch of all partitions. Where they are
// directories, the checkpoint of each partition commits its own part of it.
//
// Invariants
// 1. A record is decided by the state of its partition, which was opened at the epoch that the
//    arbiter names: committed offsets, or the last checkpoint.
// 2. What the offsets of an epoch name can be read by every instance before they are committed.
// 3. A partition is released when nothing of it is undecided, unwritten or uncommitted.
//
// Concurrency: one thread runs a session and decides.

internal import SedimentDedup
internal import SedimentIO
internal import SedimentStore

/// See the file's header. Used once, by one thread.
final class PartitionedSession {
  private let options: JobOptions
  private let partitioning: Partitioning
  private let environment: JobEnvironment
  private let control: JobControl
  private let directory: InstanceDirectory
  private let arbiter: PartitionArbiter
  /// Where outputs are topics: what writes them, and the outputs of all partitions.
  private let transactions: TransactionWriter?
  private let outputs: OutputSet?
  private let reader: any GroupReader
  private let pool: RecordBatchPool
  private let memory: BatchMemory
  private let keyTimes = KeyTimes()
  private let reporter: ProgressReporter

  private var units: [TopicPartition: PartitionUnit] = [:]
  private var tag: EpochTag
  private var lastCutNanos: UInt64 = 0
  private var batchesSinceCut = 0
  private var epochs: UInt64 = 0
  private var stages: Stages?

  /// What was counted when an epoch was cut, and which it was.
  private var cuts: [(epoch: UInt64, counters: JobCounters, rejectReasons: [String: UInt64])] = []
  /// Of units that were closed.
  private var closed = (counters: JobCounters(), rejectReasons: [String: UInt64]())

  /// The threads beside the deciding one.
  private struct Stages {
    let input: InputStage
    let output: OutputStage
    let committer: EpochCommitter
    let opening: PartitionOpening
    let keeper: HandoverKeeper
  }

  init(
    _ options: JobOptions, _ partitioning: Partitioning, in environment: JobEnvironment,
    control: JobControl
  ) throws {
    let firstTag = EpochTag.random()
    tag = firstTag
    guard let topics = options.topics else {
      throw JobError(.failed, "several instances need topics as input")
    }
    self.partitioning = partitioning
    self.environment = environment
    self.control = control
    environment.status?.enter(.starting)
    let resources = try StoreResources(
      memoryBudget: options.memoryBudget, backgroundTasks: options.backgroundThreads)
    directory = try InstanceDirectory(options.statePath, in: environment.fileSystem)
    memory = BatchMemory(options)
    pool = RecordBatchPool(
      keptMax: memory.batchesMax, batchBytesMax: memory.chunkBytes * 4)
    reporter = ProgressReporter(environment, inputs: nil)
    var opened: (any TopicProducer)?
    do {
      opened = try options.topicOutput?.open(
        TopicOutputStart(
          epochMillis: options.epochIntervalMillis, instance: directory.name,
          report: environment.report, isStopping: { control.isStopping }))
      arbiter = opened.map { .brokers($0, CommittedOffsets($0)) } ?? .storage
      let transactions = opened.map {
        TransactionWriter($0, tag: firstTag, clock: environment.clock)
      }
      self.transactions = transactions
      outputs = try transactions.map { try OutputSet(topics: options.targets, transactions: $0) }
      reader = try topics.openShare(
        TopicStart(
          origin: options.description.origin.topics ?? TopicOrigin([]),
          positions: TopicPositions(),
          limits: BatchLimits(recordsMax: memory.recordsMax, chunkBytes: memory.chunkBytes),
          format: options.description.format, passesOn: opened != nil,
          writesLines: opened == nil, clock: environment.clock, report: environment.report))
    } catch {
      opened?.close()
      directory.close()
      throw error
    }
    // The states share what there is.
    var shared = options
    shared.resources = resources
    shared.parallelism = 1
    shared.backgroundThreads = 1
    shared.retainedCheckpoints = 0
    self.options = shared
  }

  /// Runs to the end of the input, or until the job is asked to stop. As `JobSession.run`.
  func run() -> SessionReport {
    do {
      return report(ending: try runToEnd())
    } catch {
      return report(ending: .failed(error))
    }
  }

  private func runToEnd() throws -> SessionReport.End {
    defer {
      reader.close()
      transactions?.close()
      for unit in units.values { try? unit.close() }
      directory.close()
    }
    let stages = try startStages()
    self.stages = stages
    control.setWake { stages.input.wake() }
    defer {
      control.setWake(nil)
      stages.input.stop()
      stages.output.stop()
      stages.committer.stop()
      transactions?.close()
      stages.input.waitUntilStopped()
      // Whoever opens a partition asks brokers for as long as the reader is open.
      reader.close()
      stages.opening.stop()
      // What it removes may take a while, and the group has been left by now.
      stages.keeper.stop()
    }
    environment.status?.enter(.running)
    let end = try decideAll(stages)
    environment.status?.enter(.ending)
    stages.input.stop()
    try commitAll(stages)
    // The outputs are complete: others may follow them.
    if transactions == nil {
      for unit in units.values { try unit.release(to: partitioning.storage) }
    }
    return end
  }

  private func startStages() throws -> Stages {
    let input = try InputStage(
      reader, format: options.description.format, paths: [options.topics?.name ?? ""],
      workers: ProcessStatistics.processorCount, pool: pool,
      waitingBytesMax: memory.waitingBytesMax)
    var ends = [
      {
        input.stop()
        input.waitUntilStopped()
      }
    ]
    do {
      let output = try OutputStage(pool: pool)
      ends.append { output.stop() }
      let committer = try EpochCommitter(clock: environment.clock) { input.wake() }
      ends.append { committer.stop() }
      let keeper = try HandoverKeeper(
        partitioning, clock: environment.clock, report: environment.report)
      ends.append { keeper.stop() }
      let opening = try PartitionOpening(
        options, environment, partitioning, arbiter: arbiter, outputs: outputs, reader: reader
      ) { input.wake() }
      return Stages(
        input: input, output: output, committer: committer, opening: opening, keeper: keeper)
    } catch {
      for end in ends.reversed() { end() }
      throw error
    }
  }

  // MARK: - The deciding thread

  private static let waitNanos: UInt64 = 100_000_000

  private func decideAll(_ stages: Stages) throws -> SessionReport.End {
    while true {
      if control.isStopping { return .stopped }
      try stages.output.requireSound()
      try adoptOpened(stages)
      if batchesSinceCut >= options.batchesPerEpochMax { try stages.committer.waitUntilIdle() }
      if try stages.committer.isIdle(), isEpochDue { try cutEpoch(stages) }
      try tick(stages)
      switch stages.input.take(waitingNanos: Self.waitNanos) {
      case nil: continue
      case .records(let batch, let position): try take(batch, position, stages)
      case .moved(let position): try move(to: position)
      case .group(let change): try take(change, stages)
      case .ended:
        // Where nothing came the place is remembered, too.
        try adoptOpened(stages)
        return .finished
      case .failed(let error): return .failed(error)
      }
    }
  }

  /// Takes over partitions that are open and begun.
  private func adoptOpened(_ stages: Stages) throws {
    var positions = TopicPositions()
    for unit in try stages.opening.takeOpened() {
      units[unit.partition] = unit
      positions[unit.partition] = unit.position
    }
    // Whoever had them may have promised records in files, and not come to tell the group.
    if case .storage = arbiter, !positions.isEmpty { reader.epochCommitted(positions) }
  }

  /// Decides a batch, whose records are of one partition.
  private func take(
    _ batch: RecordBatch, _ position: InputPosition?, _ stages: Stages
  ) throws {
    guard let partition = batch.stretches.first?.partition else {
      return pool.give(batch)
    }
    // It is there before its first record, and may not have been looked at yet.
    try adoptOpened(stages)
    guard let unit = units[partition] else {
      throw JobError(.epochAborted, "records came of \(partition), whose state is not open")
    }
    if unit.mustCommitPlace {
      unit.isDirty = true
      try commitAll(stages)
    }
    var times: UnsafePointer<Int64>?
    if options.description.format.hasEventTime { unsafe times = keyTimes.gather(batch) }
    _ = try unsafe unit.dedup.process(
      batch.keys.view, times: times, into: batch.columns.decisions)
    try stages.output.submit(
      batch, router: unit.router, to: unit.outputs, path: options.topics?.name ?? "")
    unit.isDirty = true
    if let position { try move(to: position) }
    batchesSinceCut += 1
  }

  private func move(to position: InputPosition) throws {
    guard case .topics(let moved, let cluster) = position else { return }
    if case .brokers(let producer, _) = arbiter, producer.cluster != cluster {
      throw JobError(
        .failed,
        "topics are read from the cluster \"\(cluster)\" and written to \"\(producer.cluster)\": "
          + "a transaction is within one cluster")
    }
    for partition in moved.partitions {
      guard let unit = units[partition] else { continue }
      unit.metadata.setCluster(cluster)
      unit.position = moved[partition]
    }
  }

  private func take(_ change: GroupChange, _ stages: Stages) throws {
    reader.took(change)
    switch change {
    case .assigned(let partitions):
      tell(partitions, "assigned")
      stages.opening.want(partitions)
    case .revoked(let partitions):
      tell(partitions, "revoked")
      stages.opening.forget(partitions)
      try adoptOpened(stages)
      try commitAll(stages)
      for partition in partitions {
        guard let unit = units.removeValue(forKey: partition) else { continue }
        closed.counters.add(unit.router.counters)
        closed.rejectReasons.merge(unit.router.rejectReasons, uniquingKeysWith: +)
        try unit.close()
      }
      reader.release(partitions)
    case .lost:
      throw JobError(
        .epochAborted,
        "the group gave this instance's partitions to others, for it was not heard of in time")
    }
  }

  private func tell(_ partitions: [TopicPartition], _ what: String) {
    guard !partitions.isEmpty else { return }
    let names = partitions.sorted().map(\.description).joined(separator: ", ")
    environment.report(JobMessage(.information, "\(what): \(names)"))
  }

  // MARK: - Epochs

  private var isEpochDue: Bool {
    guard units.values.contains(where: \.isDirty) else { return false }
    if batchesSinceCut >= options.batchesPerEpochMax { return true }
    // One epoch commits the places of all that begin together.
    if stages?.opening.isStarting != true,
      units.values.contains(where: { $0.isDirty && $0.mustCommitPlace })
    {
      return true
    }
    let age = environment.clock.monotonicNanos() &- lastCutNanos
    return age / 1_000_000 >= UInt64(options.epochIntervalMillis)
  }

  /// Commits all that was decided, and waits for it.
  private func commitAll(_ stages: Stages) throws {
    try stages.committer.waitUntilIdle()
    guard units.values.contains(where: \.isDirty) else { return }
    try cutEpoch(stages)
    try stages.committer.waitUntilIdle()
  }

  private func cutEpoch(_ stages: Stages) throws {
    try stages.output.drain()
    let (tag, next) = (tag, EpochTag.random())
    var cuts: [PartitionCut] = []
    for unit in units.values.sorted(by: { $0.partition < $1.partition }) where unit.isDirty {
      if let cut = try unit.cut(tag) { cuts.append(cut) }
    }
    guard !cuts.isEmpty else { return }
    try transactions?.cut(next: next, hasOffsets: true)
    self.tag = next
    epochs += 1
    self.cuts.append((epochs, counters, rejectReasons))
    if self.cuts.count > 2 { self.cuts.removeFirst() }
    let work = PartitionsWork(
      transactions: transactions, reader: reader, storage: partitioning.storage,
      keeper: stages.keeper, tag: tag, cuts: cuts)
    stages.committer.begin(epochs) { try work.commit() }
    lastCutNanos = environment.clock.monotonicNanos()
    reporter.epochCut(at: lastCutNanos)
    batchesSinceCut = 0
  }

  // MARK: - What people are told

  /// Of this session, when the output is drained.
  private var counters: JobCounters {
    units.values.reduce(into: closed.counters) { $0.add($1.router.counters) }
  }

  private var rejectReasons: [String: UInt64] {
    units.values.reduce(into: closed.rejectReasons) {
      $0.merge($1.router.rejectReasons, uniquingKeysWith: +)
    }
  }

  private var stateKeys: UInt64 {
    units.values.reduce(0) { $0 + $1.dedup.keyspace.approximateEntryCount }
  }

  private func tick(_ stages: Stages) throws {
    try reporter.tick(
      stages.output.counters, keys: stateKeys,
      bytes: try StateDirectory(options, environment).bytes(), checkpointNanos: nil,
      lag: reader.lag, resources: resources(stages))
  }

  private func resources(_ stages: Stages) -> JobStatus.Resources {
    var resources = JobStatus.Resources()
    resources.rejectReasons = cuts.last?.rejectReasons ?? [:]
    resources.epoch = "\(epochs)"
    resources.epochNanos = stages.committer.lastNanos
    resources.memoryBytesMax = UInt64(options.memoryBudget)
    resources.residentBytes = ProcessStatistics.residentBytes
    return resources
  }

  private func report(ending end: SessionReport.End) -> SessionReport {
    let last = stages?.committer.committedEpoch ?? 0
    let cut = cuts.last { $0.epoch <= last }
    return SessionReport(
      end: end, counters: cut?.counters ?? JobCounters(),
      rejectReasons: cut?.rejectReasons ?? [:], epoch: "\(last)", checkpoint: nil,
      resumedFrom: nil, stateKeys: stateKeys, lag: reader.lag)
  }
}

/// What was cut of the partitions of an instance, on its way to durability and to the brokers.
private struct PartitionsWork: Sendable {
  let transactions: TransactionWriter?
  let reader: any GroupReader
  let storage: any CheckpointStorage
  let keeper: HandoverKeeper
  let tag: EpochTag
  let cuts: [PartitionCut]

  private static let threadsMax = 8

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
    for cut in cuts { try cut.unit.outputs.prepare(cut.outputs) }
    try transactions?.flush()
    // Mostly they wait for synchronisations and requests, which go side by side.
    let workers = try ShardWorkers(threads: min(cuts.count, Self.threadsMax) - 1)
    defer { workers.stop() }
    let made = try workers.map(cuts.count) { [cuts, tag, storage] index in
      try cuts[index].unit.commit(cuts[index], tag: tag, to: storage)
    }
    let partitions = cuts.map(\.unit.partition)
    let offsets = Dictionary(uniqueKeysWithValues: zip(partitions, made))
    try transactions?.commit(offsets, readBy: reader)
    for cut in cuts {
      if let id = cut.unit.publishedID { keeper.noteCommitted(id, of: cut.unit.store.identity) }
      try cut.unit.store.confirmEpoch()
      try cut.unit.outputs.publish(cut.outputs)
    }
    var positions = TopicPositions()
    for cut in cuts { positions[cut.unit.partition] = cut.position }
    reader.isDone(with: positions)
    if transactions == nil { reader.epochCommitted(positions) }
  }
}
