/// The times an entry may have.
package enum EntryTime {
  /// Times lie within ±2⁶¹ ms, so that no difference of two, nor one with a TTL, overflows.
  package static let min: Int64 = -(1 << 61)
  /// The largest time.
  package static let max: Int64 = 1 << 61
  /// Stands for "no time yet" where a time is stored.
  package static let none = Int64.min
}

/// Numbers that a store gives out and counts up: file numbers, epochs, sequence numbers.
package enum Counter {
  /// None is ever larger; a larger one on disk is damage, and adding to one never overflows.
  package static let max: UInt64 = 1 << 62
}
