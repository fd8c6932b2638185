import SedimentIO
import SedimentJob
import SedimentTestKit
import Testing

@Suite struct RunReportTests {
  /// A job of several epochs that waits for room as long as it takes.
  private func harness() throws -> JobHarness {
    var generator = SeededGenerator(seed: 7)
    var harness = JobHarness()
    try harness.addInput("in/a", records: 160, using: &generator)
    harness.options.batchRecordsMax = 10
    harness.options.batchesPerEpochMax = 4
    harness.options.fullDiskPatienceMillis = 1 << 40
    harness.options.fullDiskRetryMillis = 1
    return harness
  }

  /// Leaves room for `bytes` more.
  private static func fill(_ disk: MemoryFileSystem, exceptFor bytes: UInt64) {
    let large: UInt64 = 1 << 40
    disk.capacityBytes = large
    do {
      let available = try disk.openDirectory(at: ".", creating: false).availableBytes()
      disk.capacityBytes = large - available + bytes
    } catch {
      Issue.record(error)
    }
  }

  @Test(arguments: [1_000, 3_000, 6_000, 9_000] as [UInt64])
  func countsAreThoseOfAllOpeningsOfTheState(room: UInt64) throws {
    let harness = try harness()
    let disk = harness.disk
    let messages = MessageLog { message in
      if message.text.hasPrefix("new state") { Self.fill(disk, exceptFor: room) }
      if message.text.contains("disk is full") { disk.capacityBytes = nil }
    }
    let summary = try harness.run(messages: messages)
    #expect(summary.counters.events == 160 && summary.resumedFrom == nil)
    #expect(try harness.output() == harness.expected())
    #expect(summary.counters.emitted == UInt64(harness.expected().split(separator: "\n").count))
  }

  @Test(arguments: [1_000, 3_000, 6_000] as [UInt64])
  func aStopWhileWaitingForRoomEndsTheRunInOrder(room: UInt64) throws {
    let harness = try harness()
    let (disk, control) = (harness.disk, JobControl())
    let messages = MessageLog { message in
      if message.text.hasPrefix("new state") { Self.fill(disk, exceptFor: room) }
      if message.text.contains("disk is full") { control.stop() }
    }
    let summary = try harness.run(control: control, messages: messages)
    #expect(summary.end == .stopped && summary.counters.events < 160)
    disk.capacityBytes = nil
    let rest = try harness.run()
    #expect(summary.counters.events + rest.counters.events == 160)
    #expect(try harness.output() == harness.expected())
  }

  @Test func aRunThatFailsTellsWhatItMadeDurable() throws {
    var harness = JobHarness()
    try harness.add(
      "in/a", lines: ["{\"k\":1,\"t\":1}\n", "{\"k\":2,\"t\":1}\n", "{\"t\":3}\n"])
    harness.options.missingKey = .fail
    harness.options.batchRecordsMax = 1
    harness.options.batchesPerEpochMax = 1
    do {
      _ = try harness.run()
      Issue.record("a record without key is missing")
    } catch let error as JobError {
      #expect(error.summary?.end == .failed)
      #expect((error.summary?.counters.events ?? 9) <= 2)
    }
    harness.options.sources = [.file("in/a"), .file("in/missing")]
    harness.options.missingKey = .reject
    do {
      _ = try harness.run()
      Issue.record("an input is missing")
    } catch let error as JobError {
      #expect(error.summary?.counters.rejected == 1)
      #expect(error.summary?.rejectReasons == ["missingKey": 1])
    }
  }
}
