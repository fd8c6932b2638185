// The first stage of a job beside the job itself: it runs in a thread of its own, and each of the
// two ends when the other has to.
//
//   asked to stop    both end, each with what it has committed
//   the input ends   the job is told that its topic ends where it ends now
//   one of them fails ─▶ the other is asked to stop; the run fails with what it failed with
//
// Concurrency: `finish` is the job's thread's; the stage's thread calls `ended`. `monitor` guards
// what both look at.

internal import SedimentIO
internal import Synchronization

/// See the file's header.
// @unchecked because everything that changes is touched only with `monitor` held.
final class RepartitionRun: @unchecked Sendable {
  /// Those of the job behind the stage.
  let options: JobOptions
  /// The same of its environment.
  let environment: JobEnvironment
  /// Stops the job behind the stage.
  let control = JobControl()
  private let parent: JobControl
  private let stage: RepartitionStage
  private let following: FollowedTopics?
  private let report: @Sendable (JobMessage) -> Void
  private let monitor = Monitor()
  private var result: Result<SessionReport.End, any Error>?

  /// Makes the topic, and starts the stage.
  init(
    _ options: JobOptions, _ repartitioning: Repartitioning, in environment: JobEnvironment,
    control parent: JobControl
  ) throws {
    self.parent = parent
    report = environment.report
    environment.status?.enter(.starting)
    let partitionCount = try repartitioning.topic.prepare(
      report: environment.report, isStopping: { parent.isStopping })
    guard let partitioning = options.partitioning else {
      throw JobError(.failed, "what is repartitioned is read by several instances")
    }
    let record = try HandoverRecord.agree(
      for: partitioning.group, partitions: [repartitioning.topic.name: partitionCount],
      isByKeyGroup: true, in: partitioning.storage)
    let stage = RepartitionStage(
      options, repartitioning, seed: record.seed, partitionCount: partitionCount,
      in: environment)
    self.stage = stage
    following = options.topics.map { FollowedTopics($0) }
    var next = options
    next.repartitioning = nil
    next.topics = following
    self.options = next
    var around = environment
    around.stageBefore = { stage.progress }
    self.environment = around
    let thread = try SystemThread(name: "sediment-repartition") { [self] in
      ended(Result { try stage.run() })
    }
    _ = consume thread
    parent.setWake { [control] in
      stage.stop()
      control.stop()
    }
    if parent.isStopping {
      stage.stop()
      control.stop()
    }
  }

  /// How far the stage is.
  var progress: StageProgress { stage.progress }

  private func ended(_ result: Result<SessionReport.End, any Error>) {
    switch result {
    case .success(.finished): following?.end()
    case .success, .failure: control.stop()
    }
    monitor.withLock {
      self.result = result
      monitor.broadcast()
    }
  }

  /// Ends the stage, if it has not ended, and waits for it. The job behind it has ended.
  ///
  /// - Parameter failure: what the job failed with.
  /// - Throws: what the stage failed with.
  func finish(after failure: (any Error)?) throws {
    parent.setWake(nil)
    stage.stop()
    let result = monitor.withLock {
      while self.result == nil { monitor.wait() }
      return self.result
    }
    guard case .failure(let error)? = result else { return }
    if let failure {
      report(JobMessage(.warning, "\(JobError(wrapping: failure))"))
    }
    throw error
  }
}

/// Topics of which somebody else knows when they end.
final class FollowedTopics: TopicInput {
  private struct State {
    var reader: (any GroupReader)?
    var hasEnded = false
  }

  private let topics: any TopicInput
  private let state = Mutex(State())

  init(_ topics: any TopicInput) {
    self.topics = topics
  }

  var name: String { topics.name }

  func open(_ start: TopicStart) throws -> any TopicReader {
    throw JobError(.failed, "what is repartitioned is read by several instances")
  }

  func openShare(_ start: TopicStart) throws -> any GroupReader {
    let reader = try topics.openShare(start)
    let hasEnded = state.withLock { state in
      state.reader = reader
      return state.hasEnded
    }
    if hasEnded { reader.endAtEnds() }
    return reader
  }

  /// Whoever writes the topics is done: they end where they end now.
  func end() {
    let reader = state.withLock { state in
      state.hasEnded = true
      return state.reader
    }
    reader?.endAtEnds()
  }
}
