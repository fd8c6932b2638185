// What an epoch remembers of an output. The bytes go into the epoch's metadata, whose checksum
// covers them.
//
//     u8 format version (2; 1 has no tail; 3 for topics), u8 kind: 0 standard output, 1 parts,
//     2 file, 3 topic;
//     u8 released, string path
//     parts: u64 output id, u64 writer epoch, u64 next sequence, string extension,
//            u32 count, count × (u64 sequence, u64 bytes)
//     file:  u64 device, u64 inode, u64 committed bytes, u32 tail bytes, u64 tail hash
//
// Integers are little-endian; a string is a u32 length and UTF-8. On disk: never renumber.

/// A promise about one output, kept in the state.
package struct SinkCommitment: Sendable, Equatable {
  /// What is promised, by kind of output.
  package enum Promise: Sendable, Equatable {
    /// Nothing: what was printed cannot be taken back.
    case standardOutput
    /// A directory of parts.
    case parts(PartsPromise)
    /// A file that holds `bytes` bytes of ours, the last of which are `tail`; `nil` when there are
    /// none, or the commitment is of a version without.
    case file(device: UInt64, inode: UInt64, bytes: UInt64, tail: TailHash? = nil)
    /// A topic: its brokers keep what they were promised.
    case topic
  }

  /// The output's path when the promise was made, for messages.
  package var path: String
  /// Whether all of it was visible when it was made, so that another output may follow.
  package var isReleased: Bool
  /// What is promised.
  package var promise: Promise

  /// A commitment; sinks make them, tests too.
  package init(path: String, isReleased: Bool, promise: Promise) {
    self.path = path
    self.isReleased = isReleased
    self.promise = promise
  }
}

/// The parts that an epoch promises, and where the next one goes on.
package struct PartsPromise: Sendable, Equatable {
  /// A part that may still have its temporary name.
  package struct Part: Sendable, Equatable {
    /// Its place in the output.
    package var sequence: UInt64
    /// Its exact size.
    package var bytes: UInt64

    /// A part of `bytes` bytes.
    package init(sequence: UInt64, bytes: UInt64) {
      self.sequence = sequence
      self.bytes = bytes
    }
  }

  /// Which directory: a random number kept in it and here.
  package var outputID: UInt64
  /// Who wrote the parts below.
  package var writerEpoch: UInt64
  /// The number of the next part.
  package var nextSequence: UInt64
  /// Without its dot.
  package var fileExtension: String
  /// In rising order.
  package var parts: [Part]

  /// A promise of `parts`.
  package init(
    outputID: UInt64, writerEpoch: UInt64, nextSequence: UInt64, fileExtension: String,
    parts: [Part]
  ) {
    self.outputID = outputID
    self.writerEpoch = writerEpoch
    self.nextSequence = nextSequence
    self.fileExtension = fileExtension
    self.parts = parts
  }
}

extension SinkCommitment {
  private static let formatVersion: UInt8 = 2
  private static let topicVersion: UInt8 = 3

  /// The bytes for an epoch's metadata.
  package func encoded() -> [UInt8] {
    var writer = CommitmentWriter()
    writer.put(promise == .topic ? Self.topicVersion : Self.formatVersion)
    switch promise {
    case .standardOutput: writer.put(UInt8(0))
    case .parts: writer.put(UInt8(1))
    case .file: writer.put(UInt8(2))
    case .topic: writer.put(UInt8(3))
    }
    writer.put(UInt8(isReleased ? 1 : 0))
    writer.put(path)
    switch promise {
    case .standardOutput, .topic: break
    case .parts(let parts):
      writer.put(parts.outputID)
      writer.put(parts.writerEpoch)
      writer.put(parts.nextSequence)
      writer.put(parts.fileExtension)
      writer.put(UInt32(parts.parts.count))
      for part in parts.parts {
        writer.put(part.sequence)
        writer.put(part.bytes)
      }
    case .file(let device, let inode, let bytes, let tail):
      writer.put(device)
      writer.put(inode)
      writer.put(bytes)
      writer.put(UInt32(tail?.bytes ?? 0))
      writer.put(tail?.hash ?? 0)
    }
    return writer.bytes
  }

  /// Reads what `encoded()` wrote; `SinkError.damagedCommitment` for anything else.
  package init(decoding bytes: [UInt8]) throws(SinkError) {
    var reader = CommitmentReader(bytes: bytes)
    let version = try reader.integer(UInt8.self)
    guard (1...Self.topicVersion).contains(version) else {
      throw .damagedCommitment("format version \(version), expected up to \(Self.topicVersion)")
    }
    let kind = try reader.integer(UInt8.self)
    let released = try reader.integer(UInt8.self)
    guard released <= 1 else { throw .damagedCommitment("released is \(released)") }
    isReleased = released == 1
    path = try reader.string()
    switch kind {
    case 0: promise = .standardOutput
    case 1: promise = .parts(try PartsPromise(reading: &reader))
    case 2:
      promise = .file(
        device: try reader.integer(), inode: try reader.integer(), bytes: try reader.integer(),
        tail: version == 1 ? nil : try TailHash(reading: &reader))
    case 3 where version == Self.topicVersion: promise = .topic
    default: throw .damagedCommitment("unknown kind \(kind)")
    }
    guard reader.rest == 0 else { throw .damagedCommitment("\(reader.rest) bytes too many") }
  }

  /// Throws `otherOutput` unless another output may follow this one.
  func requireReleased(given: String) throws(SinkError) {
    guard isReleased else { throw .otherOutput(promised: path, given: given) }
  }
}

extension TailHash {
  /// `nil` when no bytes are hashed.
  fileprivate init?(reading reader: inout CommitmentReader) throws(SinkError) {
    let bytes = UInt64(try reader.integer(UInt32.self))
    let hash = try reader.integer(UInt64.self)
    guard bytes <= FileIdentity.hashedBytesMax else {
      throw .damagedCommitment("a tail has \(bytes) bytes")
    }
    guard bytes > 0 else { return nil }
    self.init(bytes: bytes, hash: hash)
  }
}

extension PartsPromise {
  fileprivate init(reading reader: inout CommitmentReader) throws(SinkError) {
    outputID = try reader.integer()
    writerEpoch = try reader.integer()
    nextSequence = try reader.integer()
    guard nextSequence <= PartName.sequenceMax else {
      throw .damagedCommitment("the next part would be number \(nextSequence)")
    }
    fileExtension = try reader.string()
    let count = Int(try reader.integer(UInt32.self))
    // Checked before memory is taken.
    guard count <= reader.rest / 16 else { throw .damagedCommitment("\(count) parts do not fit") }
    parts = []
    parts.reserveCapacity(count)
    for _ in 0..<count {
      let part = Part(sequence: try reader.integer(), bytes: try reader.integer())
      guard part.sequence < nextSequence, parts.last.map({ $0.sequence < part.sequence }) ?? true
      else { throw .damagedCommitment("part \(part.sequence) is out of order") }
      parts.append(part)
    }
    guard PartName.isValid(fileExtension: fileExtension) else {
      throw .damagedCommitment("'\(fileExtension)' is no file extension")
    }
  }
}

private struct CommitmentWriter {
  var bytes: [UInt8] = []

  mutating func put(_ value: some FixedWidthInteger & UnsignedInteger) {
    for place in 0..<(value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: value >> (place * 8)))
    }
  }

  mutating func put(_ text: String) {
    put(UInt32(text.utf8.count))
    bytes += text.utf8
  }
}

private struct CommitmentReader {
  let bytes: [UInt8]
  var next = 0

  init(bytes: [UInt8]) {
    self.bytes = bytes
  }

  var rest: Int { bytes.count - next }

  mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
    _: Value.Type = Value.self
  ) throws(SinkError) -> Value {
    let width = Value.bitWidth / 8
    guard rest >= width else { throw .damagedCommitment("it ends after \(bytes.count) bytes") }
    var value: Value = 0
    for place in 0..<width {
      value |= Value(truncatingIfNeeded: bytes[next + place]) << (place * 8)
    }
    next += width
    return value
  }

  mutating func string() throws(SinkError) -> String {
    let count = Int(try integer(UInt32.self))
    guard rest >= count else { throw .damagedCommitment("it ends after \(bytes.count) bytes") }
    guard let text = String(validating: bytes[next..<(next + count)], as: UTF8.self) else {
      throw .damagedCommitment("a text is not UTF-8")
    }
    next += count
    return text
  }
}
