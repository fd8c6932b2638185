// job: NDJSON files to NDJSON files, with the sediment executable as a user runs it.

import Foundation

#if canImport(Darwin)
  import Darwin
#else
  import Glibc
#endif

struct JobRun {
  let request: RunRequest

  private var inputs: String { request.directory + "/in" }
  private var outputs: String { request.directory + "/out" }
  private var state: String { request.directory + "/state" }

  func run() throws -> RunRecord {
    let tool = try request.tool ?? Locations.sedimentTool()
    try generate(tool)
    let arguments = self.arguments
    let cpuBefore = ProcessMeter.cpuSeconds(RUSAGE_CHILDREN)
    let meter = ProcessMeter()
    try launch(tool, arguments)
    var part = TimedPart()
    part.wallSeconds = meter.wallSeconds
    part.cpuSeconds = ProcessMeter.cpuSeconds(RUSAGE_CHILDREN) - cpuBefore
    part.accepted = try countLines(below: outputs)
    // The generator, the only other child, holds one buffer.
    let peak = ProcessMeter.peakResidentBytes(RUSAGE_CHILDREN)
    let figures = EngineRun(request: request).figures(
      part, events: request.events, peakRSSBytes: peak,
      diskBytes: Directories.occupiedBytes(state), writtenBytes: nil, falsePositives: nil)
    return RunRecord(
      request: request, figures: figures, details: RunDetails(),
      options: [([tool] + arguments).joined(separator: " ")])
  }

  private var arguments: [String] {
    ["dedup", inputs + "/events.ndjson"]
      + ["--key", "adserver_id,event_timestamp,request_id", "--ttl", "forever"]
      + ["--mode", request.mode.rawValue, "--state", state, "--output", outputs + "/"]
      + ["--checkpoint-interval", "\(Int(max(request.epochSeconds, 0.001) * 1000))ms"]
      + ["--parallelism", "\(request.threads)", "--memory", "\(request.memory)"]
      + ["--progress", "never", "--quiet"]
  }

  private func generate(_ tool: String) throws {
    try FileManager.default.createDirectory(
      atPath: inputs, withIntermediateDirectories: true)
    let share = decimal(Double(request.repeatThousandths) / 1000, digits: 3)
    try launch(
      tool,
      ["generate", "\(request.events)", "--dup", share, "--seed", "\(request.seed)"]
        + ["--output", inputs + "/events.ndjson"])
    // The disk has done with the input before the job begins to write.
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: inputs + "/events.ndjson"))
    try file.synchronize()
    try file.close()
  }

  private func launch(_ tool: String, _ arguments: [String]) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: tool)
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let message = errors.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw BenchError("\(arguments[0]): \(String(decoding: message, as: UTF8.self))")
    }
  }

  private func countLines(below directory: String) throws -> UInt64 {
    var lines: UInt64 = 0
    for name in try FileManager.default.contentsOfDirectory(atPath: directory)
    where name.hasSuffix(".ndjson") {
      guard let file = FileHandle(forReadingAtPath: directory + "/" + name) else { continue }
      while let chunk = try file.read(upToCount: 1 << 20), !chunk.isEmpty {
        lines += UInt64(chunk.count { $0 == UInt8(ascii: "\n") })
      }
      try file.close()
    }
    return lines
  }
}
