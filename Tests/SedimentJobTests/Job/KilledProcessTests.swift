import Foundation
import SedimentIO
import SedimentJob
import Testing

/// The built program, killed at random moments and stopped by signals.
@Suite(.serialized) final class KilledProcessTests {
  private let root: URL
  private let input: URL
  private let expected: Data

  init() throws {
    root = FileManager.default.temporaryDirectory
      .appendingPathComponent("sediment-kill-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    input = root.appendingPathComponent("in.ndjson")
    var generator = WorkloadGenerator(events: 300_000, workload: Workload(), format: .ndjson)
    var (all, first) = (Data(), Data())
    var seen: Set<Substring> = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { unsafe buffer.deallocate() }
    while true {
      let count = unsafe generator.write(into: buffer)
      guard count > 0 else { break }
      unsafe all.append(contentsOf: buffer[..<count])
    }
    for line in String(decoding: all, as: UTF8.self).split(separator: "\n") {
      let key = line.range(of: "\"payload\"").map { line[..<$0.lowerBound] } ?? line
      guard seen.insert(key).inserted else { continue }
      first.append(contentsOf: line.utf8)
      first.append(UInt8(ascii: "\n"))
    }
    expected = first
    try all.write(to: input)
  }

  deinit {
    do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
  }

  /// The program beside the bundle of the tests: SwiftPM builds both into one directory.
  private static func executable() throws -> URL {
    for argument in CommandLine.arguments + [
      Bundle.main.bundlePath, Bundle.main.executablePath ?? "",
    ] {
      guard let bundle = argument.range(of: ".xctest") else { continue }
      let directory = URL(fileURLWithPath: String(argument[..<bundle.lowerBound]))
        .deletingLastPathComponent()
      let program = directory.appendingPathComponent("sediment")
      if FileManager.default.isExecutableFile(atPath: program.path) { return program }
    }
    throw CocoaError(.fileNoSuchFile)
  }

  private func start(_ more: [String] = []) throws -> Process {
    let process = Process()
    process.executableURL = try Self.executable()
    process.arguments =
      [
        "dedup", input.path, "--key", "adserver_id,event_timestamp,request_id", "--time-field",
        "event_timestamp", "--ttl", "7d", "--state", root.appendingPathComponent("state").path,
        "--output", root.appendingPathComponent("out").path + "/", "--checkpoint-interval", "20ms",
      ] + more
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }

  private func output() throws -> Data {
    let directory = root.appendingPathComponent("out")
    let names = try FileManager.default.contentsOfDirectory(atPath: directory.path)
      .filter { $0.hasPrefix("part-") }.sorted()
    return try names.reduce(into: Data()) { data, name in
      data.append(try Data(contentsOf: directory.appendingPathComponent(name)))
    }
  }

  @Test func tenKillsAtRandomMomentsLeaveTheFirstSeenSet() throws {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<10 {
      let process = try start()
      usleep(UInt32.random(in: 10_000...250_000, using: &generator))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    let last = try start()
    last.waitUntilExit()
    #expect(last.terminationStatus == 0)
    #expect(try output() == expected)
    let again = try start()
    again.waitUntilExit()
    #expect(again.terminationStatus == 0)
    #expect(try output() == expected)
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func aSignalEndsTheRunWellAndTheNextGoesOn(signal: Int32) throws {
    let process = try start()
    // Once the output is the job's own, the signals are watched.
    let owner = root.appendingPathComponent("out/.sediment").path
    while process.isRunning, !FileManager.default.fileExists(atPath: owner) { usleep(1000) }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    let last = try start()
    last.waitUntilExit()
    #expect(try output() == expected)
  }

  @Test func wrongUsageIsTwoAndAFailingInputOne() throws {
    let usage = try start(["--late", "never"])
    usage.waitUntilExit()
    #expect(usage.terminationStatus == 2)
    let inside = try start(["--duplicates", root.appendingPathComponent("out/dups").path])
    inside.waitUntilExit()
    #expect(inside.terminationStatus == 2)
    let missing = try start([root.appendingPathComponent("missing.ndjson").path])
    missing.waitUntilExit()
    #expect(missing.terminationStatus == 1)
  }
}
