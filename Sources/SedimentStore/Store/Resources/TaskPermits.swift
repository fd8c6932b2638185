// How many flushes and merges run at once over all stores that share their resources.
//
// Every store has its threads, which mostly sleep; one of them that has something to do takes a
// permit first. What writers may wait for (flushes, memory, files of the log) goes before merges;
// and a merge, which may take minutes, lends its permit to those every few milliseconds. So no
// writer waits for the end of another store's merge. Merges come in the order of asking, and one
// that lent its permit before all of them.
//
// Concurrency: any thread; one lock.

internal import SedimentIO

/// See the file's header.
// @unchecked because all that changes is guarded by `monitor`.
package final class TaskPermits: @unchecked Sendable {
  private let monitor = Monitor()
  private var free: Int
  /// Threads that have one.
  private var holders: Set<UInt> = []
  private var urgentWaiting = 0
  /// Merges that wait, the next one first.
  private var mergesWaiting: [UInt] = []

  /// So many permits, all free.
  package init(count: Int) { free = count }

  /// How many are taken: never more than there are.
  package var takenCount: Int { monitor.withLock { holders.count } }

  /// Runs `body` with a permit.
  ///
  /// - Parameter isUseless: whether to wait no longer and go on without one; asked again at `wake`.
  package func withPermit<Value>(
    isUrgent: Bool, unless isUseless: () -> Bool, _ body: () throws -> Value
  ) rethrows -> Value {
    take(isUrgent: isUrgent, unless: isUseless)
    defer { giveBack() }
    return try body()
  }

  /// Lets those go first that writers may wait for. Called by a merge; of a thread without a permit
  /// it does nothing.
  package func giveWay(unless isUseless: () -> Bool) {
    let thread = SystemThread.current
    monitor.withLock {
      guard urgentWaiting > 0, free == 0, holders.remove(thread) != nil else { return }
      free += 1
      mergesWaiting.insert(thread, at: 0)
      waitAsMerge(unless: isUseless)
    }
  }

  /// Has those who wait look again whether they should.
  package func wake() { monitor.withLock { monitor.broadcast() } }

  private func take(isUrgent: Bool, unless isUseless: () -> Bool) {
    monitor.withLock {
      guard isUrgent else {
        mergesWaiting.append(SystemThread.current)
        return waitAsMerge(unless: isUseless)
      }
      urgentWaiting += 1
      while free == 0, !isUseless() { monitor.wait() }
      urgentWaiting -= 1
      takeFree()
    }
  }

  /// Waits for the turn of this thread, which stands among the merges. The caller holds the
  /// monitor.
  private func waitAsMerge(unless isUseless: () -> Bool) {
    let thread = SystemThread.current
    monitor.broadcast()
    while free == 0 || urgentWaiting > 0 || mergesWaiting.first != thread, !isUseless() {
      monitor.wait()
    }
    mergesWaiting.removeAll { $0 == thread }
    takeFree()
  }

  /// Takes a permit, if one is free: who waits no longer goes on without. The caller holds the
  /// monitor.
  private func takeFree() {
    if free > 0 {
      free -= 1
      holders.insert(SystemThread.current)
    }
    monitor.broadcast()
  }

  private func giveBack() {
    monitor.withLock {
      guard holders.remove(SystemThread.current) != nil else { return }
      free += 1
      monitor.broadcast()
    }
  }
}
