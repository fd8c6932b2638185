import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Table writer")
struct TableWriterTests {
  private func directory() throws -> any Directory {
    try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
  }

  private func entry(
    _ high: UInt64, time: Int64 = 0, kind: EntryKind = .insert, key: [UInt8] = []
  ) -> TestEntry {
    TestEntry(
      KeyHash(high: high, low: 0), time: 1_700_000_000_000 + time, kind: kind, key: key)
  }

  @Test("the bytes of a table are pinned")
  func bytesArePinned() throws {
    let plain = try TestTable(TableShape(count: 1_000), fileID: 0x5ED1)
    let full = try TestTable(
      TableShape(
        count: 300, isExact: true, valueWidth: 5, hasKinds: true, keyLengths: [0, 9, 5000]),
      fileID: 0x5ED1)
    let plainSum = String(Checksum.of(try plain.bytes(), seed: 0), radix: 16)
    let fullSum = String(Checksum.of(try full.bytes(), seed: 0), radix: 16)
    #expect(plainSum == "8993ad10ccfddd51")
    #expect(fullSum == "2da1911f08f0b8b5")
  }

  static let shapes = [
    TableShape(count: 20_000), TableShape(count: 5_000, timeSpread: 0, repeats: 2),
    TableShape(count: 6_000, valueWidth: 7, hasKinds: true, filter: .binaryFuse(planes: 10)),
    TableShape(count: 3_000, isExact: true, keyLengths: [0, 3, 40], filter: .none),
    TableShape(count: 400, isExact: true, valueWidth: 64, keyLengths: [1, 5_000, 65_536]),
    // Quanta of hundreds of entries, larger than a page.
    TableShape(count: 9_000, hashRange: 0...31),
  ]

  @Test("a table's bytes do not depend on the blocks in which its entries came", arguments: shapes)
  func blocksLeaveNoTrace(_ shape: TableShape) throws {
    let oneByOne = try TestTable(shape)
    var generator = SeededGenerator(seed: 3)
    let directory = try directory()
    var writer = try TableWriter(directory: directory, plan: TestTable.plan(shape))
    var block = EntryBlock(layout: shape.layout, hasKinds: shape.hasKinds)
    var source = MergeCursor([TableCursor(table: try oneByOne.open())])
    while try source.fill(&block) {
      let cut = Int.random(in: 0...block.count, using: &generator)
      try writer.append(block, 0..<cut)
      try writer.append(block, cut..<block.count)
    }
    let metadata = try #require(try writer.finish())
    #expect(metadata == oneByOne.metadata)
    #expect(try readAll(TestTable.name, in: directory) == oneByOne.bytes())
  }

  @Test("a table without entries leaves no file")
  func emptyTableLeavesNoFile() throws {
    let directory = try directory()
    let writer = try TableWriter(directory: directory, plan: TestTable.plan(TableShape()))
    #expect(try writer.finish() == nil)
    #expect(try directory.entries().isEmpty)
  }

  @Test("an aborted or dropped table leaves no file")
  func abortedTableLeavesNoFile() throws {
    let directory = try directory()
    for isDropped in [false, true] {
      var writer = try TableWriter(directory: directory, plan: TestTable.plan(TableShape()))
      try writer.append([entry(1)])
      if !isDropped { writer.abort() }
    }
    #expect(try directory.entries().isEmpty)
  }

  @Test("a number is used once")
  func numberIsUsedOnce() throws {
    let table = try TestTable(TableShape())
    #expect(throws: FileError.self) {
      _ = try TableWriter(directory: table.directory, plan: TestTable.plan(TableShape())).finish()
    }
    try table.open().verify()
  }

  @Test("an entry that cannot stand in the table is refused by name")
  func misfitsAreRefused() throws {
    func refusal(_ entries: [TestEntry], _ shape: TableShape = TableShape()) throws
      -> TableWriteError?
    {
      var writer = try TableWriter(directory: directory(), plan: TestTable.plan(shape))
      do {
        try writer.append(entries)
        return nil
      } catch let error as TableWriteError {
        return error
      }
    }
    #expect(try refusal([entry(2), entry(1)]) == .outOfOrder)
    #expect(try refusal([entry(2), entry(2)]) == nil)
    #expect(try refusal([entry(2, time: -1)]) == .timeOutOfBounds)
    #expect(try refusal([entry(2, time: 1 << 20 + 1)]) == .timeOutOfBounds)
    #expect(try refusal([entry(2, time: -1_700_000_000_001)]) == .timeOutOfBounds)
    #expect(try refusal([entry(2, kind: .put)]) == .kindNotStored)
    let tooLong = [UInt8](repeating: 0, count: EntryLayout.keyBytesMax + 1)
    #expect(try refusal([entry(2, key: tooLong)], TableShape(isExact: true)) == .keyTooLong)
    #expect(try refusal([entry(9)], TableShape(hashRange: 3...8)) == .hashOutOfRange)
    #expect(try refusal([entry(2)], TableShape(hashRange: 3...8)) == .hashOutOfRange)
  }

  @Test("a failed write or sync leaves no file and is reported")
  func failedWriteLeavesNoFile() throws {
    let disk = MemoryFileSystem()
    let directory = try disk.openDirectory(at: "/tables", creating: true)
    disk.capacityBytes = 64 << 10
    let shape = TableShape(count: 200_000)
    #expect(throws: FileError.self) { try TestTable(shape, in: directory) }
    #expect(try directory.entries().isEmpty)
    disk.capacityBytes = nil
    disk.failSynchronization(number: disk.synchronizationCount + 1, as: .forgotten)
    #expect(throws: FileError.self) { try TestTable(TableShape(), in: directory) }
    #expect(try directory.entries().isEmpty)
    try TestTable(TableShape(), in: directory).open().verify()
  }

  @Test("the estimate is near the size of the file")
  func estimateIsNear() throws {
    var writer = try TableWriter(
      directory: directory(), plan: TestTable.plan(TableShape(count: 20_000)))
    try writer.append(TableShape(count: 20_000).entries(seed: 1))
    let estimate = Double(writer.estimatedFileBytes)
    let metadata = try #require(try writer.finish())
    #expect(abs(estimate / Double(metadata.fileBytes) - 1) < 0.1)
  }
}
