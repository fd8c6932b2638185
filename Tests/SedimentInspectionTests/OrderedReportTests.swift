import SedimentIO
import SedimentInspection
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Reports of ordered keyspaces")
struct OrderedReportTests {
  private static func makeState(_ fileSystem: MemoryFileSystem) throws {
    let store = try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 16 << 20, clock: ManualClock()),
      fileSystem: fileSystem)
    let words = try store.orderedKeyspace("words")
    for number in 0..<50 {
      try words.put(Array("word \(number)".utf8), [UInt8](repeating: 1, count: 100))
    }
    try store.flush()
    for number in 0..<20 { try words.put(Array("word \(number)".utf8), [2]) }
    try store.close()
  }

  @Test func aStateShowsItsLevelsAndTheLogAsLongAsItIs() throws {
    let fileSystem = MemoryFileSystem()
    try Self.makeState(fileSystem)
    let report = try StateReport(at: "/state", fileSystem: fileSystem)
    let keyspace = try #require(report.orderedKeyspaces.first)
    #expect(keyspace.name == "words" && keyspace.entryCount == 50)
    #expect(keyspace.levels.map(\.number) == [0] && keyspace.tables.count == 1)
    #expect(keyspace.flushedSequence == 50)
    // Twenty records, of which the manifest knows nothing.
    #expect(report.writeLogs.contains { $0.bytes > 20 * 40 })
    let text = report.text(listsTables: true)
    for part in ["Ordered keyspace words", "50 in tables", "log: every write", ".sst", ".log"] {
      #expect(text.contains(part), "\(part) in \(text)")
    }
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 80 }, "\(text)")
    let json = report.json.text
    for part in ["\"ordered_keyspaces\"", "\"write_logs\"", "\"flushed_sequence\""] {
      #expect(json.contains(part))
    }
    let summary = try StateSummary(at: "/state", fileSystem: fileSystem)
    #expect(summary.keyspaceNames == ["words"] && summary.entryCount == 50)
  }

  @Test func verificationReadsTablesAndTheLogToItsEnd() throws {
    let fileSystem = MemoryFileSystem()
    try Self.makeState(fileSystem)
    let whole = try VerificationReport.ofState(at: "/state", fileSystem: fileSystem)
    #expect(whole.damages.isEmpty && whole.tableCount == 1 && whole.logCount >= 1)
    for suffix in [".sst", ".log"] {
      let disk = fileSystem.clone()
      let file = try #require(
        try disk.files().first { try $0.hasSuffix(suffix) && disk.contents(of: $0).count > 64 })
      var bytes = try disk.contents(of: file)
      bytes[60] ^= 1
      try disk.replaceContents(of: file, with: bytes)
      let report = try VerificationReport.ofState(at: "/state", fileSystem: disk)
      #expect(report.damages.map(\.file) == [String(file.dropFirst("state/".count))])
    }
  }
}
