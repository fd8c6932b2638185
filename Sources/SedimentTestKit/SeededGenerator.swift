/// A random generator that one seed replays (SplitMix64, Steele, Lea and Flood, 2014).
///
///     var generator = SeededGenerator(seed: 42)
///     let disk = memory.crashed(using: &generator)
public struct SeededGenerator: RandomNumberGenerator, Sendable, CustomStringConvertible {
  /// What it began with: print it when a test fails.
  public let seed: UInt64
  private var state: UInt64

  /// A generator that gives the same numbers for the same seed, everywhere and for ever.
  public init(seed: UInt64) {
    self.seed = seed
    state = seed
  }

  /// A generator with a seed that the system draws.
  public static func drawn() -> SeededGenerator {
    SeededGenerator(seed: UInt64.random(in: .min ... .max))
  }

  public var description: String { "seed \(seed)" }

  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }

  /// A generator whose numbers do not depend on how many this one is asked for later.
  public mutating func split() -> SeededGenerator {
    SeededGenerator(seed: next())
  }
}
