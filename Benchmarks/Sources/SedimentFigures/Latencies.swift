/// Durations, counted in buckets of an eighth of a power of two, so that a percentile is right to
/// 13 %. Adding takes no memory.
struct Latencies {
  private var counts = [UInt64](repeating: 0, count: 64 * 8)
  private var total: UInt64 = 0
  private(set) var largest: UInt64 = 0

  mutating func add(_ nanoseconds: UInt64) {
    counts[Self.bucket(nanoseconds)] += 1
    total += 1
    largest = max(largest, nanoseconds)
  }

  /// The upper bound of the bucket in which the given share of the durations ends.
  func percentile(_ share: Double) -> UInt64 {
    let rank = UInt64((Double(total) * share).rounded(.up))
    var seen: UInt64 = 0
    for (bucket, count) in counts.enumerated() {
      seen += count
      if seen >= rank, count > 0 { return min(Self.end(bucket), largest) }
    }
    return largest
  }

  private static func bucket(_ value: UInt64) -> Int {
    guard value >= 8 else { return Int(value) }
    let power = 63 - value.leadingZeroBitCount
    return (power - 2) * 8 + Int((value >> UInt64(power - 3)) & 7)
  }

  private static func end(_ bucket: Int) -> UInt64 {
    guard bucket >= 8 else { return UInt64(bucket) }
    let power = bucket / 8 + 2
    return (1 << UInt64(power)) + (UInt64(bucket % 8) + 1) << UInt64(power - 3) - 1
  }
}
