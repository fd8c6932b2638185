// The workload that every benchmark shares, so that their counts can be compared.
//
// Event i is either new (its id is i) or repeats an earlier id: half of the repeats come from the
// last 100,000 events, half from anywhere before. All fields are functions of the id alone. Nothing
// is kept between events, so any range can be made at any time, in any order.

/// The splitmix64 generator's step: its finaliser applied to `x` plus the golden gamma.
///
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014).
@inline(__always)
public func splitMix64(_ x: UInt64) -> UInt64 {
  var z = x &+ Workload.goldenGamma
  z = (z ^ (z &>> 30)) &* 0xBF58_476D_1CE4_E5B9
  z = (z ^ (z &>> 27)) &* 0x94D0_49BB_1331_11EB
  return z ^ (z &>> 31)
}

/// Which id each event of a run has.
///
/// ```swift
/// let workload = Workload(duplicates: DuplicateShare("0.2")!, seed: 42)
/// let fields = Workload.Fields(id: workload.id(ofEvent: 7))
/// ```
public struct Workload: Sendable, Equatable {
  /// 2⁶⁴ divided by the golden ratio, odd.
  public static let goldenGamma: UInt64 = 0x9E37_79B9_7F4A_7C15
  /// How far back a recent repeat reaches.
  public static let recentEvents: UInt64 = 100_000

  /// The share of events that repeat an earlier id.
  public var duplicates: DuplicateShare
  /// Another seed, another sequence.
  public var seed: UInt64

  /// A workload with the share and seed that published figures use, unless told otherwise.
  public init(duplicates: DuplicateShare = .standard, seed: UInt64 = 42) {
    self.duplicates = duplicates
    self.seed = seed
  }

  /// The id of event `index`, counted from 0; never larger than `index`.
  @inline(__always)
  public func id(ofEvent index: UInt64) -> UInt64 {
    let draw = splitMix64(seed &+ index)
    guard index > 0, draw % 1000 < duplicates.thousandths else { return index }
    let pick = splitMix64(draw)
    if pick &>> 63 == 1 {
      return index &- 1 &- (pick % min(index, Self.recentEvents))
    }
    return pick % index
  }

  /// What an event says; a function of its id alone.
  public struct Fields: Sendable, Equatable {
    /// Below 5,000.
    public var adserverID: UInt64
    /// Milliseconds since 1970: ten ids share one.
    public var eventTimestamp: UInt64
    /// Written as 16 hexadecimal digits.
    public var requestID: UInt64
    /// The source of the payload's words: 4 bits choose one.
    public var payload: UInt64

    /// The fields of `id`.
    @inline(__always)
    public init(id: UInt64) {
      adserverID = splitMix64(id) % 5000
      eventTimestamp = 1_700_000_000_000 &+ id / 10
      requestID = splitMix64(id ^ Workload.goldenGamma)
      payload = splitMix64(~id)
    }
  }
}

/// A share of events from 0 to 1, exact in decimal.
///
/// An event repeats when a draw from 0 to 999 is below 1000 times the share. The draw is a whole
/// number, so that is the same as being below the product rounded up, which is what is kept: no
/// floating point decides.
public struct DuplicateShare: Sendable, Equatable {
  /// 1000 times the share, rounded up.
  public let thousandths: UInt64

  /// A fifth.
  public static let standard = DuplicateShare(thousandths: 200)

  private init(thousandths: UInt64) {
    self.thousandths = thousandths
  }

  /// Reads a decimal number from 0 to 1 such as `0.2`, `.25` or `1`; `nil` for anything else.
  public init?(_ text: String) {
    var whole: UInt64 = 0
    var fraction: UInt64 = 0
    var fractionDigits = 0
    var hasRest = false
    var digits = 0
    var isFraction = false
    for byte in text.utf8 {
      if byte == UInt8(ascii: "."), !isFraction {
        isFraction = true
        continue
      }
      guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
      let digit = UInt64(byte &- UInt8(ascii: "0"))
      digits += 1
      if !isFraction {
        whole = whole * 10 + digit
        guard whole <= 1 else { return nil }
      } else if fractionDigits < 3 {
        fraction = fraction * 10 + digit
        fractionDigits += 1
      } else {
        hasRest = hasRest || digit != 0
      }
    }
    guard digits > 0 else { return nil }
    while fractionDigits < 3 {
      fraction *= 10
      fractionDigits += 1
    }
    let thousandths = whole * 1000 + fraction + (hasRest ? 1 : 0)
    guard thousandths <= 1000 else { return nil }
    self.init(thousandths: thousandths)
  }
}
