import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// What a damaged table may do: throw `Corruption`, or answer as if it were whole.
@Suite("Table damage")
struct TableDamageTests {
  static let shapes = [
    TableShape(count: 60, timeSpread: 1_000),
    TableShape(
      count: 40, isExact: true, valueWidth: 8, hasKinds: true, keyLengths: [5, 30],
      filter: .binaryFuse(planes: 9)),
  ]

  /// Opens the table, looks up a part of its entries, scans and verifies it. Everything but
  /// `Corruption` and the right answers is an issue.
  private func exercise(_ table: TestTable, in directory: any Directory, _ what: String) throws {
    let reader: TableReader
    do {
      reader = try TableReader(directory: directory, metadata: table.metadata)
    } catch is Corruption { return }
    for entry in table.entries where entry.hash.low % 16 == 0 {
      do {
        let found = try table.lookup(entry.hash, in: reader)
        if !found.contains(entry) { Issue.record("\(what): a lookup lost an entry") }
      } catch is Corruption {}
    }
    do {
      let scanned = try drain(TableCursor(table: reader), valueWidth: table.valueWidth)
      if scanned != table.entries { Issue.record("\(what): a scan gave other entries") }
    } catch is Corruption {}
    do { try reader.verify() } catch is Corruption {}
  }

  @Test("one flipped bit in any byte is harmless or reported", arguments: shapes)
  func flippedBitIsHarmlessOrReported(_ shape: TableShape) throws {
    let table = try TestTable(shape)
    let bytes = try table.bytes()
    let file = try table.directory.openFile(TestTable.name, .readWrite)
    defer { file.close() }
    var generator = SeededGenerator(seed: 4)
    for offset in bytes.indices {
      let bit = UInt8(1) << UInt8.random(in: 0..<8, using: &generator)
      try write(bytes[offset] ^ bit, at: offset, to: file)
      try exercise(table, in: table.directory, "bit flipped at \(offset)")
      try write(bytes[offset], at: offset, to: file)
      if offset % 64 == 0 { try file.synchronize() }
    }
    try table.open().verify()
  }

  private func write(_ byte: UInt8, at offset: Int, to file: any File) throws {
    try unsafe [byte].withUnsafeBytes { try unsafe file.write($0, at: UInt64(offset)) }
  }

  @Test("a page's damage is named with its place")
  func pageDamageIsNamed() throws {
    let table = try TestTable(TableShape(count: 2_000))
    var bytes = try table.bytes()
    bytes[2 * 4096 + 100] ^= 1
    let directory = try table.replaced(by: bytes)
    let reader = try TableReader(directory: directory, metadata: table.metadata)
    let error = #expect(throws: Corruption.self) { try reader.verify() }
    #expect(error?.offset == 8192)
    #expect(error?.file == TestTable.name)
    #expect(error?.what == "page checksum")
  }

  @Test("a truncated file is not opened")
  func truncatedFileIsNotOpened() throws {
    let table = try TestTable(TableShape(count: 300))
    let bytes = try table.bytes()
    let last = bytes.count - 4096
    let lengths = Array(stride(from: 0, to: last, by: 64)) + Array(last..<bytes.count)
    for length in lengths {
      let directory = try table.replaced(by: Array(bytes[..<length]))
      #expect(throws: Corruption.self, "length \(length)") {
        try TableReader(directory: directory, metadata: table.metadata)
      }
      // The same with a manifest that believes the length.
      var metadata = table.metadata
      metadata.fileBytes = UInt64(length)
      #expect(throws: Corruption.self, "length \(length)") {
        try TableReader(directory: directory, metadata: metadata)
      }
    }
  }

  @Test("a file that shrinks after it was opened is reported")
  func shrunkenFileIsReported() throws {
    let table = try TestTable(TableShape(count: 2_000))
    let reader = try table.open()
    let file = try table.directory.openFile(TestTable.name, .readWrite)
    try file.truncate(to: 5_000)
    #expect(throws: Corruption.self) { try reader.verify() }
    let last = try #require(table.entries.last)
    #expect(throws: Corruption.self) { try table.lookup(last.hash, in: reader) }
  }

  @Test("swapped pages are reported, though each is a page of this file")
  func swappedPagesAreReported() throws {
    let table = try TestTable(TableShape(count: 2_000))
    var bytes = try table.bytes()
    let first = Array(bytes[4096..<8192])
    bytes.replaceSubrange(4096..<8192, with: bytes[8192..<12288])
    bytes.replaceSubrange(8192..<12288, with: first)
    let directory = try table.replaced(by: bytes)
    let reader = try TableReader(directory: directory, metadata: table.metadata)
    #expect(throws: Corruption.self) { try reader.verify() }
    try exercise(table, in: directory, "swapped pages")
  }

  @Test("a table of another identity is not opened, and its pages are not taken")
  func tableOfAnotherIdentity() throws {
    let shape = TableShape(count: 2_000)
    let table = try TestTable(shape, fileID: 1)
    let other = try TestTable(shape, fileID: 2)
    let directory = try table.replaced(by: try other.bytes())
    #expect(throws: Corruption.self) {
      try TableReader(directory: directory, metadata: table.metadata)
    }
    // One page of the other file, which holds the same entries.
    var bytes = try table.bytes()
    bytes.replaceSubrange(0..<4096, with: try other.bytes()[0..<4096])
    let mixed = try TableReader(
      directory: try table.replaced(by: bytes), metadata: table.metadata)
    let entry = try #require(table.entries.first)
    #expect(throws: Corruption.self) { try table.lookup(entry.hash, in: mixed) }
  }

  @Test("a manifest that says otherwise is not believed")
  func otherMetadataIsNotBelieved() throws {
    let table = try TestTable(TableShape())
    let changes: [(inout TableMetadata) -> Void] = [
      { $0.entryCount += 1 }, { $0.smallestHigh += 1 }, { $0.largestHigh -= 1 },
      { $0.smallestTime -= 1 }, { $0.largestTime += 1 }, { $0.hasKinds = true },
      { $0.layout = EntryLayout(isExact: true, valueWidth: 0) },
      { $0.layout = EntryLayout(isExact: false, valueWidth: 1) },
      { $0.filterKind = .none }, { $0.fileID += 1 }, { $0.fileBytes += 4096 },
    ]
    for change in changes {
      var metadata = table.metadata
      change(&metadata)
      #expect(throws: Corruption.self) {
        try TableReader(directory: table.directory, metadata: metadata)
      }
    }
  }
}
