/// The 128-bit keyed hash of a key, which orders a hashed keyspace and, in fingerprint mode, is all
/// that is kept of the key.
///
/// Both words are uniformly distributed and independent. Order is by `high`, then `low`.
@frozen
public struct KeyHash: Hashable, Comparable, Sendable, BitwiseCopyable {
  /// The word that decides order, shard, page and memtable slot.
  public var high: UInt64
  /// The word that tells apart keys of equal `high`, and from which filters draw their bits.
  public var low: UInt64

  /// Makes a hash of its two words.
  @inlinable
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// Whether `a` comes before `b`.
  @inlinable
  public static func < (a: KeyHash, b: KeyHash) -> Bool {
    a.high < b.high || (a.high == b.high && a.low < b.low)
  }
}
