/// The time of day and elapsed time, as a parameter.
public protocol Clock: Sendable {
  /// Milliseconds since 1970-01-01 UTC.
  func nowMillis() -> Int64
  /// Nanoseconds from an arbitrary start, never backwards; for statistics and pacing only.
  func monotonicNanos() -> UInt64
}
