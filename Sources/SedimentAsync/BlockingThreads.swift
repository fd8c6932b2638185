// Where asynchronous code waits for the disk: threads of its own, never one of Swift's pool.
//
// How it works: a task hands its call over and suspends; the call waits in a queue until a thread
// is free, and when the thread has made it the task goes on with the answer. Threads are started as
// calls need them, up to a number, and end with the object.
//
// Back-pressure is the waiting itself: a task does not go on before its call was made.
//
// Invariants
// 1. A call is either made, once, or cancelled, and its task is told which: whoever takes it out of
//    the queue, a thread or the cancellation, decides it.
// 2. Calls are begun in the order in which they came.
// 3. A task has one call in the queue at most: it is never longer than there are tasks that wait.
//
// Concurrency: any task and any thread may call.

internal import SedimentIO
package import SedimentStore
internal import Synchronization

/// Runs blocking calls on threads of its own, for tasks that await them.
package final class BlockingThreads: Sendable {
  private let queue: CallQueue

  /// - Parameters:
  ///   - name: of the threads, for debuggers; Linux shows 15 bytes.
  ///   - count: how many calls are made side by side at most.
  package init(name: String, count: Int) {
    precondition(count >= 1, "no thread could make a call")
    queue = CallQueue(name: name, threadsMax: count)
  }

  deinit { queue.end() }

  /// Runs `body` on one of the threads and waits for it without holding a thread of Swift's pool.
  ///
  /// - Parameter isCancellable: whether a task that was cancelled before the call was begun gets
  ///   `cancelled` instead. A call that was begun is made to its end in any case.
  /// - Throws: what `body` throws; `cancelled`; `inputOutput` when the system has no thread.
  package nonisolated(nonsending) func run<Answer: Sendable>(
    isCancellable: Bool = true, _ body: @escaping @Sendable () throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    try wrapping { try queue.prepare() }
    let call = Call(body)
    guard isCancellable else { return try await answer(to: call).get() }
    let answer = await withTaskCancellationHandler {
      await self.answer(to: call)
    } onCancel: {
      queue.cancel(call)
    }
    return try answer.get()
  }

  private nonisolated(nonsending) func answer<Answer: Sendable>(
    to call: Call<Answer>
  ) async -> Result<Answer, StoreError> {
    await withCheckedContinuation { continuation in
      call.continuation.withLock { $0 = continuation }
      queue.append(call)
    }
  }

  /// Runs `body` on one of the threads some time; not at all where none was started yet.
  package func post(_ body: @escaping @Sendable () -> Void) {
    guard queue.hasThreads else { return }
    queue.append(PostedCall(body))
  }
}

/// A call on its way to a thread.
///
/// @unchecked because the queue's monitor guards what changes; subclasses say what they add.
private class QueuedCall: @unchecked Sendable {
  enum Phase {
    case new
    /// In the queue, under this ticket.
    case waiting(UInt64)
    case begun, cancelled
  }

  /// Guarded by the queue's monitor.
  final var phase = Phase.new

  /// Makes the call.
  func make() {}
  /// Tells who waits that it will not be made.
  func giveUp() {}
}

/// A call that a task waits for.
///
/// @unchecked because nothing that it adds changes but under its lock.
private final class Call<Answer: Sendable>: QueuedCall, @unchecked Sendable {
  typealias Waiter = CheckedContinuation<Result<Answer, StoreError>, Never>

  let continuation = Mutex<Waiter?>(nil)
  private let body: @Sendable () throws(StoreError) -> Answer

  init(_ body: @escaping @Sendable () throws(StoreError) -> Answer) { self.body = body }

  override func make() {
    do throws(StoreError) {
      resume(.success(try body()))
    } catch {
      resume(.failure(error))
    }
  }

  override func giveUp() {
    resume(
      .failure(
        StoreError(
          .cancelled, "the task was cancelled before the call was begun; nothing was done",
          cause: CancellationError())))
  }

  private func resume(_ answer: Result<Answer, StoreError>) {
    continuation.withLock { $0.take() }?.resume(returning: answer)
  }
}

/// A call that nobody waits for.
///
/// @unchecked because nothing that it adds changes.
private final class PostedCall: QueuedCall, @unchecked Sendable {
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  override func make() { body() }
}

/// The calls that wait for a thread, and the threads.
///
/// @unchecked because whoever touches what changes holds `monitor`.
private final class CallQueue: @unchecked Sendable {
  private let name: String
  private let threadsMax: Int
  private let monitor = Monitor()
  /// By ticket; those of cancelled calls are missing.
  private var waiting: [UInt64: QueuedCall] = [:]
  /// The least ticket that may be waiting, and the next to be given.
  private var first: UInt64 = 0
  private var next: UInt64 = 0
  private var threadCount = 0
  private var idleCount = 0
  private var isEnded = false

  init(name: String, threadsMax: Int) {
    self.name = name
    self.threadsMax = threadsMax
  }

  /// Starts another thread when a call would have to wait for one.
  ///
  /// - Throws: when the system has none to give and there is no other.
  func prepare() throws(SystemThread.StartError) {
    try monitor.withLock { () throws(SystemThread.StartError) in
      guard threadCount < threadsMax, idleCount <= waiting.count else { return }
      do throws(SystemThread.StartError) {
        let thread = try SystemThread(name: name) { [self] in work() }
        // Nobody joins it: it ends by itself when the queue does.
        _ = consume thread
        threadCount += 1
      } catch {
        // The others do it, later.
        if threadCount == 0 { throw error }
      }
    }
  }

  /// Whether there is a thread; then there is one until the end.
  var hasThreads: Bool { monitor.withLock { threadCount > 0 } }

  /// Takes a call in; one that was cancelled on its way is given up.
  func append(_ call: QueuedCall) {
    let isIn = monitor.withLock { () -> Bool in
      if case .cancelled = call.phase { return false }
      call.phase = .waiting(next)
      waiting[next] = call
      next += 1
      monitor.signal()
      return true
    }
    if !isIn { call.giveUp() }
  }

  /// Gives a call up that was not begun.
  func cancel(_ call: QueuedCall) {
    let wasWaiting = monitor.withLock { () -> Bool in
      switch call.phase {
      case .new:
        call.phase = .cancelled
        return false
      case .waiting(let ticket):
        call.phase = .cancelled
        waiting[ticket] = nil
        return true
      case .begun, .cancelled:
        return false
      }
    }
    if wasWaiting { call.giveUp() }
  }

  func end() {
    monitor.withLock {
      isEnded = true
      monitor.broadcast()
    }
  }

  private func work() {
    while let call = take() { call.make() }
  }

  /// Takes the call that has waited longest, or waits for one; `nil` when there will be none.
  private func take() -> QueuedCall? {
    monitor.withLock {
      while waiting.isEmpty && !isEnded {
        idleCount += 1
        monitor.wait()
        idleCount -= 1
      }
      guard !waiting.isEmpty else { return nil }
      while true {
        defer { first += 1 }
        guard let call = waiting.removeValue(forKey: first) else { continue }
        call.phase = .begun
        return call
      }
    }
  }
}
