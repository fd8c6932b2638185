import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct StartingOverTests {
  private var harness = JobHarness()

  private func line(_ key: Int) -> String { "{\"k\":\(key),\"t\":\(key),\"n\":\"\"}\n" }

  /// Runs and returns the message of the failure.
  private func failure(_ harness: JobHarness) -> String {
    do {
      _ = try harness.run()
      return ""
    } catch {
      return "\(error)"
    }
  }

  /// Two runs with a checkpoint each; the harness then starts from the first.
  private mutating func runTwiceAndGoBack() throws {
    harness.options.retainedCheckpoints = 2
    try harness.add("in/a", lines: [line(1)])
    let first = try harness.run()
    try harness.disk.append(line(2), to: "in/a")
    _ = try harness.run()
    harness.options.start = .checkpoint(try #require(first.checkpoint))
  }

  @Test mutating func partsThatWereTakenAwayAreStillThereToACheckpointBeforeThem() throws {
    try runTwiceAndGoBack()
    let output = try harness.disk.openDirectory(at: "out", creating: false)
    for entry in try output.entries() where !entry.name.hasPrefix(".") {
      try output.remove(entry.name)
    }
    #expect(failure(harness).contains("another --output"))
    #expect(!harness.disk.files().contains { $0.contains("restoring") })
  }

  @Test mutating func anEmptyDirectoryIsNoHindranceToACheckpoint() throws {
    try runTwiceAndGoBack()
    let place = try harness.disk.openDirectory(at: ".", creating: false)
    try place.rename("state", to: "old", replacing: false)
    _ = try harness.disk.openDirectory(at: "state", creating: true)
    guard case .checkpoint(let id) = harness.options.start else { return }
    harness.options.start = .checkpoint("old/checkpoints/" + id)
    harness.options.targets[.output] = .directory("again")
    _ = try harness.run()
    #expect(try harness.output("again") == line(2))
  }

  @Test mutating func aStateThatIsLostBetweenTwoRenamesIsNotBegunAnewInSilence() throws {
    try harness.add("in/a", lines: [line(1)])
    _ = try harness.run()
    let place = try harness.disk.openDirectory(at: ".", creating: false)
    try place.rename("state", to: "state.restoring", replacing: false)
    #expect(failure(harness).contains("--from was interrupted"))
  }

  @Test mutating func freshRefusesADirectoryThatIsNoState() throws {
    try harness.disk.write("dear diary", to: "state/diary.txt")
    try harness.add("in/a", lines: [line(1)])
    harness.options.start = .fresh
    #expect(failure(harness).contains("holds no state"))
    #expect(try harness.disk.text(of: "state/diary.txt") == "dear diary")
  }

  @Test mutating func anOutputThatAJobOnlyOwnedIsFreeForAFreshOne() throws {
    try harness.add("in/empty", lines: [])
    _ = try harness.run()
    harness.options.sources = []
    try harness.add("in/a", lines: [line(1)])
    harness.options.start = .fresh
    #expect(try harness.run().counters.emitted == 1)
    #expect(try harness.output() == line(1))
  }

  @Test mutating func anOutputWhosePartsWereTakenAwayIsUsedToAFreshJob() throws {
    try harness.add("in/a", lines: [line(1)])
    _ = try harness.run()
    let output = try harness.disk.openDirectory(at: "out", creating: false)
    for entry in try output.entries() where !entry.name.hasPrefix(".") {
      try output.remove(entry.name)
    }
    harness.options.start = .fresh
    #expect(failure(harness).contains("another --output"))
  }

  @Test mutating func aStateWithoutRecordsCanBeDescribedAnew() throws {
    harness.options.description.format.keyFields = ["kk"]
    harness.options.sources = [.file("in/missing")]
    #expect(failure(harness).contains("in/missing"))
    harness.options.description.format.keyFields = ["k"]
    harness.options.sources = []
    try harness.add("in/a", lines: [line(1)])
    #expect(try harness.run().counters.emitted == 1)
  }

  @Test mutating func aColumnThatIsMissingIsNoticedBeforeThereIsAState() throws {
    harness.options.description.format = RecordFormat(kind: .csv, keyFields: ["idd"])
    try harness.add("in/a.csv", lines: ["id,n\n", "1,2\n"])
    #expect(failure(harness).contains("idd"))
    #expect(!harness.disk.files().contains { $0.hasPrefix("state") || $0.hasPrefix("out") })
  }
}
