import SedimentIO
import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

@Suite struct DedupJobTests {
  private var harness = JobHarness()

  private func line(_ key: Int, _ time: Int, _ note: String = "") -> String {
    "{\"k\":\(key),\"t\":\(time),\"n\":\"\(note)\"}\n"
  }

  /// Runs and returns the message of the failure.
  private func failure(_ harness: JobHarness) -> String {
    do {
      _ = try harness.run()
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Test mutating func aFinishedInputRunAgainEmitsNothing() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1), line(1, 2)])
    let first = try harness.run()
    #expect(first.counters.emitted == 2 && first.counters.duplicates == 1)
    #expect(first.resumedFrom == nil)
    let second = try harness.run()
    #expect(second.counters.events == 0 && second.resumedFrom != nil)
  }

  @Test mutating func anotherListOfInputsGoesOnWithTheSameState() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
    _ = try harness.run()
    harness.options.sources = []
    try harness.add("in/b", lines: [line(2, 2), line(3, 3)])
    #expect(try harness.run().counters.emitted == 1)
    #expect(try harness.output() == line(1, 1) + line(2, 1) + line(3, 3))
  }

  @Test mutating func aGrownFileIsReadFromWhereItEnded() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    _ = try harness.run()
    try harness.disk.append(line(1, 2) + line(2, 2), to: "in/a")
    let summary = try harness.run()
    #expect(summary.counters.events == 2 && summary.counters.emitted == 1)
  }

  @Test mutating func aReplacedFileIsNoticedAndReadFromItsBeginning() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
    _ = try harness.run()
    try harness.disk.write(line(5, 1) + line(6, 1) + line(7, 1), to: "in/a")
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.emitted == 3)
    #expect(messages.contains("another file"))
  }

  @Test mutating func aMovedFileIsKnownUnderItsNewName() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
    _ = try harness.run()
    let directory = try harness.disk.openDirectory(at: "in", creating: false)
    try directory.rename("a", to: "b", replacing: false)
    try harness.disk.append(line(3, 2), to: "in/b")
    harness.options.sources = [.file("in/b")]
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.events == 1)
    #expect(messages.contains("in/b is in/a under another name"))
  }

  @Test mutating func rotatedFilesGoOnUnderTheirNewNames() throws {
    // Times beyond the TTL: the state does not help against reading again.
    try harness.add("in/log", lines: [line(1, 1), line(2, 1_000)])
    try harness.add("in/log.1", lines: [line(3, 2_000)])
    _ = try harness.run()
    let directory = try harness.disk.openDirectory(at: "in", creating: false)
    try directory.rename("log.1", to: "log.2", replacing: false)
    try directory.rename("log", to: "log.1", replacing: false)
    try harness.add("in/log", lines: [line(4, 3_000)])
    harness.options.sources = ["in/log", "in/log.1", "in/log.2"].map { .file($0) }
    #expect(try harness.run().counters.events == 1)
    #expect(try harness.run().counters.events == 0)
  }

  @Test mutating func filesThatChangedNamesWithEachOtherAreNotReadAgain() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1_000)])
    try harness.add("in/b", lines: [line(3, 2_000)])
    _ = try harness.run()
    let directory = try harness.disk.openDirectory(at: "in", creating: false)
    try directory.rename("a", to: "c", replacing: false)
    try directory.rename("b", to: "a", replacing: false)
    try directory.rename("c", to: "b", replacing: false)
    #expect(try harness.run().counters.events == 0)
    try harness.disk.append(line(4, 3_000), to: "in/b")
    #expect(try harness.run().counters.events == 1)
  }

  @Test mutating func anotherFileWithTheSameFewBytesIsReadForItself() throws {
    let beat = line(1, 1) + line(1, 1_000)
    try harness.add("in/h01", lines: [beat])
    _ = try harness.run()
    try harness.add("in/h02", lines: [beat])
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.events == 2)
    #expect(!messages.contains("another name"))
  }

  @Test mutating func aLongCopyUnderAnotherNameIsTheSameFile() throws {
    let lines = (1...400).map { line($0, 1) }
    try harness.add("in/a", lines: lines)
    _ = try harness.run()
    try harness.disk.write(lines.joined() + line(0, 1), to: "in/b")
    try harness.disk.openDirectory(at: "in", creating: false).remove("a")
    harness.options.sources = [.file("in/b")]
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.events == 1)
    #expect(messages.contains("in/b is in/a under another name"))
  }

  @Test mutating func aFileThatIsNamedTwiceIsReadOnce() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
    try harness.add("in/b", lines: [line(3, 1)])
    let directory = try harness.disk.openDirectory(at: "in", creating: false)
    try directory.link("b", into: directory, as: "c")
    harness.options.sources += ["in/a", "in/c"].map { .file($0) }
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.events == 3)
    #expect(messages.contains("in/a is named more than once"))
    #expect(messages.contains("in/c is the same file as in/b"))
  }

  @Test(arguments: ["\n", "\r\n"])
  func aLineEndWrittenLaterIsNoRecord(lineEnd: String) throws {
    var harness = JobHarness()
    harness.options.description = JobDescription(
      format: RecordFormat(kind: .lines), timeToLive: .forever)
    try harness.add("in/a", lines: ["a\nb"])
    #expect(try harness.run().counters.events == 2)
    #expect(try harness.run().counters.events == 0)
    try harness.disk.append(lineEnd, to: "in/a")
    #expect(try harness.run().counters.events == 0)
    try harness.disk.append("c\nd", to: "in/a")
    #expect(try harness.run().counters.events == 2)
    try harness.disk.append(lineEnd + "\ne\n", to: "in/a")
    // The empty line was written.
    #expect(try harness.run().counters.events == 2)
    #expect(try harness.output() == "a\nb\nc\nd\n\ne\n")
  }

  @Test mutating func aRecordThatGoesOnLaterIsSaid() throws {
    harness.options.description = JobDescription(
      format: RecordFormat(kind: .lines), timeToLive: .forever)
    try harness.add("in/a", lines: ["a\nb"])
    _ = try harness.run()
    try harness.disk.append("bb\n", to: "in/a")
    let messages = MessageLog()
    #expect(try harness.run(messages: messages).counters.events == 1)
    #expect(messages.contains("in/a: its last line had no line end"))
    #expect(try harness.output() == "a\nb\nbb\n")
  }

  @Test mutating func standardInputIsReadWholeAndTheStateDropsWhatWasEmitted() throws {
    harness.options.sources = [.standardInput]
    _ = try harness.run(standardInput: line(1, 1) + line(2, 2))
    let again = try harness.run(standardInput: line(1, 1) + line(2, 2) + line(3, 3))
    #expect(again.counters.events == 3 && again.counters.emitted == 1)
  }

  @Test mutating func anotherKeyModeOrFormatIsRefusedWithBothValues() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    _ = try harness.run()
    let good = harness.options
    harness.options.description.format.keyFields = ["n"]
    #expect(failure(harness).contains("--key k, not n"))
    harness.options = good
    harness.options.description.keyMode = .exact
    #expect(failure(harness).contains("--mode fingerprint, not exact"))
    harness.options = good
    harness.options.description.format.timeField = nil
    #expect(failure(harness).contains("--time-field t, not none"))
  }

  @Test mutating func anotherTimeToLiveNeedsItsOption() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    _ = try harness.run()
    harness.options.description = JobDescription(
      format: harness.options.description.format, timeToLive: .milliseconds(1000),
      allowedLateness: JobHarness.lateness)
    #expect(failure(harness).contains("--ttl 400ms, not 1s"))
    #expect(failure(harness).contains("--change-ttl"))
    harness.options.changesTimeToLive = true
    _ = try harness.run()
    harness.options.changesTimeToLive = false
    _ = try harness.run()
    try harness.disk.append(line(1, 900), to: "in/a")
    #expect(try harness.run().counters.duplicates == 1)
  }

  @Test mutating func aStateInUseIsRefusedWithItsProcess() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    let store = try StateStore.open(at: "state", fileSystem: harness.disk)
    #expect(failure(harness).contains("is in use by"))
    try store.close()
  }

  @Test mutating func learningFillsTheStateWithoutOutput() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
    harness.options.learns = true
    let targets = harness.options.targets
    harness.options.targets = [:]
    let learned = try harness.run()
    #expect(learned.counters.learned == 2 && learned.counters.emitted == 0)
    harness.options.learns = false
    harness.options.targets = targets
    harness.options.sources = []
    try harness.add("in/b", lines: [line(1, 1), line(3, 1)])
    #expect(try harness.run().counters.emitted == 1)
  }

  @Test mutating func freshPutsTheOldStateAsideAndNeedsAnotherOutput() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    _ = try harness.run()
    harness.options.start = .fresh
    #expect(failure(harness).contains("another --output"))
    harness.options.targets[.output] = .directory("out2")
    #expect(try harness.run().counters.emitted == 1)
    #expect(harness.disk.files().contains { $0.contains("state.old-1/") })
  }

  @Test mutating func badRecordsAreRejectsWithTheirPlace() throws {
    try harness.add("in/a", lines: [line(1, 1), "{\"t\":1}\n", "no json\n", line(1, 2)])
    harness.options.targets[.rejects] = .file("bad.ndjson")
    let summary = try harness.run()
    #expect(summary.counters.rejected == 2 && summary.counters.events == 4)
    let text = try harness.disk.text(of: "bad.ndjson")
    #expect(text.contains("\"line\":2") && text.contains("missingKey"))
    #expect(text.contains("\"line\":3") && text.contains("no json"))
  }

  @Test mutating func aRecordWithoutKeyIsKeptOrEndsTheJobWhereAskedTo() throws {
    try harness.add("in/a", lines: [line(1, 1), "{\"t\":1}\n", line(2, 2)])
    harness.options.missingKey = .fail
    #expect(failure(harness).contains("in/a, line 2"))
    harness.options.missingKey = .keep
    _ = try harness.run()
    #expect(try harness.output() == line(1, 1) + "{\"t\":1}\n" + line(2, 2))
  }

  @Test mutating func timesTooFarAheadAreRejectedAndLeaveNoTrace() throws {
    try harness.add("in/a", lines: [line(1, 1), line(2, 1 << 50), line(1, 2)])
    let summary = try harness.run()
    #expect(summary.rejectReasons == ["timeTooFarAhead": 1])
    #expect(summary.counters.duplicates == 1)
  }

  @Test mutating func anUnfinishedOutputIsNotLeftBehindSilently() throws {
    try harness.add("in/a", lines: [line(1, 1)])
    _ = try harness.run()
    harness.options.targets[.output] = .directory("elsewhere")
    try harness.disk.append(line(2, 2), to: "in/a")
    #expect(try harness.run().counters.emitted == 1)
    #expect(try harness.output("elsewhere") == line(2, 2))
  }

  @Test mutating func localCheckpointsAreRetainedAndOneIsGoneOnFrom() throws {
    harness.options.retainedCheckpoints = 2
    try harness.add("in/a", lines: [line(1, 1)])
    let first = try harness.run()
    for key in 2...4 {
      try harness.disk.append(line(key, key), to: "in/a")
      _ = try harness.run()
    }
    let kept = try Checkpoints(at: "state/checkpoints", fileSystem: harness.disk).list()
    #expect(kept.count == 2 && !kept.map(\.id).contains(first.checkpoint ?? ""))
    harness.options.start = .checkpoint(kept[1].id)
    #expect(failure(harness).contains("another --output"))
    harness.options.targets[.output] = .directory("again")
    #expect(try harness.run().counters.emitted == 1)
    #expect(try harness.output("again") == line(4, 4))
  }
}
