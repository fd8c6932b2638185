// The stage before a job that brings records with one key into one partition of a topic.
//
// What ends a session (an epoch that the brokers did not take, partitions that the group gave to
// others) costs what was read since the last commit: the next session goes on from the offsets.
//
// Concurrency: `run` blocks its thread; all else may come from any.

package import SedimentStore
internal import Synchronization

/// Repartitions topics by the key, over as many sessions as it takes.
package final class RepartitionStage: Sendable {
  private struct State {
    var records: UInt64 = 0
    var reader: (any GroupReader)?
  }

  private let options: JobOptions
  private let repartitioning: Repartitioning
  private let seed: HashSeed
  private let partitionCount: Int
  private let environment: JobEnvironment
  private let control = JobControl()
  private let state = Mutex(State())

  /// A stage that has not begun.
  ///
  /// - Parameters:
  ///   - options: those of the job behind it, by which keys are found.
  ///   - seed: of the keys' hashes, the same for all instances of a job, now and later.
  ///   - partitionCount: of the topic that is written.
  package init(
    _ options: JobOptions, _ repartitioning: Repartitioning, seed: HashSeed, partitionCount: Int,
    in environment: JobEnvironment
  ) {
    self.options = options
    self.repartitioning = repartitioning
    self.seed = seed
    self.partitionCount = partitionCount
    self.environment = environment
  }

  /// How far it is.
  package var progress: StageProgress {
    let (records, reader) = state.withLock { ($0.records, $0.reader) }
    return StageProgress(records: records, lag: reader?.lag)
  }

  /// Makes it commit what it has written, and end.
  package func stop() { control.stop() }

  /// Runs until the input ends or it is asked to stop, from session to session where brokers do not
  /// take an epoch.
  ///
  /// - Returns: whether the input has ended.
  /// - Throws: `JobError`.
  package func runToEnd() throws -> Bool {
    guard case .finished = try run() else { return false }
    return true
  }

  func run() throws -> SessionReport.End {
    // What the job behind is at is for itself to show.
    var around = environment
    around.status = nil
    var retry = SessionRetry(options, around, control)
    while true {
      let before = progress.records
      let failure: JobError
      do {
        defer { environment.status?.restStageBefore() }
        return try session().run()
      } catch {
        failure = JobError(wrapping: error)
      }
      let isNoFailure = failure.code == .stopped || failure.code == .epochAborted
      if control.isStopping, isNoFailure { return .stopped }
      if progress.records > before { retry.wentOn() }
      if failure.code == .epochAborted { environment.status?.countAbortedEpoch() }
      try retry.pause(after: failure)
      if control.isStopping { return .stopped }
    }
  }

  private func session() throws -> RepartitionSession {
    try RepartitionSession(
      options, repartitioning,
      by: KeyPartitioner(seed: seed, partitionCount: partitionCount), in: environment,
      control: control,
      onReader: { reader in state.withLock { $0.reader = reader } },
      onCommit: { [self] count in state.withLock { $0.records += count } })
  }
}
