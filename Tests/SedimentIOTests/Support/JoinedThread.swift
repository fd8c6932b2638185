import SedimentIO
import Synchronization

/// A thread that can stand in an array.
final class JoinedThread: Sendable {
  private let thread: Mutex<SystemThread?>

  init(_ body: @escaping @Sendable () -> Void) throws {
    thread = Mutex(try SystemThread(name: "test", body))
  }

  func join() {
    let taken = thread.withLock { $0.take() }
    if let taken { taken.join() }
  }
}
