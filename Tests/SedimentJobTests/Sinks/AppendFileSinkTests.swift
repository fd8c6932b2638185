import SedimentIO
import SedimentJob
import SedimentTestKit
import Testing

@Suite struct AppendFileSinkTests {
  private let disk = MemoryFileSystem()

  private func attempt(
    _ epochs: [[String]], on disk: MemoryFileSystem, _ state: inout OutputState
  ) throws {
    let sink = try AppendFileSink("out.csv", in: disk)
    sink.setHeader(Array("h\n".utf8))
    _ = try sink.recover(committed: try state.committed())
    try state.run(epochs, on: sink)
  }

  private func text(_ disk: MemoryFileSystem) throws -> String {
    try disk.content(of: "out.csv", in: try disk.openDirectory(at: ".", creating: false))
  }

  @Test func epochsFollowEachOtherUnderOneHeader() throws {
    let epochs = randomEpochs(8, seed: 3)
    var state = OutputState()
    try attempt(Array(epochs[..<4]), on: disk, &state)
    try attempt(epochs, on: disk, &state)
    #expect(try text(disk) == "h\n" + epochs.joined().joined())
  }

  @Test(arguments: 0..<12 as Range<UInt64>)
  func everyCrashLeavesExactlyWhatTheStatePromises(seed: UInt64) throws {
    let epochs = [["first\n"]] + randomEpochs(4, seed: seed)
    var generator = SeededGenerator(seed: seed)
    for stop in 0..<1_000 {
      let disk = MemoryFileSystem()
      disk.stopAfterMutations = stop
      var state = OutputState()
      let hasEnded = (try? attempt(epochs, on: disk, &state)) != nil
      let second = disk.crashed(using: &generator)
      second.stopAfterMutations = Int.random(in: 0..<4, using: &generator)
      _ = try? attempt(epochs, on: second, &state)
      let third = second.crashed(using: &generator)
      let sink = try AppendFileSink("out.csv", in: third)
      sink.setHeader(Array("h\n".utf8))
      _ = try sink.recover(committed: try state.committed())
      let promised = epochs[..<state.epochs].joined().joined()
      #expect(try text(third) == (state.epochs == 0 ? "" : "h\n" + promised), "stop \(stop)")
      try state.run(epochs, on: sink)
      #expect(try text(third) == "h\n" + epochs.joined().joined(), "stop \(stop)")
      if hasEnded { return }
    }
    Issue.record("the run never came to its end")
  }

  @Test func recordsOfAllSizesArriveInOrder() throws {
    // Some are longer than what goes to the file from where it lies, some than the buffer.
    var generator = SeededGenerator(seed: 11)
    let epochs = (0..<6).map { epoch in
      (0..<40).map { record in
        let length = Int.random(
          in: 0..<(1 << Int.random(in: 1...21, using: &generator)), using: &generator)
        return "\(epoch) \(record) " + String(repeating: "x", count: length) + "\n"
      }
    }
    var state = OutputState()
    try attempt(Array(epochs[..<3]), on: disk, &state)
    try attempt(epochs, on: disk, &state)
    #expect(try text(disk) == "h\n" + epochs.joined().joined())
  }

  @Test func anAbortedEpochIsCutOff() throws {
    var state = OutputState()
    let sink = try AppendFileSink("out.csv", in: disk)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    try sink.append(["lost\n"])
    _ = try sink.prepare()
    try sink.abortEpoch()
    #expect(try text(disk) == "one\n")
    try state.run([["one\n"], ["two\n"]], on: sink)
    #expect(try text(disk) == "one\ntwo\n")
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func aFullDiskAtAnyPointCostsNothingOnceThereIsRoom(step: UInt64) throws {
    let epochs = randomEpochs(4, seed: step)
    disk.capacityBytes = step * 64
    var state = OutputState()
    let sink = try AppendFileSink("out.csv", in: disk)
    for _ in 0..<1_000 {
      do {
        try sink.abortEpoch()
        try state.run(epochs, on: sink)
        #expect(try text(disk) == epochs.joined().joined())
        return
      } catch let error as SinkError where error.isOutOfSpace {
        disk.capacityBytes = disk.capacityBytes.map { $0 + 100 }
      }
    }
    Issue.record("the run never came to its end")
  }

  @Test func aFileThatThisStateDidNotWriteIsRefusedUntouched() throws {
    try disk.write("mine\n", to: "out.csv", in: ".")
    let sink = try AppendFileSink("out.csv", in: disk)
    #expect(throws: SinkError.foreignFile(path: "out.csv")) {
      _ = try sink.recover(committed: nil)
    }
    #expect(try text(disk) == "mine\n")
  }

  @Test func aFileThatLostBytesIsAnError() throws {
    var state = OutputState()
    try attempt([["one\n"]], on: disk, &state)
    let directory = try disk.openDirectory(at: ".", creating: false)
    try directory.openFile("out.csv", .readWrite).truncate(to: 3)
    let short = SinkError.fileTooShort(path: "out.csv", committedBytes: 6, foundBytes: 3)
    #expect(throws: short) { try attempt([["one\n"]], on: disk, &state) }
    try directory.remove("out.csv")
    let gone = SinkError.fileTooShort(path: "out.csv", committedBytes: 6, foundBytes: 0)
    #expect(throws: gone) { try attempt([["one\n"]], on: disk, &state) }
    try disk.write("other file\n", to: "out.csv", in: ".")
    #expect(throws: SinkError.foreignFile(path: "out.csv")) {
      try attempt([["one\n"]], on: disk, &state)
    }
  }

  @Test func aFileThatWasCopiedWithItsStateIsGoneOnWith() throws {
    var state = OutputState()
    try attempt([["one\n"], ["two\n"]], on: disk, &state)
    let other = MemoryFileSystem()
    // Another inode, and the bytes of an epoch that was lost.
    try other.write("", to: "something", in: ".")
    try other.write("h\none\ntwo\nlost\n", to: "out.csv", in: ".")
    try attempt([["one\n"], ["two\n"], ["three\n"]], on: other, &state)
    #expect(try text(other) == "h\none\ntwo\nthree\n")
  }

  @Test func anotherFileOfTheSameLengthIsRefused() throws {
    var state = OutputState()
    try attempt([["one\n"]], on: disk, &state)
    let other = MemoryFileSystem()
    try other.write("", to: "something", in: ".")
    try other.write("h\nONE\n", to: "out.csv", in: ".")
    #expect(throws: SinkError.foreignFile(path: "out.csv")) {
      try attempt([["one\n"]], on: other, &state)
    }
    #expect(try text(other) == "h\nONE\n")
  }

  @Test func whatWasAddedToAReleasedFileIsNotCut() throws {
    var state = OutputState()
    let sink = try AppendFileSink("out.csv", in: disk)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    let released = try sink.release()
    let file = try disk.openDirectory(at: ".", creating: false).openFile("out.csv", .readWrite)
    try unsafe Array("added\n".utf8).span.bytes.withUnsafeBytes { (bytes) throws(FileError) in
      try unsafe file.write(bytes, at: 4)
    }
    #expect(throws: SinkError.foreignFile(path: "out.csv")) {
      _ = try AppendFileSink("out.csv", in: disk).recover(committed: released)
    }
    let next = try AppendFileSink("next.csv", in: disk)
    _ = try next.recover(committed: released)
    #expect(next.needsOwnershipEpoch)
    #expect(try text(disk) == "one\nadded\n")
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func theNameOfAnAdoptedEmptyFileSurvivesACrash(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let place = try disk.openDirectory(at: ".", creating: false)
    try place.openFile("adopted.txt", .create).close()
    var state = OutputState()
    let sink = try AppendFileSink("adopted.txt", in: disk)
    _ = try sink.recover(committed: nil)
    try state.run([["one\n"]], on: sink)
    let crashed = disk.crashed(using: &generator)
    #expect(try crashed.text(of: "adopted.txt") == "one\n")
  }
}
