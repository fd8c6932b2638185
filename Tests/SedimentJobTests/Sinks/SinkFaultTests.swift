import SedimentIO
import SedimentJob
import SedimentTestKit
import Testing

/// The order of file operations, and what becomes of each of them failing.
@Suite struct SinkFaultTests {
  @Test func partsAreSynchronisedBeforeTheyArePromisedAndShownAfterwards() throws {
    let recorder = RecordingFileSystem(MemoryFileSystem())
    let sink = try open(recorder)
    _ = try sink.recover(committed: nil)
    _ = recorder.takeLines()
    try sink.append(["one\n"])
    let cut = try sink.cut()
    try sink.append(["two\n"])
    let commitment = try sink.prepare(cut)
    #expect(
      recorder.takeLines() == [
        "create .part-000000000001-1.csv.tmp", "write .part-000000000001-1.csv.tmp 0+4",
        "create .part-000000000002-1.csv.tmp", "sync .part-000000000001-1.csv.tmp", "sync-dir .",
      ])
    try sink.publish(commitment)
    #expect(
      recorder.takeLines() == [
        "rename .part-000000000001-1.csv.tmp part-000000000001-1.csv", "sync-dir .",
      ])
  }

  @Test func anEpochWithoutRecordsTouchesNothing() throws {
    let recorder = RecordingFileSystem(MemoryFileSystem())
    let sink = try open(recorder)
    _ = try sink.recover(committed: nil)
    _ = recorder.takeLines()
    try sink.publish(try sink.prepare())
    #expect(recorder.takeLines().isEmpty)
  }

  @Test(arguments: [false, true])
  func everyFailingCallIsReportedAndAbortingMendsIt(isShared: Bool) throws {
    let epochs = randomEpochs(3, seed: 5)
    for number in 1..<1_000 {
      let disk = MemoryFileSystem()
      let faulty = FaultInjectingFileSystem(disk)
      faulty.arm([.noSpace(number: number)])
      var state = OutputState()
      var failures = 0
      var sink: PartDirectorySink?
      while true {
        do {
          let opened = try sink ?? open(faulty, outputID: UInt64(failures), isShared: isShared)
          sink = opened
          try opened.abortEpoch()
          try state.run(epochs, on: opened)
          break
        } catch let error as SinkError where error.isOutOfSpace && failures == 0 {
          failures += 1
        }
      }
      #expect(failures == faulty.firedCount, "call \(number)")
      #expect(try disk.concatenatedParts("out") == epochs.joined().joined(), "call \(number)")
      if faulty.firedCount == 0 { return }
    }
    Issue.record("the run never came to its end")
  }

  private func open(
    _ fileSystem: any FileSystem, outputID: UInt64 = 1, isShared: Bool = false
  ) throws(SinkError) -> PartDirectorySink {
    try PartDirectorySink(
      "out", in: fileSystem,
      options: .init(
        jobID: "job", writerEpoch: 1, newOutputID: outputID, fileExtension: "csv", rollBytes: 500,
        isShared: isShared))
  }
}
