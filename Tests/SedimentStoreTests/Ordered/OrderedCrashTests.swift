import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Power is lost at every file operation; what is left must be a state that was promised: of the
/// keyspaces that share the log a prefix of all batches, of the other one an epoch.
@Suite("Crash states of ordered keyspaces")
struct OrderedCrashTests {
  private static func run(
    seed: UInt64, stoppingAfter stop: Int?
  ) -> (OrderedScript, MemoryFileSystem) {
    let fileSystem = MemoryFileSystem()
    fileSystem.stopAfterMutations = stop
    let script = OrderedScript(seed: seed, fileSystem: fileSystem)
    do {
      try script.open()
      for _ in 0..<60 {
        switch script.draw(0...20) {
        case 0: try script.commit()
        case 1: try script.store?.compact()
        case 2: try script.store?.waitUntilIdle()
        case 3: try script.insertIfAbsent()
        default: try script.write()
        }
      }
    } catch {
      if stop == nil { Issue.record("seed \(seed): the script failed by itself: \(error)") }
    }
    return (script, fileSystem)
  }

  @Test("a crash anywhere leaves a prefix", arguments: 0..<16)
  func crashes(number: Int) {
    let seed = UInt64(21_000 + number)
    let (whole, disk) = Self.run(seed: seed, stoppingAfter: nil)
    whole.drop()
    var generator = SeededGenerator(seed: seed)
    var stop = 1 + number % 7
    while stop <= disk.mutationCount {
      let (script, stopped) = Self.run(seed: seed, stoppingAfter: stop)
      script.drop()
      for crash in 0..<2 {
        let left = crash == 0 ? stopped.crashed(.nothing) : stopped.crashed(using: &generator)
        do {
          guard let problem = try script.problem(with: left) else { continue }
          Issue.record("seed \(seed), stopped after \(stop), crash \(crash): \(problem)")
        } catch {
          Issue.record("seed \(seed), stopped after \(stop), crash \(crash): \(error)")
        }
        return
      }
      stop += 7
    }
  }

  @Test(
    "all pairs of operations, crashed everywhere", arguments: OrderedOperation.allCases)
  func allPairs(first: OrderedOperation) throws {
    var states = 0
    for second in OrderedOperation.allCases {
      let recording = try CrashRecording(seed: 27) { script in
        for operation in [.put, .batch, first, second] as [OrderedOperation] {
          try script.perform(operation)
        }
        try script.commit()
      }
      if let problem = recording.problem(&states) {
        Issue.record("\(first), \(second): \(problem)")
      }
    }
    #expect(states >= 9 * 25, "\(states) states")
  }

  @Test("a kill loses nothing that was answered", arguments: 0..<8)
  func kills(number: Int) throws {
    let seed = UInt64(23_000 + number)
    let (script, disk) = Self.run(seed: seed, stoppingAfter: nil)
    let killed = disk.clone()
    let problem = try script.problem(with: killed, afterKill: true)
    #expect(problem == nil, "seed \(seed)")
    script.drop()
  }
}
