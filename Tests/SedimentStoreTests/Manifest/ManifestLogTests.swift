import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Manifest")
struct ManifestLogTests {
  private static func directory(_ fileSystem: MemoryFileSystem) throws -> any Directory {
    try fileSystem.openDirectory(at: "/state", creating: true)
  }

  /// Writes a snapshot and edits; returns the states, one after each record.
  private static func write(
    _ fileSystem: MemoryFileSystem, edits: Int, seed: UInt64, closes: Bool
  ) throws -> [StoreState] {
    var random = RandomState(seed: seed)
    var states = [random.state()]
    let manifest = try ManifestWriter(
      directory: directory(fileSystem), number: FileNumber(3), state: states[0])
    for _ in 0..<edits {
      var next = states[states.count - 1]
      let edit = random.edit(of: next)
      try next.apply(edit)
      try manifest.append(edit)
      states.append(next)
    }
    if closes { try manifest.close() } else { manifest.abandon() }
    return states
  }

  @Test func theStateIsTheSnapshotWithAllEdits() throws {
    for seed in UInt64(0)..<20 {
      let fileSystem = MemoryFileSystem()
      let states = try Self.write(
        fileSystem, edits: Int(seed % 6), seed: seed, closes: seed % 2 == 0)
      let answer = try ManifestReader.read(Self.directory(fileSystem))
      #expect(answer?.state == states.last, "seed \(seed)")
      #expect(answer?.manifestName == "MANIFEST-000000000003")
    }
  }

  @Test func anEmptyDirectoryHasNoState() throws {
    #expect(try ManifestReader.read(Self.directory(MemoryFileSystem())) == nil)
  }

  @Test func aManifestCutShortIsAnEarlierEpochUnlessItWasClosed() throws {
    for closes in [false, true] {
      let fileSystem = MemoryFileSystem()
      let states = try Self.write(fileSystem, edits: 3, seed: 2, closes: closes)
      let path = "/state/MANIFEST-000000000003"
      let bytes = try fileSystem.contents(of: path)
      var found: Set<UInt64> = []
      for length in stride(from: 0, through: bytes.count - 16, by: 8) {
        try fileSystem.replaceContents(of: path, with: Array(bytes.prefix(length)))
        do {
          let state = try ManifestReader.read(Self.directory(fileSystem))?.state
          #expect(states.contains { $0 == state }, "cut to \(length)")
          if let state { found.insert(state.epoch) }
          #expect(!closes, "cut to \(length)")
        } catch is Corruption {}
      }
      #expect(found.count == (closes ? 0 : 4))
    }
  }

  @Test func everyFlippedBitOfCurrentIsDamage() throws {
    let fileSystem = MemoryFileSystem()
    _ = try Self.write(fileSystem, edits: 1, seed: 3, closes: true)
    let path = "/state/" + ManifestFiles.current
    let bits = 8 * (try fileSystem.contents(of: path).count)
    for bit in 0..<bits {
      try fileSystem.flipBit(of: path, at: bit)
      #expect(throws: Corruption.self, "bit \(bit)") {
        try ManifestReader.read(Self.directory(fileSystem))
      }
      try fileSystem.flipBit(of: path, at: bit)
    }
    for length in 0..<(bits / 8) {
      let bytes = try fileSystem.contents(of: path)
      try fileSystem.truncate(path, to: length)
      #expect(throws: Corruption.self, "\(length) bytes") {
        try ManifestReader.read(Self.directory(fileSystem))
      }
      try fileSystem.replaceContents(of: path, with: bytes)
    }
  }

  @Test func anEditThatDoesNotFitIsDamage() throws {
    let fileSystem = MemoryFileSystem()
    var random = RandomState(seed: 5)
    let state = random.state()
    let manifest = try ManifestWriter(
      directory: Self.directory(fileSystem), number: FileNumber(3), state: state)
    try manifest.append(
      StateEdit(
        epoch: state.epoch + 1, nextFileNumber: 1, metadata: [],
        keyspaces: [KeyspaceEdit(id: 77, largestTime: nil, logs: [])]))
    try manifest.close()
    #expect {
      try ManifestReader.read(Self.directory(fileSystem))
    } throws: { error in
      (error as? Corruption)?.found == "keyspace 77 is not there"
    }
  }
}

@Suite("Checkpoint manifest")
struct CheckpointManifestTests {
  private static func written(
    _ manifest: CheckpointManifest, as id: CheckpointID? = nil
  ) throws -> (MemoryFileSystem, CheckpointID) {
    let fileSystem = MemoryFileSystem()
    let directory = try fileSystem.openDirectory(at: "/c", creating: true)
    let (payload, own) = manifest.encoded()
    let name = (id ?? own).fileName
    try CheckpointManifest.write(payload: payload, id: own, to: name, in: directory)
    return (fileSystem, own)
  }

  private static func read(
    _ id: CheckpointID, _ fileSystem: MemoryFileSystem
  ) throws -> CheckpointManifest {
    try CheckpointManifest.read(id, in: fileSystem.openDirectory(at: "/c", creating: false))
  }

  private static func manifest(_ seed: UInt64) -> CheckpointManifest {
    var random = RandomState(seed: seed)
    return CheckpointManifest(createdMillis: Int64(seed) - 10, state: random.state())
  }

  @Test func manifestsComeBackAsTheyWere() throws {
    for seed in UInt64(0)..<30 {
      let manifest = Self.manifest(seed)
      let (fileSystem, id) = try Self.written(manifest)
      #expect(try Self.read(id, fileSystem) == manifest, "seed \(seed)")
      #expect(id.epoch == manifest.state.epoch && id.writerEpoch == manifest.state.writerEpoch)
    }
  }

  @Test func everyFlippedBitAndTruncationIsATypedError() throws {
    let (fileSystem, id) = try Self.written(Self.manifest(1))
    let path = "/c/" + id.fileName
    let bytes = try fileSystem.contents(of: path)
    let payloadBytes = Self.manifest(1).encoded().payload.count
    let end = RecordLogFormat.headerBytes + RecordLogFormat.frameBytes + payloadBytes
    for bit in 0..<(8 * end) {
      try fileSystem.flipBit(of: path, at: bit)
      #expect(throws: (any Error).self, "bit \(bit)") { try Self.read(id, fileSystem) }
      try fileSystem.flipBit(of: path, at: bit)
    }
    for length in 0..<end {
      try fileSystem.replaceContents(of: path, with: Array(bytes.prefix(length)))
      #expect(throws: Corruption.self, "\(length) bytes") { try Self.read(id, fileSystem) }
    }
  }

  @Test func aManifestUnderAnothersNameIsRefused() throws {
    var other = Self.manifest(2).encoded().id
    let (fileSystem, id) = try Self.written(Self.manifest(1), as: other)
    #expect(throws: Corruption.self) { try Self.read(other, fileSystem) }
    other.content = id.content
    let (renamed, _) = try Self.written(Self.manifest(1), as: other)
    #expect(throws: Corruption.self) { try Self.read(other, renamed) }
  }

  @Test func idsComeBackAndNothingElseIsOne() throws {
    let id = CheckpointID(epoch: 42, writerEpoch: 7, content: 0xABC)
    #expect(id.description == "chk-000000000042-000007-0000000000000abc")
    #expect(CheckpointID(id.description) == id)
    #expect(CheckpointID(fileName: id.fileName) == id)
    let large = CheckpointID(epoch: .max, writerEpoch: .max, content: .max)
    #expect(CheckpointID(large.description) == large)
    for text in [
      "", "chk-", "chk--", "chk---", "chk-42-7-abc", "CHK-000000000042-000007-0000000000000abc",
      "chk-000000000042-000007-0000000000000ABC", "chk-000000000042-000007-0000000000000abc ",
      "chk-+00000000042-000007-0000000000000abc", "chk-000000000042-000007-0000000000000abcd",
      "chk-000000000042-000007", "chk-000000000042-000007-0000000000000abc-1",
      "chk-99999999999999999999-000007-0000000000000abc",
    ] {
      #expect(CheckpointID(text) == nil, "\(text)")
      #expect(CheckpointID(fileName: text) == nil)
    }
  }

  @Test func objectsAreNamedByWhatIsInThem() {
    var random = RandomState(seed: 3)
    let state = random.state()
    for table in state.tables.values {
      #expect(FileNaming.isObject(FileNaming.objects.name(of: table)))
      #expect(!FileNaming.isObject(FileNaming.state.name(of: table)))
    }
    for log in state.logs {
      #expect(FileNaming.isObject(FileNaming.objects.name(of: log)))
      #expect(!FileNaming.isObject(FileNaming.state.name(of: log)))
    }
    for name in ["", ".sst", "x.sst", "000000000001.sst", "000000000001-.sst", "LOCK", "é.log"] {
      #expect(!FileNaming.isObject(name), "\(name)")
    }
  }
}
