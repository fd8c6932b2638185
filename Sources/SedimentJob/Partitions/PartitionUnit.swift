// One partition of a topic that is this instance's: its state and what was decided of it.

internal import SedimentDedup
internal import SedimentIO
package import SedimentStore

/// How a job shares its topics with other instances.
package struct Partitioning: Sendable {
  /// Where the states of partitions are handed over; all instances reach it.
  package var storage: any CheckpointStorage

  /// A job whose instances share a storage.
  package init(storage: any CheckpointStorage) {
    self.storage = storage
  }
}

/// See the file's header. The deciding thread's, but for what `commit` does.
// @unchecked because the committing thread calls `commit` while the deciding thread leaves the
// epoch that is committed alone.
final class PartitionUnit: @unchecked Sendable {
  let partition: TopicPartition
  let store: StateStore
  let dedup: Deduplicator
  let router: BatchRouter
  /// What the next epoch will say.
  var metadata: JobMetadata
  /// Something was decided or read since the last cut.
  var isDirty = false
  /// The brokers know nothing of the partition yet; see `JobSession.mustCommitPlace`.
  var mustCommitPlace: Bool
  private let totalsBefore: JobCounters
  /// Until this opening has published, what others published before does not count: the group gave
  /// the partition to us.
  private var hasPublished = false

  init(
    _ partition: TopicPartition, _ opening: OpenState, router: BatchRouter, isKnown: Bool
  ) {
    self.partition = partition
    self.router = router
    store = opening.store
    dedup = opening.dedup
    metadata = opening.metadata
    totalsBefore = opening.metadata.totals
    mustCommitPlace = !isKnown
  }

  /// Where reading stands; `nil` before it began.
  var position: Int64? {
    get { metadata.topicPositions[partition] }
    set {
      metadata.topicPositions[partition] = newValue
      isDirty = true
    }
  }

  /// Cuts the epoch that a transaction will name by `tag`. The output has been drained.
  func cut(_ tag: EpochTag) throws -> PendingEpoch {
    metadata.totals = totalsBefore
    metadata.totals.add(router.counters)
    metadata.mark = EpochMark(tag: tag, confirmed: metadata.mark?.tag ?? .random())
    isDirty = false
    mustCommitPlace = false
    return try store.beginEpoch(metadata: metadata.encoded())
  }

  /// Makes an epoch durable, here and where every other instance can read it.
  ///
  /// - Parameter position: that of the cut.
  /// - Returns: what the brokers are to keep.
  func commit(
    _ epoch: PendingEpoch, tag: EpochTag, position: Int64, to storage: any CheckpointStorage
  ) throws -> CommittedOffset {
    _ = try epoch.commit()
    let made: CheckpointInfo
    do throws(StoreError) {
      made = try store.checkpoint(to: storage, committing: false, supersedes: !hasPublished)
    } catch {
      guard error.code == .superseded else { throw error }
      throw JobError(.epochAborted, "\(partition) is another instance's by now")
    }
    hasPublished = true
    let mark = OffsetMark(job: "\(store.identity)", tag: tag, checkpoint: made.id)
    return CommittedOffset(offset: position, metadata: mark.description)
  }

  /// Closes the state. All that was decided is committed, or must be forgotten.
  func close() throws {
    try store.close()
  }
}
