import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

/// Whole jobs on a disk that loses power at random moments.
///
/// Invariants checked: what is visible at any time is a prefix of the first-seen set, and in the
/// end it is the whole of it, each record once.
@Suite struct JobSimulationTests {
  @Test(arguments: 0..<200 as Range<UInt64>)
  func crashesNeitherRepeatNorLoseARecord(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var harness = JobHarness(mode: seed % 2 == 0 ? .fingerprint : .exact)
    try harness.addInput("in/a", records: 150, using: &generator)
    try harness.addInput("in/b", records: 100, from: 140, using: &generator)
    let expected = harness.expected()
    var crashes = 0
    while true {
      harness.options.batchRecordsMax = Int.random(in: 1...40, using: &generator)
      harness.options.batchesPerEpochMax = Int.random(in: 1...5, using: &generator)
      harness.options.parallelism = Int.random(in: 1...3, using: &generator)
      let isLast = crashes == 12
      harness.disk.stopAfterMutations =
        isLast ? nil : Int.random(in: 0...(40 + crashes * 10), using: &generator)
      do {
        _ = try harness.run()
        break
      } catch {
        #expect(harness.disk.isStopped, "seed \(seed): \(error)")
        guard harness.disk.isStopped else { return }
      }
      crashes += 1
      harness.disk = harness.disk.crashed(using: &generator)
      #expect(expected.hasPrefix(try harness.visibleOutput()), "seed \(seed), crash \(crashes)")
    }
    #expect(try harness.output() == expected, "seed \(seed)")
    harness.disk.stopAfterMutations = nil
    let again = try harness.run()
    #expect(again.counters.events == 0 && again.counters.emitted == 0)
    #expect(try harness.output() == expected)
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func aFileOutputHoldsEachRecordOnceAfterCrashes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var harness = JobHarness()
    harness.options.targets[.output] = .file("out.ndjson")
    harness.options.targets[.duplicates] = .directory("dups")
    try harness.addInput("in/a", records: 200, using: &generator)
    harness.options.batchRecordsMax = 16
    harness.options.batchesPerEpochMax = 2
    for _ in 0..<8 {
      harness.disk.stopAfterMutations = Int.random(in: 0...80, using: &generator)
      do { _ = try harness.run() } catch { #expect(harness.disk.isStopped, "\(error)") }
      harness.disk = harness.disk.crashed(using: &generator)
    }
    _ = try harness.run()
    #expect(try harness.disk.text(of: "out.ndjson") == harness.expected())
    let lines = try harness.output("dups").split(separator: "\n").count
    #expect(lines + harness.expected().split(separator: "\n").count == 200)
  }

  @Test(arguments: [KeyMode.fingerprint, .exact])
  func outputDoesNotDependOnParallelismAndBatches(mode: KeyMode) throws {
    for parallelism in [1, 2, 4] {
      for batch in [1, 7, 1024, 65_536] {
        var generator = SeededGenerator(seed: 5)
        var harness = JobHarness(mode: mode)
        try harness.addInput("in/a", records: 3_000, using: &generator)
        harness.options.parallelism = parallelism
        harness.options.batchRecordsMax = batch
        harness.options.chunkBytes = batch == 7 ? 100 : 1 << 20
        _ = try harness.run()
        #expect(try harness.output() == harness.expected(), "\(parallelism) × \(batch)")
      }
    }
  }

  @Test func aFullDiskEndsTheRunWithGoodStateAndTheNextGoesOn() throws {
    var generator = SeededGenerator(seed: 9)
    var harness = JobHarness()
    try harness.addInput("in/a", records: 2_000, using: &generator)
    harness.options.batchRecordsMax = 50
    harness.options.batchesPerEpochMax = 4
    harness.disk.capacityBytes = 180_000
    let error = #expect(throws: JobError.self) { _ = try harness.run() }
    #expect(error?.code == .noSpace, "\(String(describing: error))")
    harness.disk.capacityBytes = nil
    _ = try harness.run()
    #expect(try harness.output() == harness.expected())
  }
}
