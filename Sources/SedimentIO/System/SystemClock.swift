/// The clocks of the operating system.
public struct SystemClock: Clock {
  /// A clock without state: all values are the same.
  public init() {}

  public func nowMillis() -> Int64 {
    let sinceEpoch = SystemTime.read(.realTime)
    return sinceEpoch.seconds * 1000 + sinceEpoch.nanoseconds / 1_000_000
  }

  public func monotonicNanos() -> UInt64 {
    let sinceStart = SystemTime.read(.monotonic)
    return UInt64(max(0, sinceStart.seconds)) * 1_000_000_000 + UInt64(sinceStart.nanoseconds)
  }
}
