// The cases that tools/micro counts, in wall time and on more items: for exploring. Nothing here
// is held to a threshold, since times do not repeat.

import Benchmark
import Foundation
import SedimentMicro

let benchmarks: @Sendable () -> Void = {
  for micro in MicroCase.all {
    Benchmark(
      "\(micro.name): \(micro.item)",
      // A million items an iteration and a scale of a million: nanoseconds are those of one item.
      configuration: .init(
        metrics: [.wallClock], timeUnits: .nanoseconds, warmupIterations: 1, scalingFactor: .mega,
        maxDuration: .seconds(5), maxIterations: 20)
    ) { benchmark in
      let directory = FileManager.default.temporaryDirectory
        .appendingPathComponent("sediment-micro-\(UUID().uuidString)")
      try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
      let round = try micro.prepare(items: 1_000_000, in: directory.path)
      benchmark.startMeasurement()
      try round()
      benchmark.stopMeasurement()
      try FileManager.default.removeItem(at: directory)
    }
  }
}
