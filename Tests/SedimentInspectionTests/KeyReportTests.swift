import SedimentDedup
import SedimentInspection
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct KeyReportTests {
  private static func report(_ key: [UInt8], _ harness: ReportHarness) throws -> KeyReport {
    try KeyReport(of: key, at: ReportHarness.path, fileSystem: harness.fileSystem)
  }

  @Test(arguments: [KeyMode.fingerprint, .exact])
  func aKeyIsFoundInTablesAndLogs(mode: KeyMode) throws {
    let harness = ReportHarness()
    let ttl: Int64 = 604_800_000
    try harness.makeState(KeyspaceOptions(keyMode: mode, timeToLive: .milliseconds(ttl)))
    for id in [0, 123_456, 399_999] as [UInt64] {
      let entries = try Self.report(ReportHarness.key(id), harness).entries
      #expect(entries.map(\.time) == [ReportHarness.start + Int64(id)])
      #expect(entries[0].expiry == ReportHarness.start + Int64(id) + ttl && !entries[0].isExpired)
    }
    let logged = try Self.report(ReportHarness.key(400_003), harness).entries
    #expect(logged.map(\.file) == harness.files(".log").map { String($0.dropFirst(6)) })
    #expect(try Self.report(ReportHarness.key(500_000), harness).entries.isEmpty)
  }

  @Test func everyLiveEntryOfAKeyIsShown() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    let keyspace = try store.keyspace(
      "seen", KeyspaceOptions(timeToLive: .milliseconds(10), allowedLateness: 100))
    let key = CompositeKey("a", 1).bytes
    for time in [1000, 1015] as [Int64] { #expect(try keyspace.insertIfAbsent(key, time: time)) }
    #expect(try keyspace.insertIfAbsent(CompositeKey("b").bytes, time: 1112))
    try store.commitEpoch()
    try store.close()
    let report = try Self.report(key, harness)
    #expect(report.entries.map(\.time) == [1015, 1000])
    #expect(report.entries.map(\.isExpired) == [false, true], "the watermark is 1012")
    let file = report.entries[0].file
    #expect(
      report.text == """
        Key ["a",1] in keyspace seen
          first seen                expires                   phase    in
          1970-01-01T00:00:01.015Z  1970-01-01T00:00:01.025Z  live     \(file)
          1970-01-01T00:00:01.000Z  1970-01-01T00:00:01.010Z  expired  \(file)

        """)
  }

  @Test func nothingIsShownBehindARemoval() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    let keyspace = try store.keyspace("seen", KeyspaceOptions(valueWidth: 2, timeToLive: .forever))
    let key = CompositeKey("a").bytes
    try keyspace.put(key, time: 5, value: [1, 0xAB])
    try store.commitEpoch()
    let put = try Self.report(key, harness)
    #expect(put.entries.map(\.value) == [[1, 0xAB]])
    #expect(put.text.contains("value of 1970-01-01T00:00:00.005Z: 01ab"))
    try keyspace.remove(key)
    try store.commitEpoch()
    try store.close()
    #expect(try Self.report(key, harness).entries.map(\.kind) == [.remove])
  }

  @Test func aKeyThatIsNotThereIsAnAnswer() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    _ = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try store.close()
    let report = try Self.report(CompositeKey(1, "x").bytes, harness)
    #expect(report.text == "Key [1,\"x\"] in keyspace seen\n  not found\n")
    guard case .object(let members) = report.json else { throw StoreError(.closed, "no object") }
    #expect(members.contains(.init("found", false)))
  }

  @Test func oneOfSeveralKeyspacesMustBeNamed() throws {
    let harness = ReportHarness()
    let store = try harness.open()
    for name in ["a", "b"] {
      _ = try store.keyspace(name, KeyspaceOptions(timeToLive: .forever))
    }
    try store.close()
    #expect {
      _ = try Self.report([1], harness)
    } throws: { error in
      "\(error)".contains("several keyspaces: name one of a, b")
    }
    let named = try KeyReport(
      of: [1], in: "b", at: ReportHarness.path, fileSystem: harness.fileSystem)
    #expect(named.keyspace == "b" && named.entries.isEmpty)
  }
}
