import BenchSuite
import Foundation
import Testing

#if os(Linux)
  @Suite struct DeviceTests {
    @Test func aDeviceIsReadAndNothingIsLeftBehind() throws {
      let directory = NSTemporaryDirectory() + "/sediment-device-tests-\(UUID().uuidString)"
      let files = FileManager.default
      try files.createDirectory(atPath: directory, withIntermediateDirectories: true)
      defer { try? files.removeItem(atPath: directory) }
      let figures = try DeviceFigures.measure(
        directory: directory, depth: 8, seconds: 0.05, fileBytes: 4 << 20)
      let fields = try #require(
        try JSONSerialization.jsonObject(with: Data(figures.json.utf8)) as? [String: Double])
      #expect(fields["depth"] == 8 && fields["file_bytes"] == 4_194_304)
      for name in ["reads", "wall_seconds", "reads_per_second", "latency_mean_us"] {
        #expect((fields[name] ?? 0) > 0, "\(name)")
      }
      #expect(try files.contentsOfDirectory(atPath: directory).isEmpty)
    }

    @Test func aDirectoryThatIsMissingIsNamed() {
      #expect {
        try DeviceFigures.measure(
          directory: "/nowhere", depth: 1, seconds: 1, fileBytes: 1 << 20)
      } throws: {
        "\($0)".hasPrefix("cannot create /nowhere/sediment-bench-device-")
      }
    }
  }
#endif
