import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Power is lost at every file operation; what is left must be a state that was promised.
@Suite("Crash states of a store")
struct CrashStateTests {
  /// Runs a script until the file system stops or the script ends.
  static func run(
    _ operations: [StoreOperation], _ workload: RandomWorkload, stoppingAfter stop: Int?
  ) -> (ScriptedStore, MemoryFileSystem) {
    let fileSystem = MemoryFileSystem()
    fileSystem.stopAfterMutations = stop
    let script = ScriptedStore(workload, fileSystem: fileSystem)
    do {
      try script.open()
      for operation in operations { try script.perform(operation) }
    } catch {
      if stop == nil { Issue.record("the script failed by itself: \(error)") }
    }
    if stop == nil { script.drop() }
    return (script, fileSystem)
  }

  /// Crashes a script at every `stride`-th operation; returns how many states were looked at.
  static func crash(
    _ operations: [StoreOperation], _ workload: RandomWorkload, stride: Int, crashes: Int,
    _ what: String
  ) -> Int {
    let (_, whole) = run(operations, workload, stoppingAfter: nil)
    var generator = SeededGenerator(seed: UInt64(operations.count) &+ 99)
    var states = 0
    var stop = 1
    while stop <= whole.mutationCount {
      let (script, stopped) = run(operations, workload, stoppingAfter: stop)
      for number in 0..<crashes {
        let disk =
          number == 0 ? stopped.crashed(.nothing) : stopped.crashed(using: &generator)
        states += 1
        do {
          guard let problem = try script.problem(with: disk, goesOn: number == 1) else { continue }
          Issue.record("\(what), stopped after \(stop), crash \(number): \(problem)")
        } catch {
          Issue.record("\(what), stopped after \(stop), crash \(number): \(error)")
        }
        return states
      }
      stop += stride
    }
    return states
  }

  @Test("a crash anywhere leaves the last epoch or the one under way", arguments: 0..<20)
  func randomScripts(number: Int) {
    let policies: [LogPolicy] = [
      .epochs, .everyBatch(synchronized: true), .everyBatch(synchronized: false),
    ]
    let seed = UInt64(7_000 + number)
    var workload = RandomWorkload(seed: seed, isSmall: true, log: policies[number % 3])
    let operations = (0..<30).map { _ -> StoreOperation in
      let all = StoreOperation.allCases + [.insert, .insert, .insert, .commit, .commit]
      return all[Int.random(in: 0..<all.count, using: &workload.generator)]
    }
    let states = Self.crash(operations, workload, stride: 1, crashes: 3, "seed \(seed)")
    #expect(states >= 250, "seed \(seed): \(states) states")
  }

  @Test("all pairs of operations, crashed everywhere", arguments: StoreOperation.allCases)
  func allPairs(first: StoreOperation) {
    for second in StoreOperation.allCases {
      for policy in [LogPolicy.epochs, .everyBatch(synchronized: true)] {
        let workload = RandomWorkload(seed: 31, isSmall: true, log: policy)
        let operations: [StoreOperation] = [.insert, .commit, first, second, .commit]
        _ = Self.crash(
          operations, workload, stride: 1, crashes: 2, "\(first), \(second), \(policy)")
      }
    }
  }

  @Test("what recovery found after a kill survives the power loss behind the next epoch")
  func killThenEpochThenPowerLoss() throws {
    let workload = RandomWorkload(
      seed: 5, isSmall: true, log: .everyBatch(synchronized: false))
    let (script, killed) = Self.run([.insert, .insert, .insert], workload, stoppingAfter: nil)
    let alive = killed.clone()
    let store = try StateStore.open(at: "/state", fileSystem: alive)
    try store.commitEpoch(metadata: [])
    let keys = (0..<workload.keyCount).map { workload.key($0) }
    let after = try StateStore.open(at: "/state", fileSystem: alive.crashed(.nothing))
    let keyspace = try after.keyspace("seen", workload.options)
    #expect(try keyspace.difference(from: script.model, keys: keys) == nil)
  }
}
