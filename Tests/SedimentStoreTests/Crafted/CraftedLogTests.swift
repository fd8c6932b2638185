import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Logs whose checksums hold and whose content was made up.
@Suite struct CraftedLogTests {
  /// Replaces the store's log by one with this header and these records, and says so in the
  /// manifest.
  private func use(
    _ what: String, kind: RecordLogFormat.Kind = .entries, type: UInt8 = 1, _ payload: [UInt8],
    change: (inout [UInt8]) -> Void = { _ in }
  ) throws -> StoreError? {
    let store = try CraftedStore()
    let log = try store.makeLog(kind: kind, [(type, payload)], change: change)
    try store.replaceState { state in
      state.nextFileNumber = 50
      state.keyspaces[0].logs = [log]
    }
    return try store.use(what)
  }

  /// The largest time, a count, and entries of 25 bytes.
  private func entries(
    count: UInt32, time: Int64 = 1_000, kind: UInt8 = 0, largest: Int64 = 1_000, actual: Int = 1
  ) -> [UInt8] {
    var writer = ByteWriter()
    writer.writeInt64(largest)
    writer.writeUInt32(count)
    for index in 0..<actual {
      writer.writeUInt64(UInt64(index) << 32)
      writer.writeUInt64(7)
      writer.writeInt64(time)
      writer.writeUInt8(kind)
    }
    return writer.bytes
  }

  @Test func goodEntriesAreTaken() throws {
    #expect(try use("good", entries(count: 1)) == nil)
    #expect(try use("none", entries(count: 0, actual: 0)) == nil)
  }

  @Test(arguments: [2, 1 << 16, 1 << 31, .max] as [UInt32])
  func moreEntriesThanBytesAreRefused(count: UInt32) throws {
    #expect(try use("\(count) entries", entries(count: count))?.code == .corrupted)
  }

  @Test func entriesThatCannotBeAreRefused() throws {
    #expect(try use("a kind of 9", entries(count: 1, kind: 9))?.code == .corrupted)
    #expect(try use("a late time", entries(count: 1, time: .max))?.code == .corrupted)
    #expect(try use("an early time", entries(count: 1, time: .min))?.code == .corrupted)
    #expect(try use("a largest time", entries(count: 1, largest: .max))?.code == .corrupted)
    #expect(try use("bytes too many", entries(count: 0))?.code == .corrupted)
    #expect(try use("no bytes", [])?.code == .corrupted)
    #expect(try use("another type", type: 9, entries(count: 1))?.code == .corrupted)
    #expect(try use("another kind", kind: .manifest, entries(count: 1))?.code == .corrupted)
  }

  @Test func aNewerVersionIsNamedAsSuch() throws {
    let error = try use("version 2", entries(count: 1)) { bytes in
      bytes[8] = 2
      let sum = Checksum.of(Array(bytes[..<24]), seed: Checksum.seed(fileID: 5, place: 0))
      for place in 0..<8 { bytes[24 + place] = UInt8(truncatingIfNeeded: sum >> (8 * place)) }
    }
    #expect(error?.code == .unsupportedFormat)
  }

  /// The length in a record's frame, which no checksum can be asked about before it is believed.
  @Test(arguments: [0, 1, 1 << 20, (64 << 20) + 1, 1 << 31, .max - 4, .max] as [UInt32])
  func aLengthIsHeldAgainstTheFileBeforeMemoryIsTaken(length: UInt32) throws {
    let error = try use("length \(length)", entries(count: 1)) { bytes in
      for place in 0..<4 { bytes[40 + place] = UInt8(truncatingIfNeeded: length >> (8 * place)) }
    }
    #expect(error?.code == .corrupted)
  }

  @Test func lengthsOfKeysAreHeldAgainstTheirLimit() throws {
    let layout = EntryLayout(isExact: true, valueWidth: 0)
    for (length, actual) in [(65_537, 65_537), (.max, 16), (1 << 31, 16), (17, 16)]
      as [(UInt32, Int)]
    {
      var payload = ByteWriter()
      payload.writeBytes(entries(count: 1))
      payload.writeUInt32(length)
      payload.writeZeros(actual)
      #expect(throws: CodingError.self, "a key of \(length)") {
        _ = try EntryBatchCoding.read(payload.bytes, layout: layout) { _ in }
      }
    }
    var payload = ByteWriter()
    payload.writeBytes(entries(count: 1))
    payload.writeUInt32(65_536)
    payload.writeZeros(65_536)
    _ = try EntryBatchCoding.read(payload.bytes, layout: layout) { entry in
      #expect(entry.keyLength == 65_536)
    }
  }

  /// Nobody can find keys with equal hashes, but a log can hold them.
  @Test func equalPrefixesOfHashesCostTimeAndNothingElse() throws {
    var writer = ByteWriter()
    writer.writeInt64(1_000)
    writer.writeUInt32(5_000)
    for index in 0..<5_000 {
      writer.writeUInt64(0xABCD << 48)
      writer.writeUInt64(UInt64(index))
      writer.writeInt64(1_000)
      writer.writeUInt8(0)
    }
    #expect(try use("5,000 equal prefixes", writer.bytes) == nil)
  }
}
