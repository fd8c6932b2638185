/// The threads of an object that has them end with it: any thread may wait for them, as often as
/// it likes.
///
///     try threads.start(name: "flush") { [self] in run() }
///     …
///     threads.waitUntilEnded()
// @unchecked because the count is touched only with `monitor` held.
public final class SystemThreads: @unchecked Sendable {
  private let monitor = Monitor()
  private var running = 0

  /// No threads yet.
  public init() {}

  /// Starts one; as `SystemThread.init`.
  public func start(
    name: String, _ body: @escaping @Sendable () -> Void
  ) throws(SystemThread.StartError) {
    // Before it runs: it may have ended when its start returns.
    monitor.withLock { running += 1 }
    do throws(SystemThread.StartError) {
      _ = try SystemThread(name: name) { [self] in
        body()
        end()
      }
    } catch {
      end()
      throw error
    }
  }

  private func end() {
    monitor.withLock {
      running -= 1
      monitor.broadcast()
    }
  }

  /// Waits until all that were started have ended.
  public func waitUntilEnded() {
    monitor.withLock {
      while running > 0 { monitor.wait() }
    }
  }
}
