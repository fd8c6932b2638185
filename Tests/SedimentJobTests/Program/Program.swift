import Foundation
import Testing

/// The built program, in a directory of its own that goes with this.
final class Program {
  /// What a run left.
  struct Outcome {
    var status: Int32
    /// Standard output.
    var output: String
    /// Standard error.
    var talk: String
  }

  let root: URL

  init() throws {
    root = FileManager.default.temporaryDirectory
      .appendingPathComponent("sediment-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
  }

  deinit {
    do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
  }

  /// The program beside the bundle of the tests: SwiftPM builds both into one directory.
  static func executable() throws -> URL {
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

  // MARK: - Files

  func url(_ name: String) -> URL { root.appendingPathComponent(name) }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: url(name).path) }

  func write(_ text: String, to name: String) throws {
    try write(Data(text.utf8), to: name)
  }

  /// Makes a file, and the directories above it.
  func write(_ data: Data, to name: String) throws {
    try FileManager.default.createDirectory(
      at: url(name).deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: url(name))
  }

  func append(_ text: String, to name: String) throws {
    let file = try FileHandle(forWritingTo: url(name))
    try file.seekToEnd()
    try file.write(contentsOf: Data(text.utf8))
    try file.close()
  }

  func text(of name: String) throws -> String {
    String(decoding: try Data(contentsOf: url(name)), as: UTF8.self)
  }

  /// The names of the parts in a directory, in order.
  func parts(_ name: String = "out") throws -> [String] {
    guard exists(name) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: url(name).path)
      .filter { $0.hasPrefix("part-") }.sorted().map { name + "/" + $0 }
  }

  /// All parts of a directory, one behind the other.
  func output(_ name: String = "out") throws -> Data {
    try parts(name).reduce(into: Data()) { $0.append(try Data(contentsOf: url($1))) }
  }

  func outputText(_ name: String = "out") throws -> String {
    String(decoding: try output(name), as: UTF8.self)
  }

  // MARK: - Runs

  /// Starts the program; what it says goes to the file `talk`, unless given.
  func start(
    _ arguments: [String], input: Any = FileHandle.nullDevice,
    output: Any = FileHandle.nullDevice, talk: Any = FileHandle.nullDevice,
    environment: [String: String] = [:]
  ) throws -> Process {
    let process = Process()
    process.executableURL = try Self.executable()
    process.currentDirectoryURL = root
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = input
    process.standardOutput = output
    process.standardError = talk
    try process.run()
    return process
  }

  /// Runs the program to its end.
  func run(_ arguments: String..., input: String = "") throws -> Outcome {
    try run(arguments, input: input)
  }

  func run(
    _ arguments: [String], input: String = "", environment: [String: String] = [:]
  ) throws -> Outcome {
    let number = UUID().uuidString
    try write(input, to: ".in-\(number)")
    try write("", to: ".out-\(number)")
    try write("", to: ".talk-\(number)")
    let process = try start(
      arguments, input: try FileHandle(forReadingFrom: url(".in-\(number)")),
      output: try FileHandle(forWritingTo: url(".out-\(number)")),
      talk: try FileHandle(forWritingTo: url(".talk-\(number)")), environment: environment)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit)
    return Outcome(
      status: process.terminationStatus, output: try text(of: ".out-\(number)"),
      talk: try text(of: ".talk-\(number)"))
  }
}
