import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// The first file operation fails, the second, and so on until none is left to fail.
@Suite("Faults of the file system under a store")
struct FaultSweepTests {
  @Test(
    "nothing is acknowledged falsely, and reopening gives what was",
    arguments: FaultScriptKind.allCases,
    [
      (FileError.Code.inputOutput, false), (.inputOutput, true), (.noSpace, false),
      (.noSpace, true),
    ])
  func sweep(kind: FaultScriptKind, fault: (code: FileError.Code, isSticky: Bool)) throws {
    for number in 1...2_000 {
      let memory = MemoryFileSystem()
      let faulty = FaultInjectingFileSystem(memory)
      let script = kind.make(on: faulty)
      faulty.arm([Fault(number: number, code: fault.code, isSticky: fault.isSticky)])
      let what = "\(kind), \(fault), call \(number)"
      var failure: StoreError?
      do {
        try script.run()
      } catch let error as StoreError {
        failure = error
      }
      let fired = faulty.firedCount
      #expect(failure == nil || fired > 0, "\(what): \(String(describing: failure))")
      if fired > 0 { try recover(script, faulty, memory, failure, what) }
      script.drop()
      if fired == 0 && faulty.firedCount == 0 {
        #expect(number > 50, "the sweep reached few calls")
        return
      }
    }
    Issue.record("the sweep did not end")
  }

  private func recover(
    _ script: any FaultScript, _ faulty: FaultInjectingFileSystem, _ memory: MemoryFileSystem,
    _ error: StoreError?, _ what: String
  ) throws {
    let after = "\(what), after \(error.map { "\($0)" } ?? "no error")"
    check(script, memory.clone(), afterKill: true, "\(after), killed")
    check(script, memory.crashed(.nothing), "\(after), power lost")
    faulty.arm([])
    guard let error, script.isOpen, error.code == .noSpace || script.mayGoOn else { return }
    do {
      try script.retryCommit()
      if let problem = try script.liveProblem() {
        Issue.record("\(after), committed again: \(problem)")
      }
      check(
        script, memory.crashed(.nothing), goesOn: false, "\(after), committed again, power lost")
    } catch let again as StoreError {
      // A thread that found the disk full may not have tried again yet.
      #expect([.poisoned, .closed, .noSpace].contains(again.code), "\(what): \(again)")
    }
  }

  private func check(
    _ script: any FaultScript, _ disk: MemoryFileSystem, afterKill: Bool = false,
    goesOn: Bool = true, _ what: String
  ) {
    do {
      let problem = try script.crashProblem(with: disk, afterKill: afterKill, goesOn: goesOn)
      if let problem { Issue.record("\(what): \(problem)") }
    } catch {
      Issue.record("\(what): reopening: \(error)")
    }
  }

  @Test(
    "a failed sync acknowledges nothing and poisons",
    arguments: [FaultScriptKind.epochs, .ordered, .tiered], FailedSync.allCases)
  func failedSyncs(kind: FaultScriptKind, model: FailedSync) throws {
    for number in 1...500 {
      let memory = MemoryFileSystem()
      memory.failSynchronization(number: number, as: model)
      let script = kind.make(on: memory)
      var failure: StoreError?
      do { try script.run() } catch { failure = error as? StoreError }
      if memory.synchronizationCount < number { return }
      let what = "\(kind), sync \(number), \(model)"
      if failure != nil && script.isOpen {
        do {
          try script.retryCommit()
          #expect(script.mayGoOn, "\(what): an epoch was committed after it")
        } catch let again as StoreError {
          try expectPoisoned(script, again, after: failure, what)
        }
      }
      // A directory whose entry the disk has forgotten for good can keep nothing.
      let goesOn = model != .forgotten || number > 1
      check(script, memory.clone(), goesOn: goesOn, what)
      check(script, memory.crashed(.nothing), goesOn: goesOn, "\(what), power lost")
      script.drop()
    }
  }

  /// Expects the second failure to be of a poisoned store. A background thread may be the one that
  /// found the first: then a commit that was begun before it was known meets the fault itself.
  private func expectPoisoned(
    _ script: any FaultScript, _ second: StoreError, after first: StoreError?, _ what: String
  ) throws {
    var last = second
    if last.code == .inputOutput {
      do {
        try script.retryCommit()
        Issue.record("\(what): an epoch was committed after \(second)")
      } catch let third as StoreError {
        last = third
      }
    }
    #expect(
      [.poisoned, .closed].contains(last.code),
      "\(what): \(last), after \(String(describing: first)) and \(second)")
  }
}
