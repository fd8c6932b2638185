import SedimentIO
import SedimentInspection
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct StateReportTests {
  @Test func everyKeyIsCountedOnce() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let report = try harness.report()
    let keyspace = try #require(report.keyspaces.first)
    #expect(report.keyspaces.count == 1 && keyspace.name == "seen")
    #expect(keyspace.entryCount == 400_010)
    #expect(keyspace.oldestTime == ReportHarness.start)
    #expect(keyspace.newestTime == ReportHarness.start + 400_009)
    #expect(keyspace.tables.count == harness.files(".sst").count && !keyspace.tables.isEmpty)
    #expect(keyspace.logs.count == harness.files(".log").count)
    let onDisk = try harness.files(".sst").reduce(0) { sum, name in
      sum + (try harness.fileSystem.contents(of: name).count)
    }
    #expect(keyspace.tableBytes == UInt64(onDisk))
    #expect(keyspace.watermark == nil && keyspace.expiredBytes == 0)
    #expect(keyspace.groups.reduce(0) { $0 + $1.tableCount } == keyspace.tables.count)
    #expect(keyspace.groups.allSatisfy { $0.level != nil && $0.window == nil })
  }

  @Test func falsePositivesAreMeasuredAsTheoryHasThem() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let filter = try #require(try harness.report().keyspaces[0].filter)
    #expect(filter.bitsPerKey > 8 && filter.bitsPerKey < 20)
    let ratio = filter.measuredRate / filter.expectedRate
    #expect(ratio > 0.8 && ratio < 1.25, "\(filter)")
  }

  @Test func windowsSayWhatHasExpired() throws {
    let harness = ReportHarness()
    let options = KeyspaceOptions(timeToLive: .milliseconds(160_000), allowedLateness: 0)
    try harness.makeState(options)
    let keyspace = try harness.report().keyspaces[0]
    #expect(keyspace.watermark == ReportHarness.start + 400_009)
    #expect(keyspace.groups.allSatisfy { $0.window != nil })
    #expect(keyspace.groups.map(\.start) == keyspace.groups.map(\.start).sorted { $0! < $1! })
    for table in keyspace.tables {
      #expect(table.isExpired == (table.newestTime + 160_000 <= ReportHarness.start + 400_009))
    }
    #expect(keyspace.liveBytes + keyspace.expiredBytes == keyspace.tableBytes + keyspace.logBytes)
  }

  @Test func exactKeysAreNeverDroppedWrongly() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    let keyspace = try store.keyspace(
      "seen", KeyspaceOptions(keyMode: .exact, timeToLive: .forever))
    try ReportHarness.insert(0..<10, into: keyspace, of: store)
    try store.close()
    let report = try harness.report()
    #expect(report.keyspaces[0].wrongDropChance == nil)
    #expect(report.text().contains("wrong drop    none: exact"))
  }

  @Test func textIsAsPeopleSeeIt() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    let options = KeyspaceOptions(timeToLive: .milliseconds(604_800_000))
    let keyspace = try store.keyspace("seen", options)
    try ReportHarness.insert(0..<1000, into: keyspace, of: store)
    try store.close()
    let report = try harness.report()
    #expect(
      report.text() == """
        State /state
          id     \(report.identity)
          epoch  1 of writer 1

        Keyspace seen
          keys          1,000
          size          24.5 KiB: 24.5 KiB live, 0 B expired
          files         0 tables in 0 runs, 1 log, 1 shard
          time to live  7d from first seen, lateness 21h
          oldest        2023-11-14T22:13:20.000Z
          newest        2023-11-14T22:13:20.999Z
          watermark     2023-11-14T01:13:20.999Z
          options       fingerprint; tiered, 8 runs; log: epochs
          wrong drop    chance 1.5e-33 that any key ever was (n²/2¹²⁹)

          log                keys      size
          \(keyspace.name.isEmpty ? "" : report.keyspaces[0].logs[0].name)  1,000  24.5 KiB

        """)
  }

  @Test func linesFitEightyColumns() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .milliseconds(604_800_000)))
    let store = try harness.open()
    try store.checkpoint(to: "/state/checkpoints")
    try store.close()
    let text = try harness.report().text(listsTables: true)
    for line in text.split(separator: "\n") { #expect(line.count <= 80, "\(line)") }
    #expect(text.contains("Checkpoints in /state/checkpoints"))
    #expect(text.contains("  window from               phase"))
  }

  @Test func jobFactsStandBelowTheId() throws {
    let harness = ReportHarness()
    try harness.open().close()
    let report = try StateReport(at: ReportHarness.path, fileSystem: harness.fileSystem) { _ in
      [JobFact("format", label: "format", "ndjson")]
    }
    #expect(report.text().contains("\n  format  ndjson\n"))
    guard case .object(let members) = report.json else { throw StoreError(.closed, "no object") }
    #expect(members.contains(.init("job", .object([.init("format", "ndjson")]))))
  }

  @Test func aReportBesideALiveWriterIsAsOfItsLastEpoch() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    let keyspace = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try ReportHarness.insert(0..<100, into: keyspace, of: store)
    _ = try keyspace.insertIfAbsent(ReportHarness.key(1000), time: ReportHarness.start)
    let before = harness.fileSystem.mutationCount
    let report = try harness.report()
    #expect(report.keyspaces[0].entryCount == 100, "the last one is in no epoch")
    #expect(report.holder != nil)
    #expect(report.text().contains("  in use  by process "))
    #expect(harness.fileSystem.mutationCount == before, "a report changes nothing")
    try ReportHarness.insert(2000..<2010, into: keyspace, of: store)
    #expect(try harness.report().keyspaces[0].entryCount == 111)
    try store.close()
    #expect(try harness.report().holder == nil)
  }

  @Test func whereNoStateIsIsSaid() throws {
    let fileSystem = MemoryFileSystem()
    _ = try fileSystem.openDirectory(at: "/empty", creating: true)
    for path in ["/empty", "/missing"] {
      #expect {
        _ = try StateReport(at: path, fileSystem: fileSystem)
      } throws: { error in
        (error as? StoreError)?.code == .notFound
      }
    }
  }
}
