// What a checkpoint says, and the names of a checkpoint directory.
//
//   DIR/objects/<number>-<file id>.sst            a table
//   DIR/objects/<number>-<file id>-<length>.log   a log; its first <length> bytes count
//   DIR/<checkpoint id>.checkpoint                a record log of kind checkpoint with one record:
//
//   payload   version u8 │ created i64 (ms) │ the state, as in a manifest's snapshot
//
// The id of a checkpoint, `chk-<epoch, 12 digits>-<writer epoch, 6 digits>-<16 hex digits>`, ends
// with the first 8 bytes of the payload's SHA-256, which is also the record log's file id: a
// manifest under another's name is refused, and no two checkpoints have one name.
//
// A file id is drawn at random when a file is made, so the name of an object says what is in it:
// stores that were restored from one checkpoint may share the directory.

package import SedimentIO

/// The content of a checkpoint's manifest.
package struct CheckpointManifest: Hashable, Sendable {
  /// Milliseconds since 1970; later than that of any checkpoint made before in the same directory.
  package var createdMillis: Int64
  package var state: StoreState

  /// On disk: raised when what is written changes.
  package static let version: UInt8 = 1
  package static let recordType: UInt8 = 1

  package init(createdMillis: Int64, state: StoreState) {
    self.createdMillis = createdMillis
    self.state = state
  }

  /// The payload, and the id that names it.
  package func encoded() -> (payload: ByteWriter, id: CheckpointID) {
    var writer = ByteWriter(capacity: 4096)
    writer.writeUInt8(Self.version)
    writer.writeInt64(createdMillis)
    writer.writeBytes(StateCoding.encode(state).bytes)
    let id = CheckpointID(
      epoch: state.epoch, writerEpoch: state.writerEpoch, content: Self.digest(writer.bytes))
    return (writer, id)
  }

  private static func digest(_ payload: [UInt8]) -> UInt64 {
    SHA256.digest(of: payload).bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Reads the manifest of a checkpoint and holds it against its id.
  ///
  /// - Throws: `FileError`, `Corruption` or `UnsupportedFormat`.
  package static func read(
    _ id: CheckpointID, in directory: any Directory
  ) throws -> CheckpointManifest {
    let name = id.fileName
    var reader = try RecordLogReader(
      directory: directory, name: name, kind: .checkpoint, fileID: id.content)
    let size = try directory.metadata(of: name)?.size ?? 0
    guard let record = try reader.next(committedLength: size), record.type == recordType else {
      throw Corruption(
        file: name, offset: UInt64(RecordLogFormat.headerBytes), what: "first record",
        expected: "a checkpoint", found: "none")
    }
    if let second = try reader.next(committedLength: size) {
      throw Corruption(
        file: name, offset: second.offset, what: "content", expected: "one record",
        found: "another one")
    }
    let (manifest, found) = try reading(record.payload, file: name, offset: record.offset)
    guard found == id else {
      throw Corruption(
        file: name, offset: 0, what: "checkpoint", expected: id.description,
        found: found.description)
    }
    return manifest
  }

  /// Reads a payload, and the id that names it.
  ///
  /// - Parameters:
  ///   - name: of the file or record it stands in.
  ///   - offset: where it stands there.
  /// - Throws: `Corruption` or `UnsupportedFormat`.
  package static func reading(
    _ payload: [UInt8], file name: String, offset: UInt64
  ) throws -> (manifest: CheckpointManifest, id: CheckpointID) {
    guard let foundVersion = payload.first else {
      throw Corruption(
        file: name, offset: offset, what: "record", expected: "a checkpoint", found: "nothing")
    }
    guard foundVersion == version else {
      throw UnsupportedFormat(
        file: name, version: UInt64(foundVersion), supported: UInt64(version))
    }
    let record = RecordLogReader.Record(type: recordType, payload: payload, offset: offset)
    let manifest = try ManifestReader.decoding(name, record) { payload throws(CodingError) in
      try decode(payload)
    }
    let id = CheckpointID(
      epoch: manifest.state.epoch, writerEpoch: manifest.state.writerEpoch,
      content: digest(payload))
    return (manifest, id)
  }

  private static func decode(_ payload: [UInt8]) throws(CodingError) -> CheckpointManifest {
    let created = try ByteReader.reading(payload) { reader throws(CodingError) in
      try reader.skip(1)
      return try reader.readInt64()
    }
    return CheckpointManifest(
      createdMillis: created, state: try StateCoding.decodeState(Array(payload.dropFirst(9))))
  }

  /// Writes the manifest's file under `name`, and makes its content durable.
  package static func write(
    payload: ByteWriter, id: CheckpointID, to name: String, in directory: any Directory
  ) throws(FileError) {
    let log = try RecordLogWriter(
      directory: directory, name: name, kind: .checkpoint, fileID: id.content)
    defer { log.close() }
    try log.append(type: recordType, unbounded: payload)
    try log.synchronize()
  }
}

/// What names a checkpoint.
package struct CheckpointID: Hashable, Sendable, CustomStringConvertible {
  package var epoch: UInt64
  package var writerEpoch: UInt64
  /// The first 8 bytes of the SHA-256 of what it says.
  package var content: UInt64

  package static let prefix = "chk-"
  package static let suffix = ".checkpoint"

  package init(epoch: UInt64, writerEpoch: UInt64, content: UInt64) {
    self.epoch = epoch
    self.writerEpoch = writerEpoch
    self.content = content
  }

  /// Reads an id; `nil` for anything that `description` does not write.
  package init?(_ text: String) {
    guard text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(
      separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, let epoch = UInt64(parts[0]), let writer = UInt64(parts[1]),
      let content = UInt64(parts[2], radix: 16)
    else { return nil }
    self.init(epoch: epoch, writerEpoch: writer, content: content)
    guard description == text else { return nil }
  }

  package var description: String {
    let writer = String(writerEpoch)
    let zeros = String(repeating: "0", count: max(0, 6 - writer.utf8.count))
    return Self.prefix
      + "\(FileNumber(epoch).digits)-\(zeros)\(writer)-\(StoreIdentity.digits(content))"
  }

  package var fileName: String { description + Self.suffix }

  /// The id of a checkpoint's file; `nil` for any other name.
  package init?(fileName: String) {
    guard fileName.hasSuffix(Self.suffix) else { return nil }
    self.init(String(fileName.dropLast(Self.suffix.count)))
  }
}

/// How the files of a state are named where they lie.
package enum FileNaming: Sendable {
  /// In a state directory: by number.
  case state
  /// Among the objects of a checkpoint directory: by number and identity.
  case objects

  package func name(of table: TableMetadata) -> String { name(of: TableReference(table)) }

  package func name(of table: TableReference) -> String {
    switch self {
    case .state: table.number.tableName
    case .objects: "\(table.number.digits)-\(StoreIdentity.digits(table.fileID)).sst"
    }
  }

  package func name(of log: LogReference) -> String {
    switch self {
    case .state: log.number.digits + ".log"
    case .objects:
      "\(log.number.digits)-\(StoreIdentity.digits(log.fileID))-\(log.committedLength).log"
    }
  }

  /// Whether a name is one that objects have.
  package static func isObject(_ name: String) -> Bool {
    let parts = name.dropLast(4).split(separator: "-", omittingEmptySubsequences: false)
    guard let number = parts.first, number.utf8.count >= 12, UInt64(number) != nil else {
      return false
    }
    let hasFileID =
      parts.count > 1 && parts[1].utf8.count == 16 && UInt64(parts[1], radix: 16) != nil
    if name.hasSuffix(".sst") { return parts.count == 2 && hasFileID }
    return name.hasSuffix(".log") && parts.count == 3 && hasFileID && UInt64(parts[2]) != nil
  }
}
