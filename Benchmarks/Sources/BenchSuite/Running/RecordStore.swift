// Records of runs on disk: a line of JSON a run.

import Foundation

/// A directory of records, and what it needs to be read later: machine, commit and command lines.
struct RecordStore {
  static let recordsName = "runs.ndjson"
  static let machineName = "machine.txt"
  static let commandsName = "commands.txt"

  let directory: String

  /// Makes the directory when there is none, and notes machine and command line.
  init(directory: String) throws {
    self.directory = directory
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    try Data(Machine.description.utf8).write(
      to: URL(fileURLWithPath: directory + "/" + Self.machineName))
    let command = (["sediment-bench"] + CommandLine.arguments.dropFirst()).joined(separator: " ")
    try append(command, to: Self.commandsName)
  }

  func append(_ record: RunRecord) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    try append(
      String(decoding: try encoder.encode(record), as: UTF8.self), to: Self.recordsName)
  }

  private func append(_ line: String, to name: String) throws {
    let path = directory + "/" + name
    if !FileManager.default.fileExists(atPath: path) {
      try Data().write(to: URL(fileURLWithPath: path))
    }
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try file.seekToEnd()
    try file.write(contentsOf: Data((line + "\n").utf8))
    try file.close()
  }

  /// The records of a directory, oldest first.
  static func records(in directory: String) throws -> [RunRecord] {
    let path = directory + "/" + recordsName
    guard let data = FileManager.default.contents(atPath: path) else {
      throw BenchError("\(directory) holds no \(recordsName): keep one with run --output")
    }
    let decoder = JSONDecoder()
    return try data.split(separator: UInt8(ascii: "\n")).enumerated().map { index, line in
      do {
        return try decoder.decode(RunRecord.self, from: Data(line))
      } catch {
        throw BenchError("\(path):\(index + 1): not a record of this version: \(error)")
      }
    }
  }

  /// A text file beside the records; empty when there is none.
  static func text(_ name: String, in directory: String) -> String {
    let data = FileManager.default.contents(atPath: directory + "/" + name) ?? Data()
    return String(decoding: data, as: UTF8.self)
  }
}

/// This machine, in words.
enum Machine {
  static var description: String {
    let process = ProcessInfo.processInfo
    let lines = [
      "processors: \(process.activeProcessorCount) × \(processorName)",
      "memory: \(inBytes(process.physicalMemory))",
      "system: \(process.operatingSystemVersionString), kernel \(kernel)",
      "commit: \(commit)",
      "date: \(ISO8601DateFormatter().string(from: Date()))",
    ]
    return lines.joined(separator: "\n") + "\n"
  }

  private static var processorName: String {
    let data = FileManager.default.contents(atPath: "/proc/cpuinfo") ?? Data()
    for line in String(decoding: data, as: UTF8.self).split(separator: "\n")
    where line.hasPrefix("model name") {
      return line.split(separator: ":").last.map { $0.drop(while: \.isWhitespace) }.map(String.init)
        ?? "unknown"
    }
    return "unknown"
  }

  private static var kernel: String { output(of: ["uname", "-r"]) ?? "unknown" }

  /// The commit of the sources around this program, with a mark when they were changed since.
  private static var commit: String {
    guard let executable = try? Locations.executable else { return "unknown" }
    let directory = URL(fileURLWithPath: executable).resolvingSymlinksInPath()
      .deletingLastPathComponent().path
    return output(of: ["git", "-C", directory, "describe", "--always", "--dirty", "--abbrev=12"])
      ?? "unknown"
  }

  private static func output(of command: [String]) -> String? {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    let pipe = Pipe()
    process.standardOutput = pipe
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    let data = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let text = String(decoding: data, as: UTF8.self).split(separator: "\n").first.map(String.init)
    return process.terminationStatus == 0 ? text : nil
  }
}
