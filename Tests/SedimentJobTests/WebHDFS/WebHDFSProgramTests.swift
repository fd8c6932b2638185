import Foundation
import SedimentTestKit
import Synchronization
import Testing

/// `sediment dedup --output webhdfs://…` as its users meet it.
@Suite final class WebHDFSProgramTests {
  private let program: Program
  private let output: WebHDFSOutput

  private static let keys = ["--key", "adserver_id,event_timestamp,request_id"]
  private static let job = ["dedup", "in.ndjson", "--ttl", "7d", "--state", "state"]

  init() throws {
    program = try Program()
    output = try WebHDFSOutput()
  }

  private func small(
    _ arguments: String..., environment: [String: String] = [:]
  ) throws -> Program.Outcome {
    try program.write("{\"k\":1}\n{\"k\":2}\n{\"k\":1}\n", to: "in.ndjson")
    return try program.run(
      Self.job + ["--key", "k"] + arguments, environment: environment)
  }

  /// The number of a variable of the environment, for longer runs (`tools/torture-webhdfs`).
  private static func number(_ name: String, otherwise: Int) -> Int {
    ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? otherwise
  }

  /// Kills a process when the server has had a number of requests from it.
  private final class Executioner: Sendable {
    private let process = Atomic<Int32>(0)
    let hasKilled = Atomic<Bool>(false)

    func watch(_ identifier: Int32) { process.store(identifier, ordering: .releasing) }

    func kill() {
      let identifier = process.load(ordering: .acquiring)
      guard identifier != 0, !hasKilled.exchange(true, ordering: .relaxed) else { return }
      _ = Foundation.kill(identifier, SIGKILL)
    }
  }

  /// Runs the job until it ends, or is killed at about its request number `request`.
  private func run(seed: UInt64, killAt request: Int? = nil) throws -> Bool {
    let executioner = Executioner()
    let drops = WebHDFSFault.drops(percent: 5, seed: seed)
    output.server.setPlan { call in
      if let request, call.number >= request { executioner.kill() }
      return drops(call)
    }
    let process = try program.start(
      Self.job + Self.keys + [
        "--time-field", "event_timestamp", "--output", output.url, "--checkpoint-interval", "10ms",
        "--roll-size", "1MiB", "--quiet",
      ])
    executioner.watch(process.processIdentifier)
    process.waitUntilExit()
    // What it had sent is carried out or broken off by now.
    try output.server.waitUntilUnused()
    guard process.terminationReason == .exit else { return true }
    #expect(process.terminationStatus == 0)
    return false
  }

  @Test func killsUnderBrokenConnectionsLeaveTheFirstSeenSetAndNothingElse() throws {
    let events = Self.number("SEDIMENT_WEBHDFS_EVENTS", otherwise: 100_000)
    let killsWanted = Self.number("SEDIMENT_WEBHDFS_KILLS", otherwise: 3)
    let sample = WorkloadSample(events: UInt64(events))
    try program.write(sample.all, to: "in.ndjson")
    var generator = SeededGenerator.drawn()
    // A part of 1 MiB has some 5,800 events, and takes ten requests: so the kills are spread over
    // most of the work.
    let requests = max(events / 580 * 2 / (killsWanted + 1), 10)
    var kills = 0
    while kills < killsWanted {
      let request = Int.random(in: 1...requests, using: &generator)
      if try run(seed: generator.next(), killAt: request) { kills += 1 } else { break }
    }
    #expect(try !run(seed: generator.next()))
    let isRight = Data(output.text.utf8) == sample.first
    #expect(isRight && kills > 0, "\(generator), \(kills) kills")
    #expect(output.leftOver.isEmpty, "\(generator)")
    print(
      "WebHDFS: \(events) events, \(kills) kills, 5 % of answers lost, \(generator): "
        + "\(output.names.count - 1) parts, \(isRight ? "the first-seen set" : "WRONG"), "
        + "left over: \(output.leftOver)")
  }

  @Test func aRunIsDoneOnceAndTheNextFindsNothingNew() throws {
    let url = output.url + "?user.name=ann"
    let outcome = try small("--output", url, "--duplicates", output.server.url("/data/dups/"))
    #expect(outcome.status == 0, "\(outcome.talk)")
    #expect(output.text == "{\"k\":1}\n{\"k\":2}\n")
    #expect(output.names == [".sediment", "part-000000000001-1.ndjson"])
    #expect(output.server.names(in: "/data/dups").count == 2)
    let again = try small("--output", url, "--duplicates", output.server.url("/data/dups/"))
    #expect(again.status == 0 && output.names.count == 2)
  }

  @Test func theTokenComesFromTheEnvironmentAndIsNotShown() throws {
    output.server.change { $0.token = "c2VjcmV0" }
    let variable = "SEDIMENT_WEBHDFS_TOKEN"
    let outcome = try small("--output", output.url, environment: [variable: "c2VjcmV0"])
    #expect(outcome.status == 0, "\(outcome.talk)")
    let refused = try small("--output", output.url, "-v", environment: [variable: "b3RoZXI"])
    #expect(refused.status == 1 && refused.talk.contains("InvalidToken"), "\(refused.talk)")
    #expect(refused.talk.contains(output.url) && !refused.talk.contains("b3RoZXI"))
    let both = try small(
      "--output", output.url + "?auth=kerberos", environment: [variable: "c2VjcmV0"])
    #expect(both.status == 2 && both.talk.contains("exclude each other"))
  }

  @Test(arguments: [
    ("webhdfs://nn", "--output webhdfs://nn: the directory is missing"),
    ("webhdfs://nn/o?delegation=c2VjcmV0", "put it into SEDIMENT_WEBHDFS_TOKEN"),
    ("webhdfs://nn/o?user=x", "'user' is not user.name=NAME"),
    ("swebhdfs://nn/o", "there is no output swebhdfs://"),
    ("hdfs://nn/o", "there is no output hdfs://"),
  ])
  func wrongAddressesAreWrongUsage(word: String, message: String) throws {
    let outcome = try small("--output", word)
    #expect(outcome.status == 2, "\(outcome.talk)")
    #expect(outcome.talk.contains("--output") && outcome.talk.contains(message), "\(outcome.talk)")
    #expect(!outcome.talk.contains("c2VjcmV0") && !program.exists("state"))
  }

  @Test func aStateOnHDFSIsWrongUsage() throws {
    let outcome = try program.run(
      "dedup", "in.ndjson", "--key", "k", "--ttl", "7d", "--state", output.url)
    #expect(outcome.status == 2 && outcome.talk.contains("outputs can be on HDFS, a state cannot"))
    #expect(output.names.isEmpty && !program.exists("webhdfs:"))
  }

  @Test func outputsThatLieInEachOtherAreWrongUsage() throws {
    let url = "webhdfs://nn/out"
    let same = try small("--output", url, "--rejects", "webhdfs://nn:9870/out/?user.name=x")
    #expect(same.status == 2 && same.talk.contains("are the same"), "\(same.talk)")
    let inside = try small("--output", url, "--rejects", url + "/bad")
    #expect(inside.status == 2 && inside.talk.contains("--rejects lies in --output"))
  }
}
