// Hints about files, given to the system by a thread of their own.
//
// A hint promises nothing, and yet the system makes whoever gives it wait while the disk's queue is
// full: for half a second where a device synchronises much at once. Who has a memtable to flush or
// a batch to write must not wait for that, so hints are queued here, and the memory of the system
// takes what is written meanwhile.
//
// A disk takes what it is sent into a cache of its own, and reads and writes beside a
// synchronisation wait for it to end. So that epochs do not leave it seconds' worth to bring to
// rest at once, it is made to synchronise now and then while it is written to.
// ARCHITECTURE.md §4.1 has the figures of both.
//
// Invariants
// 1. Hints of one kind about a file are given in the order in which they came; neighbours become
//    one.
// 2. At most `waitingMax` wait; those beyond are dropped.
// 3. A failed write is still told to the descriptor that was open when it was written, when that is
//    synchronised. One that is opened later may not be told: who writes synchronises.
// 4. There is a thread only while there are hints, and a little longer.
//
// Concurrency: any thread gives hints; `monitor` guards the queue and is not held while the system
// takes one.

import CSedimentSystem

/// The hints that wait. There is one queue for the process: it has nothing of anybody's own.
// @unchecked because all that changes is guarded by `monitor`.
package final class HintQueue: @unchecked Sendable {
  /// What the system is told of a part of a file.
  enum Kind {
    /// It may begin to bring it to the disk.
    case writeBack
    /// It may forget its copy in memory.
    case drop
  }

  private struct Hint {
    var kind: Kind
    var file: SharedDescriptor
    var start: Int64
    var end: Int64
  }

  package static let shared = HintQueue()

  /// Whether a thread is there.
  package var isRunning: Bool { monitor.withLock { hasThread } }

  private let monitor = Monitor()
  private var waiting: [Hint] = []
  private var hasThread = false

  private static let waitingMax = 64
  /// Bytes begun to be written back from one synchronisation to the next.
  private static let synchronizeStep: Int64 = 32 << 20
  /// How long the thread stays when there is nothing to do.
  private static let idleNanos: UInt64 = 1_000_000_000

  /// Gives a hint when the system will take it; never waits for the disk.
  func give(_ kind: Kind, about file: SharedDescriptor, at offset: UInt64, count: Int) {
    guard count > 0, PosixFile.isInRange(offset, count: count) else { return }
    let start = Int64(offset)
    let hint = Hint(kind: kind, file: file, start: start, end: start + Int64(count))
    monitor.withLock {
      if joinsWaiting(hint) || waiting.count == Self.waitingMax { return }
      waiting.append(hint)
      if hasThread {
        monitor.signal()
      } else {
        startThread()
      }
    }
  }

  /// Makes the hint part of one that waits, of bytes that it goes on from or begins within. The
  /// monitor is held.
  private func joinsWaiting(_ hint: Hint) -> Bool {
    let last = waiting.lastIndex { $0.file === hint.file && $0.kind == hint.kind }
    guard let last, waiting[last].start <= hint.start, hint.start <= waiting[last].end
    else { return false }
    waiting[last].end = max(waiting[last].end, hint.end)
    return true
  }

  /// The monitor is held. Without a thread the hints are dropped: they promised nothing.
  private func startThread() {
    do {
      let thread = try SystemThread(name: "sediment-hints") { [self] in run() }
      _ = consume thread
      hasThread = true
    } catch {
      waiting.removeAll()
    }
  }

  private func run() {
    var unsynchronized: Int64 = 0
    while let hint = next() {
      // Closed since: there is nothing to tell of it.
      guard let number = hint.file.begin() else { continue }
      defer { hint.file.end() }
      let count = hint.end - hint.start
      switch hint.kind {
      case .drop: sediment_drop_cached(number, hint.start, count)
      case .writeBack:
        sediment_start_writeback(number, hint.start, count)
        unsynchronized += count
        guard unsynchronized >= Self.synchronizeStep else { continue }
        unsynchronized = 0
        // Whatever file it is: the disk brings all that it holds to rest.
        sediment_synchronize_aside(number)
      }
    }
  }

  /// The next hint; `nil` when there was none for a while, and the thread is to end.
  private func next() -> Hint? {
    monitor.withLock {
      if waiting.isEmpty { _ = monitor.wait(nanoseconds: Self.idleNanos) }
      guard waiting.isEmpty else { return waiting.removeFirst() }
      hasThread = false
      return nil
    }
  }
}
