import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Entries in a log")
struct EntryBatchCodingTests {
  static let layouts = [
    EntryLayout(isExact: false, valueWidth: 0), EntryLayout(isExact: false, valueWidth: 64),
    EntryLayout(isExact: true, valueWidth: 0), EntryLayout(isExact: true, valueWidth: 3),
  ]

  private static func entries(_ count: Int, _ layout: EntryLayout, seed: UInt64) -> [TestEntry] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
      let length = layout.isExact ? [0, 1, 8, 300].randomElement(using: &generator) ?? 0 : 0
      return TestEntry(
        KeyHash(high: generator.next(), low: generator.next()),
        time: .random(in: EntryTime.min...EntryTime.max, using: &generator),
        kind: EntryKind(rawValue: .random(in: 0...2, using: &generator)) ?? .insert,
        value: (0..<layout.valueWidth).map { _ in .random(in: 0...255, using: &generator) },
        key: (0..<length).map { _ in .random(in: 0...255, using: &generator) })
    }
  }

  /// The payloads that a buffer of entries is written as.
  private static func payloads(
    _ entries: [TestEntry], _ layout: EntryLayout, largestTime: Int64
  ) throws -> [[UInt8]] {
    let directory = try MemoryFileSystem().openDirectory(at: "/logs", creating: true)
    let log = try RecordLogWriter(directory: directory, name: "l", kind: .entries, fileID: 1)
    var buffer = EntryBuffer(layout: layout, expectedEntries: 1)
    var isEmpty = buffer.isEmpty
    #expect(isEmpty)
    for entry in entries { entry.withReference { buffer.append($0) } }
    isEmpty = buffer.isEmpty
    #expect(isEmpty == entries.isEmpty)
    let bytes = buffer.byteCount
    try buffer.write(to: log, largestTime: largestTime)
    try log.synchronize()
    var reader = try RecordLogReader(directory: directory, name: "l", kind: .entries, fileID: 1)
    var payloads: [[UInt8]] = []
    while let record = try reader.next(committedLength: log.length) {
      #expect(record.type == EntryBatchCoding.recordType)
      payloads.append(record.payload)
    }
    #expect(payloads.map { $0.count - 12 }.reduce(0, +) == bytes)
    return payloads
  }

  private static func read(
    _ payload: [UInt8], _ layout: EntryLayout
  ) throws -> (entries: [TestEntry], largestTime: Int64) {
    var entries: [TestEntry] = []
    let largest = try EntryBatchCoding.read(payload, layout: layout) {
      entries.append(TestEntry($0, valueWidth: Int(layout.valueWidth)))
    }
    return (entries, largest)
  }

  @Test("entries come back in order, from records of bounded size", arguments: layouts)
  func roundTrip(layout: EntryLayout) throws {
    for count in [0, 1, 2, 17, 60_000] {
      let entries = Self.entries(count, layout, seed: UInt64(count))
      let payloads = try Self.payloads(entries, layout, largestTime: -5)
      let answers = try payloads.map { try Self.read($0, layout) }
      #expect(answers.flatMap(\.entries) == entries, "\(count) entries")
      #expect(answers.allSatisfy { $0.largestTime == -5 })
      #expect(payloads.allSatisfy { $0.count < EntryBatchCoding.recordBytesTarget + 512 })
      #expect((payloads.count > 1) == (count == 60_000))
    }
  }

  @Test func aValueThatIsMissingIsWrittenAsZeros() throws {
    let layout = EntryLayout(isExact: false, valueWidth: 4)
    var entry = TestEntry(KeyHash(high: 1, low: 2), time: 3)
    let payload = try Self.payloads([entry], layout, largestTime: 0)[0]
    entry.value = [0, 0, 0, 0]
    #expect(try Self.read(payload, layout).entries == [entry])
  }

  @Test func bytesAreGolden() throws {
    let entry = TestEntry(
      KeyHash(high: 0x0102, low: 0x0304), time: -2, kind: .put, value: [9, 8], key: [7])
    let payload = try Self.payloads(
      [entry], EntryLayout(isExact: true, valueWidth: 2), largestTime: 0x11)[0]
    let expected: [UInt8] = [
      0x11, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0xFE,
      0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 9, 8, 1, 0, 0, 0, 7,
    ]
    #expect(payload == expected)
  }

  @Test("every truncation, and bytes left over, are refused", arguments: layouts)
  func truncations(layout: EntryLayout) throws {
    let payload = try Self.payloads(
      Self.entries(5, layout, seed: 3), layout, largestTime: EntryTime.none)[0]
    #expect(try Self.read(payload, layout).largestTime == EntryTime.none)
    for length in 0..<payload.count {
      #expect(throws: CodingError.self, "\(length) bytes") {
        try Self.read(Array(payload.prefix(length)), layout)
      }
    }
    #expect(throws: CodingError.self) { try Self.read(payload + [0], layout) }
  }

  @Test("bytes that are no entries are refused and never trap", arguments: layouts)
  func hostileBytes(layout: EntryLayout) throws {
    let payload = try Self.payloads(
      Self.entries(5, layout, seed: 4), layout, largestTime: 0)[0]
    for seed in UInt64(0)..<3_000 {
      var generator = SeededGenerator(seed: seed)
      var bytes = payload
      if seed % 5 == 0 {
        bytes = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
          UInt8.random(in: 0...255, using: &generator)
        }
      } else {
        let place = Int.random(in: 0..<bytes.count, using: &generator)
        bytes[place] = [0, 0x7F, 0x80, 0xFF].randomElement(using: &generator) ?? 0
      }
      do {
        let (entries, largest) = try Self.read(bytes, layout)
        #expect(largest == EntryTime.none || abs(largest) <= EntryTime.max)
        #expect(entries.allSatisfy { abs($0.time) <= EntryTime.max })
        #expect(entries.allSatisfy { $0.key.count <= EntryLayout.keyBytesMax })
      } catch is CodingError {}
    }
  }
}
