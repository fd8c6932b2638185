import BenchSuite
import Foundation
import Testing

/// Distinct ids of the first 30,000 events, as `sediment generate` prints them.
private let distinctKeys: UInt64 = 25_104

@Suite struct EngineRunTests {
  private func run(
    _ engine: EngineName, _ workload: WorkloadName, mode: ModeName = .fingerprint,
    _ change: (inout RunRequest) -> Void = { _ in }
  ) throws -> RunRecord {
    let directory = try temporaryDirectory()
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var request = RunRequest(
      engine, workload, events: 30_000, directory: directory + "/run", mode: mode)
    request.memory = 32 << 20
    request.batch = 256
    change(&request)
    #expect(request.complaint == nil)
    return try EngineRun(request: request).run()
  }

  @Test(arguments: ModeName.allCases)
  func sedimentAcceptsEveryKeyOnce(mode: ModeName) throws {
    #expect(try run(.sediment, .dedup, mode: mode).figures.accepted == distinctKeys)
  }

  @Test func theFloorAcceptsEveryKeyOnce() throws {
    #expect(try run(.floor, .dedup).figures.accepted == distinctKeys)
  }

  @Test func lookupsFindWhatIsThereAndNothingElse() throws {
    for engine in [EngineName.sediment, .floor] {
      #expect(try run(engine, .lookupHit) { $0.lookups = 5000 }.figures.accepted == 5000)
      #expect(try run(engine, .lookupMiss) { $0.lookups = 5000 }.figures.accepted == 0)
    }
  }

  @Test func aRestartFindsItsKeys() throws {
    #expect(try run(.sediment, .restart).figures.accepted == distinctKeys)
  }

  @Test func checkpointsAreMadeWhileWriting() throws {
    let record = try run(.sediment, .checkpoint) { $0.epochSeconds = 0.001 }
    #expect(record.figures.accepted == distinctKeys)
  }

  @Test func whatExpiredIsAcceptedAgain() throws {
    let record = try run(.sediment, .dedupTTL) {
      $0.batch = 16
      $0.windows = 4
    }
    // A key is accepted when it was not in the time to live before.
    var lastAccepted: [[UInt8]: Int64] = [:]
    var accepted: UInt64 = 0
    forEachEvent(of: workload(30_000)) { key, time in
      if let last = lastAccepted[key], time - last < 30_000 / 4 / 10 { return }
      lastAccepted[key] = time
      accepted += 1
    }
    #expect(accepted > distinctKeys)
    #expect(record.figures.accepted == accepted)
  }

  @Test func expiryNeedsEnoughEventsForTheWritersToStayTogether() {
    var request = RunRequest(.sediment, .dedupTTL, events: 30_000, directory: "nowhere")
    #expect(request.complaint != nil)
    request.batch = 16
    request.windows = 4
    #expect(request.complaint == nil)
  }

  @Test func theLineOfARunHasTheFieldsInOrder() throws {
    let line = try run(.floor, .dedup).figures.json
    let names = [
      "engine", "workload", "mode", "threads", "events", "accepted", "wall_seconds",
      "events_per_second", "cpu_ns_per_event", "latency_p50_us", "latency_p99_us",
      "latency_p999_us", "latency_max_us", "peak_rss_bytes", "disk_bytes", "written_bytes",
      "false_positives",
    ]
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    #expect(Set(object.keys) == Set(names))
    let places = names.compactMap { line.range(of: "\"\($0)\":")?.lowerBound }
    #expect(places == places.sorted())
    #expect(!line.contains("\n"))
    #expect(object["accepted"] as? UInt64 == distinctKeys)
  }
}
