internal import SedimentIO

/// Lets batches in side by side, or one change of the whole keyspace alone.
///
/// Who waits to be alone goes before batches that come later, so that batches without end cannot
/// keep the cut of an epoch waiting.
// @unchecked because all that changes is guarded by `monitor`.
final class BatchGate: @unchecked Sendable {
  private let monitor = Monitor()
  private var batches = 0
  private var isAlone = false
  private var waitingToBeAlone = 0
  /// How many more batches are taken to have company; see `enter`.
  private var sociable = 0

  /// Lets a batch in.
  ///
  /// - Returns: whether batches come from one thread at a time, as far as the last few showed.
  func enter() -> Bool {
    monitor.withLock {
      while isAlone || waitingToBeAlone > 0 { monitor.wait() }
      batches += 1
      sociable = batches > 1 ? Self.memory : max(sociable - 1, 0)
      return sociable == 0
    }
  }

  /// Lets a batch out.
  func leave() {
    monitor.withLock {
      batches -= 1
      if batches == 0 && waitingToBeAlone > 0 { monitor.broadcast() }
    }
  }

  /// Waits until no batch is inside, and keeps all out.
  func close() {
    monitor.withLock {
      waitingToBeAlone += 1
      while isAlone || batches > 0 { monitor.wait() }
      waitingToBeAlone -= 1
      isAlone = true
    }
  }

  /// Lets batches in again.
  func open() {
    monitor.withLock {
      isAlone = false
      monitor.broadcast()
    }
  }

  private static let memory = 64
}
