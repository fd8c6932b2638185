internal import SedimentIO

/// Asks a running job to stop: from a signal's handler thread, or a test.
// @unchecked because everything that changes is touched only with `monitor` held.
package final class JobControl: @unchecked Sendable {
  private let monitor = Monitor()
  private var hasStopped = false
  private var onStop: (@Sendable () -> Void)?

  /// A job that may run.
  package init() {}

  /// Makes the job finish its batch, commit and end. From any thread, as often as you like.
  package func stop() {
    let wake = monitor.withLock {
      hasStopped = true
      monitor.broadcast()
      return onStop
    }
    wake?()
  }

  /// Whether the job should end.
  var isStopping: Bool { monitor.withLock { hasStopped } }

  /// What `stop` calls so that a waiting thread looks; `nil` for nothing.
  func setWake(_ wake: (@Sendable () -> Void)?) {
    monitor.withLock { onStop = wake }
  }

  /// Waits for `nanoseconds`, or until the job should stop.
  func pause(nanoseconds: UInt64) {
    monitor.withLock { if !hasStopped { _ = monitor.wait(nanoseconds: nanoseconds) } }
  }
}
