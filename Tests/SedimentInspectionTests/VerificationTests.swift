import SedimentInspection
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct VerificationTests {
  private static func verify(_ harness: ReportHarness) throws -> VerificationReport {
    try VerificationReport.ofState(at: ReportHarness.path, fileSystem: harness.fileSystem)
  }

  private static func name(_ path: String) -> String { String(path.dropFirst("state/".count)) }

  @Test func aSoundStateSaysWhatWasChecked() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    var last: VerificationReport.Progress?
    let report = try VerificationReport.ofState(
      at: ReportHarness.path, fileSystem: harness.fileSystem
    ) { last = $0 }
    #expect(report.isSound && report.tableCount > 0 && report.logCount == 1)
    #expect(last?.bytesDone == last?.bytesTotal && last?.bytesDone == report.bytes)
    #expect(report.text.hasSuffix("  no damage\n"))
  }

  @Test func everyDamagedPageOfATableIsNamed() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let table = harness.files(".sst")[0]
    try harness.fileSystem.flipBit(of: table, at: 8 * 100)
    try harness.fileSystem.flipBit(of: table, at: 8 * (5 * 4096 + 9))
    let report = try Self.verify(harness)
    #expect(report.damages.map(\.file) == [Self.name(table), Self.name(table)])
    #expect(report.damages[0].description.contains("at offset 0:"))
    #expect(report.damages[1].description.contains("at offset 20480:"))
    #expect(report.text.contains("1 file damaged"))
  }

  @Test func everyDamagedFileIsNamed() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let table = harness.files(".sst")[0]
    let log = harness.files(".log")[0]
    try harness.fileSystem.truncate(table, to: 4096)
    try harness.fileSystem.flipBit(of: log, at: 8 * 60)
    let report = try Self.verify(harness)
    #expect(Set(report.damages.map(\.file)) == [Self.name(table), Self.name(log)])
  }

  @Test func aMissingFileIsDamage() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let table = harness.files(".sst")[0]
    try harness.fileSystem.removeFile(at: table)
    #expect(try Self.verify(harness).damages.map(\.file) == [Self.name(table)])
  }

  @Test(arguments: ["CURRENT", "MANIFEST-"]) func aDamagedManifestIsNamed(prefix: String) throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let file = try #require(harness.fileSystem.files().first { $0.hasPrefix("state/" + prefix) })
    try harness.fileSystem.flipBit(of: file, at: 8 * 40)
    #expect(try Self.verify(harness).damages.map(\.file) == [Self.name(file)])
  }

  @Test func checkpointsAreVerifiedWithTheirObjects() throws {
    let harness = ReportHarness()
    try harness.makeState(KeyspaceOptions(timeToLive: .forever))
    let store = try harness.open()
    let made = try store.checkpoint(to: "/backups")
    try store.close()
    let reference = CheckpointReference(directory: "/backups", id: nil)
    let sound = try VerificationReport.ofCheckpoint(reference, fileSystem: harness.fileSystem)
    #expect(sound.isSound && sound.tableCount == made.tableCount)
    #expect(sound.subject == "Checkpoint \(made.id)" && sound.bytes == made.totalBytes)
    let object = try #require(
      harness.fileSystem.files().first { $0.hasPrefix("backups/objects/") && $0.hasSuffix(".sst") })
    try harness.fileSystem.flipBit(of: object, at: 8 * 100)
    let damaged = try VerificationReport.ofCheckpoint(reference, fileSystem: harness.fileSystem)
    #expect(damaged.damages.map { "backups/" + $0.file } == [object])
  }
}
