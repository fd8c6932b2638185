// One partition of a topic that is this instance's: its state and what was decided of it.

internal import SedimentDedup
internal import SedimentIO
package import SedimentStore

/// How a job shares its topics with other instances.
package struct Partitioning: Sendable {
  /// Where the states of partitions are handed over; all instances reach it.
  package var storage: any CheckpointStorage
  /// The consumer group that gives the partitions.
  package var group: String
  /// As `HandoverRecord.isByKeyGroup`.
  package var isByKeyGroup: Bool
  /// Checkpoints of a state that stay there at least.
  package var retained = 3
  /// From one look at old checkpoints to the next.
  package var keepMillis: Int64 = 60_000
  /// How long a session goes on before states of former generations go.
  package var formerMillis: Int64 = 3_600_000

  /// A job whose instances share a storage.
  package init(storage: any CheckpointStorage, group: String, isByKeyGroup: Bool = false) {
    self.storage = storage
    self.group = group
    self.isByKeyGroup = isByKeyGroup
  }
}

/// Who says which epoch of a partition's state happened.
enum PartitionArbiter: Sendable {
  /// The brokers: a transaction commits records and offsets, which name the epoch.
  case brokers(any TopicProducer, CommittedOffsets)
  /// The storage: the last checkpoint of the state there, which promises the records in files.
  case storage
}

/// An epoch of a partition that was cut.
struct PartitionCut: Sendable {
  let unit: PartitionUnit
  let epoch: PendingEpoch
  let outputs: OutputCuts
  /// Where reading stood.
  let position: Int64
}

/// See the file's header. The deciding thread's, but for what `commit` does.
// @unchecked because the committing thread calls `commit` while the deciding thread leaves the
// epoch that is committed alone.
final class PartitionUnit: @unchecked Sendable {
  let partition: TopicPartition
  let store: StateStore
  let dedup: Deduplicator
  let router: BatchRouter
  /// Where its records go.
  let outputs: OutputSet
  /// What the next epoch will say.
  var metadata: JobMetadata
  /// Something was decided or read since the last cut.
  var isDirty = false
  /// Nobody knows yet where reading of the partition began; see `JobSession.mustCommitPlace`.
  var mustCommitPlace: Bool
  /// It was not there when the job began, and was never read.
  let isAdded: Bool
  private let totalsBefore: JobCounters
  /// Where the brokers are the arbiter, what others published does not count before this opening
  /// has published: the group gave the partition to us.
  private var supersedes: Bool
  /// The last checkpoint that this opening has published. The committing thread's.
  private(set) var publishedID: String?

  init(
    _ partition: TopicPartition, _ opening: OpenState, router: BatchRouter, outputs: OutputSet,
    mustCommitPlace: Bool, isAdded: Bool, supersedes: Bool
  ) {
    self.partition = partition
    self.router = router
    self.outputs = outputs
    self.mustCommitPlace = mustCommitPlace
    self.isAdded = isAdded
    self.supersedes = supersedes
    store = opening.store
    dedup = opening.dedup
    metadata = opening.metadata
    totalsBefore = opening.metadata.totals
  }

  /// Where reading stands; `nil` before it began.
  var position: Int64? {
    get { metadata.topicPositions[partition] }
    set {
      metadata.topicPositions[partition] = newValue
      isDirty = true
    }
  }

  /// Cuts an epoch, by the name of `tag`. The output has been drained.
  ///
  /// - Returns: `nil` before reading began.
  func cut(_ tag: EpochTag) throws -> PartitionCut? {
    guard let position else { return nil }
    let cuts = try outputs.cut()
    metadata.totals = totalsBefore
    metadata.totals.add(router.counters)
    metadata.mark = EpochMark(tag: tag, confirmed: metadata.mark?.tag ?? .random())
    metadata.commitments.merge(cuts.commitments) { _, new in new }
    isDirty = false
    mustCommitPlace = false
    let epoch = try store.beginEpoch(metadata: metadata.encoded())
    return PartitionCut(unit: self, epoch: epoch, outputs: cuts, position: position)
  }

  /// Makes an epoch durable, here and where every other instance can read it.
  ///
  /// - Returns: what the brokers are to keep, where they are the arbiter.
  func commit(
    _ cut: PartitionCut, tag: EpochTag, to storage: any CheckpointStorage
  ) throws -> CommittedOffset {
    _ = try cut.epoch.commit()
    let id = try publish(to: storage).info.id
    let mark = OffsetMark(job: "\(store.identity)", tag: tag, checkpoint: id)
    return CommittedOffset(offset: cut.position, metadata: mark.description)
  }

  /// Publishes the last epoch, which must be a confirmed one or the one to be.
  ///
  /// - Throws: `JobError` with the code `epochAborted` when the partition is another instance's.
  private func publish(
    to storage: any CheckpointStorage
  ) throws -> (info: CheckpointInfo, sequence: UInt64) {
    do throws(StoreError) {
      let made = try store.publishCheckpoint(
        to: storage, committing: false, supersedes: supersedes)
      supersedes = false
      publishedID = made.info.id
      return made
    } catch {
      guard error.code == .superseded else { throw error }
      throw JobError(.epochAborted, "\(partition) is another instance's by now")
    }
  }

  /// Where outputs are files: the last epoch, which lets go of them.
  func release(to storage: any CheckpointStorage) throws {
    metadata.commitments.merge(try outputs.release()) { _, new in new }
    metadata.mark = EpochMark(tag: .random(), confirmed: metadata.mark?.tag ?? .random())
    try store.commitEpoch(metadata: metadata.encoded())
    _ = try publish(to: storage)
    try store.confirmEpoch()
    try outputs.sweep()
  }

  /// Closes the state. All that was decided is committed, or must be forgotten.
  func close() throws {
    try store.close()
  }
}

extension OpenState {
  /// Takes a partition over, where the storage is the arbiter: publishes what was opened once more,
  /// behind the checkpoint that it was opened at. Whoever had the partition before can publish
  /// nothing from here on.
  ///
  /// - Returns: the number of the claim, which rises from one to the next; `nil` when somebody has
  ///   published in between.
  mutating func claim(in storage: any CheckpointStorage) throws -> UInt64? {
    let tag = EpochTag.random()
    metadata.mark = EpochMark(tag: tag, confirmed: metadata.mark?.tag ?? .random())
    try store.commitEpoch(metadata: metadata.encoded())
    do throws(StoreError) {
      let made = try store.publishCheckpoint(to: storage, committing: false, supersedes: false)
      try store.confirmEpoch()
      return made.sequence
    } catch {
      guard error.code == .superseded else { throw error }
      return nil
    }
  }
}
