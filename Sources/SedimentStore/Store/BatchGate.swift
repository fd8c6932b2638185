internal import SedimentIO

/// Lets batches in side by side, or one change of the whole keyspace alone.
///
/// Turns are taken in the order of coming: whoever is to be alone waits for those before, and who
/// comes later waits behind. So batches without end cannot keep the cut of an epoch waiting, nor
/// changes without end a batch.
// @unchecked because all that changes is guarded by `monitor`.
final class BatchGate: @unchecked Sendable {
  private let monitor = Monitor()
  /// The number of the next to come.
  private var nextNumber: UInt64 = 0
  /// Whose turn it is: all with smaller numbers are inside or have left.
  private var turn: UInt64 = 0
  private var batches = 0
  private var isAlone = false
  /// How many more batches are taken to have company; see `enter`.
  private var sociable = 0

  /// Lets a batch in.
  ///
  /// - Returns: whether batches come from one thread at a time, as far as the last few showed.
  func enter() -> Bool {
    monitor.withLock {
      waitForTurn { isAlone }
      batches += 1
      sociable = batches > 1 ? Self.memory : max(sociable - 1, 0)
      return sociable == 0
    }
  }

  /// Lets a batch out.
  func leave() {
    monitor.withLock {
      batches -= 1
      if batches == 0 { wakeWaiting() }
    }
  }

  /// Waits until no batch is inside, and keeps all out.
  func close() {
    monitor.withLock {
      waitForTurn { isAlone || batches > 0 }
      isAlone = true
    }
  }

  /// Keeps all out if nobody is inside or waits.
  ///
  /// - Returns: whether it did.
  func tryClose() -> Bool {
    monitor.withLock {
      guard turn == nextNumber, !isAlone, batches == 0 else { return false }
      nextNumber += 1
      turn += 1
      isAlone = true
      return true
    }
  }

  /// Lets others in again.
  func open() {
    monitor.withLock {
      isAlone = false
      wakeWaiting()
    }
  }

  /// Waits behind those who came before, and then for what keeps the caller out.
  private func waitForTurn(while isKeptOut: () -> Bool) {
    let number = nextNumber
    nextNumber += 1
    while turn != number || isKeptOut() { monitor.wait() }
    turn += 1
    wakeWaiting()
  }

  private func wakeWaiting() {
    if turn != nextNumber { monitor.broadcast() }
  }

  private static let memory = 64
}
