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
  /// - Throws: `JobError`. What is durable is as of the last epoch, and another run goes on from
  ///   it.
  package func run() throws(JobError) -> JobSummary {
    let start = environment.clock.monotonicNanos()
    do {
      try StateDirectory(options, environment).prepare()
      var summary = try runSessions()
      summary.wallNanos = environment.clock.monotonicNanos() &- start
      summary.peakResidentBytes = ProcessStatistics.peakResidentBytes
      summary.stateBytes = try StateDirectory(options, environment).bytes()
      return summary
    } catch {
      throw JobError(wrapping: error)
    }
  }

  private func runSessions() throws -> JobSummary {
    var fullSince: UInt64?
    while true {
      do {
        return try JobSession(options, in: environment, control: control).run()
      } catch {
        let failure = JobError(wrapping: error)
        guard failure.code == .noSpace else { throw failure }
        let now = environment.clock.monotonicNanos()
        let since = fullSince ?? now
        fullSince = since
        try requirePatience(failure, waitedMillis: Int64((now &- since) / 1_000_000))
        environment.report(
          JobMessage(
            .warning,
            "the disk is full, and the epoch was given up (\(failure)); trying again every "
              + Quantity.text(ofMillis: options.fullDiskRetryMillis)))
        control.pause(nanoseconds: UInt64(options.fullDiskRetryMillis) * 1_000_000)
        if control.isStopping { throw failure }
      }
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
        .noSpace, "\(failure); the state is good: make room, and start the same command again")
    }
  }
}
