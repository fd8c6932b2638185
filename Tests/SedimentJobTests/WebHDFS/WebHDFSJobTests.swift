import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// Whole jobs whose output is on HDFS.
@Suite struct WebHDFSJobTests {
  private func harness(
    _ output: WebHDFSOutput, records: Int, seed: UInt64
  ) throws -> JobHarness {
    var generator = SeededGenerator(seed: seed)
    var harness = JobHarness()
    harness.options.targets[.output] = .directory(output.url)
    harness.options.batchRecordsMax = 16
    harness.options.batchesPerEpochMax = 2
    harness.options.rollBytes = 1_000
    try harness.addInput("in/a", records: records, using: &generator)
    return harness
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func crashesUnderBrokenConnectionsNeitherRepeatNorLoseARecord(seed: UInt64) throws {
    let output = try WebHDFSOutput(nameNodes: 2)
    output.server.change { $0.standbys = [seed % 2 == 0 ? 0 : 1] }
    output.server.setPlan(WebHDFSFault.drops(percent: 5, seed: seed))
    var generator = SeededGenerator(seed: seed)
    var harness = try harness(output, records: 300, seed: seed)
    let expected = harness.expected()
    for crash in 0... {
      harness.disk.stopAfterMutations =
        crash == 6 ? nil : Int.random(in: 0...(60 + crash * 20), using: &generator)
      do {
        _ = try harness.run(on: output.fileSystem(over: harness.disk))
        break
      } catch {
        #expect(harness.disk.isStopped, "seed \(seed): \(error)")
        guard harness.disk.isStopped else { return }
      }
      harness.disk = harness.disk.crashed(using: &generator)
      #expect(expected.hasPrefix(output.text), "seed \(seed), crash \(crash)")
    }
    #expect(output.text == expected && output.leftOver.isEmpty, "seed \(seed): \(output.names)")
    harness.disk.stopAfterMutations = nil
    let again = try harness.run(on: output.fileSystem(over: harness.disk))
    #expect(again.counters.events == 0 && output.text == expected)
  }

  @Test func aJobThatGivesUpGoesOnWithTheSameCommand() throws {
    let output = try WebHDFSOutput()
    let harness = try harness(output, records: 300, seed: 1)
    output.server.setPlan { $0.number > 40 ? .dropBefore : nil }
    let error = #expect(throws: JobError.self) {
      _ = try harness.run(on: output.fileSystem(over: harness.disk, triesMax: 3))
    }
    #expect(error?.code == .failed && error?.summary != nil)
    #expect(error?.description.contains("given up after 3 tries") == true)
    output.server.clearPlan()
    _ = try harness.run(on: output.fileSystem(over: harness.disk))
    #expect(output.text == harness.expected() && output.leftOver.isEmpty)
  }

  @Test func aQuotaIsWaitedFor() throws {
    let output = try WebHDFSOutput()
    var harness = try harness(output, records: 300, seed: 2)
    harness.options.fullDiskPatienceMillis = 60_000
    harness.options.fullDiskRetryMillis = 1
    output.server.setPlan { $0.number > 40 ? .exception(.quota) : nil }
    let messages = MessageLog { [server = output.server] in
      if $0.text.contains("trying again") { server.clearPlan() }
    }
    _ = try harness.run(on: output.fileSystem(over: harness.disk), messages: messages)
    #expect(messages.contains("DSQuotaExceededException"))
    #expect(output.text == harness.expected() && output.leftOver.isEmpty)
  }

  @Test func aNewJobNeedsAnotherDirectory() throws {
    let output = try WebHDFSOutput()
    var harness = try harness(output, records: 50, seed: 3)
    let fileSystem = output.fileSystem(over: harness.disk)
    _ = try harness.run(on: fileSystem)
    harness.options.start = .fresh
    let error = #expect(throws: JobError.self) { _ = try harness.run(on: fileSystem) }
    #expect(error?.description.contains("a new job needs another --output") == true)
    harness.options.targets[.output] = .directory(output.server.url("/data/again"))
    _ = try harness.run(on: fileSystem)
    #expect(output.server.names(in: "/data/again").count == output.names.count)
  }

  @Test func theSpoolLeavesNothingInTheState() throws {
    let output = try WebHDFSOutput()
    let harness = try harness(output, records: 100, seed: 4)
    _ = try harness.run(on: output.fileSystem(over: harness.disk))
    #expect(!harness.disk.files().contains { $0.contains(StateNames.spool) })
  }
}
