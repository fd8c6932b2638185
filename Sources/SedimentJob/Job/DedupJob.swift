// A dedup job from start to end, over as many openings of its state as it takes.
//
// A full disk aborts the epoch. The job then goes back to the last durable epoch by the same road
// as after a crash: everything is closed, the state is opened again, and the input is replayed. So
// it does not matter whether the store gave up an epoch or, where the manifest did not fit, itself:
// what a half-written manifest says is for the opening to find out, as after a crash.
//
// An epoch that the brokers did not take goes the same road: what is in memory holds keys of
// records that nobody will ever see, and must not be gone on with.
//
// Concurrency: `run` blocks its thread; `JobControl.stop` may come from any.

internal import SedimentIO
internal import SedimentStore

/// Removes duplicates from inputs, with state that outlives the run.
package struct DedupJob: Sendable {
  private let options: JobOptions
  private let environment: JobEnvironment
  private let control: JobControl

  /// A job that has not begun.
  package init(
    _ options: JobOptions, in environment: JobEnvironment, control: JobControl = JobControl()
  ) {
    self.options = options
    self.environment = environment
    self.control = control
  }

  /// Runs until the input ends or the job is asked to stop.
  ///
  /// - Returns: what the run did; all of it is durable.
  /// - Throws: `JobError`, with a summary of what is durable, as of the last epoch; another run
  ///   goes on from it.
  package func run() throws(JobError) -> JobSummary {
    let start = environment.clock.monotonicNanos()
    var summary: JobSummary?
    do {
      try ColumnCheck(options, environment.inputs).run()
      try StateDirectory(options, environment).prepare()
      try runStages(&summary)
      guard var summary else { throw JobError(.stopped, "the job was stopped before it began") }
      try complete(&summary, since: start)
      return summary
    } catch {
      var failure = JobError(wrapping: error)
      failure.summary = completed(summary, since: start)
      throw failure
    }
  }

  private func complete(_ summary: inout JobSummary, since start: UInt64) throws {
    summary.wallNanos = environment.clock.monotonicNanos() &- start
    summary.peakResidentBytes = ProcessStatistics.peakResidentBytes
    summary.stateBytes = try StateDirectory(options, environment).bytes()
  }

  /// The summary of a run that failed, as far as it can be told.
  private func completed(_ summary: JobSummary?, since start: UInt64) -> JobSummary? {
    guard var summary else { return nil }
    summary.end = .failed
    do {
      try complete(&summary, since: start)
    } catch {
      environment.report(JobMessage(.detail, "the size of the state is not known: \(error)"))
    }
    return summary
  }

  /// Runs the job, and the stage before it where there is one.
  private func runStages(_ summary: inout JobSummary?) throws {
    guard let repartitioning = options.repartitioning else { return try runSessions(&summary) }
    let run = try RepartitionRun(options, repartitioning, in: environment, control: control)
    let stage = DedupJob(run.options, in: run.environment, control: run.control)
    var failure: (any Error)?
    do {
      try stage.runSessions(&summary)
    } catch {
      failure = error
    }
    let finished = Result { try run.finish(after: failure) }
    let (progress, lag) = (run.progress, summary?.lag)
    summary?.repartitioned = progress.records
    summary?.lag = TopicLag.sum(progress.lag, lag)
    try finished.get()
    if let failure { throw failure }
  }

  /// Opens the state until the run ends or fails for another reason than those that may pass: a
  /// full disk, and brokers that did not take an epoch.
  private func runSessions(_ summary: inout JobSummary?) throws {
    var retry = SessionRetry(options, environment, control)
    while true {
      let failure: JobError
      do {
        let report = try session()
        summary = JobSummary(report, after: summary)
        // It went on in between.
        if report.counters.events > 0 { retry.wentOn() }
        guard case .failed(let error) = report.end else { return }
        failure = JobError(wrapping: error)
      } catch {
        failure = JobError(wrapping: error)
      }
      // What was durable before is all there is to say; the rest of the input is read again.
      if failure.code == .stopped, summary != nil {
        summary?.end = .stopped
        return
      }
      try retry.pause(after: failure)
      if control.isStopping, summary != nil {
        summary?.end = .stopped
        return
      }
      if control.isStopping { throw failure }
    }
  }

  /// One opening of the state, or of those of the partitions that the group gives.
  private func session() throws -> SessionReport {
    if let partitioning = options.partitioning {
      return try PartitionedSession(
        options, partitioning, in: environment, control: control
      ).run()
    }
    return try JobSession(options, in: environment, control: control).run()
  }
}
