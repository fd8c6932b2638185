import Foundation
import SedimentJob
import Testing

/// The built program, killed at random moments and stopped by signals.
///
/// When to kill is a random number of bytes of duplicates that the program has printed, not a time:
/// so the moments are spread over the whole of the work on any machine.
@Suite(.serialized) final class KilledProcessTests {
  private let program: Program
  private let expected: Data

  /// The workload, and its first-seen set by a dictionary of lines: made once.
  private static let workload = WorkloadSample(events: 200_000)

  init() throws {
    program = try Program()
    expected = Self.workload.first
    try program.write(Self.workload.all, to: "in.ndjson")
  }

  private func start(_ more: [String] = [], output: Any = FileHandle.nullDevice) throws -> Process {
    let options = [
      "dedup", "in.ndjson", "--key", "adserver_id,event_timestamp,request_id", "--time-field",
      "event_timestamp", "--ttl", "7d", "--state", "state", "--output", "out/",
      "--checkpoint-interval", "20ms",
    ]
    return try program.start(options + more, output: output)
  }

  /// Kills the program when it has printed `bytes` bytes of duplicates or has nothing more to
  /// print; with none, while it starts.
  private func killAfter(printing bytes: Int) throws {
    let pipe = Pipe()
    let process = try start(["--duplicates", "-"], output: pipe)
    var left = bytes
    while left > 0, let data = try pipe.fileHandleForReading.read(upToCount: min(left, 65_536)),
      !data.isEmpty
    {
      left -= data.count
    }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  @Test func tenKillsAtRandomMomentsLeaveTheFirstSeenSet() throws {
    var generator = SystemRandomNumberGenerator()
    // A tenth of the duplicates each, more or less, and now and then none at all.
    let tenth = 6_000_000 / 10
    for _ in 0..<10 {
      try killAfter(printing: max(0, Int.random(in: -tenth / 4...2 * tenth, using: &generator)))
    }
    for _ in 0..<2 {
      let last = try start(["--duplicates", "-"])
      last.waitUntilExit()
      #expect(last.terminationStatus == 0)
      #expect(try program.output() == expected)
    }
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func aSignalEndsTheRunWellAndTheNextGoesOn(signal: Int32) throws {
    let (pipe, talk) = (Pipe(), Pipe())
    let process = try program.start(
      [
        "dedup", "in.ndjson", "--key", "adserver_id,event_timestamp,request_id", "--ttl", "7d",
        "--state", "state", "--output", "out/", "--duplicates", "-",
      ], output: pipe, talk: talk)
    // Once it prints, the signals are watched; it cannot end while nobody reads on.
    _ = try pipe.fileHandleForReading.read(upToCount: 1000)
    kill(process.processIdentifier, signal)
    // Reading on lets it finish its batch.
    _ = try pipe.fileHandleForReading.readToEnd()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    let text = try talk.fileHandleForReading.readToEnd().map { String(decoding: $0, as: UTF8.self) }
    #expect(text?.contains("start the same command again") == true)
    let done = try program.output()
    #expect(!done.isEmpty && done.count < expected.count && expected.starts(with: done))
    let last = try program.run(
      "dedup", "in.ndjson", "--key", "adserver_id,event_timestamp,request_id", "--ttl", "7d",
      "--state", "state", "--output", "out/", "--duplicates", "-")
    #expect(last.status == 0)
    #expect(try program.output() == expected)
  }

  /// Whether it comes before signals are watched, and ends the program as any other, or after that.
  @Test func aSignalAtTheVeryStartIsNotLost() throws {
    for delay in 0..<40 as Range<UInt32> {
      let process = try start(["--follow"], output: FileHandle.nullDevice)
      usleep(delay * 1000)
      kill(process.processIdentifier, SIGTERM)
      var left = 600_000
      while process.isRunning, left > 0 {
        usleep(1000)
        left -= 1
      }
      if process.isRunning {
        Issue.record("the signal after \(delay) ms was lost")
        kill(process.processIdentifier, SIGKILL)
      }
      process.waitUntilExit()
    }
  }

  @Test func aSecondSignalEndsTheRunAtOnceAndTheStateIsGood() throws {
    let pipe = Pipe()
    let process = try start(["--duplicates", "-"], output: pipe)
    _ = try pipe.fileHandleForReading.read(upToCount: 100_000)
    kill(process.processIdentifier, SIGTERM)
    // Nobody reads on, so the batch is not finished: only another signal ends the program.
    while process.isRunning { kill(process.processIdentifier, SIGTERM) }
    #expect(process.terminationReason == .exit)
    #expect([0, 128 + SIGTERM].contains(process.terminationStatus))
    let last = try start(["--duplicates", "-"])
    last.waitUntilExit()
    #expect(last.terminationStatus == 0)
    #expect(try program.output() == expected)
  }
}
