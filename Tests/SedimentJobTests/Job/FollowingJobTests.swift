import SedimentIO
import SedimentJob
import SedimentTestKit
import Synchronization
import Testing

/// Whole jobs that follow growing files, stopped and started again.
@Suite struct FollowingJobTests {
  private var harness = JobHarness()

  init() throws {
    harness.options.follows = true
    harness.options.epochIntervalMillis = 1
    try harness.add("in/a", lines: [line(1, 1), line(2, 1)])
  }

  private func line(_ key: Int, _ time: Int) -> String { "{\"k\":\(key),\"t\":\(time)}\n" }

  @Test func whatIsAppendedComesOutAndAStopKeepsThePlace() throws {
    let first = try harness.following { job in
      try job.waitForOutput(line(1, 1) + line(2, 1))
      try harness.disk.append(line(1, 2) + line(3, 2) + "{\"k\":4,", to: "in/a")
      try job.waitForOutput(line(1, 1) + line(2, 1) + line(3, 2))
    }
    #expect(first.end == .stopped && first.counters.events == 4)
    // The line that was half there is a record when its end has come.
    try harness.disk.append("\"t\":3}\n" + line(3, 3), to: "in/a")
    let second = try harness.following { job in
      try job.waitForOutput(line(1, 1) + line(2, 1) + line(3, 2) + line(4, 3))
    }
    #expect(second.counters.events == 2 && second.counters.emitted == 1)
    #expect(second.resumedFrom != nil)
  }

  @Test func aRotatedFileIsReadToItsEndAndThenTheNewOne() throws {
    let messages = MessageLog()
    try harness.following(messages) { job in
      try job.waitForOutput(line(1, 1) + line(2, 1))
      let directory = try harness.disk.openDirectory(at: "in", creating: false)
      try harness.disk.append(line(3, 2), to: "in/a")
      try directory.rename("a", to: "a.1", replacing: false)
      try harness.disk.append(line(4, 2), to: "in/a.1")
      try harness.disk.write(line(1, 3) + line(5, 3), to: "in/a")
      try job.waitForOutput([(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)].map(line).joined())
    }
    #expect(messages.contains("in/a is a new file now"))
    // Both files are given the next time: one is known, and so is the other by its content.
    try harness.disk.append(line(6, 4), to: "in/a")
    harness.disk.onMutation = nil
    var next = harness
    next.options.follows = false
    next.options.sources = [.file("in/a.1"), .file("in/a")]
    let summary = try next.run()
    #expect(summary.counters.emitted == 1)
  }

  @Test func aFileThatWasCutOffIsReadFromItsBeginning() throws {
    let messages = MessageLog()
    let summary = try harness.following(messages) { job in
      try job.waitForOutput(line(1, 1) + line(2, 1))
      try harness.disk.replaceContents(of: "in/a", with: Array(line(7, 2).utf8))
      try job.waitForOutput([(1, 1), (2, 1), (7, 2)].map(line).joined())
    }
    #expect(messages.contains("in/a was cut off: reading it from its beginning"))
    #expect(summary.counters.events == 3)
  }

  @Test func aFileThatComesLaterIsWaitedFor() throws {
    var harness = harness
    harness.options.sources.append(.file("in/later"))
    try harness.following { job in
      try job.waitForOutput(line(1, 1) + line(2, 1))
      try harness.disk.write(line(8, 2), to: "in/later")
      try job.waitForOutput([(1, 1), (2, 1), (8, 2)].map(line).joined())
    }
  }

  @Test func aCrashWhileFollowingRepeatsAndLosesNothing() throws {
    var harness = harness
    var expected = line(1, 1) + line(2, 1)
    for round in 0..<6 {
      try harness.following { job in try job.waitForOutput(expected) }
      let news = (0..<20).map { line(100 + round * 20 + $0, 10 + round) }.joined()
      try harness.disk.append(news + line(1, 10), to: "in/a")
      expected += news
      harness.disk.stopAfterMutations = harness.disk.mutationCount + 3 * round
      #expect(throws: JobError.self) { try harness.following { $0.waitForEnd() } }
      let crashed = harness.disk.crashed(.nothing)
      harness.disk = crashed
    }
    try harness.following { job in try job.waitForOutput(expected) }
  }
}

/// A job that runs beside the test.
final class RunningJob: Sendable {
  private let harness: JobHarness
  private let monitor = Monitor()
  private let hasEnded = Atomic(false)

  fileprivate init(_ harness: JobHarness) {
    self.harness = harness
  }

  fileprivate func wake() {
    monitor.withLock { monitor.broadcast() }
  }

  fileprivate func end() {
    hasEnded.store(true, ordering: .sequentiallyConsistent)
    wake()
  }

  /// Returns when the job has ended by itself.
  func waitForEnd() {
    monitor.withLock {
      while !hasEnded.load(ordering: .sequentiallyConsistent) { monitor.wait() }
    }
  }

  /// Returns when the output is `text`, or when the job has ended.
  func waitForOutput(_ text: String, in path: String = "out") throws {
    try monitor.withLock {
      while try harness.visibleOutput(path) != text,
        !hasEnded.load(ordering: .sequentiallyConsistent)
      {
        monitor.wait()
      }
    }
    if hasEnded.load(ordering: .sequentiallyConsistent) { return }
    #expect(try harness.visibleOutput(path) == text)
  }
}

extension JobHarness {
  /// Runs the job while `body` does, then stops it. Throws what made the job fail, too.
  @discardableResult
  func following(
    _ messages: MessageLog = MessageLog(), _ body: (RunningJob) throws -> Void
  ) throws -> JobSummary {
    let running = RunningJob(self)
    let control = JobControl()
    let outcome = Mutex<Result<JobSummary, any Error>?>(nil)
    disk.onMutation = { _ in running.wake() }
    defer { disk.onMutation = nil }
    let harness = self
    let thread = try SystemThread(name: "job") {
      let result = Result { try harness.run(control: control, messages: messages) }
      outcome.withLock { $0 = result }
      running.end()
    }
    var failure: (any Error)?
    do { try body(running) } catch { failure = error }
    control.stop()
    thread.join()
    if let failure { throw failure }
    return try #require(outcome.withLock { $0 }).get()
  }
}
