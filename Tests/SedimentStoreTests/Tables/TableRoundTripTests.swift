import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Table round trips")
struct TableRoundTripTests {
  static let shapes: [TableShape] =
    [0, 1, 8, 64].flatMap { (width: UInt8) in
      [false, true].flatMap { isExact in
        [false, true].map { hasKinds in
          TableShape(
            isExact: isExact, valueWidth: width, hasKinds: hasKinds, keyLengths: [0, 1, 17, 300])
        }
      }
    }
    + [0, 1, 255, 256, 1 << 16, 1 << 24, 1 << 32, 1 << 40, 1 << 48, 1 << 60].map {
      TableShape(timeSpread: $0, hasKinds: true)
    }
    + [0, 1, 4096, 65536].map { TableShape(count: 60, isExact: true, keyLengths: [$0]) }
    + [1, 2, 225, 226, 227, 20_000].map { TableShape(count: $0) }
    + [
      TableShape(filter: .none), TableShape(filter: .binaryFuse(planes: 10)),
      TableShape(hashRange: 5...5),
      TableShape(count: 5_000, hashRange: 1_000...3_000),
      TableShape(hashRange: (1 << 63)...(1 << 63 + 1 << 40)),
      TableShape(count: 3_000, isExact: true, valueWidth: 8, keyLengths: [3, 40, 70, 9_000]),
    ]

  @Test("a scan gives back every entry as it was written", arguments: shapes)
  func scanGivesBackEveryEntry(_ shape: TableShape) throws {
    let table = try TestTable(shape)
    let reader = try table.open()
    try reader.verify()
    let scanned = try drain(TableCursor(table: reader), valueWidth: table.valueWidth)
    #expect(scanned == table.entries)
    let small = TableCursor(table: reader, readAheadBytes: 1)
    #expect(try drain(small, valueWidth: table.valueWidth) == table.entries)
  }

  @Test("a lookup reads one page and agrees with a dictionary", arguments: shapes)
  func lookupAgreesWithDictionary(_ shape: TableShape) throws {
    let table = try TestTable(shape, seed: 2)
    let reader = try table.open()
    let expected = Dictionary(grouping: table.entries, by: \.hash)
    for (hash, entries) in expected {
      #expect(try table.lookup(hash, in: reader) == entries)
      let neighbours = [
        KeyHash(high: hash.high, low: hash.low &+ 1), KeyHash(high: hash.high &+ 1, low: hash.low),
        KeyHash(high: hash.high &- 1, low: hash.low),
      ]
      for neighbour in neighbours where shape.filter == .none {
        #expect(try table.lookup(neighbour, in: reader) == expected[neighbour] ?? [])
      }
    }
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<500 {
      let hash = KeyHash(high: generator.next(), low: generator.next())
      #expect(try table.lookup(hash, in: reader) == expected[hash] ?? [])
    }
  }

  @Test(
    "a filter that does not fit is loaded in part and excludes no entry",
    arguments: [
      TableWriter.FilterPolicy.blockedBloom(bitsPerKey: 12), .binaryFuse(planes: 10),
    ])
  func filterLoadsInPart(_ filter: TableWriter.FilterPolicy) throws {
    let table = try TestTable(TableShape(count: 60_000, filter: filter, repeats: 1_000_000))
    let whole = try table.open()
    #expect(whole.filter.memoryBytes > 70_000)
    for budget in [0, 64, 1_000, 20_000, 65_536] {
      let reader = try table.open(filterByteBudget: budget)
      #expect(reader.filter.memoryBytes <= max(budget, 64))
      for entry in table.entries where !reader.probe.filter.mayContain(entry.hash) {
        Issue.record("an entry is excluded at a budget of \(budget)")
        break
      }
    }
    let none = try table.open(filterByteBudget: 0).probe.filter
    let strangers = (0..<1_000).map { KeyHash(high: $0 << 50, low: $0) }
    #expect(strangers.allSatisfy(none.mayContain), "nothing is excluded without memory")
    #expect(!strangers.allSatisfy(whole.probe.filter.mayContain))
  }

  @Test("metadata says what was written and survives its encoding")
  func metadataSurvivesEncoding() throws {
    let table = try TestTable(TableShape(isExact: true, valueWidth: 8, hasKinds: true))
    let metadata = table.metadata
    #expect(metadata.entryCount == 1_000)
    #expect(metadata.smallestHigh == table.entries.first?.hash.high)
    #expect(metadata.largestHigh == table.entries.last?.hash.high)
    #expect(metadata.smallestTime == table.entries.map(\.time).min())
    #expect(metadata.largestTime == table.entries.map(\.time).max())
    #expect(metadata.fileBytes == UInt64(try table.bytes().count))
    var writer = ByteWriter()
    metadata.encode(into: &writer)
    #expect(writer.count == TableMetadata.encodedBytes)
    let decoded = try ByteReader.reading(writer.bytes) { (reader) throws(CodingError) in
      try TableMetadata.decode(from: &reader)
    }
    #expect(decoded == metadata)
    for length in 0..<writer.count {
      #expect(throws: CodingError.self) {
        try ByteReader.reading(Array(writer.bytes[..<length])) { (reader) throws(CodingError) in
          try TableMetadata.decode(from: &reader)
        }
      }
    }
  }

  @Test("a finished table survives a loss of power; the directory is the caller's")
  func finishedTableIsDurable() throws {
    let disk = MemoryFileSystem()
    let directory = try disk.openDirectory(at: "/tables", creating: true)
    let table = try TestTable(TableShape(), in: directory)
    try directory.synchronize()
    let after = try disk.crashed(.nothing).openDirectory(at: "/tables", creating: false)
    try TableReader(directory: after, metadata: table.metadata).verify()
  }

  @Test("many entries of one hash make one jumbo page")
  func manyEntriesOfOneHash() throws {
    let shape = TableShape()
    let hash = KeyHash(high: 7 << 40, low: 9)
    var entries = (0..<5_000).map { TestEntry(hash, time: 1_700_000_000_000 + $0) }
    entries.insert(TestEntry(KeyHash(high: 0, low: 0), time: 1_700_000_000_000), at: 0)
    entries.append(
      TestEntry(KeyHash(high: .max, low: .max), time: 1_700_000_000_000))
    let table = try TestTable(entries, shape)
    let reader = try table.open()
    try reader.verify()
    #expect(reader.probe.place(for: hash).count > 20)
    #expect(try table.lookup(hash, in: reader).count == 5_000)
    for entry in [entries[0], entries[5_001]] {
      #expect(reader.probe.place(for: entry.hash).count == 1)
      #expect(try table.lookup(entry.hash, in: reader) == [entry])
    }
  }
}
