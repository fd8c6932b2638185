import Dispatch
import SedimentStore

/// Commits epochs beside the writer, one at a time.
final class EpochCommitter {
  private let store: StateStore
  private let queue = DispatchQueue(label: "epochs")
  private let idle = DispatchSemaphore(value: 1)

  init(_ store: StateStore) { self.store = store }

  /// Cuts an epoch unless the one before is still being committed.
  func beginIfIdle() throws {
    guard idle.wait(timeout: .now()) == .success else { return }
    let epoch = try store.beginEpoch()
    queue.async { [store, idle] in
      // A commit that fails poisons the store, which the next insert reports.
      _ = try? store.commit(epoch)
      idle.signal()
    }
  }

  /// Returns when no commit is under way.
  func wait() {
    idle.wait()
    idle.signal()
  }
}
