#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A reading of one of the system's clocks.
struct SystemTime {
  enum Source { case realTime, monotonic }

  var seconds: Int64
  /// 0 to 999,999,999.
  var nanoseconds: Int64

  static func read(_ source: Source) -> SystemTime {
    var time = timespec()
    // These two clocks exist wherever Swift runs, so the call cannot fail.
    switch source {
    case .realTime: unsafe clock_gettime(CLOCK_REALTIME, &time)
    case .monotonic: unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    }
    return SystemTime(seconds: Int64(time.tv_sec), nanoseconds: Int64(time.tv_nsec))
  }
}
