import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// The first file operation fails, the second, and so on until none is left to fail.
@Suite("Faults of the file system under a store")
struct FaultSweepTests {
  static let operations: [StoreOperation] = [
    .insert, .commit, .insert, .put, .commit, .insert, .compact, .commit, .remove, .insert,
    .commit, .insert, .reopen, .insert, .commit,
  ]

  @Test(
    "nothing is acknowledged falsely, and reopening gives what was",
    arguments: [LogPolicy.epochs, .everyBatch(synchronized: true)],
    [
      (FileError.Code.inputOutput, false), (.inputOutput, true), (.noSpace, false),
      (.noSpace, true),
    ])
  func sweep(policy: LogPolicy, fault: (code: FileError.Code, isSticky: Bool)) throws {
    for number in 1...2_000 {
      let workload = RandomWorkload(seed: 23, isSmall: true, log: policy)
      let memory = MemoryFileSystem()
      let faulty = FaultInjectingFileSystem(memory)
      let script = ScriptedStore(workload, fileSystem: faulty)
      faulty.arm([Fault(number: number, code: fault.code, isSticky: fault.isSticky)])
      let what = "\(policy), \(fault), call \(number)"
      var fired = 0
      do {
        try script.open()
        for operation in Self.operations { try script.perform(operation) }
      } catch let error as StoreError {
        fired = faulty.firedCount
        #expect(fired > 0, "\(what): \(error)")
        try recover(script, faulty, memory, fault.code, error, what)
      }
      script.drop()
      if fired == 0 && faulty.firedCount == 0 {
        #expect(number > 50, "the sweep reached few calls")
        return
      }
    }
    Issue.record("the sweep did not end")
  }

  private func recover(
    _ script: ScriptedStore, _ faulty: FaultInjectingFileSystem, _ memory: MemoryFileSystem,
    _ code: FileError.Code, _ error: StoreError, _ what: String
  ) throws {
    for disk in [memory.clone(), memory.crashed(.nothing)] {
      do {
        if let problem = try script.problem(with: disk, goesOn: true) {
          Issue.record("\(what), after \(error): \(problem)")
        }
      } catch {
        Issue.record("\(what): reopening: \(error)")
      }
    }
    faulty.arm([])
    guard error.code == .noSpace else { return }
    do {
      try script.retryCommit()
      if let problem = try script.problem(with: memory.crashed(.nothing), goesOn: false) {
        Issue.record("\(what), committed again: \(problem)")
      }
    } catch let again as StoreError {
      #expect(again.code == .poisoned || again.code == .closed, "\(what): \(again)")
    }
  }

  @Test("a failed sync acknowledges nothing and poisons", arguments: FailedSync.allCases)
  func failedSyncs(model: FailedSync) throws {
    for number in 1...500 {
      let memory = MemoryFileSystem()
      memory.failSynchronization(number: number, as: model)
      let workload = RandomWorkload(seed: 29, isSmall: true, log: .epochs)
      let script = ScriptedStore(workload, fileSystem: memory)
      var failure: StoreError?
      do {
        try script.open()
        for operation in Self.operations { try script.perform(operation) }
      } catch { failure = error as? StoreError }
      if memory.synchronizationCount < number { return }
      let what = "sync \(number), \(model)"
      if failure != nil && script.isOpen {
        do {
          try script.retryCommit()
          Issue.record("\(what): an epoch was committed after it")
        } catch let again as StoreError {
          #expect([.poisoned, .closed].contains(again.code), "\(what): \(again)")
        }
      }
      for disk in [memory.clone(), memory.crashed(.nothing)] {
        do {
          // A directory whose entry the disk has forgotten for good can keep nothing.
          let goesOn = model != .forgotten || number > 1
          if let problem = try script.problem(with: disk, goesOn: goesOn) {
            Issue.record("\(what): \(problem)")
          }
        } catch { Issue.record("\(what): reopening: \(error)") }
      }
      script.drop()
    }
  }
}
