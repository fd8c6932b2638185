internal import SedimentIO
internal import Synchronization

/// A thread that can stand in an array.
public final class JoinedThread: Sendable {
  private let thread: Mutex<SystemThread?>

  /// Starts a thread that runs `body`.
  public init(_ body: @escaping @Sendable () -> Void) throws {
    thread = Mutex(try SystemThread(name: "test", body))
  }

  /// Waits until the body has returned.
  public func join() {
    let taken = thread.withLock { $0.take() }
    if let taken { taken.join() }
  }
}
