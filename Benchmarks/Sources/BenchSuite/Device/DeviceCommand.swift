// device: what the device below a directory can do at most, without any store.

import ArgumentParser
import CDevice
import Foundation

struct DeviceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "device",
    abstract: "Measures random reads of the device below a directory.",
    discussion: """
      Writes a file, reads 4 KiB at random places of it past the page cache, with so many reads \
      under way at once, and removes it. No store can read more pages a second from this device. \
      Linux only.
      """)

  @Argument(help: "Where the file is made.")
  var directory: String

  @Option(help: "Reads that are under way at once, 1 to 4096.")
  var depth: UInt32 = 128

  @Option(help: "How long it reads.")
  var seconds = 5.0

  @Option(help: "The file's size, such as 4GiB: caches of the device must not hold it.")
  var fileSize: Size = Size(4 << 30)

  @Flag(help: "Print one JSON object on one line, and nothing else.")
  var json = false

  func validate() throws {
    guard (1...4096).contains(depth) else { throw ValidationError("--depth is 1 to 4096") }
    guard seconds > 0 else { throw ValidationError("--seconds is above 0") }
    guard fileSize.bytes >= 1 << 20 else { throw ValidationError("--file-size is at least 1MiB") }
  }

  func run() throws {
    let figures = try DeviceFigures.measure(
      directory: directory, depth: depth, seconds: seconds, fileBytes: UInt64(fileSize.bytes))
    print(json ? figures.json : figures.text)
  }
}

/// What a device did.
package struct DeviceFigures {
  let depth: UInt32
  let fileBytes: UInt64
  let reads: UInt64
  let wallSeconds: Double
  let cpuSeconds: Double

  /// Reads at random from a new file in `directory`, which is gone afterwards.
  ///
  /// - Throws: `BenchError`.
  package static func measure(
    directory: String, depth: UInt32, seconds: Double, fileBytes: UInt64
  ) throws -> DeviceFigures {
    var message = [CChar](repeating: 0, count: 1024)
    var figures = device_figures()
    let succeeded = directory.withCString { path in
      var request = device_request(
        directory: path, file_bytes: fileBytes, depth: depth, seconds: seconds)
      return device_measure(&request, &figures, &message, message.count)
    }
    guard succeeded else {
      let bytes = message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
      throw BenchError(String(decoding: bytes, as: UTF8.self))
    }
    return DeviceFigures(
      depth: depth, fileBytes: fileBytes, reads: figures.reads, wallSeconds: figures.wall_seconds,
      cpuSeconds: figures.cpu_seconds)
  }

  var readsPerSecond: Double { Double(reads) / wallSeconds }
  var cpuMicrosPerRead: Double { cpuSeconds * 1e6 / Double(reads) }
  /// How long a read takes on the average: reads that are under way divided by those that end.
  var latencyMeanMicros: Double { Double(depth) * 1e6 / readsPerSecond }

  /// One JSON object on one line.
  package var json: String {
    let fields = [
      "\"depth\":\(depth)", "\"file_bytes\":\(fileBytes)", "\"reads\":\(reads)",
      "\"wall_seconds\":" + decimal(wallSeconds, digits: 6),
      "\"reads_per_second\":" + decimal(readsPerSecond, digits: 0),
      "\"cpu_us_per_read\":" + decimal(cpuMicrosPerRead, digits: 2),
      "\"latency_mean_us\":" + decimal(latencyMeanMicros, digits: 1),
    ]
    return "{" + fields.joined(separator: ",") + "}"
  }

  /// For people.
  var text: String {
    "\(grouped(UInt64(readsPerSecond))) reads/s of 4 KiB at depth \(depth), "
      + "\(inMicros(latencyMeanMicros)) each, \(decimal(cpuMicrosPerRead, digits: 1)) µs of CPU"
  }
}
