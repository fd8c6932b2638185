// Durations, in an HdrHistogram of three digits.

import Histogram

struct Latencies {
  private static let nanosMax: UInt64 = 3_600_000_000_000
  private static let shares: [Double] = [
    0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 99.999, 100,
  ]
  private var histogram = Histogram<UInt64>(
    highestTrackableValue: Latencies.nanosMax, numberOfSignificantValueDigits: .three)

  mutating func record(_ duration: Duration) {
    histogram.record(min(duration.inNanos, Self.nanosMax))
  }

  mutating func add(_ other: Latencies) { histogram.add(other.histogram) }

  func micros(atPercentile percentile: Double) -> Double? {
    guard histogram.totalCount > 0 else { return nil }
    return Double(histogram.valueAtPercentile(percentile)) / 1000
  }

  /// Percentiles and their microseconds.
  var curve: [[Double]] {
    Self.shares.compactMap { share in micros(atPercentile: share).map { [share, $0] } }
  }
}

extension Duration {
  var inNanos: UInt64 {
    let (seconds, attoseconds) = components
    return UInt64(max(seconds, 0)) * 1_000_000_000 + UInt64(max(attoseconds, 0) / 1_000_000_000)
  }

  var inSeconds: Double { Double(inNanos) / 1e9 }
}
