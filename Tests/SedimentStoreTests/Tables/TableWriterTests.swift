import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Table writer")
struct TableWriterTests {
  private func directory() throws -> any Directory {
    try MemoryFileSystem().openDirectory(at: "/tables", creating: true)
  }

  private func entry(_ high: UInt64, time: Int64 = 0, kind: EntryKind = .insert) -> EntryReference {
    EntryReference(
      hash: KeyHash(high: high, low: 0), time: 1_700_000_000_000 + time, kind: kind)
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
      try writer.append(entry(1))
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
    func refusal(_ entries: [EntryReference], _ shape: TableShape = TableShape()) throws
      -> TableWriteError?
    {
      var writer = try TableWriter(directory: directory(), plan: TestTable.plan(shape))
      do {
        for entry in entries { try writer.append(entry) }
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
    for entry in TableShape(count: 20_000).entries(seed: 1) {
      try entry.withReference { try writer.append($0) }
    }
    let estimate = Double(writer.estimatedFileBytes)
    let metadata = try #require(try writer.finish())
    #expect(abs(estimate / Double(metadata.fileBytes) - 1) < 0.1)
  }
}
