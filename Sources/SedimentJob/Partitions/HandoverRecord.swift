// What all instances of a job agree on, in the storage where they hand states over.
//
//   jobs/<first 16 digits of the SHA-256 of the group>/<generation, 12 digits>
//
//   record   `StorageRecord` of the kind `agreement`:
//            group (varint length, UTF-8) │ job (two u64) │ seed of hashes (16 bytes)
//            │ count u32, then topics: name (varint length, UTF-8) │ partitions u32
//            │ u8 whether a partition has a range of key groups
//
// The first instance puts the first one, and all others take it for theirs. States of one job have
// one seed, so that tables of some can become another's. A change of how many partitions there are
// is another generation, which is put when the states for it are there.
//
// Invariants
// 1. A generation is put once: of several who do, one succeeds.
// 2. The identity of a partition's state follows from the record alone.

internal import SedimentDedup
package import SedimentStore

/// See the file's header.
package struct HandoverRecord: Sendable, Equatable {
  /// The consumer group of the job.
  package var group: String
  /// Drawn once, for all generations.
  package var job: StoreIdentity
  /// Of the hashes of all states, drawn with it.
  package var seed: HashSeed
  /// 1, 2, …
  package var generation: UInt64
  /// How many partitions each topic has.
  package var partitions: [String: Int]
  /// Whether keys are in the partition whose range has their key group (`KeyGroupRange.split`),
  /// rather than where somebody else has put them.
  package var isByKeyGroup: Bool

  package init(
    group: String, job: StoreIdentity, seed: HashSeed, generation: UInt64,
    partitions: [String: Int], isByKeyGroup: Bool
  ) {
    self.group = group
    self.job = job
    self.seed = seed
    self.generation = generation
    self.partitions = partitions
    self.isByKeyGroup = isByKeyGroup
  }

  /// The last generation; `nil` before the first.
  package static func last(
    of group: String, in storage: any CheckpointStorage
  ) throws -> HandoverRecord? {
    let prefix = Self.prefix(of: group)
    let generations = try storage.list(prefix).compactMap { object -> UInt64? in
      guard let number = UInt64(object.key.dropFirst(prefix.count)),
        Self.key(of: group, number) == object.key
      else { return nil }
      return number
    }
    guard let generation = generations.max() else { return nil }
    return try read(generation, of: group, in: storage)
  }

  /// The generations before this one, the first one first.
  func former(in storage: any CheckpointStorage) throws -> [HandoverRecord] {
    try (1..<generation).compactMap { try Self.read($0, of: group, in: storage) }
  }

  private static func read(
    _ generation: UInt64, of group: String, in storage: any CheckpointStorage
  ) throws -> HandoverRecord? {
    let key = Self.key(of: group, generation)
    guard let bytes = try storage.read(key, 0..<UInt64(bytesMax)) else { return nil }
    return try HandoverRecord(bytes, key: key, generation: generation)
  }

  /// What the instances of a group agree on: what is there, or what this call puts.
  ///
  /// - Parameters:
  ///   - partitions: of the topics that are read, as they are now.
  ///   - isByKeyGroup: as the property.
  /// - Throws: `JobError` when there are more or fewer now, or keys are elsewhere.
  package static func agree(
    for group: String, partitions: [String: Int], isByKeyGroup: Bool,
    in storage: any CheckpointStorage
  ) throws -> HandoverRecord {
    let record =
      try last(of: group, in: storage)
      ?? first(of: group, partitions: partitions, isByKeyGroup: isByKeyGroup, in: storage)
    try record.require(partitions, isByKeyGroup)
    return record
  }

  /// What was there when the group began; `nil` when nothing says.
  static func first(of group: String, in storage: any CheckpointStorage) throws -> HandoverRecord? {
    try read(1, of: group, in: storage)
  }

  /// As `first(of:in:)`, but for a group that begins with this call.
  ///
  /// - Parameters: as of `agree`.
  package static func first(
    of group: String, partitions: [String: Int], isByKeyGroup: Bool,
    in storage: any CheckpointStorage
  ) throws -> HandoverRecord {
    if let first = try first(of: group, in: storage) { return first }
    let first = HandoverRecord(
      group: group, job: .random(), seed: .random(), generation: 1, partitions: partitions,
      isByKeyGroup: isByKeyGroup)
    if try first.put(in: storage) { return first }
    guard let other = try read(1, of: group, in: storage) else {
      throw JobError(.failed, "what others put in \(storage.location) is gone again")
    }
    return other
  }

  /// Puts it behind the generation before; false when somebody was faster.
  package func put(in storage: any CheckpointStorage) throws -> Bool {
    let key = Self.key(of: group, generation)
    return try storage.putIfAbsent(encoded(for: key), as: key)
  }

  /// Whether no later generation has been put.
  package func isLast(in storage: any CheckpointStorage) throws -> Bool {
    try Self.last(of: group, in: storage)?.generation == generation
  }

  /// Whether a partition was not there yet, whatever is read of it.
  func isAddedLater(_ partition: TopicPartition) -> Bool {
    Int(partition.partition) >= partitions[partition.topic] ?? 0
  }

  /// The identity of a partition's state.
  package func identity(of partition: TopicPartition) -> StoreIdentity {
    let text = "\(job) \(generation) \(partition.topic) \(partition.partition)"
    let digits = SHA256.digest(of: Array(text.utf8)).hexadecimal
    let halves = [digits.prefix(16), digits.dropFirst(16).prefix(16)].map {
      UInt64($0, radix: 16) ?? 0
    }
    return StoreIdentity(high: halves[0], low: halves[1])
  }

  /// Throws when topics have other numbers of partitions: equal keys may be in others by now.
  private func require(_ found: [String: Int], _ isByKeyGroup: Bool) throws(JobError) {
    guard isByKeyGroup == self.isByKeyGroup else {
      let (was, now) = ("--partitioned-by-key", "--repartition-by-key")
      throw JobError(
        .failed,
        "the states of the group \(group) are of a job with \(isByKeyGroup ? was : now): give the "
          + "same, or another --group")
    }
    for (topic, count) in found.sorted(by: { $0.key < $1.key }) {
      guard let known = partitions[topic] else {
        throw JobError(
          .failed,
          "topic \(topic) was not read by the group \(group) when it began: give another --group")
      }
      guard known == count else { throw hasOther(count, of: topic) }
    }
  }

  /// Why a partition cannot be read that was not there when the record was put.
  func hasMore(than partition: TopicPartition) -> JobError {
    hasOther(Int(partition.partition) + 1, of: partition.topic)
  }

  private func hasOther(_ count: Int, of topic: String) -> JobError {
    JobError(
      .failed,
      "topic \(topic) has \(count) partitions or more, and the states of the group \(group) are "
        + "those of \(partitions[topic] ?? 0): keys may be in other partitions now, so equal ones "
        + "would not be found; stop all instances, and make states for them with sediment rescale "
        + "kafka://…/\(topic) --group \(group)")
  }

  // MARK: - Coding

  /// What a topic's name may take, and numbers of topics that are possible.
  private static let bytesMax = 1 << 20

  private static func prefix(of group: String) -> String {
    "jobs/\(SHA256.digest(of: Array(group.utf8)).hexadecimal.prefix(16))/"
  }

  private static func key(of group: String, _ generation: UInt64) -> String {
    prefix(of: group) + FileNumber(generation).digits
  }

  private func encoded(for key: String) -> [UInt8] {
    StorageRecord.encode(.agreement, for: key) { writer in
      writer.writeString(group)
      writer.writeUInt64(job.high)
      writer.writeUInt64(job.low)
      writer.writeBytes(seed.bytes)
      writer.writeUInt32(UInt32(partitions.count))
      for (topic, count) in partitions.sorted(by: { $0.key < $1.key }) {
        writer.writeString(topic)
        writer.writeUInt32(UInt32(count))
      }
      writer.writeUInt8(isByKeyGroup ? 1 : 0)
    }
  }

  private init(_ bytes: [UInt8], key: String, generation: UInt64) throws {
    let (kind, payload) = try StorageRecord.open(bytes, key: key)
    guard kind == .agreement else {
      throw Corruption(
        file: key, offset: 4, what: "record", expected: "what instances agree on",
        found: "\(kind)")
    }
    self = try StorageRecord.decoding(payload, key) { reader throws(CodingError) in
      let group = try reader.readString()
      let job = StoreIdentity(high: try reader.readUInt64(), low: try reader.readUInt64())
      let seed = HashSeed(first: try reader.readUInt64(), second: try reader.readUInt64())
      var partitions: [String: Int] = [:]
      for _ in 0..<(try reader.readCount32(itemBytes: 5)) {
        let topic = try reader.readString()
        partitions[topic] = Int(try reader.readUInt32())
      }
      return HandoverRecord(
        group: group, job: job, seed: seed, generation: generation, partitions: partitions,
        isByKeyGroup: try reader.readFlag())
    }
  }
}
