package import SedimentIO

/// Reads a record log from its start; every record it gives was complete and unchanged.
package struct RecordLogReader {
  /// A record; the payload is the reader's buffer, copied out when kept.
  package struct Record {
    /// What the payload is; the log does not know.
    package var type: UInt8
    /// The bytes, whose checksum was right.
    package var payload: [UInt8]
    /// Where the record begins in the file.
    package var offset: UInt64
  }

  /// The id in the header, which seeds the checksums.
  package let fileID: UInt64
  private let file: any File
  private let name: String
  private let size: UInt64
  /// Where the next record begins; after the last one, the length of the good part.
  package private(set) var offset: UInt64
  /// Whether an acknowledgement has been passed: all before it was durable once.
  package private(set) var hasAcknowledgement = false

  /// Opens and checks the header.
  ///
  /// - Parameters:
  ///   - fileID: what the manifest says; `nil` to accept any.
  /// - Throws: `FileError`, `Corruption`, or `UnsupportedFormat`.
  package init(
    directory: any Directory, name: String, kind: RecordLogFormat.Kind, fileID: UInt64?
  ) throws {
    self.name = name
    file = try directory.openFile(name, .read)
    size = try file.size()
    let header = try Self.read(file, at: 0, count: RecordLogFormat.headerBytes)
    guard header.count == RecordLogFormat.headerBytes else {
      throw Corruption(
        file: name, offset: 0, what: "length", expected: "\(RecordLogFormat.headerBytes) or more",
        found: "\(header.count)")
    }
    let fields = try Self.parse(header: header, name: name)
    guard fields.kind == kind.rawValue else {
      throw Corruption(
        file: name, offset: 12, what: "kind of log", expected: UInt64(kind.rawValue),
        found: UInt64(fields.kind))
    }
    if let fileID, fileID != fields.fileID {
      throw Corruption(
        file: name, offset: 16, what: "file id", expected: fileID, found: fields.fileID)
    }
    self.fileID = fields.fileID
    offset = UInt64(RecordLogFormat.headerBytes)
  }

  private static func parse(
    header: [UInt8], name: String
  ) throws -> (kind: UInt32, fileID: UInt64) {
    let fields = try ByteReader.reading(header) { reader throws(CodingError) in
      (
        magic: try reader.readUInt64(), version: try reader.readUInt32(),
        kind: try reader.readUInt32(), fileID: try reader.readUInt64(),
        checksum: try reader.readUInt64()
      )
    }
    guard fields.magic == RecordLogFormat.magic else {
      throw Corruption(
        file: name, offset: 0, what: "magic", expected: RecordLogFormat.magic, found: fields.magic)
    }
    let checksum = Checksum.of(
      Array(header.prefix(24)), seed: Checksum.seed(fileID: fields.fileID, place: 0))
    guard checksum == fields.checksum else {
      throw Corruption(
        file: name, offset: 24, what: "header checksum", expected: checksum, found: fields.checksum)
    }
    let newest = RecordLogFormat.Kind(rawValue: fields.kind)?.version ?? 1
    guard (1...newest).contains(fields.version) else {
      throw UnsupportedFormat(
        file: name, version: UInt64(fields.version), supported: UInt64(newest))
    }
    return (fields.kind, fields.fileID)
  }

  /// The next record.
  ///
  /// - Parameters:
  ///   - committedLength: how much of the log must be whole.
  ///   - stopsThere: whether what lies behind that length is left alone.
  /// - Returns: `nil` at the end, or at a torn tail behind `committedLength`.
  /// - Throws: `Corruption` for a bad record that is no torn tail.
  package mutating func next(
    committedLength: UInt64, stopsThere: Bool = false
  ) throws -> Record? {
    // An acknowledgement may be the last of what counts.
    while !stopsThere || offset < committedLength {
      guard let record = try read(at: offset) ?? checkTail(committedLength: committedLength)
      else { return nil }
      offset += UInt64(RecordLogFormat.recordBytes(payload: record.payload.count))
      if record.type != RecordLogFormat.acknowledgementType { return record }
      hasAcknowledgement = true
    }
    return nil
  }

  /// The next record that is whole, whatever is damaged before it: for saving what is left of a
  /// log.
  ///
  /// - Parameter skipped: grows by the bytes that were passed over, but for zeros at the end, which
  ///   a writer leaves there.
  package mutating func nextWhole(passingOver skipped: inout UInt64) throws(FileError) -> Record? {
    var zeroBytes: UInt64 = 0
    while offset < size {
      guard let record = try read(at: offset) else {
        let step = min(UInt64(RecordLogFormat.alignment), size - offset)
        let bytes = try Self.read(file, at: offset, count: Int(step))
        offset += step
        if bytes.allSatisfy({ $0 == 0 }) {
          zeroBytes += step
        } else {
          skipped += zeroBytes + step
          zeroBytes = 0
        }
        continue
      }
      skipped += zeroBytes
      zeroBytes = 0
      offset += UInt64(RecordLogFormat.recordBytes(payload: record.payload.count))
      if record.type != RecordLogFormat.acknowledgementType { return record }
    }
    return nil
  }

  /// Throws unless the bad record at `offset` is the end of the file or a torn tail.
  ///
  /// - Returns: the record, where it is good by now: a writer at work may have written it and its
  ///   acknowledgement, in that order, since it was read.
  private func checkTail(committedLength: UInt64) throws -> Record? {
    guard offset < max(size, committedLength) else { return nil }
    if try offset < committedLength || isAcknowledged(after: offset) {
      if let record = try read(at: offset) { return record }
      throw Corruption(
        file: name, offset: offset, what: "record", expected: "a whole record",
        found: "a damaged one")
    }
    return nil
  }

  /// The record at an offset, or `nil` where no whole one is.
  private func read(at place: UInt64) throws(FileError) -> Record? {
    guard place <= size, size - place >= UInt64(RecordLogFormat.frameBytes) else { return nil }
    let frame = try Self.read(file, at: place, count: RecordLogFormat.frameBytes)
    guard frame.count == RecordLogFormat.frameBytes else { return nil }
    let checksum = Self.word(frame, at: 0)
    let second = Self.word(frame, at: 8)
    let length = Int(UInt32(truncatingIfNeeded: second))
    guard second >> 40 == 0, length <= RecordLogFormat.payloadBytesMax,
      UInt64(length) <= size - place - UInt64(RecordLogFormat.frameBytes)
    else { return nil }
    let body = try Self.read(
      file, at: place + 8, count: RecordLogFormat.frameBytes - 8 + length)
    guard Checksum.of(body, seed: Checksum.seed(fileID: fileID, place: place)) == checksum else {
      return nil
    }
    return Record(
      type: UInt8(truncatingIfNeeded: second >> 32), payload: Array(body.dropFirst(8)),
      offset: place)
  }

  /// Whether an acknowledgement lies behind a bad record, which was complete once then.
  ///
  /// Other records prove nothing: of several that no synchronisation followed, power loss may keep
  /// the later ones.
  private func isAcknowledged(after bad: UInt64) throws(FileError) -> Bool {
    let alignment = RecordLogFormat.alignment
    var place = bad + UInt64(alignment)
    while place < size {
      let piece = try Self.read(file, at: place, count: Self.scanBytes)
      var index = 0
      while index + RecordLogFormat.frameBytes <= piece.count {
        if Self.word(piece, at: index + 8) == Self.acknowledgementWord,
          try read(at: place + UInt64(index)) != nil
        {
          return true
        }
        index += alignment
      }
      if piece.count < Self.scanBytes { return false }
      place += UInt64(index)
    }
    return false
  }

  /// The second word of an acknowledgement: no payload, its type, zeros.
  private static let acknowledgementWord = UInt64(RecordLogFormat.acknowledgementType) << 32
  /// Bytes read at a time in search of acknowledgements.
  private static let scanBytes = 1 << 18

  private static func word(_ bytes: [UInt8], at index: Int) -> UInt64 {
    (0..<8).reduce(0) { $0 | UInt64(bytes[index + $1]) << (8 * UInt64($1)) }
  }

  private static func read(
    _ file: any File, at offset: UInt64, count: Int
  ) throws(FileError) -> [UInt8] {
    var answer: Result<Int, FileError> = .success(0)
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      do throws(FileError) {
        // SAFETY: a file says no more than it has filled.
        filled = try unsafe file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset)
      } catch {
        answer = .failure(error)
      }
    }
    _ = try answer.get()
    return bytes
  }
}
