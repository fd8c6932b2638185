import SedimentIO
import SedimentJob
import SedimentTestKit
import Testing

private func open(
  _ disk: MemoryFileSystem, _ state: inout OutputState, job: String = "job-1", path: String = "out",
  rollBytes: UInt64 = 500
) throws(SinkError) -> PartDirectorySink {
  state.openings += 1
  return try PartDirectorySink(
    path, in: disk,
    options: .init(
      jobID: job, writerEpoch: state.openings, newOutputID: 7 + state.openings,
      fileExtension: "ndjson", rollBytes: rollBytes))
}

@Suite struct PartDirectorySinkTests {
  private let disk = MemoryFileSystem()

  @Test func partsInNameOrderAreTheRecordsInInputOrder() throws {
    let epochs = randomEpochs(9, seed: 1)
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try state.run(epochs, on: sink)
    #expect(try disk.concatenatedParts("out") == epochs.joined().joined())
    let names = try disk.names("out")
    #expect(names.first == ".sediment")
    #expect(names.dropFirst().first == "part-000000000001-1.ndjson")
    #expect(names.dropFirst().allSatisfy { PartName(final: $0) != nil })
  }

  @Test func partsRollBeforeTheyGrowLongerAndEachHasTheHeader() throws {
    var state = OutputState()
    let sink = try open(disk, &state, rollBytes: 20)
    sink.setHeader(Array("h\n".utf8))
    _ = try sink.recover(committed: nil)
    let long = String(repeating: "y", count: 40) + "\n"
    try state.run([["12345678\n", "12345678\n", "3\n", long, "4\n"]], on: sink)
    let directory = try disk.openDirectory(at: "out", creating: false)
    let parts = try disk.names("out").dropFirst().map { try disk.content(of: $0, in: directory) }
    #expect(parts == ["h\n12345678\n12345678\n", "h\n3\n", "h\n" + long, "h\n4\n"])
  }

  @Test func nothingIsVisibleBeforeTheStateIsDurable() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try sink.append(["a\n"])
    let commitment = try sink.prepare()
    #expect(try disk.names("out") == [".part-000000000001-1.ndjson.tmp", ".sediment"])
    try sink.append(["b\n"])
    try sink.publish(commitment)
    try sink.publish(commitment)
    #expect(try disk.concatenatedParts("out") == "a\n")
    try sink.publish(try sink.prepare())
    #expect(try disk.concatenatedParts("out") == "a\nb\n")
  }

  @Test(arguments: 0..<12 as Range<UInt64>)
  func everyCrashLeavesExactlyWhatTheStatePromises(seed: UInt64) throws {
    let epochs = randomEpochs(4, seed: seed)
    var generator = SeededGenerator(seed: seed)
    for stop in 0..<1_000 {
      let disk = MemoryFileSystem()
      disk.stopAfterMutations = stop
      var state = OutputState()
      let hasEnded = (try? attempt(epochs, on: disk, &state)) != nil
      // The restart is cut short as well, and then another one is not.
      let second = disk.crashed(using: &generator)
      second.stopAfterMutations = Int.random(in: 0..<8, using: &generator)
      _ = try? attempt(epochs, on: second, &state)
      let third = second.crashed(using: &generator)
      let sink = try open(third, &state)
      let recovery = try sink.recover(committed: try state.committed())
      #expect(recovery.taken.isEmpty, "stop \(stop)")
      let promised = epochs[..<state.epochs].joined().joined()
      #expect(try third.concatenatedParts("out") == promised, "stop \(stop)")
      #expect(try third.names("out").allSatisfy { PartName(temporary: $0) == nil })
      try state.run(epochs, on: sink)
      #expect(try third.concatenatedParts("out") == epochs.joined().joined(), "stop \(stop)")
      if hasEnded { return }
    }
    Issue.record("the run never came to its end")
  }

  private func attempt(
    _ epochs: [[String]], on disk: MemoryFileSystem, _ state: inout OutputState
  ) throws {
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: try state.committed())
    try state.run(epochs, on: sink)
  }

  @Test func anAbortedEpochLeavesNothingAndCanBeWrittenAgain() throws {
    var state = OutputState()
    let sink = try open(disk, &state, rollBytes: 10)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    disk.capacityBytes = 150
    let record = String(repeating: "z", count: 200) + "\n"
    #expect {
      try sink.append([record])
      _ = try sink.prepare()
    } throws: {
      ($0 as? SinkError)?.isOutOfSpace == true
    }
    #expect(throws: SinkError.epochFailed(path: "out")) { try sink.append(["two\n"]) }
    try sink.abortEpoch()
    #expect(try disk.names("out") == [".sediment", "part-000000000001-1.ndjson"])
    disk.capacityBytes = nil
    try state.run([["one\n"], [record]], on: sink)
    #expect(try disk.concatenatedParts("out") == "one\n" + record)
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func aFullDiskAtAnyPointCostsNothingOnceThereIsRoom(step: UInt64) throws {
    let epochs = randomEpochs(4, seed: step)
    disk.capacityBytes = 64 + step * 64
    var state = OutputState()
    var sink: PartDirectorySink?
    for _ in 0..<1_000 {
      do {
        if let sink {
          try sink.abortEpoch()
          try state.run(epochs, on: sink)
          #expect(try disk.concatenatedParts("out") == epochs.joined().joined())
          return
        }
        sink = try open(disk, &state)
      } catch let error as SinkError where error.isOutOfSpace {
        disk.capacityBytes = disk.capacityBytes.map { $0 + 100 }
      }
    }
    Issue.record("the run never came to its end")
  }

  @Test func nothingIsWrittenBeforeRecovery() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    #expect(throws: SinkError.epochFailed(path: "out")) { try sink.append(["a\n"]) }
  }

  @Test func aPartThatItsReaderTookIsToldAndNumbersGoOn() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    try disk.openDirectory(at: "out", creating: false).remove("part-000000000001-1.ndjson")
    let again = try open(disk, &state)
    let recovery = try again.recover(committed: try state.committed())
    #expect(recovery.taken == ["part-000000000001-1.ndjson"])
    try state.run([["one\n"], ["two\n"]], on: again)
    #expect(try disk.names("out") == [".sediment", "part-000000000002-2.ndjson"])
  }

  @Test func anotherJobsDirectoryIsRefused() throws {
    var state = OutputState()
    _ = try open(disk, &state)
    #expect(throws: SinkError.foreignDirectory(path: "out", owner: "job-1", job: "job-2")) {
      _ = try open(disk, &state, job: "job-2")
    }
  }

  @Test(arguments: ["part-000000000001-1.csv", ".part-000000000001-1.csv.tmp"])
  func partsWithoutAnOwnerAreRefused(name: String) throws {
    try disk.write("x", to: name, in: "out")
    var state = OutputState()
    #expect(throws: SinkError.unownedParts(path: "out", part: name)) {
      _ = try open(disk, &state)
    }
    #expect(try disk.names("out") == [name])
  }

  @Test(arguments: ["", "sediment output 1\n", "sediment output 2\njob-1 7\n", "\u{0}"])
  func anUnreadableOwnerIsRefused(text: String) throws {
    try disk.write(text, to: ".sediment", in: "out")
    var state = OutputState()
    #expect(throws: SinkError.damagedOwner(path: "out/.sediment")) {
      _ = try open(disk, &state)
    }
  }

  @Test func anOutputNewerThanTheStateIsRefused() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    let old = try state.committed()
    try state.run([["one\n"], ["two\n"]], on: sink)
    let again = try open(disk, &state)
    #expect(
      throws: SinkError.outputAhead(
        path: "out", part: "part-000000000002-1.ndjson", nextSequence: 2)
    ) { _ = try again.recover(committed: old) }
  }

  @Test func aPromiseElsewhereIsKeptBeforeAnotherOutputMayFollow() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    let other = try open(disk, &state, path: "other")
    #expect(throws: SinkError.otherOutput(promised: "out", given: "other")) {
      _ = try other.recover(committed: try state.committed())
    }
    let released = try sink.release()
    _ = try other.recover(committed: try SinkCommitment(decoding: released.encoded()))
    try state.run([["one\n"], ["two\n"]], on: other)
    #expect(try disk.names("other") == [".sediment", "part-000000000002-2.ndjson"])
  }

  @Test func aPromisedPartOfAnotherSizeIsDamage() throws {
    var state = OutputState()
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    try sink.append(["one\n"])
    let commitment = try sink.prepare()
    let name = ".part-000000000001-1.ndjson.tmp"
    try disk.openDirectory(at: "out", creating: false).openFile(name, .readWrite).truncate(to: 3)
    let again = try open(disk, &state)
    #expect(
      throws: SinkError.damagedPart(path: "out/" + name, expectedBytes: 4, foundBytes: 3)
    ) { _ = try again.recover(committed: commitment) }
  }

  @Test func strangersInTheDirectoryAreLeftAlone() throws {
    var state = OutputState()
    _ = try open(disk, &state)
    let strangers = [".hidden.tmp", "part-1-1.ndjson", "part-000000000009-1", "readme.txt"]
    for name in strangers { try disk.write("x", to: name, in: "out") }
    let sink = try open(disk, &state)
    _ = try sink.recover(committed: nil)
    #expect(Set(try disk.names("out")).isSuperset(of: strangers))
  }
}
