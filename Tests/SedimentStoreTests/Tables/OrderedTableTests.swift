import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A table of an ordered keyspace in a memory file system.
struct OrderedTestTable {
  static let name = "000000000007.sst"
  let directory: any Directory
  let entries: [OrderedEntry]
  let metadata: OrderedTableMetadata
  static let seed = HashSeed(first: 1, second: 2)

  init(_ shape: OrderedShape, seed: UInt64 = 1) throws {
    try self.init(shape.entries(seed: seed), shape.compression)
  }

  /// - Parameter fileID: tables that share a cache have different ones.
  init(
    _ entries: [OrderedEntry], _ compression: BlockCompression, fileID: UInt64 = 99
  ) throws {
    directory = try MemoryFileSystem().openDirectory(at: "store", creating: true)
    self.entries = entries
    var writer = try OrderedTableWriter(
      directory: directory,
      plan: OrderedTableWriter.Plan(
        number: FileNumber(7), fileID: fileID, seed: Self.seed, expectedEntries: entries.count,
        compression: compression))
    for entry in entries {
      try unsafe entry.withBytes { try unsafe writer.append(key: $0, tag: entry.tag, value: $1) }
    }
    metadata = try #require(try writer.finish())
  }

  func open() throws -> OrderedTableReader {
    try OrderedTableReader(directory: directory, metadata: metadata)
  }

  func bytes() throws -> [UInt8] {
    let file = try directory.openFile(Self.name, .read)
    defer { file.close() }
    var bytes = [UInt8](repeating: 0, count: Int(try file.size()))
    _ = try unsafe bytes.withUnsafeMutableBytes { try unsafe file.read(into: $0, at: 0) }
    return bytes
  }

  /// The same file system's directory with other bytes in place of the table.
  func replaced(by bytes: [UInt8]) throws -> any Directory {
    let directory = try MemoryFileSystem().openDirectory(at: "store", creating: true)
    let file = try directory.openFile(Self.name, .create)
    try unsafe bytes.withUnsafeBytes { try unsafe file.write($0, at: 0) }
    file.close()
    return directory
  }
}

extension OrderedTableCursor {
  /// A copy of the entry it is at.
  var entry: OrderedEntry {
    unsafe OrderedEntry(key: Array(key), tag: tag, value: Array(value))
  }

  /// Copies of all entries, in order.
  mutating func drain() throws -> [OrderedEntry] {
    var entries: [OrderedEntry] = []
    try seekToFirst()
    while isValid {
      entries.append(entry)
      try moveNext()
    }
    return entries
  }
}

@Suite("Tables of ordered keyspaces")
struct OrderedTableTests {
  static let shapes = [
    OrderedShape(count: 1),
    OrderedShape(count: 17, keyLengths: 0...2),
    OrderedShape(count: 3_000),
    OrderedShape(count: 2_000, keyLengths: 8...40, alphabet: [97], versions: 90),
    OrderedShape(count: 2_000, keyLengths: 1...20, valueLengths: 0...200, compression: .none),
    OrderedShape(count: 60, keyLengths: 0...5_000, valueLengths: 0...30_000),
    OrderedShape(count: 40, valueLengths: 3_000...9_000, compression: .none),
  ]

  @Test(arguments: shapes)
  func whatWasWrittenIsReadInOrderAndBack(_ shape: OrderedShape) throws {
    let table = try OrderedTestTable(shape)
    let reader = try table.open()
    for cache in [nil, try PageCache(byteBudget: 1 << 16)] {
      var cursor = OrderedTableCursor(reader, cache: cache)
      #expect(try cursor.drain() == table.entries)
      var back: [OrderedEntry] = []
      try cursor.seekToLast()
      while cursor.isValid {
        back.append(cursor.entry)
        try cursor.movePrevious()
      }
      #expect(back == table.entries.reversed())
    }
    let metadata = table.metadata
    #expect(metadata.entryCount == UInt64(table.entries.count))
    #expect(metadata.smallestKey == table.entries.first?.key)
    #expect(metadata.largestKey == table.entries.last?.key)
    #expect(metadata.otherCount == UInt64(table.entries.count { $0.tag.kind != .put }))
    #expect(metadata.largestSequence == UInt64(table.entries.count - 1))
    #expect(UInt64(try table.bytes().count) == metadata.fileBytes)
  }

  @Test(arguments: shapes)
  func aSearchEndsWhereOneOfAListWould(_ shape: OrderedShape) throws {
    let table = try OrderedTestTable(shape)
    let reader = try table.open()
    let entries = table.entries
    var cursor = OrderedTableCursor(reader, cache: try PageCache(byteBudget: 1 << 20))
    var generator = SeededGenerator(seed: 4)
    for round in 0..<1_500 {
      // Keys that are there, ones like them, and any.
      var key = entries.randomElement(using: &generator)?.key ?? []
      if round % 3 > 0 {
        let alphabet = shape.alphabet + [0, 98]
        if round % 3 == 2 { key = Array(key.prefix(.random(in: 0...2, using: &generator))) }
        key.append(alphabet.randomElement(using: &generator) ?? 0)
      }
      let tag = EntryTag.newest(at: .random(in: 0...UInt64(entries.count), using: &generator))
      let behind = entries.partitioningIndex { !$0.isBefore(key, tag) }
      try unsafe key.withBytes { try unsafe cursor.seek($0, tag: tag) }
      #expect(cursor.isValid == (behind < entries.count))
      if cursor.isValid { #expect(cursor.entry == entries[behind]) }
      try unsafe key.withBytes { try unsafe cursor.seekBefore($0, tag: tag) }
      #expect(cursor.isValid == (behind > 0))
      if cursor.isValid { #expect(cursor.entry == entries[behind - 1]) }
    }
  }

  @Test func theFilterKnowsEveryKeyAndFewOthers() throws {
    let table = try OrderedTestTable(
      OrderedShape(count: 20_000, keyLengths: 10...16, alphabet: Array(0...255), versions: 0))
    let reader = try table.open()
    let hasher = KeyHasher(seed: OrderedTestTable.seed)
    let probe = reader.filter.probe
    for entry in table.entries {
      #expect(unsafe entry.key.withBytes { probe.mayContain(unsafe hasher.hash($0)) })
    }
    var passed = 0
    for number in 0..<100_000 {
      let hash = unsafe Array("absent \(number)".utf8).withBytes { unsafe hasher.hash($0) }
      passed += probe.mayContain(hash) ? 1 : 0
    }
    // 12 bits a key: 0.46 %.
    #expect(passed > 350 && passed < 570, "\(passed) of 100,000")
  }

  @Test func compressionMakesThemSmaller() throws {
    let shape = OrderedShape(count: 5_000, keyLengths: 16...16, valueLengths: 100...100)
    let entries = shape.entries(seed: 2)
    let plain = try OrderedTestTable(entries, .none).metadata.fileBytes
    let compressed = try OrderedTestTable(entries, .lz4).metadata.fileBytes
    #expect(compressed < plain / 2)
    #expect(plain < UInt64(entries.reduce(0) { $0 + $1.key.count + $1.value.count + 12 }))
  }

  @Test func whatCannotStandHereIsRefusedAndNoFileIsLeft() throws {
    let directory = try MemoryFileSystem().openDirectory(at: "store", creating: true)
    func write(_ entries: [OrderedEntry]) throws {
      var writer = try OrderedTableWriter(
        directory: directory,
        plan: OrderedTableWriter.Plan(
          number: FileNumber(7), fileID: 1, seed: OrderedTestTable.seed, expectedEntries: 10))
      for entry in entries {
        try unsafe entry.withBytes { try unsafe writer.append(key: $0, tag: entry.tag, value: $1) }
      }
      _ = try writer.finish()
    }
    let (old, new) = (EntryTag(sequence: 1, kind: .put), EntryTag(sequence: 2, kind: .put))
    let a = OrderedEntry(key: [1], tag: new, value: [])
    #expect(throws: TableWriteError.outOfOrder) { try write([a, a]) }
    #expect(throws: TableWriteError.outOfOrder) {
      try write([OrderedEntry(key: [1], tag: old, value: []), a])
    }
    #expect(throws: TableWriteError.outOfOrder) {
      try write([a, OrderedEntry(key: [0, 9], tag: old, value: [])])
    }
    #expect(throws: TableWriteError.keyTooLong) {
      try write([OrderedEntry(key: [UInt8](repeating: 0, count: 65_537), tag: new, value: [])])
    }
    try write([])
    #expect(try directory.entries().isEmpty)
  }

  @Test(arguments: [
    OrderedShape(count: 50), OrderedShape(count: 30, valueLengths: 100...400, compression: .none),
  ])
  func oneFlippedBitIsHarmlessOrTold(_ shape: OrderedShape) throws {
    let table = try OrderedTestTable(shape)
    let bytes = try table.bytes()
    var generator = SeededGenerator(seed: 4)
    for offset in bytes.indices {
      var damaged = bytes
      damaged[offset] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      try exercise(table, try table.replaced(by: damaged), "bit flipped at \(offset)")
    }
  }

  @Test func aShorterFileIsNotOpened() throws {
    let table = try OrderedTestTable(OrderedShape(count: 50))
    let bytes = try table.bytes()
    for count in stride(from: 0, to: bytes.count, by: 7) {
      let directory = try table.replaced(by: Array(bytes[..<count]))
      #expect(throws: Corruption.self) {
        try OrderedTableReader(directory: directory, metadata: table.metadata)
      }
    }
  }

  @Test func aBlockElsewhereIsTold() throws {
    // Blocks of one size, so that one fits in the place of another.
    let entries = (0..<200).map { number in
      OrderedEntry(
        key: Array("key \(1000 + number)".utf8),
        tag: EntryTag(sequence: UInt64(number), kind: .put),
        value: [UInt8](repeating: UInt8(number), count: 100))
    }
    let table = try OrderedTestTable(entries, .none)
    let bytes = try table.bytes()
    let blockBytes =
      Int(
        UInt32(
          littleEndian: unsafe bytes.withUnsafeBytes {
            unsafe $0.loadUnaligned(fromByteOffset: 8, as: UInt32.self)
          })) + 13
    var swapped = bytes
    for index in 0..<blockBytes { swapped.swapAt(index, blockBytes + index) }
    let reader = try OrderedTableReader(
      directory: try table.replaced(by: swapped), metadata: table.metadata)
    var cursor = OrderedTableCursor(reader, cache: nil)
    let error = #expect(throws: Corruption.self) { try cursor.seekToFirst() }
    #expect(error?.offset == 0 && error?.what == "block")
    let isValid = cursor.isValid
    #expect(!isValid)
  }

  /// Everything but damage that is told and the right answers is an issue.
  private func exercise(
    _ table: OrderedTestTable, _ directory: any Directory, _ what: String
  ) throws {
    do {
      let reader = try OrderedTableReader(directory: directory, metadata: table.metadata)
      var cursor = OrderedTableCursor(reader, cache: nil)
      if try cursor.drain() != table.entries { Issue.record("\(what): other entries") }
    } catch is Corruption {
    } catch is UnsupportedFormat {
    }
  }
}

extension Array {
  /// The first index at which `belongsBehind` holds, which it does from there on.
  fileprivate func partitioningIndex(_ belongsBehind: (Element) -> Bool) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if belongsBehind(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
