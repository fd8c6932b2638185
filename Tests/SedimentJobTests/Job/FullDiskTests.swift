import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// A disk that fills up under a whole job, at every kind of file and at every single write.
///
/// Invariants checked: with room again the job ends by itself and its output is exactly right; with
/// none it ends with `noSpace`, nothing durable is lost, and the same command goes on later.
@Suite struct FullDiskTests {
  private let harness: JobHarness
  private let expected: String

  init() throws {
    var generator = SeededGenerator(seed: 15)
    var harness = JobHarness()
    harness.options.targets[.duplicates] = .file("dups.ndjson")
    harness.options.batchRecordsMax = 50
    harness.options.batchesPerEpochMax = 4
    harness.options.retainedCheckpoints = 1
    harness.options.fullDiskRetryMillis = 1
    try harness.addInput("in/a", records: 1_500, using: &generator)
    self.harness = harness
    expected = harness.expected()
  }

  /// A copy of the job on a disk of its own.
  private func fresh() -> (JobHarness, FaultInjectingFileSystem) {
    var copy = harness
    copy.disk = harness.disk.clone()
    return (copy, FaultInjectingFileSystem(copy.disk))
  }

  private func expectComplete(_ job: JobHarness, _ what: String) throws {
    #expect(try job.output() == expected, "\(what)")
    let duplicates = try job.disk.text(of: "dups.ndjson").split(separator: "\n").count
    #expect(duplicates + expected.split(separator: "\n").count == 1_500, "\(what)")
    #expect(try ReadOnlyStore.verify(at: "state", fileSystem: job.disk).isEmpty, "\(what)")
    let again = try job.run()
    #expect(again.counters.events == 0 && again.counters.emitted == 0, "\(what)")
  }

  /// Fails until the job says that it tries again, then lets it.
  private func runUntilSpaceReturns(_ fault: Fault, _ what: String) throws -> Bool {
    let (original, faulty) = fresh()
    var job = original
    job.options.fullDiskPatienceMillis = 60_000
    faulty.arm([fault])
    let messages = MessageLog { if $0.text.contains("trying again") { faulty.arm([]) } }
    _ = try job.run(on: faulty, messages: messages)
    let wasFull = messages.contains("the disk is full")
    if wasFull { #expect(messages.contains("no space left on the device"), "\(what)") }
    try expectComplete(job, what)
    return wasFull
  }

  /// A table is written only when a memtable is frozen: here, when an epoch before was given up.
  @Test(arguments: [
    ".log", "MANIFEST-", ".CURRENT.new", "out/.part", "dups.ndjson", "out/.sediment-",
  ])
  func theEpochIsTriedAgainAndSucceedsOnceThereIsRoom(pathPart: String) throws {
    for number in [1, 2, 3, 5] {
      let fault = Fault.noSpace(.write, number: number, isSticky: true, pathPart: pathPart)
      let wasFull = try runUntilSpaceReturns(fault, "\(pathPart), write \(number)")
      #expect(wasFull || number > 1, "\(pathPart) was never written")
    }
  }

  @Test func aTableThatDoesNotFitIsWrittenOnceThereIsRoom() throws {
    let (original, faulty) = fresh()
    var job = original
    // So much state that memtables are flushed while the job runs.
    let lines = (0..<60_000).map { "{\"k\":\($0),\"t\":\($0 / 1000)}\n" }
    job.options.sources = []
    try job.add("in/b", lines: lines)
    job.options.batchRecordsMax = 4096
    job.options.batchesPerEpochMax = 2
    job.options.targets[.duplicates] = nil
    job.options.fullDiskPatienceMillis = 60_000
    faulty.arm([.noSpace(.write, number: 2, isSticky: true, pathPart: ".sst")])
    // The store waits for room itself, as long as its own patience goes; then the job reopens.
    let messages = MessageLog { _ in if faulty.firedCount > 0 { faulty.arm([]) } }
    _ = try job.run(on: faulty, messages: messages)
    #expect(messages.contains("no space left"), "\(messages.texts)")
    #expect(job.disk.files().contains { $0.hasSuffix(".sst") })
    #expect(try job.output() == lines.joined())
  }

  @Test func everySingleWriteMayFindTheDiskFull() throws {
    var number = 0
    while true {
      number += 1
      let (original, faulty) = fresh()
      var job = original
      job.options.fullDiskPatienceMillis = 60_000
      faulty.arm([.noSpace(.write, number: number)])
      _ = try job.run(on: faulty)
      try expectComplete(job, "write \(number)")
      if faulty.firedCount == 0 { break }
    }
    #expect(number > 30, "the sweep reached few writes")
  }

  @Test func withoutRoomTheJobEndsAndTheSameCommandGoesOnLater() throws {
    for number in stride(from: 1, through: 200, by: 7) {
      let (job, faulty) = fresh()
      faulty.arm([.noSpace(.write, number: number, isSticky: true)])
      do {
        _ = try job.run(on: faulty)
        #expect(faulty.firedCount == 0 || number > 50, "write \(number) was lost silently")
      } catch let error as JobError {
        #expect(error.code == .noSpace, "write \(number): \(error)")
        #expect(error.description.contains("make room, and start the same command again"))
        #expect(error.description.contains("no space left"), "write \(number): \(error)")
      }
      // Whatever was visible is a beginning of what will be, after a power loss, too.
      for disk in [job.disk.clone(), job.disk.crashed(.nothing)] {
        var next = job
        next.disk = disk
        #expect(expected.hasPrefix(try next.visibleOutput()), "write \(number)")
        _ = try next.run()
        try expectComplete(next, "write \(number)")
      }
    }
  }

  @Test(arguments: FailedSync.allCases)
  func aFailedSyncEndsTheRunAndTheNextOneHasAllOfIt(_ model: FailedSync) throws {
    for number in stride(from: 1, through: 60, by: 3) {
      let (job, _) = fresh()
      job.disk.failSynchronization(number: job.disk.synchronizationCount + number, as: model)
      do { _ = try job.run() } catch is JobError {}
      var next = job
      next.disk = job.disk.crashed(.nothing)
      _ = try next.run()
      try expectComplete(next, "sync \(number), \(model)")
    }
  }

  @Test func standardInputThatCannotBeReadAgainIsNotTriedAgain() throws {
    let (original, faulty) = fresh()
    var job = original
    job.options.sources = [.standardInput]
    job.options.fullDiskPatienceMillis = 60_000
    faulty.arm([.noSpace(.write, number: 1, isSticky: true, pathPart: "out/.part")])
    let error = #expect(throws: JobError.self) {
      try job.run(on: faulty, standardInput: "{\"k\":1,\"t\":1}\n")
    }
    #expect(error?.code == .noSpace)
    #expect(error?.description.contains("send it once more") == true)
    faulty.arm([])
    #expect(try job.run(standardInput: "{\"k\":1,\"t\":1}\n").counters.emitted == 1)
  }
}
