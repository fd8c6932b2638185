import Foundation
import Testing

/// `sediment dedup` as its users meet it: inputs, outputs, messages, exit codes.
@Suite final class DedupCommandTests {
  private let program: Program

  init() throws {
    program = try Program()
    try program.write(records([(1, 1), (2, 1), (1, 2)]), to: "in.ndjson")
  }

  private func records(_ keysAndTimes: [(Int, Int)]) -> String {
    keysAndTimes.map { "{\"k\":\($0),\"t\":\($1)}\n" }.joined()
  }

  /// Runs the job on `state` and `out/` with one processor's worth of memory.
  private func dedup(_ arguments: String..., input: String = "") throws -> Program.Outcome {
    try program.run(["dedup"] + arguments, input: input)
  }

  private static let job = ["--key", "k", "--ttl", "forever", "--state", "state"]

  private func job(_ arguments: String..., input: String = "") throws -> Program.Outcome {
    try program.run(["dedup"] + Self.job + arguments, input: input)
  }

  // MARK: - CSV

  @Test(arguments: ["id", "1"])
  func csvKeepsQuotedNewlinesAndHasItsHeaderInEveryPart(key: String) throws {
    try program.write("id,name\n1,\"a\nb\"\n2,x\n1,y\n\"3\",z\n", to: "a.csv")
    try program.write("id,name\r\n2,q\r\n4,\"w\r\nv\"\r\n", to: "b.csv")
    let outcome = try dedup(
      "a.csv", "b.csv", "--key", key, "--ttl", "forever", "--state", "state", "--output", "out/",
      "--roll-size", "20")
    #expect(outcome.status == 0, "\(outcome.talk)")
    let parts = try program.parts().map { try program.text(of: $0) }
    #expect(parts.count > 1 && parts.allSatisfy { $0.hasPrefix("id,name\n") })
    let rows = parts.map { $0.dropFirst("id,name\n".count) }.joined()
    #expect(rows == "1,\"a\nb\"\n2,x\n\"3\",z\n4,\"w\r\nv\"\r\n")
  }

  @Test func csvWithOtherColumnsOrWithoutTheColumnIsRefusedByName() throws {
    try program.write("id,name\n1,a\n", to: "a.csv")
    try program.write("name,id\na,2\n", to: "b.csv")
    let options = ["--ttl", "forever", "--state", "state", "--output", "out/"]
    let missing = try program.run(["dedup", "a.csv", "--key", "nope"] + options)
    #expect(missing.status == 1)
    #expect(missing.talk.contains("a.csv: there is no column \"nope\"; the header names id, name"))
    // A key that was wrong from the beginning is not held against the state.
    let right = try program.run(["dedup", "a.csv", "--key", "id"] + options)
    #expect(right.status == 0, "\(right.talk)")
    let other = try program.run(["dedup", "a.csv", "b.csv", "--key", "id"] + options)
    #expect(other.status == 1 && other.talk.contains("b.csv: the header is name,id"))
    #expect(try program.outputText() == "id,name\n1,a\n")
  }

  // MARK: - Compressed input

  @Test func aTruncatedGzipFileIsNamedAndItsRestReadOnceItIsThere() throws {
    let lines = (0..<20_000).map { "{\"k\":\($0 % 9_000),\"n\":\($0 &* 7_919)}\n" }
    try program.write(lines.joined(), to: "in.ndjson")
    let zip = Process()
    zip.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    zip.arguments = ["gzip", program.url("in.ndjson").path]
    try zip.run()
    zip.waitUntilExit()
    try #require(zip.terminationStatus == 0)
    let whole = try Data(contentsOf: program.url("in.ndjson.gz"))
    try whole.prefix(whole.count * 2 / 3).write(to: program.url("in.ndjson.gz"))
    let cut = try job("in.ndjson.gz", "--output", "out/")
    #expect(cut.status == 1)
    #expect(cut.talk.contains("in.ndjson.gz: the gzip data is cut off"), "\(cut.talk)")
    let partial = try program.outputText()
    let expected = lines.prefix(9_000).joined()
    #expect(!partial.isEmpty && expected.hasPrefix(partial))
    #expect(try program.run("verify", "state").status == 0)
    try whole.write(to: program.url("in.ndjson.gz"))
    #expect(try job("in.ndjson.gz", "--output", "out/").status == 0)
    #expect(try program.outputText() == expected)
  }

  // MARK: - What is asked for

  @Test func sideOutputsAndTheSummaryAddUp() throws {
    try program.append("no json\n{\"t\":3}\n", to: "in.ndjson")
    let outcome = try job(
      "in.ndjson", "--output", "out/", "--duplicates", "dups.ndjson", "--rejects", "bad.ndjson",
      "--summary", "summary.json")
    #expect(outcome.status == 0 && outcome.output.isEmpty)
    #expect(try program.outputText() == records([(1, 1), (2, 1)]))
    #expect(try program.text(of: "dups.ndjson") == records([(1, 2)]))
    let bad = try program.text(of: "bad.ndjson").split(separator: "\n")
    #expect(bad.count == 2 && bad[0].contains("\"line\":4") && bad[1].contains("missingKey"))
    let summary = try #require(
      try JSONSerialization.jsonObject(with: Data(contentsOf: program.url("summary.json")))
        as? [String: Any])
    for (name, value) in ["events": 5, "emitted": 2, "duplicates": 1, "rejected": 2, "late": 0] {
      #expect(summary[name] as? Int == value, "\(name)")
    }
    for name in [
      "late_unprotected", "bytes_in", "bytes_out", "wall_seconds", "events_per_second",
      "state_keys", "state_bytes", "checkpoint", "resumed_from", "peak_rss_bytes",
    ] {
      #expect(summary.keys.contains(name))
    }
  }

  @Test func standardOutputCarriesRecordsOnlyAndRejectsAreWarnedOf() throws {
    let outcome = try job(input: records([(1, 1), (1, 1)]) + "bad\n" + records([(2, 1)]))
    #expect(outcome.status == 0 && outcome.output == records([(1, 1), (2, 1)]))
    #expect(outcome.talk.contains("1 records were rejected (invalidJSON 1)"), "\(outcome.talk)")
    let again = try job("--quiet", input: records([(1, 1), (2, 1)]))
    #expect(again.status == 0 && again.output.isEmpty && again.talk.isEmpty)
  }

  @Test func learningThenDedupEmitsOnlyWhatIsNew() throws {
    let learned = try job("in.ndjson", "--learn")
    #expect(learned.status == 0 && learned.output.isEmpty)
    #expect(learned.talk.contains("3 events, 2 learned, 1 duplicates"))
    try program.write(records([(2, 5), (3, 5)]), to: "next.ndjson")
    #expect(try job("next.ndjson").output == records([(3, 5)]))
  }

  @Test func freshAndFromPutTheOldStateAsideAndSayWhere() throws {
    #expect(try job("in.ndjson", "--output", "out/").status == 0)
    let used = try job("in.ndjson", "--output", "out/", "--fresh")
    #expect(used.status == 1 && used.talk.contains("a new job needs another --output"))
    #expect(!program.exists("state.old-1"))
    let fresh = try job("in.ndjson", "--output", "out2/", "--fresh")
    #expect(fresh.status == 0 && fresh.talk.contains("the old state is state.old-1 now"))
    #expect(try program.outputText("out2") == program.outputText())

    let unknown = try job("in.ndjson", "--output", "out3/", "--from", "nope")
    #expect(unknown.status == 1, "\(unknown.talk)")
    #expect(unknown.talk.contains("--from nope is neither a checkpoint in state/checkpoints nor"))
    let from = try job("in.ndjson", "--output", "out3/", "--from", "state.old-1/checkpoints")
    #expect(from.status == 0 && from.talk.contains("the old state is state.old-2 now"))
    #expect(try program.outputText("out3").isEmpty)
  }

  @Test func anotherTimeToLiveIsChangedOnlyWhenAskedAndSaysWhatItMeans() throws {
    func run(_ ttl: String, _ more: String...) throws -> Program.Outcome {
      try program.run(
        ["dedup", "in.ndjson", "--key", "k", "--ttl", ttl, "--state", "state"] + more)
    }
    #expect(try run("7d").status == 0)
    let refused = try run("1d")
    #expect(refused.status == 1)
    #expect(refused.talk.contains("--ttl 7d, not 1d: give the same, or --change-ttl"))
    let changed = try run("1d", "--change-ttl")
    #expect(changed.status == 0)
    #expect(changed.talk.contains("--ttl is 1d now, and was 7d: entries older"), "\(changed.talk)")
    #expect(try run("1d").status == 0)
  }

  @Test func anotherListOfInputsGoesOnWithTheSameState() throws {
    #expect(try job("in.ndjson", "--output", "out/").status == 0)
    try program.write(records([(2, 9), (3, 9)]), to: "days/2.ndjson")
    try program.write(records([(3, 9), (4, 9)]), to: "days/3.ndjson")
    try program.write("no records", to: "days/.hidden")
    for inputs in [["days/2.ndjson"], ["days"], ["days/*.ndjson", "in.ndjson"]] {
      let outcome = try program.run(["dedup"] + inputs + Self.job + ["--output", "out/"])
      #expect(outcome.status == 0, "\(outcome.talk)")
    }
    #expect(try program.outputText() == records([(1, 1), (2, 1), (3, 9), (4, 9)]))
  }

  // MARK: - Wrong usage

  @Test(arguments: [
    (["dedup", "in.ndjson", "--key", "k", "--state", "s"], "--ttl is missing"),
    (["dedup", "in.ndjson", "--key", "k", "--ttl", "7d"], "--state is missing"),
    (["dedup", "in.ndjson", "--ttl", "7d", "--state", "s"], "--key is missing"),
    (["dedup", "in.ndjson", "--key", "a,,b", "--ttl", "7d", "--state", "s"], "an empty field"),
    (["dedup", "in.ndjson", "--key", "a[", "--ttl", "7d", "--state", "s"], "a [ is not closed"),
    (["dedup", "in.ndjson", "--key", "k", "--ttl", "7", "--state", "s"], "'7' is neither"),
    (["dedup", "--bogus"], "Unknown option '--bogus'"),
    (["frobnicate"], "Unexpected argument 'frobnicate'"),
    (["dedup", "-", "-", "--key", "k", "--ttl", "7d", "--state", "s"], "more than once"),
    (["dedup", "-", "--follow", "--key", "k", "--ttl", "7d", "--state", "s"], "needs files"),
    (
      [
        "dedup", "in.ndjson", "--format", "lines", "--key-regex", "(", "--ttl", "7d", "--state",
        "s",
      ],
      "is not a regular expression"
    ),
    (
      ["dedup", "in.ndjson", "--key", "k", "--ttl", "7d", "--state", "s", "--memory", "1KiB"],
      "--memory is at least 8MiB"
    ),
    (
      [
        "dedup", "in.ndjson", "--key", "k", "--ttl", "7d", "--state", "s", "--fresh", "--from", "x",
      ],
      "exclude each other"
    ),
    (
      ["dedup", "in.ndjson", "--key", "k", "--ttl", "7d", "--state", "s", "--late", "never"],
      "Please provide one of"
    ),
  ])
  func wrongUsageIsTwoAndLeavesNothing(arguments: [String], message: String) throws {
    let outcome = try program.run(arguments)
    #expect(outcome.status == 2 && outcome.output.isEmpty)
    #expect(outcome.talk.contains(message), "\(outcome.talk)")
    #expect(outcome.talk.contains("--help' for more information"), "\(outcome.talk)")
    #expect(!program.exists("s"))
  }

  @Test func aMissingOptionShowsACompleteLineAndTheRightHelp() throws {
    let outcome = try dedup("in.ndjson", "--key", "k")
    #expect(outcome.talk.contains("sediment dedup in.ndjson --key user,id --ttl 7d --state"))
    #expect(outcome.talk.contains("See 'sediment dedup --help'"), "\(outcome.talk)")
  }

  @Test(arguments: [
    (["--output", "state/out"], "--output lies in --state"),
    (["--output", "."], "--state lies in --output"),
    (["--output", "in.ndjson"], "--output and input in.ndjson are the same"),
    (["--output", "o/", "--rejects", "o/bad.ndjson"], "--rejects lies in --output"),
    (["--output", "o/", "--duplicates", "o"], "--output and --duplicates are the same"),
    (["--summary", "in.ndjson"], "--summary and input in.ndjson are the same"),
    (["--summary", "state/CURRENT"], "--summary lies in --state"),
    (["inputs", "--output", "inputs/out.ndjson"], "--output lies in input inputs"),
    (["inputs", "--rejects", "inputs/deep/"], "--rejects lies in input inputs"),
    (["--output", "link/../state/x"], "--output lies in --state"),
    (["--output", "link/x/"], "--output lies in input inputs"),
  ])
  func pathsThatLieInEachOtherAreWrongUsage(more: [String], message: String) throws {
    try program.write(records([(1, 1)]), to: "inputs/a.ndjson")
    try FileManager.default.createSymbolicLink(
      at: program.url("link"), withDestinationURL: program.url("inputs"))
    let inputs = message.contains("inputs") ? ["inputs"] : []
    let outcome = try program.run(["dedup", "in.ndjson"] + inputs + Self.job + more)
    #expect(outcome.status == 2 && outcome.talk.contains(message), "\(outcome.talk)")
    #expect(!program.exists("state"))
  }

  // MARK: - Failures

  @Test func failuresAreOneAndNameTheCulprit() throws {
    try program.write("x", to: "plain")
    let missing = try job("in.ndjson", "missing.ndjson")
    #expect(missing.status == 1 && missing.talk.contains("missing.ndjson: no such file"))
    #expect(!program.exists("state"))
    let noSummary = try job("in.ndjson", "--summary", "nowhere/x.json")
    #expect(noSummary.status == 1 && noSummary.talk.contains("--summary nowhere/x.json: cannot"))
    #expect(!program.exists("state"))
    let noParent = try job("in.ndjson", "--output", "nowhere/x.ndjson")
    #expect(noParent.status == 1 && noParent.talk.contains("there is no directory nowhere"))
    let underFile = try job("in.ndjson", "--output", "plain/out/")
    #expect(underFile.status == 1 && underFile.talk.contains("it is not a directory"))
    let noState = try dedup("in.ndjson", "--key", "k", "--ttl", "7d", "--state", "/proc/state")
    #expect(noState.status == 1 && noState.talk.contains("/proc/state"), "\(noState.talk)")
    try program.write("x", to: "full/other")
    let foreign = try dedup("in.ndjson", "--key", "k", "--ttl", "7d", "--state", "full")
    #expect(foreign.status == 1 && foreign.talk.contains("is not empty and holds no state"))
    try program.write("mine\n", to: "mine.ndjson")
    let taken = try job("in.ndjson", "--output", "mine.ndjson")
    #expect(taken.status == 1 && taken.talk.contains("was not written by this state"))
    #expect(try program.text(of: "mine.ndjson") == "mine\n")
  }

  @Test func aDamagedStateIsNamedAndNothingIsEmitted() throws {
    #expect(try job("in.ndjson", "--output", "out/").status == 0)
    let manifest = try #require(
      try FileManager.default.contentsOfDirectory(atPath: program.url("state").path)
        .first { $0.hasPrefix("MANIFEST") })
    var bytes = try Data(contentsOf: program.url("state/" + manifest))
    bytes[60] ^= 4
    try program.write(bytes, to: "state/" + manifest)
    let before = try program.outputText()
    try program.write(records([(9, 9)]), to: "more.ndjson")
    let outcome = try job("more.ndjson", "--output", "out/")
    #expect(outcome.status == 1 && outcome.talk.contains(manifest), "\(outcome.talk)")
    #expect(try program.outputText() == before)
    #expect(try program.run("verify", "state").status == 1)
  }

  @Test func aClosedPipeIsNobodysFailure() throws {
    try program.write(records((0..<50_000).map { ($0, 1) }), to: "in.ndjson")
    let pipe = Pipe()
    let process = try program.start(["dedup", "in.ndjson"] + Self.job, output: pipe)
    _ = try pipe.fileHandleForReading.read(upToCount: 100)
    try pipe.fileHandleForReading.close()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    #expect(try program.run("verify", "state").status == 0)
  }
}
