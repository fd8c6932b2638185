import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Manifests whose checksums hold and whose content was made up.
@Suite struct CraftedManifestTests {
  /// Up to the metadata: version, identity, seed, counters.
  private static func prefix(version: UInt8 = 1) -> ByteWriter {
    var writer = ByteWriter()
    writer.writeUInt8(version)
    writer.writeBytes([UInt8](repeating: 7, count: 32))
    for counter in [1, 1, 50] as [UInt64] { writer.writeUInt64(counter) }
    writer.writeUInt32(2)
    return writer
  }

  /// The prefix, no metadata, one keyspace up to its logs.
  private static func keyspace(name: [UInt8] = Array("seen".utf8)) -> ByteWriter {
    var writer = prefix()
    writer.writeVarint(0)
    writer.writeVarint(1)
    writer.writeUInt32(1)
    writer.writeLengthPrefixed(name)
    writer.writeUInt8(0)
    writer.writeUInt8(0)
    writer.writeInt64(80_000)
    writer.writeInt64(0)
    writer.writeUInt8(8)
    writer.writeUInt8(0)
    writer.writeUInt8(0)
    writer.writeUInt8(0)
    return writer
  }

  private static func after(
    _ start: ByteWriter, _ body: (inout ByteWriter) -> Void
  ) -> [UInt8] {
    var writer = start
    body(&writer)
    return writer.bytes
  }

  /// One shard of a keyspace without logs, up to its runs.
  private static func shard(_ writer: inout ByteWriter) {
    writer.writeVarint(0)
    writer.writeVarint(1)
    writer.writeUInt16(0)
    writer.writeUInt16(.max)
  }

  static let payloads: [(what: String, payload: [UInt8])] = [
    ("no byte", []),
    ("one byte", [1]),
    ("one byte of another version", [9]),
    ("the version of a newer build", prefix(version: StateCoding.version + 1).bytes + [0, 0]),
    ("metadata of 2⁶³ bytes", after(prefix()) { $0.writeVarint(1 << 63) }),
    ("metadata of 2⁶⁴-1 bytes", after(prefix()) { $0.writeVarint(.max) }),
    (
      "metadata whose length is no varint",
      after(prefix()) { $0.writeBytes(Array(repeating: 0xFF, count: 11)) }
    ),
    (
      "2³² keyspaces",
      after(prefix()) {
        $0.writeVarint(0)
        $0.writeVarint(1 << 32)
      }
    ),
    (
      "2⁶⁴-1 keyspaces",
      after(prefix()) {
        $0.writeVarint(0)
        $0.writeVarint(.max)
      }
    ),
    (
      "1,025 keyspaces",
      after(prefix()) {
        $0.writeVarint(0)
        $0.writeVarint(1025)
        $0.writeZeros(1025 * 40)
      }
    ),
    (
      "a name of 2⁴⁰ bytes",
      after(prefix()) {
        $0.writeVarint(0)
        $0.writeVarint(1)
        $0.writeUInt32(1)
        $0.writeVarint(1 << 40)
        $0.writeZeros(64)
      }
    ),
    (
      "a name that is not UTF-8",
      after(keyspace(name: [0xFF, 0xFE])) {
        shard(&$0)
        $0.writeVarint(0)
      }
    ),
    (
      "a name of 256 bytes",
      after(keyspace(name: [UInt8](repeating: 97, count: 256))) {
        shard(&$0)
        $0.writeVarint(0)
      }
    ),
    (
      "2⁶¹ logs",
      after(keyspace()) {
        $0.writeVarint(1 << 61)
        $0.writeZeros(100)
      }
    ),
    (
      "logs whose bytes wrap 64 bits",
      after(keyspace()) {
        $0.writeVarint(.max / 24 + 2)
        $0.writeZeros(100)
      }
    ),
    (
      "no shard",
      after(keyspace()) {
        $0.writeVarint(0)
        $0.writeVarint(0)
      }
    ),
    (
      "257 shards",
      after(keyspace()) {
        $0.writeVarint(0)
        $0.writeVarint(257)
        $0.writeZeros(257 * 5)
      }
    ),
    (
      "a shard upside down",
      after(keyspace()) {
        $0.writeVarint(0)
        $0.writeVarint(1)
        $0.writeUInt16(.max)
        $0.writeUInt16(0)
        $0.writeVarint(0)
      }
    ),
    (
      "2⁶⁰ runs",
      after(keyspace()) {
        shard(&$0)
        $0.writeVarint(1 << 60)
        $0.writeZeros(100)
      }
    ),
    (
      "a run of 2⁶³ tables",
      after(keyspace()) {
        shard(&$0)
        $0.writeVarint(1)
        $0.writeZeros(25)
        $0.writeVarint(1 << 63)
        $0.writeZeros(100)
      }
    ),
    (
      "bytes too many",
      after(keyspace()) {
        shard(&$0)
        $0.writeVarint(0)
        $0.writeUInt8(0)
      }
    ),
  ]

  @Test(arguments: payloads.map(\.what))
  func aSnapshotThatCannotBeIsRefused(what: String) throws {
    let store = try CraftedStore()
    let payload = try #require(Self.payloads.first { $0.what == what }).payload
    try store.replaceManifest([(StateCoding.snapshotType, payload)])
    let code: StoreError.Code = what.contains("version") ? .unsupportedFormat : .corrupted
    #expect(try store.use(what)?.code == code)
    // The same as an edit behind a good snapshot.
    try store.replaceManifest([
      (StateCoding.snapshotType, StateCoding.encode(store.state).bytes),
      (StateCoding.editType, payload),
    ])
    #expect(try store.use(what + ", as an edit")?.code == code)
  }

  @Test func theFramesOfThesePayloadsAreRight() throws {
    // Without the flaw such a payload opens: what is refused above is the flaw.
    let store = try CraftedStore()
    let good = Self.after(Self.keyspace()) {
      Self.shard(&$0)
      $0.writeVarint(0)
    }
    try store.replaceManifest([(StateCoding.snapshotType, good)])
    #expect(try store.use("good") == nil)
  }

  /// Ways to change a state that no reader may believe.
  static let lies: [(what: String, change: @Sendable (inout StoreState) -> Void)] = [
    ("writer epoch 2⁶⁴-1", { $0.writerEpoch = .max }),
    ("epoch 2⁶⁴-1", { $0.epoch = .max }),
    ("file number 2⁶⁴-5", { $0.nextFileNumber = .max - 4 }),
    ("file number 0", { $0.nextFileNumber = 0 }),
    ("keyspace number 2³²-1", { $0.nextKeyspaceID = .max }),
    ("keyspace number too low", { $0.nextKeyspaceID = 1 }),
    (
      "two keyspaces of one name",
      {
        $0.keyspaces.append($0.keyspaces[0])
        $0.keyspaces[1].id = 0
      }
    ),
    ("a largest time of 2⁶³-1", { $0.keyspaces[0].largestTime = .max }),
    ("a largest time of -2⁶³", { $0.keyspaces[0].largestTime = .min }),
    ("a time to live below 0", { $0.keyspaces[0].options.timeToLive = .milliseconds(-1) }),
    ("a time to live of 2⁶³-1", { $0.keyspaces[0].options.timeToLive = .milliseconds(.max) }),
    ("a lateness of -2⁶³", { $0.keyspaces[0].options.allowedLateness = .min }),
    ("a fanout of 0", { $0.keyspaces[0].options.compaction = .tiered(fanout: 0) }),
    ("values of 255 bytes", { $0.keyspaces[0].options.valueWidth = 255 }),
    (
      "key groups with a gap",
      { $0.keyspaces[0].shards[0].groups = KeyGroupRange(first: 1, last: .max) }
    ),
    (
      "key groups that end early",
      { $0.keyspaces[0].shards[0].groups = KeyGroupRange(first: 0, last: 7) }
    ),
    ("key groups twice", { $0.keyspaces[0].shards.append($0.keyspaces[0].shards[0]) }),
    ("a run number of 2⁶⁴-1", { $0.keyspaces[0].shards[0].runs[0].id = .max }),
    ("a run sequence of 2⁶⁴-1", { $0.keyspaces[0].shards[0].runs[0].sequence = .max }),
    (
      "one run number twice",
      { $0.keyspaces[0].shards[0].runs[1].id = $0.keyspaces[0].shards[0].runs[0].id }
    ),
    ("runs out of order", { $0.keyspaces[0].shards[0].runs.reverse() }),
    ("a table number of 2⁶⁴-5", { $0.change { $0.number = FileNumber(.max - 4) } }),
    ("a table of 2⁶⁴-5 bytes", { $0.change { $0.fileBytes = .max - 4 } }),
    ("a table of 1 GiB and a byte", { $0.change { $0.fileBytes = (1 << 30) + 1 } }),
    ("a table of no bytes", { $0.change { $0.fileBytes = 0 } }),
    ("a table of 2⁶⁴-1 entries", { $0.change { $0.entryCount = .max } }),
    ("a table without entries", { $0.change { $0.entryCount = 0 } }),
    ("a table whose times begin at -2⁶³", { $0.change { $0.smallestTime = .min } }),
    ("a table whose times end at 2⁶³-1", { $0.change { $0.largestTime = .max } }),
    ("a table upside down", { $0.change { swap(&$0.smallestHigh, &$0.largestHigh) } }),
    (
      "a table of another layout",
      { $0.change { $0.layout = EntryLayout(isExact: true, valueWidth: 3) } }
    ),
    ("a table of another identity", { $0.change { $0.fileID ^= 1 } }),
    (
      "a table that overlaps itself",
      { $0.keyspaces[0].shards[0].runs[0].tables += $0.keyspaces[0].shards[0].runs[0].tables }
    ),
    ("a log of 2⁶⁴-5 bytes", { $0.keyspaces[0].logs[0].committedLength = .max - 4 }),
    ("a log longer than it is", { $0.keyspaces[0].logs[0].committedLength += 1 << 20 }),
    ("a log of another identity", { $0.keyspaces[0].logs[0].fileID ^= 1 }),
    ("a log number of 2⁶⁴-5", { $0.keyspaces[0].logs[0].number = FileNumber(.max - 4) }),
    ("a log that is not there", { $0.keyspaces[0].logs[0].number = FileNumber(1) }),
  ]

  @Test(arguments: lies.map(\.what))
  func aStateThatCannotBeIsRefused(what: String) throws {
    let store = try CraftedStore()
    let lie = try #require(Self.lies.first { $0.what == what })
    try store.replaceState(lie.change)
    let error = try store.use(what)
    #expect(error?.code == .corrupted, "\(String(describing: error))")
  }

  /// Odd, and no harm: what opens must go on without a trap.
  static let oddities: [(what: String, change: @Sendable (inout StoreState) -> Void)] = [
    ("a level of 255", { for run in 0..<2 { $0.keyspaces[0].shards[0].runs[run].level = 255 } }),
    (
      "a window of 2⁶³-1",
      { for run in 0..<2 { $0.keyspaces[0].shards[0].runs[run].window = .max } }
    ),
    (
      "a window of -2⁶³", { for run in 0..<2 { $0.keyspaces[0].shards[0].runs[run].window = .min } }
    ),
    (
      "one log three times", { $0.keyspaces[0].logs += $0.keyspaces[0].logs + $0.keyspaces[0].logs }
    ),
    ("a log of no bytes", { $0.keyspaces[0].logs[0].committedLength = 0 }),
    ("a clip of one hash", { $0.keyspaces[0].shards[0].runs[0].tables[0].clip = 5...5 }),
    (
      "counters at their limits",
      {
        $0.epoch = Counter.max - 9
        $0.writerEpoch = Counter.max - 9
        $0.nextFileNumber = Counter.max - 900
      }
    ),
    ("keyspace numbers at their limit", { $0.nextKeyspaceID = StoreState.keyspaceIDMax }),
    ("the largest time at its limit", { $0.keyspaces[0].largestTime = StoreState.timeMax }),
    ("the least time to live", { $0.keyspaces[0].options.timeToLive = .milliseconds(1) }),
    ("fanout 2 on many runs", { $0.keyspaces[0].options.compaction = .tiered(fanout: 2) }),
    (
      "a fanout and levels at their limits",
      {
        $0.keyspaces[0].options.compaction = .tiered(fanout: 2)
        for run in 0..<2 {
          $0.keyspaces[0].shards[0].runs[run].level = 255
          $0.keyspaces[0].shards[0].runs[run].window = 0
        }
      }
    ),
  ]

  @Test(arguments: oddities.map(\.what))
  func anOddStateIsRefusedOrUsedWithoutATrap(what: String) throws {
    let store = try CraftedStore()
    let oddity = try #require(Self.oddities.first { $0.what == what })
    try store.replaceState(oddity.change)
    if let error = try store.use(what) {
      #expect([.corrupted, .poisoned, .invalidArgument].contains(error.code), "\(error)")
    }
  }

  @Test(arguments: [
    "../MANIFEST-000000000001", "MANIFEST-../../etc/passwd", "MANIFEST-/etc/passwd",
    "MANIFEST-", "MANIFEST-\u{0}", "MANIFEST-" + String(repeating: "9", count: 400),
  ])
  func aNameThatLeadsOutIsRefusedThoughItsChecksumHolds(name: String) throws {
    let store = try CraftedStore()
    try store.setCurrent(name, fileID: 1, length: 32)
    let error = try store.use(name)
    #expect(error?.code == .corrupted, "\(String(describing: error))")
  }

  @Test func aManifestShorterThanCurrentSaysIsRefused() throws {
    for length in [33, 1 << 20, 1 << 62, .max - 4] as [UInt64] {
      let store = try CraftedStore()
      try store.replaceState { _ in }
      try store.setCurrent("MANIFEST-000000000900", fileID: 77, length: length)
      // 33 bytes are there; what must be whole up to them is.
      let error = try store.use("\(length)")
      #expect(error?.code == (length == 33 ? nil : .corrupted), "\(length)")
    }
  }

  @Test func namesBesideTheStateNeverOverflowANumber() throws {
    for name in [
      "18446744073709551615.sst", "MANIFEST-18446744073709551615", "99999999999999999999.log",
    ] {
      let store = try CraftedStore()
      let directory = try store.disk.openDirectory(at: "/state", creating: false)
      _ = try directory.openFile(name, .create)
      #expect(try store.use(name) == nil)
    }
  }
}

extension StoreState {
  /// Changes what is said of the newest table.
  fileprivate mutating func change(_ body: (inout TableMetadata) -> Void) {
    body(&keyspaces[0].shards[0].runs[0].tables[0].table)
  }
}
