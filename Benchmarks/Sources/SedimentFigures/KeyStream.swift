import SedimentStore

/// Different keys of 16 bytes in an order without pattern.
struct KeyStream {
  private var next: UInt64 = 0

  /// Replaces what `batch` holds by the next `count` keys.
  mutating func fill(_ batch: KeyBatch, count: Int) throws {
    batch.removeAll()
    for _ in 0..<count {
      try withUnsafeBytes(of: Self.key(next)) { try batch.append($0) }
      next += 1
    }
  }

  /// The key of a number: the number itself and its splitmix64 finaliser.
  static func key(_ number: UInt64) -> (UInt64, UInt64) {
    var mixed = number &+ 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return ((mixed ^ (mixed >> 31)).littleEndian, number.littleEndian)
  }

  /// The key of a number as the store's single-key calls take it.
  static func bytes(_ number: UInt64) -> [UInt8] {
    withUnsafeBytes(of: key(number)) { Array($0) }
  }
}
