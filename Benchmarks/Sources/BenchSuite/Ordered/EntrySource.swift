// Keys and values of ordered workloads: 16-byte keys, 100-byte values that compress to half.

import Foundation

/// What the operations of one thread are made of.
struct EntrySource {
  static let keyBytes = 16
  static let valueBytes = 100

  private var state: UInt64
  /// A megabyte to cut values from: 50 random bytes, twice.
  private let values: [UInt8]
  private var valueAt = 0
  private(set) var key = [UInt8](repeating: UInt8(ascii: "0"), count: keyBytes)

  init(seed: UInt64, thread: Int) {
    state = seed &+ 0x9E37_79B9_7F4A_7C15 &* UInt64(thread + 1)
    var values: [UInt8] = []
    var words = seed
    while values.count < 1 << 20 {
      let half = (0..<Self.valueBytes / 2).map { _ in
        UInt8(truncatingIfNeeded: Self.step(&words))
      }
      values += half + half
    }
    self.values = values
  }

  /// SplitMix64.
  private static func step(_ state: inout UInt64) -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }

  mutating func draw() -> UInt64 { Self.step(&state) }

  mutating func draw(below bound: UInt64) -> UInt64 {
    bound.multipliedFullWidth(by: draw()).high
  }

  /// Makes `key` that of a number: its eight bytes, greatest first, and zeros as characters.
  mutating func setKey(_ number: UInt64) {
    for index in 0..<8 {
      key[index] = UInt8(truncatingIfNeeded: number >> (56 - 8 * UInt64(index)))
    }
  }

  /// Makes it a key that lies between the others and is never written.
  mutating func setMissingKey(_ number: UInt64) {
    setKey(number)
    key[Self.keyBytes - 1] = UInt8(ascii: "1")
  }

  /// Restores the end that all written keys have.
  mutating func endMissing() { key[Self.keyBytes - 1] = UInt8(ascii: "0") }

  /// Calls `body` with the key and the next value.
  mutating func withEntry<Answer>(
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Answer
  ) rethrows -> Answer {
    valueAt = (valueAt + Self.valueBytes) % (values.count - Self.valueBytes)
    return try key.withUnsafeBytes { key in
      try values.withUnsafeBytes { values in
        try body(
          key, UnsafeRawBufferPointer(rebasing: values[valueAt..<valueAt + Self.valueBytes]))
      }
    }
  }
}

/// Brings the numbers below a bound into an order that looks random: a bijection.
package struct Shuffle {
  private let bound: UInt64
  private let mask: UInt64
  private let shift: UInt64

  package init(_ bound: UInt64) {
    self.bound = bound
    let bits = UInt64(64 - max(bound - 1, 1).leadingZeroBitCount)
    mask = bits == 64 ? .max : 1 << bits - 1
    shift = max(bits / 2, 1)
  }

  /// Odd, so that multiplying can be undone.
  private static let factors: [UInt64] = [
    0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB,
  ]

  package func place(_ number: UInt64) -> UInt64 {
    var word = number
    repeat {
      // Each step can be undone within the mask.
      for factor in Self.factors {
        word = word &* factor & mask
        word ^= word >> shift
      }
    } while word >= bound
    return word
  }
}

/// Draws ranks as YCSB does: few are drawn often (Gray and others, "Quickly generating
/// billion-record synthetic databases", 1994), spread over all keys.
package struct Zipf {
  private static let theta = 0.99
  private let count: UInt64
  private let zeta: Double
  private let alpha: Double
  private let eta: Double

  package init(_ count: UInt64) {
    self.count = count
    var zeta = 0.0
    // Beyond a million the sum is an integral.
    let exact = min(count, 1_000_000)
    for rank in 1...exact { zeta += 1 / pow(Double(rank), Self.theta) }
    if count > exact {
      let ends = [Double(exact), Double(count)].map { pow($0, 1 - Self.theta) }
      zeta += (ends[1] - ends[0]) / (1 - Self.theta)
    }
    self.zeta = zeta
    alpha = 1 / (1 - Self.theta)
    let two = 1 + 1 / pow(2, Self.theta)
    eta = (1 - pow(2 / Double(count), 1 - Self.theta)) / (1 - two / zeta)
  }

  /// A rank, 0 the most frequent, of a word drawn at random.
  package func rank(_ word: UInt64) -> UInt64 {
    let uniform = Double(word >> 11) / Double(1 << 53 as UInt64)
    let scaled = uniform * zeta
    if scaled < 1 { return 0 }
    if scaled < 1 + pow(0.5, Self.theta) { return 1 }
    return min(UInt64(Double(count) * pow(eta * uniform - eta + 1, alpha)), count - 1)
  }
}
