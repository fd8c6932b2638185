// The small records of checkpoint storage: what its log, intents and leases say.
//
//   record     magic u32 │ kind u8 │ version u8 │ payload │ checksum u64
//
//   published  checkpoint id (epoch, writer epoch, content u64 each) │ created i64 (ms)
//              │ directory, opening (two u64 each) │ upload
//              │ of the manifest: bytes u64, SHA-256 (32 bytes)
//   fence      nonce (two u64) │ created i64 (ms) │ count u32, then uploads
//   intent     directory (two u64)
//   lease      renewed i64 (ms) │ count u32, then uploads │ count u32, then (upload, checkpoint id)
//   agreement  `HandoverRecord` of the job
//   manifest   count u32, then objects: name (varint length, UTF-8) │ upload │ bytes u64 │ SHA-256
//              │ payload of a checkpoint's manifest (ARCHITECTURE.md §3.4), varint length
//
//   upload     millis i64 │ random u64
//
// The checksum covers all before it and is seeded with the record's key, so what lies under
// another's key is refused. Integers are little-endian. On disk: never renumber a kind.

/// What a record is.
package enum StorageRecordKind: UInt8, Sendable, CaseIterable {
  case published = 1
  case fence = 2
  case intent = 3
  case lease = 4
  case manifest = 5
  /// What the instances of a job agree on; the job's own.
  case agreement = 6
}

/// The frame of all records.
package enum StorageRecord: Sendable {
  package static let magic: UInt32 = 0x4353_4453
  package static let version: UInt8 = 1
  /// Longer records are refused before memory is taken.
  package static let bytesMax = 128 << 20
  private static let headerBytes = 6
  private static let checksumBytes = 8

  /// The bytes of a record under a key.
  package static func encode(
    _ kind: StorageRecordKind, for key: String, _ write: (inout ByteWriter) -> Void
  ) -> [UInt8] {
    var writer = ByteWriter(capacity: 128)
    writer.writeUInt32(magic)
    writer.writeUInt8(kind.rawValue)
    writer.writeUInt8(version)
    write(&writer)
    writer.writeUInt64(Checksum.of(writer.bytes, seed: seed(of: key)))
    return writer.bytes
  }

  /// Which kind of record stands under a key, and its payload.
  ///
  /// - Throws: `Corruption` or `UnsupportedFormat` that names the key.
  package static func open(_ bytes: [UInt8], key: String) throws -> (StorageRecordKind, [UInt8]) {
    func flaw(_ what: String, _ expected: String, _ found: String) -> Corruption {
      Corruption(file: key, offset: 0, what: what, expected: expected, found: found)
    }
    let least = headerBytes + checksumBytes
    guard bytes.count >= least else {
      throw flaw("length", "\(least) or more", "\(bytes.count)")
    }
    let content = Array(bytes.dropLast(checksumBytes))
    let fields = try decoding(bytes, key) { reader throws(CodingError) in
      let fields = (
        magic: try reader.readUInt32(), kind: try reader.readUInt8(),
        version: try reader.readUInt8()
      )
      try reader.skip(content.count - headerBytes)
      return (fields, checksum: try reader.readUInt64())
    }
    guard fields.0.magic == magic else { throw flaw("magic", "a record", "something else") }
    let checksum = Checksum.of(content, seed: seed(of: key))
    guard checksum == fields.checksum else {
      throw Corruption(
        file: key, offset: UInt64(content.count), what: "checksum", expected: checksum,
        found: fields.checksum)
    }
    guard fields.0.version == version, let kind = StorageRecordKind(rawValue: fields.0.kind) else {
      throw UnsupportedFormat(
        file: key, version: UInt64(fields.0.version), supported: UInt64(version))
    }
    return (kind, Array(content.dropFirst(headerBytes)))
  }

  /// Decodes a payload to its end.
  ///
  /// - Throws: `Corruption` that names the key.
  package static func decoding<Value>(
    _ bytes: [UInt8], _ key: String, _ body: (inout ByteReader) throws(CodingError) -> Value
  ) throws -> Value {
    do throws(CodingError) {
      return try ByteReader.reading(bytes) { reader throws(CodingError) in
        let value = try body(&reader)
        try reader.expectEnd()
        return value
      }
    } catch {
      throw Corruption(file: key, offset: 0, what: "record", undecodable: error)
    }
  }

  private static func seed(of key: String) -> UInt64 {
    Checksum.seed(fileID: Checksum.of(Array(key.utf8), seed: 0), place: 0)
  }
}

/// What stands in the log under one number.
package enum LogEntry: Hashable, Sendable {
  case published(PublishedCheckpoint)
  case fence(UploadFence)

  /// Reads what stands under a key.
  package init(_ bytes: [UInt8], key: String) throws {
    let (kind, payload) = try StorageRecord.open(bytes, key: key)
    switch kind {
    case .published:
      self = .published(
        try StorageRecord.decoding(payload, key) { reader throws(CodingError) in
          try PublishedCheckpoint(&reader)
        })
    case .fence:
      self = .fence(
        try StorageRecord.decoding(payload, key) { reader throws(CodingError) in
          try UploadFence(&reader)
        })
    default:
      throw Corruption(
        file: key, offset: 4, what: "record", expected: "an entry of the log", found: "\(kind)")
    }
  }

  package func encoded(for key: String) -> [UInt8] {
    switch self {
    case .published(let checkpoint):
      StorageRecord.encode(.published, for: key) { checkpoint.write(to: &$0) }
    case .fence(let fence): StorageRecord.encode(.fence, for: key) { fence.write(to: &$0) }
    }
  }

  package var published: PublishedCheckpoint? {
    if case .published(let checkpoint) = self { checkpoint } else { nil }
  }
}

/// A checkpoint that counts.
package struct PublishedCheckpoint: Hashable, Sendable {
  package var id: CheckpointID
  package var createdMillis: Int64
  /// Who wrote it: `StorageWriter`.
  package var directory: StoreIdentity
  package var opening: StoreIdentity
  /// Where its manifest is.
  package var upload: UploadID
  package var manifestBytes: UInt64
  package var manifestDigest: SHA256.Digest

  package init(
    id: CheckpointID, createdMillis: Int64, writer: StorageWriter, upload: UploadID,
    manifest: [UInt8]
  ) {
    self.id = id
    self.createdMillis = createdMillis
    directory = writer.directory
    opening = writer.opening
    self.upload = upload
    manifestBytes = UInt64(manifest.count)
    manifestDigest = SHA256.digest(of: manifest)
  }

  fileprivate init(_ reader: inout ByteReader) throws(CodingError) {
    id = try CheckpointID(&reader)
    createdMillis = try reader.readInt64()
    directory = StoreIdentity(high: try reader.readUInt64(), low: try reader.readUInt64())
    opening = StoreIdentity(high: try reader.readUInt64(), low: try reader.readUInt64())
    upload = try UploadID(&reader)
    manifestBytes = try reader.readUInt64()
    manifestDigest = SHA256.Digest(bytes: try reader.readArray(32))
  }

  fileprivate func write(to record: inout ByteWriter) {
    id.write(to: &record)
    record.writeInt64(createdMillis)
    for identity in [directory, opening] {
      record.writeUInt64(identity.high)
      record.writeUInt64(identity.low)
    }
    upload.write(to: &record)
    record.writeUInt64(manifestBytes)
    record.writeBytes(manifestDigest.bytes)
  }
}

/// From here on nothing may be published that needs what these uploads brought, unless a checkpoint
/// before has it.
package struct UploadFence: Hashable, Sendable {
  /// No two fences are the same.
  package var nonce: StoreIdentity
  package var createdMillis: Int64
  package var uploads: [UploadID]

  package init(_ uploads: [UploadID], createdMillis: Int64) {
    nonce = .random()
    self.createdMillis = createdMillis
    self.uploads = uploads
  }

  fileprivate init(_ reader: inout ByteReader) throws(CodingError) {
    nonce = StoreIdentity(high: try reader.readUInt64(), low: try reader.readUInt64())
    createdMillis = try reader.readInt64()
    uploads = try UploadID.readList(&reader)
  }

  fileprivate func write(to writer: inout ByteWriter) {
    writer.writeUInt64(nonce.high)
    writer.writeUInt64(nonce.low)
    writer.writeInt64(createdMillis)
    UploadID.write(uploads, to: &writer)
  }
}

/// What somebody needs who may be at work.
package struct StorageLease: Hashable, Sendable {
  package var renewedMillis: Int64
  /// All that these brought.
  package var uploads: [UploadID] = []
  /// Manifests of checkpoints, and all that they name.
  package var manifests: [ManifestPlace] = []

  /// Where a manifest is.
  package struct ManifestPlace: Hashable, Sendable {
    package var upload: UploadID
    package var checkpoint: CheckpointID

    package init(upload: UploadID, checkpoint: CheckpointID) {
      self.upload = upload
      self.checkpoint = checkpoint
    }
  }

  package init(renewedMillis: Int64) { self.renewedMillis = renewedMillis }

  package init(_ bytes: [UInt8], key: String) throws {
    let (kind, payload) = try StorageRecord.open(bytes, key: key)
    guard kind == .lease else {
      throw Corruption(file: key, offset: 4, what: "record", expected: "lease", found: "\(kind)")
    }
    self = try StorageRecord.decoding(payload, key) { reader throws(CodingError) in
      var lease = StorageLease(renewedMillis: try reader.readInt64())
      lease.uploads = try UploadID.readList(&reader)
      for _ in 0..<(try reader.readCount32(itemBytes: 40)) {
        lease.manifests.append(
          ManifestPlace(
            upload: try UploadID(&reader), checkpoint: try CheckpointID(&reader)))
      }
      return lease
    }
  }

  package func encoded(for key: String) -> [UInt8] {
    StorageRecord.encode(.lease, for: key) { writer in
      writer.writeInt64(renewedMillis)
      UploadID.write(uploads, to: &writer)
      writer.writeUInt32(UInt32(clamping: manifests.count))
      for place in manifests {
        place.upload.write(to: &writer)
        place.checkpoint.write(to: &writer)
      }
    }
  }
}

/// What a checkpoint consists of.
package struct StoredManifest: Hashable, Sendable {
  /// A table or a log.
  package struct Object: Hashable, Sendable {
    /// As among the objects of a checkpoint directory.
    package var name: String
    package var upload: UploadID
    package var bytes: UInt64
    package var digest: SHA256.Digest

    package init(name: String, upload: UploadID, bytes: UInt64, digest: SHA256.Digest) {
      self.name = name
      self.upload = upload
      self.bytes = bytes
      self.digest = digest
    }
  }

  /// All that the state names.
  package var objects: [Object]
  package var checkpoint: CheckpointManifest

  package init(objects: [Object], checkpoint: CheckpointManifest) {
    self.objects = objects
    self.checkpoint = checkpoint
  }

  /// Reads a manifest and holds it against the id of its checkpoint.
  package init(_ bytes: [UInt8], key: String, id: CheckpointID) throws {
    let (kind, payload) = try StorageRecord.open(bytes, key: key)
    guard kind == .manifest else {
      throw Corruption(
        file: key, offset: 4, what: "record", expected: "manifest", found: "\(kind)")
    }
    let parts = try StorageRecord.decoding(payload, key) { reader throws(CodingError) in
      var objects: [Object] = []
      for _ in 0..<(try reader.readCount32(itemBytes: 57)) { objects.append(try Object(&reader)) }
      return (objects, try reader.readLengthPrefixed())
    }
    objects = parts.0
    let found = try CheckpointManifest.reading(parts.1, file: key, offset: 0)
    guard found.id == id else {
      throw Corruption(
        file: key, offset: 0, what: "checkpoint", expected: "\(id)", found: "\(found.id)")
    }
    checkpoint = found.manifest
    try checkIsComplete(key)
  }

  package func encoded(for key: String) -> [UInt8] {
    StorageRecord.encode(.manifest, for: key) { writer in
      writer.writeUInt32(UInt32(clamping: objects.count))
      for object in objects { object.write(to: &writer) }
      writer.writeLengthPrefixed(checkpoint.encoded().payload.bytes)
    }
  }

  /// Throws when the objects are not those of the state.
  private func checkIsComplete(_ key: String) throws {
    let files = checkpoint.state.storedFiles
    let listed = Dictionary(objects.map { ($0.name, $0.bytes) }) { first, _ in first }
    guard files.count == objects.count, listed.count == objects.count else {
      throw Corruption(
        file: key, offset: 0, what: "list of objects", expected: "\(files.count)",
        found: "\(objects.count)")
    }
    for file in files where listed[file.objectName] != file.bytes {
      throw Corruption(
        file: key, offset: 0, what: "object \(file.objectName)", expected: "\(file.bytes) bytes",
        found: listed[file.objectName].map { "\($0) bytes" } ?? "nothing")
    }
  }
}

extension StoredManifest.Object {
  fileprivate init(_ reader: inout ByteReader) throws(CodingError) {
    name = try reader.readString(maxBytes: 255)
    guard FileNaming.isObject(name) else { throw .invalid("'\(name)' is no name of an object") }
    upload = try UploadID(&reader)
    bytes = try reader.readUInt64()
    // No sum of sizes overflows.
    guard bytes <= Self.bytesMax else { throw .invalid("an object of \(bytes) bytes") }
    digest = SHA256.Digest(bytes: try reader.readArray(32))
  }

  private static let bytesMax: UInt64 = 1 << 48

  fileprivate func write(to writer: inout ByteWriter) {
    writer.writeString(name)
    upload.write(to: &writer)
    writer.writeUInt64(bytes)
    writer.writeBytes(digest.bytes)
  }
}

/// A file of a state, where it lies and among the objects of checkpoints.
package struct StoredFile: Hashable, Sendable {
  package var stateName: String
  package var objectName: String
  /// How much of it counts.
  package var bytes: UInt64
}

extension StoreState {
  /// All files of the state: tables, then logs to the length that counts.
  package var storedFiles: [StoredFile] {
    tableReferences.map {
      StoredFile(
        stateName: FileNaming.state.name(of: $0), objectName: FileNaming.objects.name(of: $0),
        bytes: $0.fileBytes)
    }
      + logs.map {
        StoredFile(
          stateName: FileNaming.state.name(of: $0), objectName: FileNaming.objects.name(of: $0),
          bytes: $0.committedLength)
      }
  }
}

// MARK: - Parts of records

extension UploadID {
  fileprivate init(_ reader: inout ByteReader) throws(CodingError) {
    let millis = try reader.readInt64()
    self.init(millis: millis, random: try reader.readUInt64())
    guard self.millis == millis else { throw .invalid("an upload at \(millis) ms") }
  }

  fileprivate func write(to writer: inout ByteWriter) {
    writer.writeInt64(millis)
    writer.writeUInt64(random)
  }

  fileprivate static func readList(_ reader: inout ByteReader) throws(CodingError) -> [UploadID] {
    var uploads: [UploadID] = []
    for _ in 0..<(try reader.readCount32(itemBytes: 16)) { uploads.append(try UploadID(&reader)) }
    return uploads
  }

  fileprivate static func write(_ uploads: [UploadID], to writer: inout ByteWriter) {
    writer.writeUInt32(UInt32(clamping: uploads.count))
    for upload in uploads { upload.write(to: &writer) }
  }
}

extension CheckpointID {
  fileprivate init(_ reader: inout ByteReader) throws(CodingError) {
    self.init(
      epoch: try reader.readUInt64(), writerEpoch: try reader.readUInt64(),
      content: try reader.readUInt64())
  }

  fileprivate func write(to writer: inout ByteWriter) {
    writer.writeUInt64(epoch)
    writer.writeUInt64(writerEpoch)
    writer.writeUInt64(content)
  }
}
