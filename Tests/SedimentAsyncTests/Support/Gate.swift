import SedimentIO

/// Lets threads wait until a test opens it, and tells the test how many came.
final class Gate: @unchecked Sendable {
  // @unchecked because whoever touches the state holds the monitor.
  private let monitor = Monitor()
  private var isOpen = false
  private var arrivals = 0
  private var waiters: [(count: Int, continuation: CheckedContinuation<Void, Never>)] = []

  /// Notes a thread and holds it until the gate is open.
  func pass() {
    let reached = monitor.withLock {
      arrivals += 1
      let reached = waiters.filter { $0.count <= arrivals }
      waiters.removeAll { $0.count <= arrivals }
      return reached
    }
    for waiter in reached { waiter.continuation.resume() }
    monitor.withLock { while !isOpen { monitor.wait() } }
  }

  /// Returns when so many threads have come, whether they were let through or not.
  func waitForArrivals(_ count: Int = 1) async {
    await withCheckedContinuation { continuation in
      let isReached = monitor.withLock {
        if arrivals < count { waiters.append((count, continuation)) }
        return arrivals >= count
      }
      if isReached { continuation.resume() }
    }
  }

  /// Lets everyone through from now on.
  func open() {
    monitor.withLock {
      isOpen = true
      monitor.broadcast()
    }
  }
}

/// Cancels the task that calls.
func cancelCurrentTask() {
  unsafe withUnsafeCurrentTask { unsafe $0?.cancel() }
}
