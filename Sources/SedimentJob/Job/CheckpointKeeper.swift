// Local checkpoints of a running job, in the state's own directory.
//
// A checkpoint is made behind an epoch that is durable, on the committing thread, so deciding goes
// on meanwhile. It costs a few syncs and lets the store begin another log, too much for every epoch
// of a short interval: so there is at most one in `intervalNanos`, and one at the end of a run.

internal import SedimentIO
internal import SedimentStore
internal import Synchronization

/// Makes and retains local checkpoints. Used by one thread at a time.
final class CheckpointKeeper: Sendable {
  private let store: StateStore
  private let path: String
  private let retained: Int
  private let environment: JobEnvironment
  private let state: Mutex<(lastNanos: UInt64, id: String?)>

  private static let intervalNanos: UInt64 = 30_000_000_000

  /// `nil` when none are to be kept.
  init?(store: StateStore, _ options: JobOptions, _ environment: JobEnvironment) {
    guard options.retainedCheckpoints > 0 else { return nil }
    self.store = store
    path = PathName.join(options.statePath, StateNames.checkpoints)
    retained = options.retainedCheckpoints
    self.environment = environment
    state = Mutex((environment.clock.monotonicNanos(), nil))
  }

  /// The last one made.
  var lastID: String? { state.withLock { $0.id } }

  /// When the last one was made.
  var lastNanos: UInt64? { state.withLock { $0.id == nil ? nil : $0.lastNanos } }

  /// Makes a checkpoint of the durable epoch when one is due.
  func epochCommitted() {
    let now = environment.clock.monotonicNanos()
    guard now &- state.withLock({ $0.lastNanos }) >= Self.intervalNanos else { return }
    make()
  }

  /// Makes a checkpoint of the durable epoch. A failure is told, and is not the job's: the epoch is
  /// durable without.
  func make() {
    let now = environment.clock.monotonicNanos()
    do {
      let made = try store.checkpoint(to: path, committing: false)
      state.withLock { $0 = (now, made.id) }
      let checkpoints = try Checkpoints(at: path, fileSystem: environment.fileSystem)
      try checkpoints.retain(retained, protecting: [made.id])
    } catch {
      state.withLock { $0.lastNanos = now }
      environment.report(JobMessage(.warning, "no checkpoint was made: \(error)"))
    }
  }
}
