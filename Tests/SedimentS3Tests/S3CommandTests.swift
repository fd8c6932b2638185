import Foundation
import SedimentTestKit
import Testing

/// The command line on storages: a bucket, and a directory that all machines reach.
@Suite struct S3CommandTests {
  private let server: S3Server
  private let root: URL

  init() throws {
    server = try S3Server()
    root = FileManager.default.temporaryDirectory
      .appendingPathComponent("sediment-s3-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    try Data("{\"id\":1}\n{\"id\":2}\n{\"id\":1}\n".utf8)
      .write(to: root.appendingPathComponent("in.ndjson"))
  }

  /// Runs the program to its end.
  private func run(
    _ arguments: String..., environment: [String: String] = [:]
  ) throws -> (status: Int32, output: String, talk: String) {
    let process = Process()
    let output = Pipe()
    let talk = root.appendingPathComponent("talk-\(UUID().uuidString)")
    try Data().write(to: talk)
    process.executableURL = try Self.executable()
    process.currentDirectoryURL = root
    process.arguments = arguments
    process.environment = [
      "AWS_ENDPOINT_URL": server.endpoint, "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
      "AWS_SECRET_ACCESS_KEY": "SECRETEXAMPLE", "AWS_REGION": "us-east-1",
    ].merging(environment) { $1 }
    process.standardOutput = output
    process.standardError = try FileHandle(forWritingTo: talk)
    try process.run()
    let said = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    return (
      process.terminationStatus, String(decoding: said, as: UTF8.self),
      String(decoding: try Data(contentsOf: talk), as: UTF8.self)
    )
  }

  /// The program beside the bundle of the tests: SwiftPM builds both into one directory.
  private static func executable() throws -> URL {
    for argument in CommandLine.arguments + [Bundle.main.bundlePath] {
      guard let bundle = argument.range(of: ".xctest") else { continue }
      let program = URL(fileURLWithPath: String(argument[..<bundle.lowerBound]))
        .deletingLastPathComponent().appendingPathComponent("sediment")
      if FileManager.default.isExecutableFile(atPath: program.path) { return program }
    }
    throw CocoaError(.fileNoSuchFile)
  }

  private func finish() throws {
    server.stop()
    try FileManager.default.removeItem(at: root)
  }

  private func dedup() throws {
    let made = try run(
      "dedup", "--key", "id", "--ttl", "forever", "--state", "state", "--output", "out",
      "in.ndjson")
    #expect(made.status == 0, "\(made.talk)")
  }

  @Test(arguments: ["s3://bucket/jobs", "file://"])
  func aStateGoesThereAndBack(scheme: String) throws {
    let place = scheme == "file://" ? "file://\(root.path)/shared" : scheme
    try dedup()
    let ids = try (0..<3).map { _ in
      let made = try run("checkpoint", "create", "state", "--to", place)
      #expect(made.status == 0, "\(made.talk)")
      return try #require(made.output.split(separator: "\n").first?.split(separator: " ").last)
    }
    let listed = try run("checkpoint", "list", place)
    for id in ids { #expect(listed.output.contains(id), "\(listed)") }
    #expect(try run("checkpoint", "show", place, String(ids[0])).output.contains(ids[0]))
    let verified = try run("checkpoint", "verify", place)
    #expect(verified.status == 0 && verified.output.contains("no damage"), "\(verified)")
    let restored = try run("restore", place, "restored")
    #expect(restored.status == 0, "\(restored.talk)")
    #expect(try run("restore", "\(place)/\(ids[0])", "older").output.contains(ids[0]))
    for state in ["restored", "older"] {
      let found = try run("get", state, "[2]")
      #expect(found.status == 0, "\(found)")
    }
    #expect(try run("restore", place, "restored").status == 1)
    let kept = try run("checkpoint", "retain", place, "1")
    #expect(kept.output.contains("let go of 2 checkpoints"), "\(kept)")
    #expect(try run("checkpoint", "delete", place, String(ids[2])).status == 1)
    let garbage = try run("checkpoint", "gc", place, "--force")
    #expect(garbage.status == 0 && garbage.output.contains("nothing to remove"), "\(garbage)")
    #expect(try run("checkpoint", "gc", place, "--grace-period", "1s").status == 1)
    try finish()
  }

  @Test func wrongUsageIsSaid() throws {
    try dedup()
    let secretless = try run(
      "checkpoint", "create", "state", "--to", "s3://bucket/jobs",
      environment: ["AWS_SECRET_ACCESS_KEY": ""])
    #expect(secretless.status == 2 && secretless.talk.contains("AWS_SECRET_ACCESS_KEY"))
    #expect(try run("checkpoint", "list", "s3://b").status == 2)
    #expect(try run("checkpoint", "list", "file://relative").status == 2)
    #expect(try run("checkpoint", "list", "file://\(root.path)/missing").status == 1)
    #expect(!FileManager.default.fileExists(atPath: root.appendingPathComponent("missing").path))
    #expect(try run("checkpoint", "list", "state", "--state-id", "1").status == 2)
    #expect(try run("restore", "s3://bucket/jobs", "x", "--state-id", "1").status == 2)
    let odd = try run("checkpoint", "list", "s3://bucket/x", environment: ["AWS_ENDPOINT_URL": "x"])
    #expect(odd.status == 1 && odd.talk.contains("AWS_ENDPOINT_URL"), "\(odd)")
    let missing = try run("checkpoint", "list", "s3://bucket/none")
    #expect(missing.status == 1 && missing.talk.contains("holds no checkpoints"))
    let bucket = try run("checkpoint", "list", "s3://other/none")
    #expect(bucket.status == 1 && bucket.talk.contains("NoSuchBucket"))
    #expect(!bucket.talk.contains("SECRETEXAMPLE"))
    try finish()
  }

  @Test func whoWasSupersededIsTold() throws {
    try dedup()
    let place = "s3://bucket/jobs"
    #expect(try run("checkpoint", "create", "state", "--to", place).status == 0)
    #expect(try run("restore", place, "other").status == 0)
    #expect(try run("checkpoint", "create", "other", "--to", place).status == 0)
    for _ in 0..<3 {
      let refused = try run("checkpoint", "create", "state", "--to", place)
      #expect(refused.status == 1 && refused.talk.contains("another store has published"))
    }
    #expect(
      try run("checkpoint", "create", "state", "--to", place, "--supersede").status == 0)
    #expect(try run("checkpoint", "create", "state", "--to", "backups", "--supersede").status == 2)
    try finish()
  }
}
