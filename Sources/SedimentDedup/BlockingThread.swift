// Where asynchronous code waits for the disk: a thread of its own, never one of Swift's pool.

internal import SedimentIO
internal import SedimentStore

/// Runs blocking calls one after the other on a thread of its own, for tasks that await them.
///
/// The thread starts with the first call and ends with the object. Any task may call.
final class BlockingThread: Sendable {
  private let queue = CallQueue()

  deinit { queue.end() }

  /// Runs `body` on the thread and waits for it without holding a thread of the pool.
  ///
  /// - Throws: what `body` throws; `inputOutput` when the system has no thread to give.
  func run<Answer: Sendable>(
    _ body: @escaping @Sendable () throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    try wrapping { try queue.start() }
    let result: Result<Answer, StoreError> = await withCheckedContinuation { continuation in
      queue.append {
        let result: Result<Answer, StoreError>
        do throws(StoreError) {
          result = .success(try body())
        } catch {
          result = .failure(error)
        }
        continuation.resume(returning: result)
      }
    }
    return try result.get()
  }
}

/// The calls that wait for the thread.
///
/// @unchecked because whoever touches the state holds `monitor`.
private final class CallQueue: @unchecked Sendable {
  private let monitor = Monitor()
  private var calls: [@Sendable () -> Void] = []
  private var isStarted = false
  private var isEnded = false

  /// Starts the thread when there is none yet.
  func start() throws(SystemThread.StartError) {
    try monitor.withLock { () throws(SystemThread.StartError) in
      guard !isStarted else { return }
      let thread = try SystemThread(name: "sediment-dedup") { [self] in work() }
      // Nobody joins it: it ends by itself when the queue does.
      _ = consume thread
      isStarted = true
    }
  }

  func append(_ call: @escaping @Sendable () -> Void) {
    monitor.withLock {
      calls.append(call)
      monitor.signal()
    }
  }

  func end() {
    monitor.withLock {
      isEnded = true
      monitor.signal()
    }
  }

  private func work() {
    while let calls = take() {
      for call in calls { call() }
    }
  }

  /// Takes the calls that wait, or waits for some; `nil` when there will be none.
  private func take() -> [@Sendable () -> Void]? {
    monitor.withLock {
      while calls.isEmpty && !isEnded { monitor.wait() }
      defer { calls.removeAll() }
      return calls.isEmpty ? nil : calls
    }
  }
}
