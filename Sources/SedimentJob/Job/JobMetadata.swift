// What the store keeps of a job with every epoch: one blob in the epoch's manifest record, whose
// checksum covers it. So positions, keys and output become durable in one step.
//
//     u8 format version: 1, 2 where records come from topics, 3 where the brokers are the arbiter
//     version 3: u8 whether records come from topics; then what "topics" below says is there
//     description: string format, varint count × string key field, optional string key regex,
//                  optional string time field, string time unit, u8 key mode,
//                  i64 TTL in ms (0: forever), i64 allowed lateness in ms
//     topics: varint count × string topic, optional string id of the cluster, u8 where keys are
//                (0 value, 1 key, 2 header, then its name as a string), u8 whether times are those
//                of the records
//     u8 whether there is a CSV header, then its line with a varint length
//     totals: varint count × varint
//     3 × (u8 whether there is one, commitment with a varint length): output, duplicates, rejects
//     varint count × file position
//     topics: positions in topics
//     version 3: mark, 4 × i64
//
// Integers are little-endian, strings have a varint length. On disk: never renumber.

internal import SedimentStore

/// The job's part of an epoch.
package struct JobMetadata: Sendable, Equatable {
  /// What the job is.
  package var description: JobDescription
  /// The header of the CSV files so far.
  package var csvHeader: [UInt8]?
  /// Counters over all runs.
  package var totals = JobCounters()
  /// What the epoch promises about the outputs, by role.
  package var commitments: [OutputRole: SinkCommitment] = [:]
  /// Where reading of files stopped; the oldest first.
  package var positions: [FilePosition] = []
  /// Where reading of topics stopped.
  package var topicPositions = TopicPositions()
  /// What the brokers know the epoch by, where outputs are topics.
  package var mark: EpochMark?

  /// Bytes of positions: of the 16 MiB that an epoch keeps, all but 1 MiB for the rest. That is
  /// room for 130,000 files with paths of 60 bytes.
  package static let positionBytesMax = 15 << 20

  /// A job that has not begun.
  package init(description: JobDescription) {
    self.description = description
  }
}

extension JobMetadata {
  /// Takes the origin of a description for a state that holds no records yet. Where reading of the
  /// same topics was to begin stays.
  mutating func adoptOrigin(of other: JobDescription) {
    guard description.origin.topics?.topics != other.origin.topics?.topics else { return }
    description.origin = other.origin
    topicPositions = TopicPositions()
  }

  /// Says which cluster the topics are of.
  mutating func setCluster(_ cluster: String?) {
    guard var topics = description.origin.topics else { return }
    topics.cluster = cluster
    description.origin = .topics(topics)
  }
}

extension JobMetadata {
  private static let filesVersion: UInt8 = 1
  private static let topicsVersion: UInt8 = 2
  private static let markedVersion: UInt8 = 3

  /// The bytes for the epoch.
  package func encoded() -> [UInt8] {
    let topics = description.origin.topics
    var writer = ByteWriter(capacity: 1024 + positions.count * 160)
    if mark != nil {
      writer.writeUInt8(Self.markedVersion)
      writer.writeUInt8(topics == nil ? 0 : 1)
    } else {
      writer.writeUInt8(topics == nil ? Self.filesVersion : Self.topicsVersion)
    }
    description.encode(to: &writer)
    if let topics { description.encodeTopics(topics, to: &writer) }
    writer.writeUInt8(csvHeader == nil ? 0 : 1)
    if let csvHeader { writer.writeLengthPrefixed(csvHeader) }
    totals.encode(to: &writer)
    for role in OutputRole.allCases {
      writer.writeUInt8(commitments[role] == nil ? 0 : 1)
      if let commitment = commitments[role] {
        writer.writeLengthPrefixed(commitment.encoded())
      }
    }
    writer.writeVarint(UInt64(positions.count))
    for position in positions { position.encode(to: &writer) }
    if topics != nil { topicPositions.encode(to: &writer) }
    mark?.encode(to: &writer)
    return writer.bytes
  }

  /// Reads what `encoded()` wrote.
  ///
  /// - Throws: `JobError` when it was written by a newer version, or by something else.
  package init(decoding bytes: [UInt8]) throws(JobError) {
    do {
      self = try ByteReader.reading(bytes) { (reader) throws(CodingError) in
        try JobMetadata(from: &reader)
      }
    } catch {
      throw JobError(.failed, "what the state keeps about its job cannot be read: \(error)")
    }
  }

  private init(from reader: inout ByteReader) throws(CodingError) {
    let version = try reader.readUInt8()
    guard version >= Self.filesVersion, version <= Self.markedVersion else {
      throw .invalid(
        "it has format version \(version), and this build reads up to \(Self.markedVersion): "
          + "use a newer version of sediment")
    }
    let isMarked = version == Self.markedVersion
    let hasTopics = isMarked ? try reader.readFlag() : version == Self.topicsVersion
    description = try JobDescription(from: &reader)
    if hasTopics { try description.decodeTopics(from: &reader) }
    if try reader.readFlag() { csvHeader = try reader.readLengthPrefixed() }
    totals = try JobCounters(from: &reader)
    for role in OutputRole.allCases where try reader.readFlag() {
      let bytes = try reader.readLengthPrefixed()
      do throws(SinkError) {
        commitments[role] = try SinkCommitment(decoding: bytes)
      } catch {
        throw .invalid("\(error)")
      }
    }
    let count = try reader.readCount(itemBytes: FilePosition.encodedBytesMin)
    positions.reserveCapacity(count)
    for _ in 0..<count { positions.append(try FilePosition(from: &reader)) }
    if hasTopics { topicPositions = try TopicPositions(from: &reader) }
    if isMarked { mark = try EpochMark(from: &reader) }
    try reader.expectEnd()
  }
}
