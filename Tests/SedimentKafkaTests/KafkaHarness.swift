import Foundation
import Testing

/// The program, a mock cluster, and a directory of their own that goes with this.
final class KafkaHarness {
  /// What a run left.
  struct Outcome {
    var status: Int32
    /// Standard error.
    var talk: String
  }

  let root: URL
  let cluster: MockProcess

  init() throws {
    root = FileManager.default.temporaryDirectory
      .appendingPathComponent("sediment-kafka-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    cluster = try MockProcess(in: root)
  }

  deinit {
    cluster.end()
    do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
  }

  /// A program beside the bundle of the tests: SwiftPM builds all into one directory.
  static func executable(_ name: String) throws -> URL {
    for argument in CommandLine.arguments + [
      Bundle.main.bundlePath, Bundle.main.executablePath ?? "",
    ] {
      guard let bundle = argument.range(of: ".xctest") else { continue }
      let directory = URL(fileURLWithPath: String(argument[..<bundle.lowerBound]))
        .deletingLastPathComponent()
      let program = directory.appendingPathComponent(name)
      if FileManager.default.isExecutableFile(atPath: program.path) { return program }
    }
    throw CocoaError(.fileNoSuchFile)
  }

  // MARK: - Topics and files

  func url(_ name: String) -> URL { root.appendingPathComponent(name) }

  func text(of name: String) throws -> String {
    String(decoding: try Data(contentsOf: url(name)), as: UTF8.self)
  }

  /// Produces lines as values.
  func produce(_ lines: [String], to topic: String, _ partition: Int = 0) throws {
    let name = UUID().uuidString
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: url(name))
    try cluster.command("lines \(topic) \(partition) \(url(name).path)")
  }

  /// Produces records: JSON, as `kafka-mock` takes it.
  func produce(records: [String], to topic: String, _ partition: Int = 0) throws {
    let name = UUID().uuidString
    try Data((records.joined(separator: "\n") + "\n").utf8).write(to: url(name))
    try cluster.command("records \(topic) \(partition) \(url(name).path)")
  }

  /// The lines of all parts of a directory.
  func output(_ name: String = "out") throws -> [String] {
    guard FileManager.default.fileExists(atPath: url(name).path) else { return [] }
    let parts = try FileManager.default.contentsOfDirectory(atPath: url(name).path)
      .filter { $0.hasPrefix("part-") }.sorted()
    return try parts.flatMap {
      try text(of: name + "/" + $0).split(separator: "\n", omittingEmptySubsequences: false)
        .dropLast().map(String.init)
    }
  }

  // MARK: - Runs

  /// The arguments of a job over topics; `more` go to the end. The mock cluster gives a group out
  /// anew only after about as long as a session, which is therefore short.
  func job(
    _ topics: String, group: String = "g", state: String = "state", key: [String] = ["--key", "k"],
    _ more: [String] = []
  ) -> [String] {
    ["dedup", "kafka://\(cluster.brokers)/\(topics)", "--group", group, "--ttl", "forever"]
      + ["--state", state, "--kafka-property", "session.timeout.ms=3000"]
      + ["--kafka-property", "heartbeat.interval.ms=500"] + key + more
  }

  /// Starts the program; standard error goes to `talk`.
  func start(
    _ arguments: [String], output: Any = FileHandle.nullDevice,
    talk: Any = FileHandle.nullDevice
  ) throws -> Process {
    let process = Process()
    process.executableURL = try Self.executable("sediment")
    process.currentDirectoryURL = root
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = talk
    try process.run()
    return process
  }

  /// Runs the program to its end.
  func run(_ arguments: [String]) throws -> Outcome {
    let name = ".talk-\(UUID().uuidString)"
    try Data().write(to: url(name))
    let process = try start(arguments, talk: try FileHandle(forWritingTo: url(name)))
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    return Outcome(status: process.terminationStatus, talk: try text(of: name))
  }

  /// Runs a job to the ends of its topics, with its output in `out/`.
  func runToEnd(_ topics: String, group: String = "g", _ more: [String] = []) throws -> Outcome {
    try run(job(topics, group: group, ["--until-end", "--output", "out/"] + more))
  }
}

/// The helper process with the cluster.
final class MockProcess {
  let brokers: String
  private let process = Process()
  private let input = Pipe()
  private let lines: LineReader

  init(in directory: URL) throws {
    let output = Pipe()
    process.executableURL = try KafkaHarness.executable("kafka-mock")
    process.currentDirectoryURL = directory
    process.standardInput = input
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    lines = LineReader(output.fileHandleForReading)
    brokers = try #require(try lines.next())
  }

  /// Sends a command and waits for its answer.
  func command(_ text: String) throws {
    try input.fileHandleForWriting.write(contentsOf: Data((text + "\n").utf8))
    let answer = try lines.next()
    try #require(answer == "ok", "\(text): \(answer ?? "no answer")")
  }

  func end() {
    do { try input.fileHandleForWriting.close() } catch { Issue.record(error) }
    process.waitUntilExit()
  }
}

/// Lines of a pipe, as they come.
final class LineReader {
  private let handle: FileHandle
  private var bytes: [UInt8] = []
  private var start = 0

  init(_ handle: FileHandle) {
    self.handle = handle
  }

  /// The next line; waits for it. `nil` at the end.
  func next() throws -> String? {
    while true {
      if let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) {
        defer { start = end + 1 }
        return String(decoding: bytes[start..<end], as: UTF8.self)
      }
      bytes.removeFirst(start)
      start = 0
      // What there is: `read(upToCount:)` would wait for all of it.
      let more = handle.availableData
      guard !more.isEmpty else { return nil }
      bytes.append(contentsOf: more)
    }
  }

  /// Reads on until a line contains `text`; the lines up to it. Fails at the end.
  @discardableResult
  func lines(until text: String) throws -> [String] {
    var seen: [String] = []
    while let line = try next() {
      seen.append(line)
      if line.contains(text) { return seen }
    }
    Issue.record("no line with \"\(text)\" in \(seen)")
    throw CocoaError(.fileReadUnknown)
  }
}
