import SedimentStore
import SedimentTestKit
import Testing

/// The records of checkpoint storage: round trips, golden bytes, every truncation, flipped bits.
@Suite struct StorageRecordTests {
  private static let key = "0123/log/000000000007"
  private static let upload = UploadID(millis: 1_700_000_000_000, random: 0xABCD)
  private static let id = CheckpointID(epoch: 12, writerEpoch: 3, content: 0x89AB)

  private static var state: StoreState {
    var state = StoreState(
      identity: StoreIdentity(high: 1, low: 2), seed: HashSeed(first: 1, second: 2),
      nextFileNumber: 9)
    state.epoch = 12
    state.writerEpoch = 3
    state.nextKeyspaceID = 2
    state.keyspaces = [
      KeyspaceState(
        id: 1, name: "seen", options: KeyspaceOptions(timeToLive: .forever),
        shards: KeyGroupRange.split(into: 1).map { ShardState(groups: $0) },
        logs: [LogReference(number: FileNumber(8), fileID: 77, committedLength: 4096)])
    ]
    return state
  }

  private static var manifest: StoredManifest {
    StoredManifest(
      objects: state.storedFiles.map {
        .init(
          name: $0.objectName, upload: upload, bytes: $0.bytes,
          digest: SHA256.digest(of: Array($0.objectName.utf8)))
      }, checkpoint: CheckpointManifest(createdMillis: 5, state: state))
  }

  private static var manifestID: CheckpointID { manifest.checkpoint.encoded().id }

  private static let writer = StorageWriter(
    directory: StoreIdentity(high: 8, low: 9), opening: StoreIdentity(high: 10, low: 11), base: 4)

  private static var published: LogEntry {
    .published(
      PublishedCheckpoint(
        id: id, createdMillis: 5, writer: writer, upload: upload,
        manifest: [1, 2, 3]))
  }

  private static var lease: StorageLease {
    var lease = StorageLease(renewedMillis: -1)
    lease.uploads = [upload]
    lease.manifests = [.init(upload: upload, checkpoint: id)]
    return lease
  }

  private static var fence: LogEntry {
    var fence = UploadFence([upload], createdMillis: 6)
    fence.nonce = StoreIdentity(high: 3, low: 4)
    return .fence(fence)
  }

  /// Every kind of record: its bytes, and what reads it.
  private static var records:
    [(name: String, bytes: [UInt8], read: ([UInt8], String) throws -> Void)]
  {
    [
      ("published", published.encoded(for: key), { _ = try LogEntry($0, key: $1) }),
      ("fence", fence.encoded(for: key), { _ = try LogEntry($0, key: $1) }),
      ("lease", lease.encoded(for: key), { _ = try StorageLease($0, key: $1) }),
      (
        "manifest", manifest.encoded(for: key),
        { _ = try StoredManifest($0, key: $1, id: manifestID) }
      ),
    ]
  }

  @Test func whatIsWrittenIsRead() throws {
    let key = Self.key
    #expect(try LogEntry(Self.published.encoded(for: key), key: key) == Self.published)
    #expect(try LogEntry(Self.fence.encoded(for: key), key: key) == Self.fence)
    #expect(try StorageLease(Self.lease.encoded(for: key), key: key) == Self.lease)
    #expect(
      try StoredManifest(Self.manifest.encoded(for: key), key: key, id: Self.manifestID)
        == Self.manifest)
  }

  @Test func theBytesOfVersionOneStayWhatTheyAre() {
    let found = Self.records.map {
      "\($0.name) \($0.bytes.count) " + SHA256.digest(of: $0.bytes).hexadecimal.prefix(16)
    }
    #expect(
      found == [
        "published 134 1d29d791d51480cd", "fence 58 312a84a0f73951c0",
        "lease 86 17dfa2618a90f289", "manifest 249 82cfc42293d45cae",
      ])
    let bytes = Self.fence.encoded(for: Self.key)
    #expect(Array(bytes.prefix(6)) == [0x53, 0x44, 0x53, 0x43, 2, 1])
  }

  @Test func everyTruncationAndEveryExtraByteIsRefused() {
    for record in Self.records {
      for count in 0..<record.bytes.count {
        #expect(throws: Corruption.self, "\(record.name) \(count)") {
          try record.read(Array(record.bytes.prefix(count)), Self.key)
        }
      }
      #expect(throws: Corruption.self) { try record.read(record.bytes + [0], Self.key) }
    }
  }

  @Test func everyFlippedBitIsRefused() {
    for record in Self.records {
      for bit in 0..<record.bytes.count * 8 {
        var bytes = record.bytes
        bytes[bit / 8] ^= 1 << UInt8(bit % 8)
        #expect(throws: Corruption.self, "\(record.name) bit \(bit)") {
          try record.read(bytes, Self.key)
        }
      }
    }
  }

  @Test func aRecordUnderAnotherKeyIsRefused() {
    for record in Self.records {
      #expect(throws: Corruption.self) { try record.read(record.bytes, Self.key + "0") }
    }
  }

  @Test func aNewerVersionIsSaidToBeOne() {
    var bytes = Array(Self.lease.encoded(for: Self.key).dropLast(8))
    bytes[5] = 2
    let seed = Checksum.seed(fileID: Checksum.of(Array(Self.key.utf8), seed: 0), place: 0)
    var writer = ByteWriter(capacity: 8)
    writer.writeUInt64(Checksum.of(bytes, seed: seed))
    #expect(throws: UnsupportedFormat(file: Self.key, version: 2, supported: 1)) {
      try StorageLease(bytes + writer.bytes, key: Self.key)
    }
  }

  @Test func aManifestNamesAllObjectsOfItsStateAndNoOthers() {
    for change in 0..<4 {
      var manifest = Self.manifest
      switch change {
      case 0: manifest.objects = []
      case 1: manifest.objects.append(manifest.objects[0])
      case 2: manifest.objects[0].bytes += 1
      default: manifest.objects[0].name = "000000000009-000000000000004d-4096.log"
      }
      #expect(throws: Corruption.self, "change \(change)") {
        try StoredManifest(manifest.encoded(for: Self.key), key: Self.key, id: Self.manifestID)
      }
    }
    #expect(throws: Corruption.self) {
      try StoredManifest(Self.manifest.encoded(for: Self.key), key: Self.key, id: Self.id)
    }
  }

  @Test func randomBytesNeverTrap() {
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<2_000 {
      let count = Int.random(in: 0..<300, using: &generator)
      var bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
      // With a right frame, so that what lies in it is decoded.
      let kind = StorageRecordKind.allCases.randomElement(using: &generator) ?? .lease
      bytes = StorageRecord.encode(kind, for: Self.key) { $0.writeBytes(bytes) }
      for record in Self.records { _ = try? record.read(bytes, Self.key) }
    }
  }

  @Test func onlyKeysOfOursAreKeys() {
    let keys = StorageKeys(identity: StoreIdentity(high: 1, low: 2))
    let upload = Self.upload
    #expect("\(upload)" == "1700000000000-000000000000abcd")
    #expect(UploadID("\(upload)"[...]) == upload)
    for text in ["", "1-2", "1700000000000-ABCD", "-1700000000000-000000000000abcd", "x"] {
      #expect(UploadID(text[...]) == nil)
    }
    let object = keys.object("000000000008-000000000000004d-4096.log", of: upload)
    #expect(keys.object(of: object)?.upload == upload)
    #expect(keys.object(of: keys.manifest(Self.id, of: upload))?.name == Self.id.fileName)
    for foreign in [keys.uploads, keys.uploads(of: upload), object + "/x", "x" + object, keys.log] {
      #expect(keys.object(of: foreign) == nil)
    }
    #expect(keys.entry(7).hasSuffix("/log/000000000007"))
    #expect(keys.sequence(ofEntry: keys.entry(7)) == 7)
    #expect(keys.sequence(ofEntry: keys.log + "7") == nil)
    #expect(StorageKeys.id(of: keys.intent(upload), below: keys.intents) == upload)
    #expect(StorageKeys.id(of: keys.intent(upload), below: keys.leases) == nil)
    #expect(StoreIdentity(keys.identity.description) == keys.identity)
    #expect(StoreIdentity("0000000000000001000000000000000G") == nil)
  }
}
