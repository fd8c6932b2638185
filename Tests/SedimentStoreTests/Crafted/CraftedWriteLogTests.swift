import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Logs of ordered keyspaces whose checksums hold and whose content was made up.
@Suite struct CraftedWriteLogTests {
  /// A write; the lengths may be any.
  private struct Write {
    var keyspace: UInt32 = 2
    var kind: UInt8 = 0
    var keyCount: UInt64 = 1
    var valueCount: UInt64 = 1
    var bytes: [UInt8] = [200, 1]
  }

  /// The number of the last write that is in tables.
  private static let flushed: UInt64 = 80

  /// A record's payload, in each form there is.
  private struct Payload {
    var wide = ByteWriter()
    var narrow = ByteWriter()

    /// Both at most so long.
    func prefix(_ count: Int) -> Payload {
      var cut = self
      cut.wide.truncate(to: min(count, wide.count))
      cut.narrow.truncate(to: min(count, narrow.count))
      return cut
    }
  }

  private static func payload(
    first: UInt64 = flushed + 1, previous: UInt64 = flushed, count: UInt32? = nil,
    _ writes: [Write] = [Write()]
  ) -> Payload {
    var payload = Payload()
    payload.wide.writeUInt64(first)
    payload.wide.writeUInt64(previous)
    payload.wide.writeUInt32(count ?? UInt32(writes.count))
    payload.narrow.writeVarint(previous)
    payload.narrow.writeVarint(first &- previous &- 1)
    payload.narrow.writeVarint(UInt64(count ?? UInt32(writes.count)))
    for write in writes {
      payload.wide.writeUInt32(write.keyspace)
      payload.wide.writeUInt8(write.kind)
      payload.narrow.writeUInt8(write.kind)
      payload.narrow.writeVarint(UInt64(write.keyspace))
      var rest = ByteWriter()
      rest.writeVarint(write.keyCount)
      rest.writeVarint(write.valueCount)
      rest.writeBytes(write.bytes)
      payload.wide.writeBytes(rest.bytes)
      payload.narrow.writeBytes(rest.bytes)
    }
    return payload
  }

  /// Uses a store whose log of ordered keyspaces holds these payloads and nothing else, in either
  /// form.
  ///
  /// - Parameter type: the records'; `nil` for that of the form.
  private static func use(
    _ what: String, kind: RecordLogFormat.Kind = .writes, type: UInt8? = nil,
    _ payloads: [Payload], isCommitted: Bool = true, change: (inout [UInt8]) -> Void = { _ in }
  ) throws -> StoreError? {
    let wide = try use(
      what, kind: kind, type: type ?? WriteBatchCoding.wideRecordType,
      payloads.map(\.wide.bytes), isCommitted: isCommitted, change: change)
    let narrow = try use(
      what, kind: kind, type: type ?? WriteBatchCoding.recordType, payloads.map(\.narrow.bytes),
      isCommitted: isCommitted, change: change)
    #expect(wide?.code == narrow?.code, "\(what)")
    return narrow
  }

  private static func use(
    _ what: String, kind: RecordLogFormat.Kind, type: UInt8, _ payloads: [[UInt8]],
    isCommitted: Bool, change: (inout [UInt8]) -> Void
  ) throws -> StoreError? {
    let store = try CraftedStore(hasOrdered: true)
    let words = store.state.orderedKeyspaces[0]
    #expect(words.id == 2 && words.flushedSequence == flushed)
    var log = try store.makeLog(kind: kind, payloads.map { (type, $0) }, change: change)
    if !isCommitted { log.committedLength = UInt64(RecordLogFormat.headerBytes) }
    try store.replaceState { state in
      state.nextFileNumber = 50
      state.writeLogs = [log]
    }
    return try store.use(what)
  }

  @Test func goodWritesAreTaken() throws {
    #expect(try Self.use("good", [Self.payload()]) == nil)
    #expect(try Self.use("no record", []) == nil)
    let second = Self.payload(first: Self.flushed + 9, previous: Self.flushed + 1)
    #expect(try Self.use("numbers left out", [Self.payload(), second]) == nil)
    let old = Self.payload(first: 3, previous: 1)
    #expect(try Self.use("what is in tables", [old]) == nil)
  }

  @Test(arguments: [0, 2, 1 << 16, 1 << 31, .max] as [UInt32])
  func otherCountsThanWritesAreRefused(count: UInt32) throws {
    let payload = Self.payload(count: count)
    #expect(try Self.use("\(count) writes", [payload])?.code == .corrupted)
  }

  private static let hostileWrites: [(what: String, write: Write)] = [
    ("a key of 2⁶⁴-1 bytes", Write(keyCount: .max)),
    ("a key of 2³² bytes", Write(keyCount: 1 << 32)),
    ("a key of 65,537 bytes", Write(keyCount: 65_537, bytes: Array(repeating: 1, count: 65_538))),
    ("a value of 2⁶⁴-1 bytes", Write(valueCount: .max)),
    ("a value of 2³² bytes", Write(valueCount: 1 << 32)),
    ("a value of 64 MiB that is not there", Write(valueCount: 64 << 20)),
    ("a key and a value that wrap 64 bits", Write(keyCount: 8, valueCount: .max - 5)),
    ("a value a byte too long", Write(valueCount: 2)),
    ("a byte behind", Write(valueCount: 0)),
    ("a keyspace that is not there", Write(keyspace: 9)),
    ("the hashed keyspace", Write(keyspace: 1)),
    ("keyspace 2³²-1", Write(keyspace: .max)),
    ("a kind of 7", Write(kind: 7)),
    ("a kind of 16", Write(kind: 16)),
    ("a kind of 255", Write(kind: 255)),
    (
      "a time of 7 bytes",
      Write(kind: 8, valueCount: 7, bytes: Array(repeating: 1, count: 8))
    ),
  ]

  @Test func writesThatCannotBeAreRefused() throws {
    for (what, write) in Self.hostileWrites {
      #expect(try Self.use(what, [Self.payload([write])])?.code == .corrupted, "\(what)")
      // Recovery does not take for torn what is whole and no record.
      #expect(
        try Self.use(what, [Self.payload([write])], isCommitted: false)?.code == .corrupted,
        "\(what), not committed")
    }
  }

  @Test func extremeTimesOfExpiryAreHarmless() throws {
    for time in [Int64.min, -1, 0, .max] {
      let bytes = (0..<8).map { UInt8(truncatingIfNeeded: time >> (8 * $0)) }
      let write = Write(kind: 8, valueCount: 9, bytes: [200] + bytes + [1])
      #expect(try Self.use("expires at \(time)", [Self.payload([write])]) == nil)
    }
  }

  @Test func numbersThatDoNotFollowAreRefused() throws {
    let last = Self.flushed + 1
    for (what, payloads) in [
      ("a gap before the first", [Self.payload(first: last + 5, previous: last + 4)]),
      ("a gap", [Self.payload(), Self.payload(first: last + 5, previous: last + 4)]),
      ("twice the same", [Self.payload(), Self.payload()]),
      ("one that goes back", [Self.payload(), Self.payload(first: last, previous: last)]),
      ("none before itself", [Self.payload(first: 0, previous: 0)]),
      ("number 2⁶⁰", [Self.payload(first: 1 << 60)]),
      ("number 2⁶⁴-1", [Self.payload(first: .max)]),
    ] as [(String, [Payload])] {
      #expect(try Self.use(what, payloads)?.code == .corrupted, "\(what)")
    }
  }

  /// The highest number there can be leaves none for what is written next.
  @Test func theLastNumberIsHarmlessOrRefused() throws {
    for first in [(1 << 60) - 3, (1 << 60) - 2] as [UInt64] {
      _ = try Self.use("number \(first)", [Self.payload(first: first)])
    }
  }

  @Test func otherRecordsAreRefused() throws {
    for count in 0..<8 {
      #expect(
        try Self.use("\(count) bytes", [Self.payload().prefix(count)])?.code == .corrupted)
    }
    #expect(try Self.use("another type", type: 9, [Self.payload()])?.code == .corrupted)
    for kind in [RecordLogFormat.Kind.entries, .manifest] {
      #expect(try Self.use("another kind", kind: kind, [Self.payload()])?.code == .corrupted)
    }
  }

  /// The length in a record's frame, which no checksum can be asked about before it is believed.
  @Test(arguments: [0, 1, 1 << 20, (64 << 20) + 1, 1 << 31, .max - 4, .max] as [UInt64])
  func aLengthIsHeldAgainstTheFileBeforeMemoryIsTaken(length: UInt64) throws {
    let error = try Self.use("length \(length)", [Self.payload()]) { bytes in
      bytes.put(length, bytes: 4, at: 40)
    }
    #expect(error?.code == .corrupted)
  }

  @Test func aNewerVersionIsNamedAsSuch() throws {
    let error = try Self.use("version 3", [Self.payload()]) { bytes in
      bytes[8] = 3
      let sum = Checksum.of(Array(bytes[..<24]), seed: Checksum.seed(fileID: 5, place: 0))
      bytes.put(sum, bytes: 8, at: 24)
    }
    #expect(error?.code == .unsupportedFormat)
  }
}
