// One run, in a process of its own.

import ArgumentParser
import Foundation

/// Internal: started by `run`.
struct ChildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "child", shouldDisplay: false)

  @Argument var request: String

  func run() throws {
    let request = try JSONDecoder().decode(RunRequest.self, from: Data(request.utf8))
    let record = try EngineRun(request: request).run()
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    FileHandle.standardOutput.write(try encoder.encode(record))
  }
}

/// Starts children.
enum ChildProcess {
  /// Runs a request in a new process and a new directory, which is removed afterwards.
  static func run(_ request: RunRequest) throws -> RunRecord {
    let files = FileManager.default
    try files.createDirectory(atPath: request.directory, withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: request.directory) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try Locations.executable)
    let json = try JSONEncoder().encode(request)
    process.arguments = ["child", String(decoding: json, as: UTF8.self)]
    let answer = Pipe()
    process.standardOutput = answer
    try process.run()
    let data = answer.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationReason == .exit, process.terminationStatus == 0 else {
      let how = process.terminationReason == .exit ? "status" : "signal"
      throw BenchError(
        "\(request.engine.rawValue) ended with \(how) \(process.terminationStatus)")
    }
    return try JSONDecoder().decode(RunRecord.self, from: data)
  }
}
