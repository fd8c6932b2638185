import SedimentIO
import SedimentJob
import SedimentTestKit
import SedimentWebHDFS
import Testing

/// Epochs into a directory on HDFS.
///
/// Invariants checked: whichever request fails, and however, the run ends by itself with exactly
/// the records of its epochs; wherever the writer dies, recovery makes exactly what the state
/// promises of it, whatever its last request does later; and nothing is left over.
@Suite struct WebHDFSSinkTests {
  private let output: WebHDFSOutput
  private let epochs = randomEpochs(4, seed: 3)

  init() throws {
    output = try WebHDFSOutput()
  }

  private func open(
    _ state: inout OutputState, on output: WebHDFSOutput? = nil, job: String = "job-1",
    triesMax: Int = 60
  ) throws -> PartDirectorySink {
    state.openings += 1
    let disk = MemoryFileSystem()
    _ = try disk.openDirectory(at: "state", creating: true)
    let output = output ?? self.output
    return try PartDirectorySink(
      output.url, in: output.fileSystem(over: disk, triesMax: triesMax),
      options: .init(
        jobID: job, writerEpoch: state.openings, newOutputID: 7 + state.openings,
        fileExtension: "ndjson", rollBytes: 500))
  }

  /// Opens, recovers and runs what is left.
  private func attempt(
    _ state: inout OutputState, on output: WebHDFSOutput, triesMax: Int = 60
  ) throws {
    let sink = try open(&state, on: output, triesMax: triesMax)
    _ = try sink.recover(committed: try state.committed())
    try state.run(epochs, on: sink)
  }

  @Test func nothingIsVisibleBeforeTheStateIsDurable() throws {
    var state = OutputState()
    let sink = try open(&state)
    _ = try sink.recover(committed: nil)
    try sink.append(["a\n"])
    let commitment = try sink.prepare()
    #expect(output.names == [".part-000000000001-1.ndjson.tmp", ".sediment"])
    try sink.append(["b\n"])
    try sink.publish(commitment)
    try sink.publish(commitment)
    #expect(output.text == "a\n")
    try sink.publish(try sink.prepare())
    #expect(output.text == "a\nb\n" && output.leftOver.isEmpty)
  }

  @Test func theOrderOfRequestsIsThatOfTheDesign() throws {
    var state = OutputState()
    let sink = try open(&state)
    _ = try sink.recover(committed: nil)
    output.server.setPlan { _ in nil }
    try sink.append(["a\n"])
    #expect(output.server.calls.isEmpty)
    let commitment = try sink.prepare()
    let final = "part-000000000001-1.ndjson"
    func lines() -> [String] {
      output.server.calls.map {
        let node = $0.nameNode == nil ? "DataNode " : ""
        return "\(node)\($0.operation) \($0.path.dropFirst(output.path.count + 1))"
      }
    }
    #expect(
      lines() == [
        "CREATE .\(final).a2.tmp", "DataNode CREATE .\(final).a2.tmp",
        "GETFILESTATUS .\(final).a2.tmp", "GETFILESTATUS .\(final).a2.tmp",
        "GETFILESTATUS .\(final).tmp", "RENAME .\(final).a2.tmp",
      ])
    output.server.setPlan { _ in nil }
    try sink.publish(commitment)
    #expect(
      lines() == [
        "GETFILESTATUS .\(final).tmp", "GETFILESTATUS \(final)", "RENAME .\(final).tmp",
      ])
  }

  @Test func partsOfALongEpochGoAsTheyEnd() throws {
    let disk = MemoryFileSystem()
    _ = try disk.openDirectory(at: "state", creating: true)
    let sink = try PartDirectorySink(
      output.url, in: output.fileSystem(over: disk),
      options: .init(
        jobID: "job-1", writerEpoch: 1, newOutputID: 7, fileExtension: "ndjson", rollBytes: 10,
        unsyncedMax: 1))
    _ = try sink.recover(committed: nil)
    let records = (0..<9).map { "record \($0)\n" }
    try sink.append(records)
    // The last is being written, and the one before it waits.
    #expect(output.leftOver.count == 7 && output.text.isEmpty)
    try sink.publish(try sink.prepare())
    #expect(output.text == records.joined() && output.leftOver.isEmpty)
  }

  @Test(arguments: [
    WebHDFSFault.dropBefore, .dropAfter, .cut, .late, .exception(.retriable),
  ])
  func everyRequestMayFail(fault: WebHDFSFault) throws {
    for number in 1..<1_000 {
      let output = try WebHDFSOutput()
      output.server.setPlan(WebHDFSFault.once(fault, number: number))
      var state = OutputState()
      try attempt(&state, on: output)
      #expect(output.text == epochs.joined().joined(), "request \(number)")
      #expect(output.leftOver.isEmpty, "request \(number)")
      output.server.performLate()
      #expect(output.text == epochs.joined().joined(), "request \(number)")
      try attempt(&state, on: output)
      #expect(output.leftOver.isEmpty, "request \(number)")
      if output.server.calls.count < number {
        #expect(number > 50, "the sweep reached few requests")
        return
      }
    }
    Issue.record("the run never came to its end")
  }

  /// When the last request of a writer that died is carried out, if it was put off.
  enum Lateness: CaseIterable { case beforeRecovery, afterRecovery, afterTheEnd }

  @Test(arguments: [WebHDFSFault.dropBefore, .dropAfter, .cut, .late], Lateness.allCases)
  func aWriterMayDieAtEveryRequest(fault: WebHDFSFault, lateness: Lateness) throws {
    guard fault == .late || lateness == .beforeRecovery else { return }
    for number in 1..<1_000 {
      let output = try WebHDFSOutput()
      output.server.setPlan(WebHDFSFault.last(fault, number: number))
      var state = OutputState()
      let hasEnded = (try? attempt(&state, on: output, triesMax: 1)) != nil
      output.server.clearPlan()
      if lateness == .beforeRecovery { output.server.performLate() }
      let sink = try open(&state, on: output)
      let recovery = try sink.recover(committed: try state.committed())
      #expect(recovery.taken.isEmpty, "request \(number)")
      if lateness == .afterRecovery { output.server.performLate() }
      let promised = epochs[..<state.epochs].joined().joined()
      #expect(output.text == promised, "request \(number)")
      if lateness != .afterRecovery { #expect(output.leftOver.isEmpty, "request \(number)") }
      try state.run(epochs, on: sink)
      output.server.performLate()
      #expect(output.text == epochs.joined().joined(), "request \(number)")
      // What came later than the recovery is for the next one.
      try attempt(&state, on: output)
      #expect(output.text == epochs.joined().joined(), "request \(number)")
      #expect(output.leftOver.isEmpty, "request \(number)")
      if hasEnded { return }
    }
    Issue.record("the run never came to its end")
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func recoveryMayBeCutShortAgainAndAgain(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var state = OutputState()
    for _ in 0..<30 {
      let number = Int.random(in: 1...40, using: &generator)
      let faults: [WebHDFSFault] = [.dropBefore, .dropAfter, .cut, .late]
      let fault = faults[Int.random(in: 0..<4, using: &generator)]
      output.server.setPlan(WebHDFSFault.last(fault, number: number))
      _ = try? attempt(&state, on: output, triesMax: 1)
      let promised = epochs[..<state.epochs].joined().joined()
      #expect(promised.hasPrefix(output.text), "seed \(seed)")
      if Bool.random(using: &generator) { output.server.performLate() }
    }
    output.server.clearPlan()
    output.server.performLate()
    try attempt(&state, on: output)
    #expect(output.text == epochs.joined().joined(), "seed \(seed)")
    #expect(output.leftOver.isEmpty, "seed \(seed)")
  }

  // MARK: - Refusals

  @Test func anotherJobsDirectoryAndPartsOfNobodyAreRefused() throws {
    var state = OutputState()
    _ = try open(&state)
    #expect(
      throws: SinkError.foreignDirectory(path: output.url, owner: "job-1", job: "job-2")
    ) { _ = try open(&state, job: "job-2") }
    let other = try WebHDFSOutput()
    other.server.write([1], to: other.path + "/part-000000000001-1.csv")
    #expect(
      throws: SinkError.unownedParts(path: other.url, part: "part-000000000001-1.csv")
    ) { _ = try open(&state, on: other) }
    #expect(other.names == ["part-000000000001-1.csv"])
  }

  @Test func anOutputNewerThanTheStateIsRefused() throws {
    var state = OutputState()
    try attempt(&state, on: output)
    state.metadata = nil
    let again = try open(&state)
    let error = #expect(throws: SinkError.self) {
      try again.recover(committed: try state.committed())
    }
    guard case .outputAhead? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  @Test func aPromisedPartOfAnotherSizeIsDamage() throws {
    var state = OutputState()
    let sink = try open(&state)
    _ = try sink.recover(committed: nil)
    try sink.append(["one\n"])
    let commitment = try sink.prepare()
    let name = ".part-000000000001-1.ndjson.tmp"
    output.server.write([1, 2, 3], to: output.path + "/" + name)
    let again = try open(&state)
    #expect(
      throws: SinkError.damagedPart(
        path: output.url + "/" + name, expectedBytes: 4, foundBytes: 3)
    ) { _ = try again.recover(committed: commitment) }
  }

  @Test func strangersInTheDirectoryAreLeftAlone() throws {
    let strangers = [".hidden.tmp", "part-1-1.ndjson", "readme.txt", ".sediment.ax.tmp"]
    for name in strangers { output.server.write([1], to: output.path + "/" + name) }
    var state = OutputState()
    try attempt(&state, on: output)
    #expect(Set(output.leftOver) == Set(strangers))
  }

  @Test func aQuotaIsAFullDiskThatCostsNothingOnceThereIsRoom() throws {
    var state = OutputState()
    let sink = try open(&state)
    _ = try sink.recover(committed: nil)
    output.server.setPlan { $0.operation == "CREATE" ? .exception(.quota) : nil }
    #expect {
      try state.run(epochs, on: sink)
    } throws: {
      ($0 as? SinkError)?.isOutOfSpace == true
    }
    output.server.clearPlan()
    try sink.abortEpoch()
    try state.run(epochs, on: sink)
    #expect(output.text == epochs.joined().joined() && output.leftOver.isEmpty)
  }
}
