public import SedimentIO
import Synchronization

/// A clock that stands still until a test moves it.
public final class ManualClock: Clock, Sendable {
  private struct State {
    var millis: Int64
    var nanos: UInt64 = 0
  }

  private let state: Mutex<State>

  /// A clock that shows `millis` since 1970.
  public init(millis: Int64 = 0) {
    state = Mutex(State(millis: millis))
  }

  public func nowMillis() -> Int64 { state.withLock { $0.millis } }

  public func monotonicNanos() -> UInt64 { state.withLock { $0.nanos } }

  /// Lets time pass on both clocks.
  public func advance(byMillis millis: Int64) {
    precondition(millis >= 0, "time passes forwards; set(millis:) sets the clock back")
    state.withLock {
      $0.millis += millis
      $0.nanos += UInt64(millis) * 1_000_000
    }
  }

  /// Sets the time of day, backwards too; elapsed time does not notice.
  public func set(millis: Int64) {
    state.withLock { $0.millis = millis }
  }
}
