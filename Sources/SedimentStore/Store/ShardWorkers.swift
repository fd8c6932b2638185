internal import SedimentIO

/// Threads that decide the shards of a batch beside the thread that brought it.
///
/// Concurrency: one `run` at a time; a second caller does its work alone.
final class ShardWorkers: @unchecked Sendable {
  // @unchecked because all that changes is guarded by `monitor`.
  private let monitor = Monitor()
  private var body: (@Sendable (Int) -> Void)?
  private var next = 0
  private var total = 0
  private var unfinished = 0
  private var isBusy = false
  private var isStopping = false
  private var threadCount = 0

  /// - Parameter threads: how many, beside the callers of `run`; 0 is possible.
  init(threads: Int) throws {
    for index in 0..<threads {
      let thread = try SystemThread(name: "sediment-shard\(index)") { [self] in work() }
      monitor.withLock { threadCount += 1 }
      _ = consume thread
    }
  }

  /// Ends the threads. No `run` may follow.
  func stop() {
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
