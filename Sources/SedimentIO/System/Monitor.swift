#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A mutex and its condition: `Synchronization.Mutex` has none to wait for.
///
///     monitor.lock()
///     while queue.isEmpty { monitor.wait() }
///     let job = queue.removeFirst()
///     monitor.unlock()
// @unchecked because the addresses never change and the system's calls are made for many threads.
@safe public final class Monitor: @unchecked Sendable {
  // On the heap, because neither may ever move.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>

  /// An unlocked monitor.
  public init() {
    unsafe mutex = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition = .allocate(capacity: 1)
    unsafe condition.initialize(to: pthread_cond_t())
    unsafe Self.makeMutex(mutex)
    unsafe Self.makeCondition(condition)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Takes the mutex; not recursive.
  public func lock() {
    let code = unsafe pthread_mutex_lock(mutex)
    precondition(code == 0, "lock failed: error \(code)")
  }

  /// Takes the mutex if nobody holds it; says whether it did.
  public func tryLock() -> Bool {
    let code = unsafe pthread_mutex_trylock(mutex)
    precondition(code == 0 || code == EBUSY, "lock failed: error \(code)")
    return code == 0
  }

  /// Lets go of the mutex, which this thread holds.
  public func unlock() {
    let code = unsafe pthread_mutex_unlock(mutex)
    precondition(code == 0, "unlock failed: error \(code)")
  }

  /// Runs `body` with the mutex held.
  public func withLock<Value, Failure: Error>(
    _ body: () throws(Failure) -> Value
  ) throws(Failure) -> Value {
    lock()
    defer { unlock() }
    return try body()
  }

  /// Lets go of the mutex, waits for a signal and takes it again. May return without one: look at
  /// what you wait for in a loop.
  public func wait() {
    let code = unsafe pthread_cond_wait(condition, mutex)
    precondition(code == 0, "wait failed: error \(code)")
  }

  /// Like `wait()`, but not much longer than `nanoseconds`.
  ///
  /// - Returns: whether there was a signal, or a return without one, before the time was over.
  public func wait(nanoseconds: UInt64) -> Bool {
    let code = timedWait(nanoseconds)
    precondition(code == 0 || code == ETIMEDOUT, "wait failed: error \(code)")
    return code == 0
  }

  /// Wakes one thread that waits.
  public func signal() {
    unsafe pthread_cond_signal(condition)
  }

  /// Wakes all threads that wait.
  public func broadcast() {
    unsafe pthread_cond_broadcast(condition)
  }

  private static func makeMutex(_ mutex: UnsafeMutablePointer<pthread_mutex_t>) {
    #if canImport(Glibc)
      // What is held for less time than a thread takes to sleep is looked at again before.
      var attributes = pthread_mutexattr_t()
      unsafe pthread_mutexattr_init(&attributes)
      unsafe pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
      let code = unsafe pthread_mutex_init(mutex, &attributes)
      unsafe pthread_mutexattr_destroy(&attributes)
    #else
      let code = unsafe pthread_mutex_init(mutex, nil)
    #endif
    precondition(code == 0, "no mutex: error \(code)")
  }

  private static func makeCondition(_ condition: UnsafeMutablePointer<pthread_cond_t>) {
    #if canImport(Darwin)
      let code = unsafe pthread_cond_init(condition, nil)
    #else
      // Timed waits go by the clock that nobody sets.
      var attributes = pthread_condattr_t()
      unsafe pthread_condattr_init(&attributes)
      unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
      let code = unsafe pthread_cond_init(condition, &attributes)
      unsafe pthread_condattr_destroy(&attributes)
    #endif
    precondition(code == 0, "no condition: error \(code)")
  }

  private func timedWait(_ nanoseconds: UInt64) -> Int32 {
    // A century is as good as for ever, and cannot overflow.
    let bounded = Int64(min(nanoseconds, 3_153_600_000_000_000_000))
    #if canImport(Darwin)
      var span = timespec(
        tv_sec: Int(bounded / 1_000_000_000), tv_nsec: Int(bounded % 1_000_000_000))
      return unsafe pthread_cond_timedwait_relative_np(condition, mutex, &span)
    #else
      let now = SystemTime.read(.monotonic)
      let sum = now.nanoseconds + bounded % 1_000_000_000
      let seconds = now.seconds + bounded / 1_000_000_000 + sum / 1_000_000_000
      var end = timespec(tv_sec: Int(seconds), tv_nsec: Int(sum % 1_000_000_000))
      return unsafe pthread_cond_timedwait(condition, mutex, &end)
    #endif
  }
}
