package import SedimentIO
internal import Synchronization

/// Where a job puts what it is at, for others to look at. Thread-safe.
package final class StatusBoard: Sendable {
  /// What was seen at a time, for forecasts.
  private struct Sample {
    var nanos: UInt64
    var resources: JobStatus.Resources
  }

  private struct State {
    var status = JobStatus()
    /// Oldest first.
    var samples: [Sample] = []
    var beatNanos: UInt64 = 0
    /// Of the stage before the job, while it runs.
    var stageBeatNanos: UInt64?
  }

  private let clock: any Clock
  private let state: Mutex<State>

  /// Half an hour in samples of ten seconds: merges come and go in less.
  private static let sampleNanos: UInt64 = 10_000_000_000
  private static let samplesMax = 180
  /// A job that has not moved for so long hangs: a batch takes milliseconds, a full disk is told.
  package static let patienceNanos: UInt64 = 60_000_000_000

  /// An empty board.
  package init(clock: any Clock = SystemClock()) {
    self.clock = clock
    state = Mutex(State(beatNanos: clock.monotonicNanos()))
  }

  /// Notes what the job is at from now on.
  package func enter(_ phase: JobStatus.Phase) {
    let now = clock.monotonicNanos()
    state.withLock { state in
      state.status.phase = phase
      state.beatNanos = now
    }
  }

  /// Notes that the brokers did not take an epoch.
  package func countAbortedEpoch() {
    state.withLock { $0.status.abortedEpochs += 1 }
  }

  /// Notes that the job moves.
  package func beat() {
    let now = clock.monotonicNanos()
    state.withLock { $0.beatNanos = now }
  }

  /// Notes that the stage before the job moves.
  package func beatStageBefore() {
    let now = clock.monotonicNanos()
    state.withLock { $0.stageBeatNanos = now }
  }

  /// Notes that the stage before the job need not move: it waits to try again, or has ended.
  package func restStageBefore() {
    state.withLock { $0.stageBeatNanos = nil }
  }

  /// Notes how far the job is.
  package func post(_ progress: JobProgress, _ resources: JobStatus.Resources) {
    let now = clock.monotonicNanos()
    state.withLock { state in
      state.status.progress = progress
      state.status.resources = resources
      if let last = state.samples.last, now &- last.nanos < Self.sampleNanos { return }
      if state.samples.count == Self.samplesMax { state.samples.removeFirst() }
      state.samples.append(Sample(nanos: now, resources: resources))
    }
  }

  /// The last that was noted.
  package var status: JobStatus { state.withLock { $0.status } }

  /// What will come of it; nothing is said of the first ten seconds.
  package var forecast: JobForecast {
    state.withLock { state in
      guard let first = state.samples.first, let last = state.samples.last else {
        return JobForecast()
      }
      return JobForecast(
        from: first.resources, to: last.resources,
        seconds: Double(last.nanos &- first.nanos) / 1e9)
    }
  }

  /// What hangs, and for how many seconds it has not moved; `nil` when all that runs moves.
  package var stuck: (what: String, seconds: UInt64)? {
    let now = clock.monotonicNanos()
    let (job, stage) = state.withLock { state in
      (state.status.phase == .running ? state.beatNanos : nil, state.stageBeatNanos)
    }
    for (what, beatNanos) in [("the job", job), ("the repartitioning", stage)] {
      // It may have moved since the clock was read.
      guard let beatNanos, now > beatNanos, now - beatNanos >= Self.patienceNanos else { continue }
      return (what, (now - beatNanos) / 1_000_000_000)
    }
    return nil
  }
}
