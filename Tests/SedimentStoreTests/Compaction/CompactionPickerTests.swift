import SedimentStore
import SedimentTestKit
import Testing

/// Tables of runs and what is to be done about them.
///
/// A TTL of 80 makes windows of 10; without lateness the watermark is the largest time seen.
@Suite("Compaction picker")
struct CompactionPickerTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var claim: String
    var ttl: Int64? = 80
    var fanout: UInt8 = 4
    /// Window 5 is open.
    var largestTime: Int64? = 55
    var runs: [String]
    var busy: Set<UInt64> = []
    var expected: String
    var testDescription: String { claim }

    var picker: CompactionPicker {
      CompactionPicker(
        options: KeyspaceOptions(
          timeToLive: ttl.map { .milliseconds($0) } ?? .forever, allowedLateness: 0,
          compaction: .tiered(fanout: fanout)),
        largestTime: largestTime)
    }
  }

  // MARK: - Tiers

  static let tiers = [
    Case(claim: "without runs there is nothing to do", runs: [], expected: "nothing"),
    Case(claim: "one run of the open window stays", runs: ["1 0 5"], expected: "nothing"),
    Case(
      claim: "one run fewer than the fanout stays", runs: ["3 0 5", "2 0 5", "1 0 5"],
      expected: "nothing"),
    Case(
      claim: "as many runs as the fanout become one of the next level",
      runs: RunTable.lines(4, window: 5),
      expected: "tier 4,3,2,1 -> level 1, window 5, sequence 40, bottom"),
    Case(
      claim: "of more, the oldest are taken", runs: RunTable.lines(6, window: 5),
      expected: "tier 4,3,2,1 -> level 1, window 5, sequence 40, bottom"),
    Case(
      claim: "above an older run a merge is not at the bottom",
      runs: ["5 0 5", "4 0 5", "3 0 5", "2 0 5", "1 1 5"],
      expected: "tier 5,4,3,2 -> level 1, window 5, sequence 50"),
    Case(
      claim: "above another window too",
      runs: ["5 0 5", "4 0 5", "3 0 5", "2 0 5", "1 0 4"],
      expected: "tier 5,4,3,2 -> level 1, window 5, sequence 50"),
    Case(
      claim: "lower levels come first",
      runs: [
        "8 0 5", "7 0 5", "6 0 5", "5 0 5", "4 1 5", "3 1 5", "2 1 5", "1 1 5",
      ],
      expected: "tier 8,7,6,5 -> level 1, window 5, sequence 80"),
    Case(
      claim: "a higher level is merged when the lower ones are short",
      runs: ["6 0 5", "5 1 5", "4 1 5", "3 1 5", "2 1 5", "1 2 5"],
      expected: "tier 5,4,3,2 -> level 2, window 5, sequence 50"),
    Case(
      claim: "runs of one level that others lie between are no neighbours",
      runs: ["5 0 5", "4 0 5", "3 1 5", "2 0 5", "1 0 5"], expected: "nothing"),
    Case(
      claim: "the last level merges into itself", fanout: 2, runs: ["2 62 5", "1 62 5"],
      expected: "tier 2,1 -> level 62, window 5, sequence 20, bottom"),
    Case(
      claim: "runs that are being merged are waited for", runs: RunTable.lines(7, window: 5),
      busy: [1, 2, 3, 4], expected: "nothing"),
    Case(
      claim: "one busy run holds its neighbours", runs: RunTable.lines(4, window: 5), busy: [2],
      expected: "nothing"),
    Case(
      claim: "a busy newer run does not", runs: RunTable.lines(5, window: 5), busy: [5],
      expected: "tier 4,3,2,1 -> level 1, window 5, sequence 40, bottom"),
    Case(
      claim: "a busy lower level does not hold a higher one", fanout: 2,
      runs: ["4 0 5", "3 0 5", "2 1 5", "1 1 5"], busy: [3, 4],
      expected: "tier 2,1 -> level 2, window 5, sequence 20, bottom"),
    Case(
      claim: "a backlog of the open window is merged by the fanout",
      runs: RunTable.lines(100, window: 5),
      expected: "tier 4,3,2,1 -> level 1, window 5, sequence 40, bottom"),
  ]

  @Test("runs of one level are merged by the fanout", arguments: tiers)
  func mergesTiers(_ scenario: Case) throws { try check(scenario) }

  // MARK: - Windows

  static let windows = [
    Case(
      claim: "two runs of a closed window are sealed", runs: ["2 0 4", "1 0 4"],
      expected: "seal 2,1 -> level 0, window 4, sequence 20, bottom"),
    Case(
      claim: "one run of a closed window is sealed already", runs: ["1 0 4"], expected: "nothing"),
    Case(
      claim: "a seal takes all levels and keeps the highest", runs: ["3 0 4", "2 3 4", "1 1 4"],
      expected: "seal 3,2,1 -> level 3, window 4, sequence 30, bottom"),
    Case(
      claim: "a seal goes before a tier",
      runs: ["6 0 5", "5 0 5", "4 0 5", "3 0 5", "2 0 4", "1 0 4"],
      expected: "seal 2,1 -> level 0, window 4, sequence 20, bottom"),
    Case(
      claim: "the oldest window is sealed first", runs: ["4 0 4", "3 0 4", "2 0 3", "1 0 3"],
      expected: "seal 2,1 -> level 0, window 3, sequence 20, bottom"),
    Case(
      claim: "a window that is being merged lets the next go first",
      runs: ["4 0 4", "3 0 4", "2 0 3", "1 0 3"], busy: [1],
      expected: "seal 4,3 -> level 0, window 4, sequence 40"),
    Case(
      claim: "the window of the largest time is open", largestTime: 49,
      runs: ["2 0 4", "1 0 4"], expected: "nothing"),
    Case(
      claim: "it closes with the first later time", largestTime: 50, runs: ["2 0 4", "1 0 4"],
      expected: "seal 2,1 -> level 0, window 4, sequence 20, bottom"),
    Case(
      claim: "times before zero have windows too", largestTime: -1, runs: ["2 0 -2", "1 0 -2"],
      expected: "seal 2,1 -> level 0, window -2, sequence 20, bottom"),
    Case(
      claim: "before the first record the window of time 0 is open", largestTime: nil,
      runs: ["2 0 0", "1 0 0"], expected: "nothing"),
    Case(
      claim: "a window's runs that others lie between stay apart",
      runs: ["4 0 4", "3 0 5", "2 0 4", "1 0 3"], expected: "nothing"),
    Case(
      claim: "of more than 64 runs the oldest 64 are sealed", runs: RunTable.lines(70, window: 4),
      expected: "seal 64...1 -> level 0, window 4, sequence 640, bottom"),
    Case(
      claim: "64 runs are sealed at once", runs: RunTable.lines(64, window: 4),
      expected: "seal 64...1 -> level 0, window 4, sequence 640, bottom"),
  ]

  @Test("runs of a closed window become one", arguments: windows)
  func sealsWindows(_ scenario: Case) throws { try check(scenario) }

  // MARK: - For ever

  static let forever = [
    Case(
      claim: "eight runs become one", ttl: nil, fanout: 8, runs: RunTable.lines(8, window: 0),
      expected: "tier 8,7,6,5,4,3,2,1 -> level 1, window 0, sequence 80, bottom"),
    Case(
      claim: "seven stay", ttl: nil, fanout: 8, runs: RunTable.lines(7, window: 0),
      expected: "nothing"),
    Case(
      claim: "nothing is ever sealed", ttl: nil, fanout: 8, largestTime: 1 << 60,
      runs: ["3 2 0", "2 5 0", "1 9 0"], expected: "nothing"),
    Case(
      claim: "the widest fanout is kept", ttl: nil, fanout: 32, runs: RunTable.lines(80, window: 0),
      expected: "tier \((1...32).reversed().map(String.init).joined(separator: ",")) -> "
        + "level 1, window 0, sequence 320, bottom"),
  ]

  @Test("without a TTL there is one window, always open", arguments: forever)
  func keepsForEver(_ scenario: Case) throws { try check(scenario) }

  private func check(_ scenario: Case) throws {
    let runs = try RunTable(scenario.runs).runs
    let choice = scenario.picker.pick(runs, busy: scenario.busy)
    #expect(choice.map(\.text) ?? "nothing" == scenario.expected)
  }

  // MARK: - By hand

  static let manual = [
    Case(claim: "nothing without runs", runs: [], expected: "nothing"),
    Case(
      claim: "single runs of windows stay", runs: ["3 0 5", "2 0 4", "1 0 3"], expected: "nothing"),
    Case(
      claim: "two runs of the open window are merged, whatever their levels",
      runs: ["2 0 5", "1 3 5"],
      expected: "manual 2,1 -> level 3, window 5, sequence 20, bottom"),
    Case(
      claim: "the oldest window of several runs comes first",
      runs: ["5 0 5", "4 0 5", "3 0 4", "2 0 4", "1 0 3"],
      expected: "manual 3,2 -> level 0, window 4, sequence 30"),
    Case(
      claim: "of more than 64 runs the oldest 64 are merged", runs: RunTable.lines(65, window: 5),
      expected: "manual 64...1 -> level 0, window 5, sequence 640, bottom"),
    Case(
      claim: "for ever all runs are of one window", ttl: nil,
      runs: ["4 0 0", "3 0 0", "2 1 0", "1 2 0"],
      expected: "manual 4,3,2,1 -> level 2, window 0, sequence 40, bottom"),
  ]

  @Test("what is merged by hand", arguments: manual)
  func mergesByHand(_ scenario: Case) throws {
    let runs = try RunTable(scenario.runs).runs
    #expect(scenario.picker.pickManual(runs).map(\.text) ?? "nothing" == scenario.expected)
  }

  // MARK: - Expiry

  /// Here a run is `id level window time`, and the answer the ids that go.
  static let expiry = [
    Case(claim: "nothing expires for ever", ttl: nil, runs: ["1 0 0 -999999"], expected: ""),
    Case(
      claim: "a run goes when its youngest entry is a TTL old", largestTime: 180,
      runs: ["3 0 9 102", "2 0 9 101", "1 0 9 100"], expected: "1"),
    Case(
      claim: "of inserts, a younger run below holds nothing back", largestTime: 180,
      runs: ["3 0 9 90", "2 0 9 170", "1 0 9 80"], expected: "1,3"),
    Case(
      claim: "a run with kinds goes together with all older ones", largestTime: 180,
      runs: ["3 0 9 90 k", "2 0 9 95", "1 0 9 80"], expected: "1,2,3"),
    Case(
      claim: "it stays while one older run does", largestTime: 180,
      runs: ["3 0 9 90 k", "2 0 9 170", "1 0 9 80"], expected: "1"),
    Case(
      claim: "and runs above it that have kinds stay with it", largestTime: 180,
      runs: ["4 0 9 90 k", "3 0 9 90", "2 0 9 90 k", "1 0 9 170"], expected: "3"),
    Case(
      claim: "before the first record nothing has expired", largestTime: nil, runs: ["1 0 0 -99"],
      expected: ""),
    Case(
      claim: "the end of time does not overflow", ttl: TimeToLive.millisecondsMax,
      largestTime: StoreState.timeMax,
      runs: ["2 0 9 \(StoreState.timeMax)", "1 0 9 \(StoreState.timeMin)"], expected: "1"),
  ]

  @Test("runs that no record can match any more", arguments: expiry)
  func expires(_ scenario: Case) throws {
    let expired = scenario.picker.expired(try RunTable(scenario.runs).runs)
    #expect(expired.map(String.init).joined(separator: ",") == scenario.expected)
  }

  @Test func latenessPutsExpiryOff() throws {
    var options = KeyspaceOptions(timeToLive: .milliseconds(80), allowedLateness: 20)
    let runs = try RunTable(["1 0 9 100"]).runs
    #expect(CompactionPicker(options: options, largestTime: 199).expired(runs).isEmpty)
    #expect(CompactionPicker(options: options, largestTime: 200).expired(runs) == [1])
    options.allowedLateness = 0
    #expect(CompactionPicker(options: options, largestTime: 180).expired(runs) == [1])
  }

  // MARK: - Every choice

  @Test("any choice is of 2 to 64 idle neighbours of one window, and merging comes to an end")
  func randomRuns() throws {
    for seed in UInt64(0)..<300 {
      var generator = SeededGenerator(seed: seed)
      let scenario = Case(
        claim: "", ttl: Bool.random(using: &generator) ? nil : 80,
        fanout: UInt8.random(in: 2...32, using: &generator), runs: [], expected: "")
      let count = Int.random(in: 0...150, using: &generator)
      var window: Int64 = scenario.ttl == nil ? 0 : 5
      var lines: [String] = []
      for id in (0..<count).reversed() {
        if scenario.ttl != nil, Int.random(in: 0..<40, using: &generator) == 0 { window -= 1 }
        lines.append("\(id + 1) \(Int.random(in: 0...1, using: &generator)) \(window)")
      }
      let runs = try RunTable(lines).runs
      let busy = Set(runs.map(\.id).filter { _ in Int.random(in: 0..<60, using: &generator) == 0 })
      if let choice = scenario.picker.pick(runs, busy: busy) {
        try checkChoice(choice, of: runs, seed: seed)
        #expect(busy.isDisjoint(with: choice.inputs), "seed \(seed)")
      }
      try checkEnd(runs, seed: seed) { scenario.picker.pick($0) }
      let rest = try checkEnd(runs, seed: seed) { scenario.picker.pickManual($0) }
      #expect(rest.count == Set(runs.map(\.window)).count, "seed \(seed): one run a window")
    }
  }

  private func checkChoice(
    _ choice: CompactionChoice, of runs: [RunState], seed: UInt64
  ) throws {
    #expect((2...MergeCursor.sourcesMax).contains(choice.inputs.count), "seed \(seed)")
    let start = try #require(runs.firstIndex { $0.id == choice.inputs[0] })
    let end = start + choice.inputs.count
    try #require(end <= runs.count)
    #expect(runs[start..<end].map(\.id) == choice.inputs, "seed \(seed): neighbours, newest first")
    #expect(Set(runs[start..<end].map(\.window)) == [choice.window], "seed \(seed)")
    #expect(choice.sequence == runs[start].sequence, "seed \(seed)")
    #expect(choice.isBottommost == (end == runs.count), "seed \(seed)")
  }

  /// Merges as `pick` says until it says nothing; returns what is left.
  @discardableResult
  private func checkEnd(
    _ runs: [RunState], seed: UInt64, pick: ([RunState]) -> CompactionChoice?
  ) throws -> [RunState] {
    var runs = runs
    var nextID: UInt64 = 1_000
    while let choice = pick(runs) {
      try checkChoice(choice, of: runs, seed: seed)
      let before = runs.count
      runs = runs.merged(by: choice, id: nextID)
      nextID += 1
      try #require(runs.count == before - choice.inputs.count + 1, "seed \(seed)")
    }
    return runs
  }
}
