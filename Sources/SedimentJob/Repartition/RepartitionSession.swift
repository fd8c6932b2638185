// One opening of the stage that brings records with one key into one partition of a topic.
//
//   reader ─▶ batches of one partition each ─▶ KeyPartitioner ─▶ TransactionWriter
//     │ assigned ─▶ OpeningThread: committed offset ─▶ the reader begins there
//     │ revoked  ─▶ an epoch of all that was read ─▶ release
//     │ lost     ─▶ the session fails as after an abort: nothing that was read may be committed
//
// An epoch is one transaction: the records, and the offsets behind them. There is no state: whoever
// comes next goes on from the offsets.
//
// Invariants
// 1. A transaction holds just the records between the offsets before it and its own.
// 2. A partition is released when nothing of it is unwritten or uncommitted.
// 3. Where reading of a partition began is committed before the first of its records.
//
// Concurrency: one thread runs a session and writes; an `EpochCommitter` commits.

internal import SedimentIO
internal import SedimentStore
internal import Synchronization

/// See the file's header. Used once, by one thread.
final class RepartitionSession {
  /// Where reading of a partition stands.
  private struct Place {
    var next: Int64
    /// The brokers do not know.
    var isDirty: Bool
    /// They know nothing of the partition.
    var isNew: Bool
  }

  /// A partition whose reading begins.
  private struct Opened: Sendable {
    var partition: TopicPartition
    var next: Int64
    var isNew: Bool
  }

  /// The threads beside the deciding one.
  private struct Stages {
    let input: InputStage
    let committer: EpochCommitter
    let opening: OpeningThread<Opened>
  }

  private let options: JobOptions
  private let repartitioning: Repartitioning
  private let environment: JobEnvironment
  private let control: JobControl
  private let directory: InstanceDirectory
  private let producer: any TopicProducer
  private let transactions: TransactionWriter
  private let reader: any GroupReader
  private let partitioner: KeyPartitioner
  private let pool: RecordBatchPool
  private let memory: BatchMemory
  /// Called with the records of every epoch that was committed.
  private let onCommit: @Sendable (UInt64) -> Void

  private var places: [TopicPartition: Place] = [:]
  private var indices: [UInt32] = []
  private var lastCutNanos: UInt64 = 0
  private var batchesSinceCut = 0
  private var recordsSinceCut: UInt64 = 0
  private var epochs: UInt64 = 0

  /// Readers wait for the end of a transaction, and there is nothing to be had from a longer one.
  static let epochMillisMax: Int64 = 1000
  /// Its directory in that of the job.
  static let directoryName = "repartition"

  /// - Parameters:
  ///   - partitioner: for this session alone.
  ///   - onReader: called with the reader, whose lag may be asked for until the next one.
  ///   - onCommit: called with the number of records of every epoch that was committed.
  init(
    _ options: JobOptions, _ repartitioning: Repartitioning, by partitioner: KeyPartitioner,
    in environment: JobEnvironment, control: JobControl,
    onReader: (any GroupReader) -> Void, onCommit: @escaping @Sendable (UInt64) -> Void
  ) throws {
    self.options = options
    self.repartitioning = repartitioning
    self.environment = environment
    self.control = control
    self.onCommit = onCommit
    self.partitioner = partitioner
    memory = BatchMemory(options)
    pool = RecordBatchPool(keptMax: memory.batchesMax, batchBytesMax: memory.chunkBytes * 4)
    directory = try InstanceDirectory(
      PathName.join(options.statePath, Self.directoryName), in: environment.fileSystem)
    do {
      producer = try repartitioning.output.open(
        TopicOutputStart(
          epochMillis: min(options.epochIntervalMillis, Self.epochMillisMax),
          instance: directory.name, report: environment.report,
          isStopping: { control.isStopping }))
    } catch {
      directory.close()
      throw error
    }
    transactions = TransactionWriter(
      producer, tag: .random(), clock: environment.clock,
      waitingBytesMax: options.transactionWaitingBytesMax)
    do {
      reader = try repartitioning.topics.openShare(Self.start(options, memory, environment))
    } catch {
      producer.close()
      directory.close()
      throw error
    }
    onReader(reader)
  }

  private static func start(
    _ options: JobOptions, _ memory: BatchMemory, _ environment: JobEnvironment
  ) -> TopicStart {
    var format = options.description.format
    // What is too long is for the next stage to reject, and goes there whole.
    format.recordBytesMax = Self.recordBytesMax
    return TopicStart(
      origin: TopicOrigin([]), positions: TopicPositions(),
      limits: BatchLimits(recordsMax: memory.recordsMax, chunkBytes: memory.chunkBytes),
      format: format, passesOn: true, writesLines: false, clock: environment.clock,
      report: environment.report)
  }

  /// Longer than librdkafka sends any.
  private static let recordBytesMax = 1 << 30

  /// Runs to the end of the input, or until the stage is asked to stop.
  ///
  /// - Throws: `JobError.Code.epochAborted` when another session is to go on from the committed
  ///   offsets.
  func run() throws -> SessionReport.End {
    defer {
      transactions.close()
      directory.close()
    }
    let stages: Stages
    do {
      stages = try startStages()
    } catch {
      reader.close()
      throw error
    }
    control.setWake { stages.input.wake() }
    defer {
      control.setWake(nil)
      stages.input.stop()
      stages.committer.stop()
      stages.input.waitUntilStopped()
      // Whoever opens a partition asks brokers for as long as the reader is open.
      reader.close()
      stages.opening.stop()
    }
    do {
      let end = try writeAll(stages)
      stages.input.stop()
      try commitAll(stages)
      return end
    } catch SinkError.epochAborted(let reason) {
      // What waited for an epoch that failed fails with it, and knows no more than that.
      throw stages.committer.reason ?? SinkError.epochAborted(reason)
    }
  }

  private func startStages() throws -> Stages {
    let input = try InputStage(
      reader, format: options.description.format, paths: [repartitioning.topics.name],
      workers: ProcessStatistics.processorCount, pool: pool,
      waitingBytesMax: memory.waitingBytesMax)
    do {
      let committer = try EpochCommitter(clock: environment.clock) { input.wake() }
      do {
        let opening = try startOpening { input.wake() }
        return Stages(input: input, committer: committer, opening: opening)
      } catch {
        committer.stop()
        throw error
      }
    } catch {
      input.stop()
      input.waitUntilStopped()
      throw error
    }
  }

  // MARK: - Opening a partition

  private func startOpening(
    onOpened: @escaping @Sendable () -> Void
  ) throws -> OpeningThread<Opened> {
    let (producer, reader, environment) = (producer, reader, environment)
    let group = repartitioning.output.group
    let storage = options.partitioning?.storage
    return try OpeningThread(name: "sediment-open", onOpened: onOpened) { partition, handOver in
      let committed = try producer.committed([partition.topic])[partition]
      let place = try RepartitionMark.place(committed, of: partition, group: group)
      var next: Int64?
      var isAdded = false
      switch place {
      case .none:
        // The group of this stage has no states, but agrees on how many partitions there were.
        guard let storage else { break }
        let first = try HandoverRecord.first(
          of: group, partitions: reader.partitionCounts, isByKeyGroup: true, in: storage)
        isAdded = first.isAddedLater(partition)
      case .ours(let offset): next = offset
      case .set(let offset):
        next = offset
        environment.report(
          JobMessage(
            .warning,
            "\(partition): going on at offset \(offset), which somebody has set for the group "
              + "\(group)"))
      }
      _ = try reader.begin(partition, at: next, isAdded: isAdded) { offset in
        environment.report(
          JobMessage(.detail, "\(partition): repartitioning from offset \(offset)"))
        handOver(Opened(partition: partition, next: offset, isNew: place != .ours(offset)))
      }
    }
  }

  /// Takes over what was opened. A place is there before its first record.
  private func takeOpened(_ stages: Stages) throws {
    for opened in try stages.opening.takeOpened() {
      places[opened.partition] = Place(
        next: opened.next, isDirty: opened.isNew, isNew: opened.isNew)
    }
  }

  // MARK: - The deciding thread

  private static let waitNanos: UInt64 = 100_000_000

  private func writeAll(_ stages: Stages) throws -> SessionReport.End {
    while true {
      if control.isStopping { return .stopped }
      environment.status?.beatStageBefore()
      try takeOpened(stages)
      if batchesSinceCut >= options.batchesPerEpochMax { try stages.committer.waitUntilIdle() }
      if try stages.committer.isIdle(), isEpochDue { try cutEpoch(stages) }
      switch stages.input.take(waitingNanos: Self.waitNanos) {
      case nil: continue
      case .records(let batch, let position): try take(batch, position, stages)
      case .moved(let position): try move(to: position)
      case .group(let change): try take(change, stages)
      case .ended:
        // Where nothing came the place is remembered, too.
        try takeOpened(stages)
        return .finished
      case .failed(let error): throw error
      }
    }
  }

  /// Writes a batch, whose records are of one partition.
  private func take(
    _ batch: RecordBatch, _ position: InputPosition?, _ stages: Stages
  ) throws {
    guard let partition = batch.stretches.first?.partition else { return pool.give(batch) }
    try takeOpened(stages)
    guard let place = places[partition] else {
      throw JobError(.epochAborted, "records came of \(partition), which is not this instance's")
    }
    if place.isNew { try commitAll(stages) }
    partitioner.route(batch, from: partition.partition)
    try write(batch)
    recordsSinceCut += UInt64(batch.count)
    pool.give(batch)
    if let position { try move(to: position) }
    batchesSinceCut += 1
  }

  /// All records of a batch, in order.
  private func write(_ batch: RecordBatch) throws {
    while indices.count < batch.count { indices.append(UInt32(indices.count)) }
    let (transactions, path) = (transactions, repartitioning.topics.name)
    try unsafe indices.withUnsafeBufferPointer { indices in
      try unsafe transactions.write(
        batch, indices: UnsafeBufferPointer(rebasing: indices.prefix(batch.count)), role: .output,
        path: path)
    }
  }

  private func move(to position: InputPosition) throws {
    guard case .topics(let moved, let cluster) = position else { return }
    guard producer.cluster == cluster else {
      throw JobError(
        .failed,
        "topics are read from the cluster \"\(cluster)\" and written to \"\(producer.cluster)\": "
          + "a transaction is within one cluster")
    }
    for partition in moved.partitions {
      guard let next = moved[partition] else { continue }
      places[partition]?.next = next
      places[partition]?.isDirty = true
    }
  }

  private func take(_ change: GroupChange, _ stages: Stages) throws {
    reader.took(change)
    switch change {
    case .assigned(let partitions):
      tell(partitions, "to be repartitioned")
      stages.opening.want(partitions)
    case .revoked(let partitions):
      tell(partitions, "not to be repartitioned any more")
      stages.opening.forget(partitions)
      try takeOpened(stages)
      try commitAll(stages)
      for partition in partitions { places[partition] = nil }
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
    guard places.values.contains(where: \.isDirty) else { return false }
    if batchesSinceCut >= options.batchesPerEpochMax { return true }
    if places.values.contains(where: \.isNew) { return true }
    let age = environment.clock.monotonicNanos() &- lastCutNanos
    return age / 1_000_000 >= UInt64(min(options.epochIntervalMillis, Self.epochMillisMax))
  }

  /// Commits all that was written, and waits for it.
  private func commitAll(_ stages: Stages) throws {
    try stages.committer.waitUntilIdle()
    guard places.values.contains(where: \.isDirty) else { return }
    try cutEpoch(stages)
    try stages.committer.waitUntilIdle()
  }

  private func cutEpoch(_ stages: Stages) throws {
    var offsets: [TopicPartition: CommittedOffset] = [:]
    for (partition, place) in places where place.isDirty {
      offsets[partition] = CommittedOffset(offset: place.next, metadata: RepartitionMark.text)
      places[partition]?.isDirty = false
      places[partition]?.isNew = false
    }
    guard !offsets.isEmpty else { return }
    try transactions.cut(next: .random(), hasOffsets: true)
    epochs += 1
    let work = RepartitionWork(
      transactions: transactions, reader: reader, offsets: offsets, records: recordsSinceCut,
      onCommit: onCommit)
    stages.committer.begin(epochs) { try work.commit() }
    lastCutNanos = environment.clock.monotonicNanos()
    batchesSinceCut = 0
    recordsSinceCut = 0
  }
}

/// What was cut, on its way to the brokers.
private struct RepartitionWork: Sendable {
  let transactions: TransactionWriter
  let reader: any GroupReader
  let offsets: [TopicPartition: CommittedOffset]
  let records: UInt64
  let onCommit: @Sendable (UInt64) -> Void

  func commit() throws {
    do {
      try transactions.flush()
      try transactions.commit(offsets, readBy: reader)
    } catch {
      // Whoever writes may wait for the end of this transaction, which will not come.
      transactions.giveUp()
      throw error
    }
    onCommit(records)
  }
}
