import SedimentJob
import Testing

/// Records behind the watermark through the whole job: TTL 400 ms, lateness 50 ms.
@Suite struct LateRecordsTests {
  /// Sets the watermark to 950, then comes too late: 100 has expired already, 700 has not.
  private static let lines = [(1, 1000), (2, 100), (3, 700), (3, 700), (1, 990), (2, 960)]
    .map { "{\"k\":\($0.0),\"t\":\($0.1)}\n" }

  private func run(_ late: LateHandling) throws -> (JobHarness, JobCounters) {
    var harness = JobHarness()
    harness.options.late = late
    harness.options.targets[.rejects] = .file("bad.ndjson")
    try harness.add("in/a", lines: Self.lines)
    let counters = try harness.run().counters
    let sum =
      counters.emitted + counters.duplicates + counters.rejected + counters.lateDropped
    #expect(sum == counters.events && counters.events == 6)
    return (harness, counters)
  }

  @Test func keepEmitsAndRemembersWhatIsNotExpired() throws {
    let (harness, counters) = try run(.keep)
    #expect(counters.late == 2 && counters.lateUnprotected == 1)
    // The second at 700 and the one at 990 are duplicates; the record at 960 is not, for what
    // came at 100 could not be remembered.
    #expect(counters.duplicates == 2 && counters.rejected == 0)
    #expect(try harness.output() == [0, 1, 2, 5].map { Self.lines[$0] }.joined())
  }

  @Test func dropCountsAndForgets() throws {
    let (harness, counters) = try run(.drop)
    #expect(counters.late == 3 && counters.lateDropped == 3 && counters.lateUnprotected == 0)
    #expect(try harness.output() == [0, 5].map { Self.lines[$0] }.joined())
    #expect(try harness.disk.text(of: "bad.ndjson").isEmpty)
  }

  @Test func rejectNamesThemLate() throws {
    let (harness, counters) = try run(.reject)
    #expect(counters.late == 3 && counters.rejected == 3 && counters.lateDropped == 0)
    #expect(try harness.output() == [0, 5].map { Self.lines[$0] }.joined())
    let rejects = try harness.disk.text(of: "bad.ndjson").split(separator: "\n")
    #expect(rejects.count == 3 && rejects.allSatisfy { $0.contains("\"reason\":\"late\"") })
  }
}
