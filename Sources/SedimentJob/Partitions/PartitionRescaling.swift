// Another number of partitions for a job that several instances share: the next generation of its
// states, made of those that there are. No instance runs meanwhile.
//
//   claim   every state of the present generation, at the epoch that happened: `CheckpointClaim`
//   look    the caller sees what is unread, and may end here
//   make    a first checkpoint for every partition of the next generation: `CheckpointUnion`
//           keys by group   ─▶ partition i has the i-th range of key groups, of the states that
//                              have a part of it
//           keys elsewhere  ─▶ no one knows where a key went: each has all states of its topic
//   look    nobody has published in between
//   agree   `HandoverRecord` of the next generation
//
// A crash before the last step leaves the present generation as it was, but for the claims, which
// an instance's next opening goes on from. The same call makes everything anew then: later
// checkpoints of the next generation's states count.
//
// A partition that there was goes on from its position, its totals, its outputs and its mark, by
// which the brokers know it. One that is new begins where the topic does.
//
// Invariants
// 1. The record of a generation is put when all its states can be restored.
// 2. A state of the next generation holds what its sources held when nobody could publish any more,
//    or the record is not put.

package import SedimentIO
package import SedimentStore

/// See the file's header.
package struct PartitionRescaling: Sendable {
  /// What a partition of the next generation was made of.
  package struct Part: Sendable, Equatable {
    package var partition: TopicPartition
    /// How many states it has something of.
    package var sources: Int
    /// What it refers to, all of which was copied within the storage.
    package var bytes: UInt64
  }

  /// The generation that there is.
  package let record: HandoverRecord
  private let storage: any CheckpointStorage
  private let clock: any Clock
  private var states: [TopicPartition: ClaimedState] = [:]

  /// A state that was claimed.
  private struct ClaimedState: Sendable {
    var claim: CheckpointClaim
    var metadata: JobMetadata
  }

  /// Claims the states of a group.
  ///
  /// - Parameter committed: what the group holds of the topics. Offsets that name an epoch say
  ///   which one happened; others say nothing.
  /// - Throws: `JobError` when there are none, and when what the group names is not there.
  package init(
    of group: String, in storage: any CheckpointStorage,
    committed: [TopicPartition: CommittedOffset], clock: any Clock = SystemClock()
  ) throws {
    guard let record = try HandoverRecord.last(of: group, in: storage) else {
      throw JobError(
        .failed, "\(storage.location) holds no states of the group \(group)")
    }
    self.record = record
    self.storage = storage
    self.clock = clock
    for partition in record.allPartitions {
      states[partition] = try claim(partition, committed[partition])
    }
  }

  /// Lets go of the claims, as far as what they protect is concerned.
  package func release() {
    for state in states.values { state.claim.release() }
  }

  // MARK: - Claiming

  private func claim(
    _ partition: TopicPartition, _ committed: CommittedOffset?
  ) throws -> ClaimedState? {
    let mark = committed.flatMap { OffsetMark($0.metadata) }
    let claim = try CheckpointClaim.take(
      record.identity(of: partition), in: storage, clock: clock
    ) { bytes in
      guard let mark else { return true }
      return try JobMetadata(decoding: bytes).mark?.tag == mark.tag
    }
    guard let claim else {
      guard mark == nil else {
        throw JobError(
          .failed,
          "the group \(record.group) names an epoch of \(partition) that \(storage.location) does "
            + "not hold")
      }
      return nil
    }
    let metadata = try JobMetadata(decoding: claim.info.metadata)
    try require(metadata, of: partition, isAt: committed, by: mark)
    return ClaimedState(claim: claim, metadata: metadata)
  }

  /// Throws when it cannot be told whether what was claimed happened.
  private func require(
    _ metadata: JobMetadata, of partition: TopicPartition, isAt committed: CommittedOffset?,
    by mark: OffsetMark?
  ) throws(JobError) {
    if mark != nil {
      guard let committed, committed.offset == metadata.topicPositions[partition] else {
        throw JobError(
          .failed,
          "the group \(record.group) is at another offset in \(partition) than the epoch that it "
            + "names: somebody has moved the offsets")
      }
      return
    }
    // Files are promised by the checkpoint itself; what topics hold is for the brokers to say.
    guard metadata.commitments.values.contains(where: { $0.promise == .topic }),
      metadata.totals.events > 0, metadata.mark?.isSettled == false
    else { return }
    throw JobError(
      .failed,
      "the group \(record.group) has no offset in \(partition) (they expire, or were removed), "
        + "and the last epoch there is not known to be committed: run the job once more with "
        + "--assume-committed or --assume-aborted, let it end, and rescale then")
  }

  // MARK: - What there is

  /// Where reading of each partition stands; those that were never read are left out.
  package var positions: TopicPositions {
    var positions = TopicPositions()
    for (partition, state) in states {
      positions[partition] = state.metadata.topicPositions[partition]
    }
    return positions
  }

  /// Bytes of all claimed states.
  package var bytes: UInt64 {
    states.values.reduce(0) { $0 &+ $1.claim.info.totalBytes }
  }

  // MARK: - Making

  /// Makes the next generation.
  ///
  /// - Parameters:
  ///   - partitions: how many the topics have; those that are not named stay as they are.
  ///   - made: told of every state that is there.
  /// - Throws: `JobError` when a topic was not read or would have fewer, and when somebody
  ///   published meanwhile.
  package func make(
    _ partitions: [String: Int], made: (Part) -> Void = { _ in }
  ) throws -> [Part] {
    var next = record
    next.generation += 1
    for (topic, count) in partitions.sorted(by: { $0.key < $1.key }) {
      guard let before = record.partitions[topic] else {
        throw JobError(.failed, "the group \(record.group) does not read the topic \(topic)")
      }
      guard count >= before else {
        throw JobError(
          .failed, "topic \(topic) has \(count) partitions, and had \(before): it was made anew")
      }
      next.partitions[topic] = count
    }
    var parts: [Part] = []
    var unions: [CheckpointUnion.Made] = []
    for partition in next.allPartitions {
      guard let union = try union(for: partition, in: next) else { continue }
      let published = try union.union.publish()
      unions.append(published)
      let part = Part(
        partition: partition, sources: union.sources, bytes: published.info.newBytes)
      made(part)
      parts.append(part)
    }
    guard try areLast(), try unions.allSatisfy({ try $0.isLast() }),
      try next.put(in: storage)
    else { throw Self.isAtWork }
    // Of the next generation somebody may be at work already.
    guard try areLast() else {
      throw JobError(
        .failed,
        "the states for the new partitions are there, and in the very moment an instance "
          + "published a state of before: stop it; what it wrote since comes out twice, and where "
          + "the brokers took it, the job refuses to go on")
    }
    return parts
  }

  /// Whether nobody has published behind the claims.
  private func areLast() throws -> Bool {
    try states.values.allSatisfy { try $0.claim.isLast() }
  }

  private static var isAtWork: JobError {
    JobError(
      .failed,
      "an instance of the job, or another rescaling, has published meanwhile: stop it, and rescale "
        + "again")
  }

  /// What becomes the state of a partition; `nil` when there is nothing yet.
  private func union(
    for partition: TopicPartition, in next: HandoverRecord
  ) throws -> (union: CheckpointUnion, sources: Int)? {
    let sources = sources(for: partition, in: next)
    guard !sources.isEmpty else { return nil }
    let metadata = try metadata(of: partition)
    return (
      try CheckpointUnion(
        of: sources, in: storage, as: next.identity(of: partition),
        behind: states.values.map(\.claim.sequence).max() ?? 0, metadata: metadata.encoded(),
        clock: clock), sources.count
    )
  }

  private func sources(
    for partition: TopicPartition, in next: HandoverRecord
  ) -> [CheckpointUnion.Source] {
    let before = record.partitions[partition.topic] ?? 0
    let after = next.partitions[partition.topic] ?? 0
    // Where the number is the same, keys have not moved.
    let isSame = before == after
    let old = KeyGroupRange.split(into: max(before, 1)).map(\.hashRange)
    let range = KeyGroupRange.split(into: max(after, 1))[Int(partition.partition)].hashRange
    return states.filter { $0.key.topic == partition.topic }.sorted { $0.key < $1.key }
      .compactMap { from, state -> CheckpointUnion.Source? in
        if isSame {
          return from == partition ? CheckpointUnion.Source(state.claim) : nil
        }
        guard record.isByKeyGroup else { return CheckpointUnion.Source(state.claim) }
        let own = old[Int(from.partition)]
        guard own.overlaps(range) else { return nil }
        return CheckpointUnion.Source(state.claim, range: own.clamped(to: range))
      }
  }

  /// What a state of the next generation knows of its job.
  private func metadata(of partition: TopicPartition) throws -> JobMetadata {
    if let state = states[partition] { return state.metadata }
    guard let other = states.min(by: { $0.key < $1.key })?.value.metadata else {
      throw JobError(.failed, "the group \(record.group) has no states")
    }
    var metadata = JobMetadata(description: other.description)
    // Nobody asks the brokers for it: nothing of it was decided.
    metadata.mark = .settled(.random())
    return metadata
  }
}

extension HandoverRecord {
  /// Every partition of every topic, in order.
  package var allPartitions: [TopicPartition] {
    partitions.flatMap { topic, count in
      (0..<count).map { TopicPartition(topic, Int32(clamping: $0)) }
    }.sorted()
  }
}
