// What is done about a session that failed: failures that may pass are waited for, others end the
// run.

internal import SedimentIO
internal import SedimentStore

/// The tries of one run.
struct SessionRetry {
  private let options: JobOptions
  private let environment: JobEnvironment
  private let control: JobControl
  private var failingSince: UInt64?

  init(_ options: JobOptions, _ environment: JobEnvironment, _ control: JobControl) {
    self.options = options
    self.environment = environment
    self.control = control
  }

  /// A session went on for a while: it is not failing since an earlier one did.
  mutating func wentOn() { failingSince = nil }

  /// Waits before the next try.
  ///
  /// - Throws: the failure, when it will not pass or has not for long enough.
  mutating func pause(after failure: JobError) throws {
    guard let reason = Reason(failure, options) else { throw failure }
    let now = environment.clock.monotonicNanos()
    let since = failingSince ?? now
    failingSince = since
    if failure.code == .epochAborted { environment.status?.countAbortedEpoch() }
    environment.status?.enter(failure.code == .epochAborted ? .goingBack : .waiting)
    try requirePatience(failure, reason, waitedMillis: Int64((now &- since) / 1_000_000))
    environment.report(
      JobMessage(
        .warning,
        "\(reason.what) (\(failure)); trying again "
          + (failure.code == .noSpace ? "every " : "in ") + Figure.duration(reason.millis)))
    control.pause(nanoseconds: UInt64(reason.millis) * 1_000_000)
  }

  /// A failure that may pass.
  private struct Reason {
    var what: String
    var millis: Int64
    var patienceMillis: Int64
    /// What a person can do when it does not.
    var advice: String

    /// `nil` when it will not pass.
    init?(_ failure: JobError, _ options: JobOptions) {
      switch failure.code {
      case .noSpace:
        what = "the disk is full, and the epoch was given up"
        millis = options.fullDiskRetryMillis
        patienceMillis = options.fullDiskPatienceMillis
        advice = "make room"
      case .epochAborted:
        what = "the epoch was not taken, and was given up"
        millis = options.abortedRetryMillis
        patienceMillis = options.abortedPatienceMillis
        advice = "see to the brokers"
      case .failed, .outputClosed, .stopped: return nil
      }
    }
  }

  private func requirePatience(
    _ failure: JobError, _ reason: Reason, waitedMillis: Int64
  ) throws(JobError) {
    if let stream = options.sources.first(where: \.isStream) {
      let name = stream == .standardInput ? "standard input" : stream.path
      throw JobError(
        failure.code,
        "\(failure); \(name) cannot be read again: \(reason.advice), and send it once more; the "
          + "state is good, and drops what was emitted")
    }
    guard waitedMillis < reason.patienceMillis else {
      throw JobError(
        failure.code,
        "\(failure); the state is good: \(reason.advice), and \(options.howToResume)")
    }
  }
}
