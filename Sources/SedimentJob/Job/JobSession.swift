// One opening of a job's state, from recovery to the last epoch.
//
// Recovery goes in one order, whatever ended the session before:
//
//   0. where outputs are topics, ask the brokers which epoch they took (`TransactionOpening`)
//   1. open the store: its lock, and the state of the last durable epoch, or of that one
//   2. read the job's metadata of that epoch, and compare it with what is asked for
//   3. outputs: show what the epoch promises, drop all else
//   4. inputs: begin where the epoch stopped
//   5. commit an epoch: it makes new outputs this state's own, before they are written
//
// Then batches are taken in the order of the input, decided, written, and every now and then an
// epoch is cut between two batches.
//
// Invariants
// 1. Positions, state and output of an epoch are of the same prefix of the input.
// 2. The sinks are cut when everything decided so far has been written.
//
// Concurrency: one thread runs a session; it owns an `InputStage`, an `OutputStage` and an
// `EpochCommitter`.

internal import SedimentDedup
internal import SedimentIO
internal import SedimentStore

/// What one opening of a state made durable, and how it ended.
struct SessionReport {
  /// How a session ends.
  enum End {
    /// All input was read.
    case finished
    /// The job was asked to stop.
    case stopped
    case failed(any Error)
  }

  var end: End
  /// Of the session, as of its last durable epoch.
  var counters: JobCounters
  /// The same of the reasons for rejects.
  var rejectReasons: [String: UInt64]
  /// The last durable epoch.
  var epoch: String
  /// The last local checkpoint that the session made.
  var checkpoint: String?
  /// The epoch that it went on from; `nil` for new state.
  var resumedFrom: String?
  /// Entries in the state.
  var stateKeys: UInt64
  /// How far reading of topics was behind.
  var lag: TopicLag?
}

/// One opening of a job's state. Used once, by one thread.
final class JobSession {
  private let options: JobOptions
  private let environment: JobEnvironment
  private let control: JobControl

  private let store: StateStore
  private let dedup: Deduplicator
  private let outputs: OutputSet
  private let checkpoints: CheckpointKeeper?
  private let router: BatchRouter
  private let keyTimes = KeyTimes()
  private let memory: BatchMemory
  private let pool: RecordBatchPool
  private let reporter: ProgressReporter

  /// What the next epoch will say.
  private var metadata: JobMetadata
  private let totalsBefore: JobCounters
  private var positions: PositionTable
  private let plan: InputPlan
  /// Reads topics, when there are no files.
  private let topics: (any TopicReader)?
  /// Writes topics, when some of the outputs are.
  private let transactions: TransactionWriter?
  /// Names what is decided from the last cut on; `nil` without transactions.
  private var tag: EpochTag?
  /// The brokers know nothing of this job. What they know must be told apart from that before a
  /// first record is decided: so where reading stands is committed before.
  private var mustCommitPlace = false
  /// Where reading of topics begins is durable only with an epoch, which is cut at once.
  private var mustKeepStart: Bool
  private var header: CSVHeader?
  private let resumedFrom: String?

  private var lastCutNanos: UInt64 = 0
  private var batchesSinceCut = 0
  private var isDirty = false
  private var hasDecided = false

  /// What was counted when an epoch was cut.
  private struct Cut {
    var epoch: UInt64
    var counters: JobCounters
    var rejectReasons: [String: UInt64]
  }
  /// Of the last two epochs: the older one is durable, the younger one may be.
  private var cuts: [Cut] = []
  private var committer: EpochCommitter?

  init(
    _ options: JobOptions, in environment: JobEnvironment, control: JobControl
  ) throws {
    self.options = options
    self.environment = environment
    self.control = control
    environment.status?.enter(.starting)
    let opened = try TransactionOpening(options, environment, control).open()
    let opening: OpenState
    do {
      opening = try StateOpening(options, environment).open(at: opened?.choice)
    } catch {
      opened?.producer.close()
      throw error
    }
    let firstTag = EpochTag.random()
    tag = opened.map { _ in firstTag }
    // What was assumed once must not be assumed of an epoch that decides something.
    let isKnown = opened.map { !$0.committed.isEmpty && options.commitAssumption == nil } ?? true
    mustCommitPlace = !isKnown && options.topics != nil
    transactions = opened.map {
      TransactionWriter(
        $0.producer, tag: firstTag, clock: environment.clock,
        waitingBytesMax: options.transactionWaitingBytesMax)
    }
    store = opening.store
    dedup = opening.dedup
    metadata = opening.metadata
    resumedFrom = opening.resumedFrom
    totalsBefore = opening.metadata.totals
    do {
      outputs = try OutputSet(
        options.targets, in: environment.fileSystem, standardOutput: environment.standardOutput,
        store: store, format: options.description.format.kind, rollBytes: options.rollBytes,
        transactions: transactions)
      if let header = opening.metadata.csvHeader { outputs.setHeader(header) }
      for (sink, recovery) in try outputs.recover(opening.metadata.commitments) {
        for text in recovery.notices(of: sink) { environment.report(text) }
      }
      plan = try InputPlan(
        options.sources, positions: opening.metadata.positions, follows: options.follows,
        in: environment.inputs)
      positions = try PositionTable(
        opening.metadata.positions, inputs: plan.inputs.map(\.source.path))
      topics = try Self.openTopics(options, environment, opening.metadata)
      mustKeepStart = opening.metadata.topicPositions.isEmpty
    } catch {
      opened?.producer.close()
      try? opening.store.close()
      throw error
    }
    checkpoints = CheckpointKeeper(store: store, options, environment)
    // All old names first: files may have changed theirs with each other.
    for move in plan.moves { positions.remove(move.oldPath) }
    for move in plan.moves { positions.set(move.position) }
    header = metadata.csvHeader.map { CSVHeader(line: $0) }
    router = BatchRouter(
      missingKey: options.missingKey, learns: options.learns,
      writesRejects: options.targets[.rejects] != nil)
    memory = BatchMemory(options)
    pool = RecordBatchPool(
      keptMax: memory.batchesMax, batchBytesMax: memory.chunkBytes * 4)
    let isEndless = options.follows || options.topics != nil
    reporter = ProgressReporter(environment, inputs: isEndless ? nil : plan.inputs)
  }

  /// Runs to the end of the input, or until the job is asked to stop.
  ///
  /// An input that cannot be read on ends the job after what was read before is durable. A failure
  /// is part of the report, for what was durable before it counts.
  func run() -> SessionReport {
    var report: SessionReport
    do {
      report = self.report(ending: try runToEnd())
    } catch {
      var reason = error
      // What waited for an epoch that failed fails with it, and knows no more than that.
      if case SinkError.epochAborted = error { reason = committer?.reason ?? error }
      report = self.report(ending: .failed(reason))
    }
    do {
      try store.close()
    } catch {
      if case .failed = report.end {
        environment.report(JobMessage(.detail, "closing the state after a failure: \(error)"))
      } else {
        report.end = .failed(error)
      }
    }
    return report
  }

  private func runToEnd() throws -> SessionReport.End {
    announce()
    let stages = try startStages()
    control.setWake { stages.input.wake() }
    defer {
      control.setWake(nil)
      stages.input.stop()
      stages.output.stop()
      stages.committer.stop()
      transactions?.close()
      // A worker may wait for a stream for ever; files must be let go of before a replay.
      if !readsStreams { stages.input.waitUntilStopped() }
      topics?.close()
    }
    try cutEpoch(stages)
    // A file is not written before a durable epoch owns it.
    try stages.committer.waitUntilIdle()
    environment.status?.enter(.running)
    let end = try decideAll(stages)
    environment.status?.enter(.ending)
    stages.input.stop()
    try finish(stages)
    return end
  }

  /// The threads beside the deciding one.
  private struct Stages {
    let input: InputStage
    let output: OutputStage
    let committer: EpochCommitter
  }

  private func startStages() throws -> Stages {
    let input = try makeInputStage()
    do {
      let output = try OutputStage(pool: pool)
      do {
        let committer = try EpochCommitter(clock: environment.clock) { input.wake() }
        self.committer = committer
        return Stages(input: input, output: output, committer: committer)
      } catch {
        output.stop()
        throw error
      }
    } catch {
      input.stop()
      throw error
    }
  }

  /// The name of the input with a source index, for messages.
  private func inputName(_ index: Int) -> String {
    options.topics?.name ?? plan.inputs[index].source.path
  }

  private static func openTopics(
    _ options: JobOptions, _ environment: JobEnvironment, _ metadata: JobMetadata
  ) throws -> (any TopicReader)? {
    guard let topics = options.topics, let origin = metadata.description.origin.topics else {
      return nil
    }
    let memory = BatchMemory(options)
    return try topics.open(
      TopicStart(
        origin: origin, positions: metadata.topicPositions,
        limits: BatchLimits(recordsMax: memory.recordsMax, chunkBytes: memory.chunkBytes),
        format: options.description.format, passesOn: options.topicOutput != nil,
        writesLines: options.writesLines, clock: environment.clock, report: environment.report))
  }

  private var readsStreams: Bool { options.sources.contains(where: \.isStream) }

  private func makeInputStage() throws -> InputStage {
    let limits = BatchLimits(
      recordsMax: memory.recordsMax, chunkBytes: memory.chunkBytes, aheadBytes: memory.aheadBytes)
    let format = options.description.format
    let report = environment.report
    let notify = { report(JobMessage(.information, $0)) }
    let reader: any InputReader
    if let topics {
      reader = topics
    } else if options.follows {
      reader = FollowingReader(
        plan.inputs, in: environment.inputs, format: format, limits: limits,
        clock: environment.clock, notify: notify)
    } else {
      reader = SequentialReader(
        plan.inputs, in: environment.inputs, format: format, limits: limits,
        standardInput: environment.standardInput(), notify: notify)
    }
    return try InputStage(
      reader, format: format,
      paths: options.topics.map { [$0.name] } ?? plan.inputs.map(\.source.path),
      workers: options.parallelism, pool: pool, waitingBytesMax: memory.waitingBytesMax)
  }

  // MARK: - The deciding thread

  private func decideAll(_ stages: Stages) throws -> SessionReport.End {
    while true {
      if control.isStopping { return .stopped }
      // While no input comes nothing is submitted, and nobody else would see a failed write.
      try stages.output.requireSound()
      if batchesSinceCut >= options.batchesPerEpochMax { try stages.committer.waitUntilIdle() }
      let isIdle = try stages.committer.isIdle()
      if isIdle, isDirty, isEpochDue { try cutEpoch(stages) }
      try reporter.tick(
        stages.output.counters, keys: dedup.keyspace.approximateEntryCount,
        bytes: try StateDirectory(options, environment).bytes(),
        checkpointNanos: checkpoints?.lastNanos, lag: topics?.lag, resources: resources(stages))
      switch stages.input.take(waitingNanos: Self.waitNanos) {
      case nil: continue
      case .records(let batch, let position):
        if mustCommitPlace { try commitPlace(stages) }
        try decide(batch)
        try stages.output.submit(
          batch, router: router, to: outputs, path: inputName(batch.sourceIndex))
        if let position { try move(to: position) }
        batchesSinceCut += 1
        isDirty = true
        hasDecided = true
      case .moved(let position):
        try move(to: position)
        isDirty = true
      // Whatever the group did, what was read is this state's: nobody else commits for the job.
      case .group(let change): topics?.took(change)
      case .ended: return .finished
      case .failed(let error): return .failed(error)
      }
    }
  }

  private func resources(_ stages: Stages) -> JobStatus.Resources {
    var resources = JobStatus.Resources()
    // Of what was cut: the others belong to the thread that writes.
    resources.rejectReasons = cuts.last?.rejectReasons ?? [:]
    resources.store = store.statistics
    resources.epoch = "\(store.lastEpoch.id)"
    resources.epochNanos = stages.committer.lastNanos
    resources.transactionNanos = transactions?.ageNanos
    resources.memoryBytesMax = UInt64(options.memoryBudget)
    resources.filterBytes = UInt64(max(store.filterBytesInUse, 0))
    resources.filterBytesMax = UInt64(store.filterBytesMax)
    resources.residentBytes = ProcessStatistics.residentBytes
    // A figure that cannot be had is none.
    resources.availableBytes = try? StateDirectory(options, environment).availableBytes()
    return resources
  }

  /// How long the deciding thread waits for input before it looks at the clock again.
  private static let waitNanos: UInt64 = 100_000_000

  private func move(to position: InputPosition) throws(JobError) {
    switch position {
    case .file(let position): positions.set(position)
    case .topics(let moved, let cluster):
      if let written = transactions?.producer.cluster, written != cluster {
        throw JobError(
          .failed,
          "topics are read from the cluster \"\(cluster)\" and written to \"\(written)\": a "
            + "transaction is within one cluster")
      }
      metadata.topicPositions.merge(moved)
      metadata.setCluster(cluster)
    }
  }

  private func decide(_ batch: RecordBatch) throws {
    if let found = batch.header { try take(found, of: batch) }
    var times: UnsafePointer<Int64>?
    if options.description.format.hasEventTime {
      unsafe times = keyTimes.gather(batch)
    }
    _ = try unsafe dedup.process(batch.keys.view, times: times, into: batch.columns.decisions)
  }

  /// The first header heads the outputs; others must name the same columns.
  private func take(_ found: CSVHeader, of batch: RecordBatch) throws {
    guard found !== header else { return }
    if let header {
      do {
        try found.requireColumns(of: header)
      } catch {
        throw SourceError.format(path: inputName(batch.sourceIndex), error)
      }
    } else {
      metadata.csvHeader = found.line
      outputs.setHeader(found.line)
    }
    header = found
  }

  // MARK: - Epochs

  private var isEpochDue: Bool {
    if batchesSinceCut >= options.batchesPerEpochMax { return true }
    if mustKeepStart, !metadata.topicPositions.isEmpty { return true }
    let age = environment.clock.monotonicNanos() &- lastCutNanos
    return age / 1_000_000 >= UInt64(options.epochIntervalMillis)
  }

  /// Commits where reading stands, and waits for it.
  private func commitPlace(_ stages: Stages) throws {
    try stages.committer.waitUntilIdle()
    isDirty = true
    try cutEpoch(stages)
    try stages.committer.waitUntilIdle()
    mustCommitPlace = false
  }

  private func cutEpoch(_ stages: Stages) throws {
    try stages.output.drain()
    let cuts = try outputs.cut()
    let offsets = try cutTransaction()
    let epoch = try store.beginEpoch(metadata: encodedMetadata(cuts.commitments))
    self.cuts.append(
      Cut(
        epoch: epoch.epoch, counters: router.counters, rejectReasons: router.rejectReasons))
    if self.cuts.count > 2 { self.cuts.removeFirst() }
    let work = EpochWork(
      store: store, outputs: outputs, checkpoints: checkpoints, topics: topics,
      transactions: transactions, epoch: epoch, cuts: cuts,
      topicPositions: metadata.topicPositions, offsets: offsets)
    stages.committer.begin(epoch.epoch) { try work.commit() }
    if !metadata.topicPositions.isEmpty { mustKeepStart = false }
    lastCutNanos = environment.clock.monotonicNanos()
    reporter.epochCut(at: lastCutNanos)
    batchesSinceCut = 0
    isDirty = false
  }

  /// Ends the transaction of the epoch that is cut; what the brokers are to keep with it.
  ///
  /// The epoch before is committed: nothing is cut while it is not. An epoch that moved nothing has
  /// no transaction and keeps the tag of the one before; it makes outputs the state's own.
  private func cutTransaction() throws -> [TopicPartition: CommittedOffset] {
    guard let transactions, let tag else { return [:] }
    let confirmed = metadata.mark?.tag
    metadata.totals = totals
    let positions = options.committedPositions(of: metadata)
    // Before the group has given partitions out, which something that came from them shows, its
    // offsets are not ours to commit.
    guard isDirty || options.topics == nil, !positions.isEmpty else {
      metadata.mark = .settled(confirmed ?? .random())
      return [:]
    }
    mustCommitPlace = false
    metadata.mark = EpochMark(tag: tag, confirmed: confirmed ?? .random())
    let text = OffsetMark(job: "\(store.identity)", tag: tag).description
    let next = EpochTag.random()
    try transactions.cut(next: next, hasOffsets: true)
    self.tag = next
    return positions.mapValues { CommittedOffset(offset: $0, metadata: text) }
  }

  /// Of all runs up to now, when the output is drained.
  private var totals: JobCounters {
    var totals = totalsBefore
    totals.add(router.counters)
    return totals
  }

  /// The caller has drained the output, so that the counters are those of the positions.
  private func encodedMetadata(_ commitments: [OutputRole: SinkCommitment]) -> [UInt8] {
    metadata.positions = positions.all
    metadata.totals = totals
    // An output that is not asked for any more is complete; its numbering goes on if it comes back.
    metadata.commitments.merge(commitments) { _, new in new }
    return metadata.encoded()
  }

  /// The last epoch with records, then the one that lets go of the outputs.
  private func finish(_ stages: Stages) throws {
    try stages.committer.waitUntilIdle()
    if isDirty {
      try cutEpoch(stages)
      try stages.committer.waitUntilIdle()
    }
    if let mark = metadata.mark { metadata.mark = .settled(mark.tag) }
    try store.commitEpoch(metadata: encodedMetadata(try outputs.release()))
    try store.confirmEpoch()
    if hasDecided { checkpoints?.make() }
  }
}

// MARK: - What people are told

extension JobSession {
  private func announce() {
    for notice in plan.notices { environment.report(JobMessage(.information, notice)) }
    guard let resumedFrom else {
      environment.report(JobMessage(.information, "new state in \(options.statePath)"))
      return
    }
    let keys = Figure.count(dedup.keyspace.approximateEntryCount)
    environment.report(
      JobMessage(
        .information, "resumed \(options.statePath) at epoch \(resumedFrom), \(keys) keys"))
    for input in plan.inputs where input.offset > 0 {
      environment.report(
        JobMessage(
          .detail, "\(input.source.path): going on at byte \(input.offset), line \(input.line)"))
    }
  }

  /// What the session made durable; all its threads have ended.
  private func report(ending end: SessionReport.End) -> SessionReport {
    let durable = store.lastEpoch.id
    // What the brokers did not take is durable, and never happened.
    let last = transactions == nil ? durable.epoch : committer?.committedEpoch ?? 0
    let cut = cuts.last { $0.epoch <= last }
    return SessionReport(
      end: end, counters: cut?.counters ?? JobCounters(),
      rejectReasons: cut?.rejectReasons ?? [:], epoch: "\(durable)",
      checkpoint: checkpoints?.lastID, resumedFrom: resumedFrom,
      stateKeys: dedup.keyspace.approximateEntryCount, lag: topics?.lag)
  }
}

extension SinkRecovery {
  /// What recovery did, for a person.
  func notices(of sink: any Sink) -> [JobMessage] {
    var notices: [JobMessage] = []
    for name in taken {
      notices.append(
        JobMessage(.information, "\(sink.path)/\(name) was promised and is gone: taken by a reader")
      )
    }
    if !published.isEmpty {
      notices.append(JobMessage(.detail, "\(sink.path): \(published.count) promised parts shown"))
    }
    if !removed.isEmpty {
      notices.append(
        JobMessage(.detail, "\(sink.path): \(removed.count) parts of a lost epoch removed"))
    }
    if bytesCut > 0 {
      notices.append(
        JobMessage(.detail, "\(sink.path): \(bytesCut) bytes of a lost epoch cut off"))
    }
    return notices
  }
}
