import CSedimentSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A thread of the engine's own: blocking I/O must not hold up the tasks of Swift's pool.
///
///     let thread = try SystemThread(name: "flush") { flushAll() }
///     thread.join()
public struct SystemThread: ~Copyable, Sendable {
  /// The system has no thread left to give.
  public struct StartError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The system's error number.
    public var systemError: Int32

    public var description: String { "cannot start a thread: \(systemErrorText(systemError))" }
  }

  private final class Start {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// The system's name for it.
  private let thread: UInt64

  /// A number that the calling thread has and no other that runs.
  public static var current: UInt {
    #if canImport(Darwin)
      UInt(bitPattern: pthread_self())
    #else
      UInt(pthread_self())
    #endif
  }

  /// Starts a thread that runs `body`. Debuggers show `name`, of which Linux keeps 15 bytes.
  ///
  /// - Throws: `StartError`.
  public init(name: String, _ body: @escaping @Sendable () -> Void) throws(StartError) {
    let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
    var created: UInt64 = 0
    let code = unsafe sediment_start_thread(Self.begin, start.toOpaque(), &created)
    if code != 0 {
      unsafe start.release()
      throw StartError(systemError: code)
    }
    thread = created
  }

  /// The first function of the thread.
  private static let begin: @convention(c) (UnsafeMutableRawPointer?) -> Void = { context in
    guard let context = unsafe context else { return }
    // SAFETY: `context` is what `init` retained for this one call.
    let start = unsafe Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
    unsafe sediment_name_thread(start.name)
    start.body()
  }

  /// Waits until the body has returned.
  public consuming func join() {
    let thread = thread
    discard self
    let code = sediment_join_thread(thread)
    precondition(code == 0, "join failed: error \(code)")
  }

  deinit {
    // Nobody will wait for it: it cleans up after itself.
    sediment_detach_thread(thread)
  }
}
