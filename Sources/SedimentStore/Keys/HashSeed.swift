/// The random 128-bit seed of the keyed hash: made once for a job and shared by all its stores.
///
/// A producer who does not know it cannot choose keys that collide.
public struct HashSeed: Hashable, Sendable {
  /// Bytes in a seed.
  public static let byteCount = 16

  /// The 16 bytes in memory order, as two words.
  private var words: (UInt64, UInt64)

  /// A fresh seed of the system's random source.
  public static func random() -> HashSeed {
    var generator = SystemRandomNumberGenerator()
    return random(using: &generator)
  }

  /// A fresh seed of `generator`, so that tests can repeat themselves.
  public static func random(using generator: inout some RandomNumberGenerator) -> HashSeed {
    let (first, second) = (generator.next(), generator.next())
    return HashSeed(first: first, second: second)
  }

  /// The seed whose bytes are `first`, then `second`, both little-endian.
  public init(first: UInt64, second: UInt64) {
    words = (first.littleEndian, second.littleEndian)
  }

  /// The seed of 16 bytes; nil for any other number of bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == HashSeed.byteCount else { return nil }
    func word(_ from: Int) -> UInt64 {
      bytes[from..<from + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    self.init(first: word(0), second: word(8))
  }

  /// The 16 bytes, as `init(bytes:)` takes them.
  public var bytes: [UInt8] {
    [words.0, words.1].flatMap { word in
      (0..<8).map { UInt8(truncatingIfNeeded: UInt64(littleEndian: word) >> (8 * $0)) }
    }
  }

  /// Calls `body` with the address of the 16 bytes.
  package func withBytes(_ body: (UnsafePointer<UInt8>) -> Void) {
    // SAFETY: the two words are 16 contiguous bytes, and the address is not kept.
    unsafe withUnsafeBytes(of: words) { bytes in
      if let base = bytes.baseAddress {
        unsafe body(base.assumingMemoryBound(to: UInt8.self))
      }
    }
  }

  /// Whether both have the same bytes.
  public static func == (a: HashSeed, b: HashSeed) -> Bool { a.words == b.words }

  /// Feeds the bytes to `hasher`.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
  }
}
