internal import SedimentIO
internal import Synchronization

/// Threads that decide the shards of a batch beside the thread that brought it; while a store is
/// opened they open tables and replay logs.
///
/// Concurrency: one `run` at a time; a second caller does its work alone.
package final class ShardWorkers: @unchecked Sendable {
  // @unchecked because all that changes is guarded by `monitor`.
  private let monitor = Monitor()
  private var body: (@Sendable (Int) -> Void)?
  private var next = 0
  private var total = 0
  private var unfinished = 0
  private var isBusy = false
  private var isStopping = false
  private var threadCount = 0

  /// Starts the threads.
  ///
  /// - Parameter threads: how many, beside the callers of `run`; 0 is possible.
  /// - Throws: `SystemThread.StartError`; no thread is left then.
  package init(threads: Int) throws {
    do {
      for index in 0..<threads {
        let thread = try SystemThread(name: "sediment-shard\(index)") { [self] in work() }
        monitor.withLock { threadCount += 1 }
        _ = consume thread
      }
    } catch {
      stop()
      throw error
    }
  }

  /// Ends the threads. No `run` may follow.
  package func stop() {
    monitor.withLock {
      isStopping = true
      monitor.broadcast()
      while threadCount > 0 { monitor.wait() }
    }
  }

  /// Calls `body` with 0 to `count` − 1, side by side, and returns when all calls have.
  func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
    let isMine = monitor.withLock { () -> Bool in
      guard !isBusy, threadCount > 0, count > 1 else { return false }
      isBusy = true
      self.body = body
      next = 0
      total = count
      unfinished = count
      monitor.broadcast()
      return true
    }
    guard isMine else {
      for index in 0..<count { body(index) }
      return
    }
    while let index = take() {
      body(index)
      finishOne()
    }
    monitor.withLock {
      while unfinished > 0 { monitor.wait() }
      self.body = nil
      isBusy = false
    }
  }

  private func take() -> Int? {
    monitor.withLock {
      guard next < total else { return nil }
      next += 1
      return next - 1
    }
  }

  private func finishOne() {
    monitor.withLock {
      unfinished -= 1
      if unfinished == 0 { monitor.broadcast() }
    }
  }

  private func work() {
    while true {
      let task = monitor.withLock { () -> (Int, @Sendable (Int) -> Void)? in
        while !isStopping && (next >= total || body == nil) { monitor.wait() }
        guard !isStopping, let body else { return nil }
        next += 1
        return (next - 1, body)
      }
      guard let (index, body) = task else { break }
      body(index)
      finishOne()
    }
    monitor.withLock {
      threadCount -= 1
      monitor.broadcast()
    }
  }
}

extension ShardWorkers {
  /// Calls `body` with 0 to `count` − 1, side by side; returns the answers in that order.
  ///
  /// - Throws: of the calls that fail, the error of the one with the least number, whatever their
  ///   timing. Those with larger numbers may not be made any more.
  package func map<Answer: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Answer
  ) throws -> [Answer] {
    let outcome = Mutex(Outcome<Answer>(count: count))
    run(count) { index in
      // Numbers are given out in their order: none below the least that failed is left out.
      guard outcome.withLock({ $0.failure.map { index < $0.index } ?? true }) else { return }
      let answer = Result { try body(index) }
      outcome.withLock { $0.note(answer, of: index) }
    }
    // A thread may let go of the closure later: what was opened must not stay in it.
    let ended = outcome.withLock { outcome in
      defer { outcome = Outcome(count: 0) }
      return outcome
    }
    if let failure = ended.failure { throw failure.error }
    return ended.answers.compactMap(\.self)
  }

  private struct Outcome<Answer: Sendable>: Sendable {
    var answers: [Answer?]
    var failure: (index: Int, error: any Error)?

    init(count: Int) { answers = [Answer?](repeating: nil, count: count) }

    mutating func note(_ answer: Result<Answer, any Error>, of index: Int) {
      switch answer {
      case .success(let answer): answers[index] = answer
      case .failure(let error):
        if failure.map({ index < $0.index }) ?? true { failure = (index, error) }
      }
    }
  }
}
