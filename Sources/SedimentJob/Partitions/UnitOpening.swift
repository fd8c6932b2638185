// Opens the state of one partition that the group gave, at the epoch that happened.
//
//   brokers  ─▶ stable offsets of the group ─┐
//   storage  ─▶ last checkpoint there ───────┴▶ its tag: in the state here? else restore ─▶ open
//            └─▶ claim: publish behind it, or begin anew ─▶ outputs: show what it promises
//     ─▶ the reader begins at its position
//
// The directory of the job holds one state a partition, `<topic>-<number>`. One that is not what
// the arbiter names is of an earlier time, when the partition was ours before: it is removed, and
// made anew from the storage. So is one of another generation, by whose name the brokers may know a
// partition still: the state that was made of it has the same tag.

internal import SedimentDedup
internal import SedimentIO
internal import SedimentStore

/// See the file's header.
struct UnitOpening: Sendable {
  let options: JobOptions
  let environment: JobEnvironment
  let partitioning: Partitioning
  let record: HandoverRecord
  let arbiter: PartitionArbiter
  /// Where the brokers are the arbiter: the outputs of all partitions.
  let outputs: OutputSet?

  /// How often a claim is tried.
  private static let claimsMax = 16

  /// Opens a partition's state.
  ///
  /// - Parameter restoring: called when it is to come from the storage, which may take a while.
  func open(
    _ partition: TopicPartition, restoring: () -> Void
  ) throws -> PartitionUnit {
    guard partition.partition < record.partitions[partition.topic] ?? 0 else {
      throw record.hasMore(than: partition)
    }
    switch arbiter {
    case .brokers(_, let offsets):
      return try unit(
        partition,
        try openAtOffsets(partition, try offsets.committed(of: partition), restoring))
    case .storage:
      for _ in 0..<Self.claimsMax {
        if let unit = try claimed(partition, restoring) { return unit }
      }
      throw JobError(
        .epochAborted, "\(partition): other instances publish its state time and again")
    }
  }

  /// The options of the partition's own state.
  private func options(of partition: TopicPartition) -> JobOptions {
    var options = options
    options.statePath = Self.path(of: partition, in: options.statePath)
    return options
  }

  private func localEpochs(_ partition: TopicPartition) throws -> [LocalEpoch] {
    try TransactionOpening.localEpochs(
      options(of: partition), environment, positions: { Self.positions(of: partition, in: $0) })
  }

  private func open(_ partition: TopicPartition, at choice: EpochChoice) throws -> OpenState {
    try StateOpening(options(of: partition), environment).open(
      at: choice, making: (record.identity(of: partition), record.seed))
  }

  private var router: BatchRouter {
    BatchRouter(
      missingKey: options.missingKey, learns: options.learns,
      writesRejects: options.targets[.rejects] != nil)
  }

  // MARK: - The brokers say

  private func openAtOffsets(
    _ partition: TopicPartition, _ committed: [TopicPartition: CommittedOffset],
    _ restoring: () -> Void
  ) throws -> (state: OpenState, isKnown: Bool) {
    let group = partitioning.group
    try removeOtherGeneration(partition)
    let epochs = try localEpochs(partition)
    let choice: EpochChoice
    if let mark = committed[partition].flatMap({ OffsetMark($0.metadata) }),
      !epochs.contains(where: { $0.mark?.tag == mark.tag })
    {
      let checkpoint = try checkpoint(named: mark, partition)
      restoring()
      try restore(partition, of: checkpoint.identity, id: checkpoint.id)
      choice = try EpochChoice.decide(
        epochs: try localEpochs(partition), committed: committed, group: group, assumption: nil)
    } else {
      if committed.isEmpty, epochs.isEmpty { try restoreNewest(partition) }
      choice = try EpochChoice.decide(
        epochs: try localEpochs(partition), committed: committed, group: group,
        assumption: options.commitAssumption)
    }
    // As in `JobSession`: what was assumed once must not be assumed again.
    let isKnown = !committed.isEmpty && options.commitAssumption == nil
    return (try open(partition, at: choice), isKnown)
  }

  /// The checkpoint that offsets name.
  private func checkpoint(
    named mark: OffsetMark, _ partition: TopicPartition
  ) throws -> (identity: StoreIdentity, id: String) {
    guard let checkpoint = mark.checkpoint, let identity = StoreIdentity(mark.job) else {
      throw JobError(
        .failed,
        "the group \(record.group) names an epoch of \(partition) that was committed by a job "
          + "without checkpoint storage: give another --group")
    }
    let own = record.identity(of: partition)
    guard record.generation > 1, identity != own else { return (identity, checkpoint) }
    // Nothing was committed since the number of partitions changed.
    let made = try CheckpointInfo.all(of: own, in: partitioning.storage).first {
      try JobMetadata(decoding: $0.metadata).mark?.tag == mark.tag
    }
    guard let made else {
      throw JobError(
        .failed,
        "the group \(record.group) names an epoch of \(partition) that the states for the "
          + "present partitions were not made of: an instance of before has gone on meanwhile; "
          + "give another --group")
    }
    return (own, made.id)
  }

  /// Where the brokers know nothing of a partition, its offsets may have expired, or states of
  /// another generation have had its keys: it is new only if the storage knows nothing either.
  private func restoreNewest(_ partition: TopicPartition) throws {
    let identity = record.identity(of: partition)
    guard let newest = try CheckpointInfo.newest(of: identity, in: partitioning.storage) else {
      return
    }
    try restore(partition, of: identity, id: newest.id)
  }

  private func unit(
    _ partition: TopicPartition, _ opened: (state: OpenState, isKnown: Bool)
  ) throws -> PartitionUnit {
    guard let outputs else { preconditionFailure("topics are written by all partitions together") }
    return PartitionUnit(
      partition, opened.state, router: router, outputs: outputs,
      mustCommitPlace: !opened.isKnown, isAdded: try isAdded(partition, opened.state.metadata),
      supersedes: true)
  }

  // MARK: - The storage says

  /// `nil` when somebody else has published meanwhile.
  private func claimed(
    _ partition: TopicPartition, _ restoring: () -> Void
  ) throws -> PartitionUnit? {
    var state = try openAtCheckpoint(partition, record.identity(of: partition), restoring)
    do {
      guard let claim = try state.claim(in: partitioning.storage) else {
        try state.store.close()
        // Whatever it holds, what it publishes does not count.
        try StateDirectory.remove(
          Self.path(of: partition, in: options.statePath), in: environment.fileSystem)
        return nil
      }
      // Whoever makes another generation has looked at the states' last checkpoints before.
      guard try record.isLast(in: partitioning.storage) else {
        throw JobError(
          .epochAborted, "\(partition) has another state by now, for other numbers of partitions")
      }
      let outputs = try OutputSet(
        of: partition, options.targets, in: environment.fileSystem, job: record.job,
        writerEpoch: claim, format: options.description.format.kind,
        rollBytes: options.rollBytes)
      for (sink, recovery) in try outputs.recover(state.metadata.commitments) {
        for text in recovery.notices(of: sink) { environment.report(text) }
      }
      return PartitionUnit(
        partition, state, router: router, outputs: outputs,
        mustCommitPlace: state.metadata.topicPositions[partition] == nil,
        isAdded: try isAdded(partition, state.metadata), supersedes: false)
    } catch {
      try state.store.close()
      throw error
    }
  }

  private func openAtCheckpoint(
    _ partition: TopicPartition, _ identity: StoreIdentity, _ restoring: () -> Void
  ) throws -> OpenState {
    let path = Self.path(of: partition, in: options.statePath)
    try removeOtherGeneration(partition)
    guard let newest = try CheckpointInfo.newest(of: identity, in: partitioning.storage) else {
      // What is here was never published: it decided nothing that counts.
      try StateDirectory.remove(path, in: environment.fileSystem)
      return try open(partition, at: .begin)
    }
    let tag = try JobMetadata(decoding: newest.metadata).mark?.tag
    if tag != nil, let here = try localEpochs(partition).last(where: { $0.mark?.tag == tag }) {
      return try open(partition, at: .open(here.number))
    }
    restoring()
    try restore(partition, of: identity, id: newest.id)
    guard let made = try localEpochs(partition).last else {
      throw JobError(.failed, "\(path): the checkpoint \(newest.id) holds no epoch")
    }
    return try open(partition, at: .open(made.number))
  }

  // MARK: - Both

  /// Whether a partition was never read, and not there when the job began: it has come since, with
  /// the states of a later generation.
  private func isAdded(_ partition: TopicPartition, _ metadata: JobMetadata) throws -> Bool {
    guard record.generation > 1, metadata.topicPositions[partition] == nil else { return false }
    // Where nothing says what was there, reading all of it loses nothing.
    return try HandoverRecord.first(of: record.group, in: partitioning.storage)?
      .isAddedLater(partition) ?? true
  }

  /// Removes a state that is here and of another generation.
  private func removeOtherGeneration(_ partition: TopicPartition) throws {
    guard record.generation > 1 else { return }
    let path = Self.path(of: partition, in: options.statePath)
    guard try environment.fileSystem.existingDirectory(at: path) != nil,
      let here = try StateStore.identity(at: path, fileSystem: environment.fileSystem),
      here != record.identity(of: partition)
    else { return }
    try StateDirectory.remove(path, in: environment.fileSystem)
  }

  /// Makes the state of a partition from a checkpoint.
  private func restore(
    _ partition: TopicPartition, of identity: StoreIdentity, id: String
  ) throws {
    let path = Self.path(of: partition, in: options.statePath)
    try StateDirectory.remove(path, in: environment.fileSystem)
    let start = environment.clock.monotonicNanos()
    // Where the storage is the arbiter, what was published since counts.
    let made = try StateStore.restore(
      from: partitioning.storage, of: identity, id: id, to: path, supersedes: outputs != nil,
      fileSystem: environment.fileSystem, clock: environment.clock)
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
