import SedimentStore
import SedimentTestKit
import Testing

@Suite("Writes in a log")
struct WriteBatchCodingTests {
  /// A write that owns its bytes.
  private struct TestWrite: Hashable {
    var keyspace: UInt32
    var entry: OrderedEntry
  }

  private static func writes(_ count: Int, seed: UInt64) -> [TestWrite] {
    var generator = SeededGenerator(seed: seed)
    // Drawn in order of keys: each gets the sequence number of its place.
    return OrderedShape(count: count, keyLengths: 0...300, valueLengths: 0...300)
      .entries(seed: seed).enumerated().map { index, entry in
        var entry = entry
        entry.tag = EntryTag(
          sequence: 1000 + UInt64(index), kind: entry.tag.kind, expires: entry.tag.expires)
        return TestWrite(keyspace: .random(in: 0...5, using: &generator), entry: entry)
      }
  }

  private static func buffer(_ writes: some Sequence<TestWrite>) -> WriteBatchBuffer {
    var buffer = WriteBatchBuffer()
    for write in writes {
      let tag = write.entry.tag
      let isIn = unsafe write.entry.withBytes { key, value in
        guard tag.expires else {
          return unsafe buffer.append(
            keyspace: write.keyspace, kind: tag.kind, key: key, value: value)
        }
        return unsafe buffer.append(
          keyspace: write.keyspace, kind: tag.kind, key: key,
          value: UnsafeRawBufferPointer(rebasing: value[8...]),
          expiresAt: Int64(littleEndian: value.loadUnaligned(as: Int64.self)))
      }
      #expect(isIn)
    }
    return buffer
  }

  private static func read(_ payload: [UInt8]) throws -> [TestWrite] {
    var writes: [TestWrite] = []
    _ = try unsafe payload.withUnsafeBytes { bytes in
      try unsafe WriteBatchCoding.read(bytes) { write in
        writes.append(
          TestWrite(
            keyspace: write.keyspace,
            entry: unsafe OrderedEntry(
              key: Array(write.key), tag: write.tag, value: Array(write.value))))
      }
    }
    return writes
  }

  @Test func whatWasGatheredIsRead() throws {
    let writes = Self.writes(200, seed: 1)
    var buffer = Self.buffer(writes)
    #expect(buffer.count == 200)
    let payload = buffer.payload(firstSequence: 1000, previous: 999)
    #expect(payload.count <= buffer.byteCount)
    #expect(try Self.read(payload.bytes) == writes)
    // A record of nothing would have no number.
    buffer.removeAll()
    let nothing = buffer.payload(firstSequence: 7, previous: 0).bytes
    #expect(throws: CodingError.self) { try Self.read(nothing) }
  }

  @Test func whatDoesNotFitARecordIsRefusedAndLeavesNothing() throws {
    var buffer = WriteBatchBuffer()
    let value = [UInt8](repeating: 1, count: 40 << 20)
    func append() -> Bool {
      unsafe value.withUnsafeBytes {
        unsafe buffer.append(
          keyspace: 1, kind: .put, key: UnsafeRawBufferPointer(rebasing: $0[..<3]), value: $0)
      }
    }
    #expect(append())
    #expect(!append())
    #expect(buffer.count == 1)
    let payload = buffer.payload(firstSequence: 1, previous: 0).bytes
    #expect(try Self.read(payload).count == 1)
  }

  @Test func cutOffOrDamagedPayloadsGiveATypedErrorOrWrites() throws {
    var buffer = Self.buffer(Self.writes(12, seed: 3))
    let payload = buffer.payload(firstSequence: 1, previous: 0).bytes
    for count in payload.indices {
      #expect(throws: CodingError.self) { try Self.read(Array(payload[..<count])) }
    }
    #expect(throws: CodingError.self) { try Self.read(payload + [0]) }
    for offset in payload.indices {
      for bit in 0..<8 {
        var damaged = payload
        damaged[offset] ^= 1 << UInt8(bit)
        do { _ = try Self.read(damaged) } catch is CodingError {}
      }
    }
  }

  @Test func theBytesAreThose() {
    var buffer = WriteBatchBuffer()
    let key: [UInt8] = [107]
    let value: [UInt8] = [1, 2]
    unsafe key.withUnsafeBytes { key in
      unsafe value.withUnsafeBytes { value in
        _ = unsafe buffer.append(keyspace: 9, kind: .put, key: key, value: value, expiresAt: 5)
        _ = unsafe buffer.append(
          keyspace: 9, kind: .remove, key: key, value: UnsafeRawBufferPointer(rebasing: value[..<0])
        )
      }
    }
    let golden: [UInt8] =
      [1, 1, 2]
      + [8, 9, 1, 10, 107, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2]
      + [1, 9, 1, 0, 107]
    let payload = buffer.payload(firstSequence: 3, previous: 1).bytes
    #expect(payload == golden)
    // The last number there may be, behind as many as there may be.
    let last = buffer.payload(firstSequence: EntryTag.sequenceMax - 2, previous: 1 << 40).bytes
    #expect(last.count == 6 + 9 + 1 + golden.count - 3)
  }

  /// As version 1 of the log has them.
  @Test func recordsOfFixedWidthAreReadAsEver() throws {
    let wide: [UInt8] =
      [3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0]
      + [9, 0, 0, 0, 8, 1, 10, 107, 5, 0, 0, 0, 0, 0, 0, 0, 1, 2]
      + [9, 0, 0, 0, 1, 1, 0, 107]
    let type = WriteBatchCoding.wideRecordType
    var keys: [[UInt8]] = []
    let head = try unsafe wide.withUnsafeBytes { bytes in
      try unsafe WriteBatchCoding.read(bytes, type: type) { unsafe keys.append(Array($0.key)) }
    }
    #expect(head.first == 3 && head.previous == 1 && head.count == 2)
    #expect(keys == [[107], [107]])
    // As one of today's, behind another record.
    let renewed = try unsafe wide.withUnsafeBytes {
      try unsafe WriteBatchCoding.payload($0, type: type, behind: 2)
    }
    let payload = unsafe renewed.withPayload { unsafe Array($0) }
    let writes = try Self.read(payload)
    #expect(payload.prefix(3) == [2, 0, 2] && writes.map(\.keyspace) == [9, 9])
    #expect(writes.map(\.entry.tag.sequence) == [3, 4])
  }
}

extension WriteBatchBuffer {
  /// The payload, numbered.
  fileprivate mutating func payload(firstSequence: UInt64, previous: UInt64) -> ByteWriter {
    number(firstSequence: firstSequence, previous: previous)
    var payload = ByteWriter()
    unsafe withPayload { unsafe payload.writeBytes($0) }
    return payload
  }
}
