import Foundation
import Testing

/// The program over topics of some cluster, and a directory of its own that goes with this.
class KafkaProgram {
  /// What a run left.
  struct Outcome {
    var status: Int32
    /// Standard error.
    var talk: String
  }

  let root: URL
  /// Addresses, apart by commas.
  let brokers: String
  /// How long the group keeps a member that was killed.
  let sessionMillis: Int
  /// What stands before the names of groups.
  let prefix: String
  private var started: [Process] = []

  init(root: URL, brokers: String, sessionMillis: Int, prefix: String = "") {
    self.root = root
    self.brokers = brokers
    self.sessionMillis = sessionMillis
    self.prefix = prefix
  }

  deinit {
    // What a test that failed left behind.
    for process in started where process.isRunning {
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
    }
    do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
  }

  static func newDirectory() throws -> URL {
    let root = FileManager.default.temporaryDirectory
      .appendingPathComponent("sediment-kafka-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
    return root
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

  // MARK: - Files

  func url(_ name: String) -> URL { root.appendingPathComponent(name) }

  func text(of name: String) throws -> String {
    String(decoding: try Data(contentsOf: url(name)), as: UTF8.self)
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

  /// The arguments of a job over topics; `more` go to the end.
  func job(
    _ topics: String, group: String = "g", state: String = "state", key: [String] = ["--key", "k"],
    _ more: [String] = []
  ) -> [String] {
    ["dedup", "kafka://\(brokers)/\(topics)", "--group", prefix + group, "--ttl", "forever"]
      + ["--state", state, "--kafka-property", "session.timeout.ms=\(sessionMillis)"]
      + ["--kafka-property", "heartbeat.interval.ms=500"] + key + more
  }

  /// A new file for what a program says.
  func talk(_ name: String) throws -> FileHandle {
    try Data().write(to: url(name + ".talk"))
    return try FileHandle(forWritingTo: url(name + ".talk"))
  }

  /// Starts the program, or another one; standard error goes to `talk`.
  func start(
    _ arguments: [String], of program: String = "sediment", output: Any = FileHandle.nullDevice,
    talk: Any = FileHandle.nullDevice
  ) throws -> Process {
    let process = Process()
    process.executableURL = try Self.executable(program)
    process.currentDirectoryURL = root
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = talk
    try process.run()
    started.append(process)
    return process
  }

  /// Runs the program to its end.
  func run(_ arguments: [String]) throws -> Outcome {
    let name = UUID().uuidString
    let process = try start(arguments, talk: try talk(name))
    try process.waitForEnd()
    #expect(process.terminationReason == .exit)
    return Outcome(status: process.terminationStatus, talk: try text(of: name + ".talk"))
  }

  /// Runs a job to the ends of its topics, with its output in `out/`.
  func runToEnd(_ topics: String, group: String = "g", _ more: [String] = []) throws -> Outcome {
    try run(job(topics, group: group, ["--until-end", "--output", "out/"] + more))
  }

  /// Runs a job that writes to standard output, and kills it when it has written so many bytes.
  ///
  /// - Returns: whether it was killed, rather than done before.
  func runAndKill(_ arguments: [String], afterBytes count: Int) throws -> Bool {
    let pipe = Pipe()
    let process = try start(arguments, output: pipe)
    try pipe.fileHandleForReading.readAndDrop(count)
    kill(process.processIdentifier, SIGKILL)
    try process.waitForEnd()
    return process.terminationReason == .uncaughtSignal
  }

  /// What `sediment inspect` prints of the state.
  func inspect() throws -> String {
    let pipe = Pipe()
    let process = try start(["inspect", "state"], output: pipe)
    let text = try pipe.fileHandleForReading.readToEnd() ?? Data()
    try process.waitForEnd()
    return String(decoding: text, as: UTF8.self)
  }
}

extension FileHandle {
  /// Reads so many bytes, or to the end.
  func readAndDrop(_ count: Int) throws {
    var left = count
    while left > 0, let data = try read(upToCount: min(left, 65_536)), !data.isEmpty {
      left -= data.count
    }
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
      let more = try handle.readSome()
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
