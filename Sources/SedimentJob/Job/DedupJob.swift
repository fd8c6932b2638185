// A dedup job from start to end, over as many openings of its state as it takes.
//
// A full disk aborts the epoch. The job then goes back to the last durable epoch by the same road
// as after a crash: everything is closed, the state is opened again, and the input is replayed. So
// it does not matter whether the store gave up an epoch or, where the manifest did not fit, itself:
// what a half-written manifest says is for the opening to find out, as after a crash.
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
      try runSessions(&summary)
      guard var summary else { throw JobError(.failed, "the job was stopped before it began") }
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

  /// Opens the state until the run ends or fails for another reason than a full disk.
  private func runSessions(_ summary: inout JobSummary?) throws {
    var fullSince: UInt64?
    while true {
      let failure: JobError
      do {
        let report = try JobSession(options, in: environment, control: control).run()
        summary = JobSummary(report, after: summary)
        // Room was made in between.
        if report.counters.events > 0 { fullSince = nil }
        guard case .failed(let error) = report.end else { return }
        failure = JobError(wrapping: error)
      } catch {
        failure = JobError(wrapping: error)
      }
      guard failure.code == .noSpace else { throw failure }
      let now = environment.clock.monotonicNanos()
      let since = fullSince ?? now
      fullSince = since
      environment.status?.enter(.waiting)
      try requirePatience(failure, waitedMillis: Int64((now &- since) / 1_000_000))
      environment.report(
        JobMessage(
          .warning,
          "the disk is full, and the epoch was given up (\(failure)); trying again every "
            + Figure.duration(options.fullDiskRetryMillis)))
      control.pause(nanoseconds: UInt64(options.fullDiskRetryMillis) * 1_000_000)
      if control.isStopping, summary != nil {
        // What was durable before is all there is to say; the rest of the input is read again.
        summary?.end = .stopped
        return
      }
      if control.isStopping { throw failure }
    }
  }

  private func requirePatience(_ failure: JobError, waitedMillis: Int64) throws(JobError) {
    if let stream = options.sources.first(where: \.isStream) {
      let name = stream == .standardInput ? "standard input" : stream.path
      throw JobError(
        .noSpace,
        "\(failure); \(name) cannot be read again: make room, and send it once more; the "
          + "state is good, and drops what was emitted")
    }
    guard waitedMillis < options.fullDiskPatienceMillis else {
      throw JobError(
        .noSpace, "\(failure); the state is good: make room, and \(options.howToResume)")
    }
  }
}
