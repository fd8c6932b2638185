// Memory of memtables that are gone, kept for those to come.
//
// Fresh memory costs a page fault and a cleared page for each stretch first touched, on the
// writer's path: a seventh of the time of inserting, measured on a virtual machine. A flushed
// memtable gives its memory here instead; a background thread clears the slots; the next freeze
// takes it clean. While there is none to be had that way, the thread takes fresh memory and touches
// it before it is needed.
//
// Concurrency: any thread; a lock guards the lists, and clearing happens outside it.

internal import SedimentIO
internal import Synchronization

/// A bounded pool of memory for memtables of one or a few sizes.
///
/// Memtables of different layouts may be equal in size and differ in how much of it are slots, so a
/// buffer goes only to one whose slots lie within the bytes that were cleared.
package final class MemtableMemory: Sendable {
  private struct Kept {
    var buffer: AlignedBuffer
    /// Leading bytes that are zero, or are to be cleared.
    var clearedBytes: Int
  }

  private struct Lists {
    var clean: [Kept] = []
    var dirty: [Kept] = []
    /// Sizes of fresh memory to be touched.
    var wanted: [Int] = []

    func count(byteCount: Int) -> Int {
      (clean + dirty).count { unsafe $0.buffer.bytes.count == byteCount }
        + wanted.count { $0 == byteCount }
    }
  }

  private let lists = Mutex(Lists())
  private let countMax: Int

  /// - Parameter countMax: buffers kept at most.
  package init(countMax: Int) {
    self.countMax = countMax
  }

  /// Memory of `byteCount` bytes of which the first `zeroBytes` are zero: kept memory, else fresh.
  func take(byteCount: Int, zeroBytes: Int) throws(AllocationError) -> AlignedBuffer {
    let kept = lists.withLock { lists -> AlignedBuffer? in
      let index = lists.clean.firstIndex {
        unsafe $0.buffer.bytes.count == byteCount && $0.clearedBytes >= zeroBytes
      }
      return index.map { lists.clean.remove(at: $0).buffer }
    }
    if let kept { return kept }
    return try AlignedBuffer(byteCount: byteCount, hugePages: true)
  }

  /// Keeps memory for later; beyond the bound, the oldest goes.
  ///
  /// - Parameter dirtyBytes: leading bytes that may not be zero and must be when it is taken.
  func give(_ buffer: AlignedBuffer, dirtyBytes: Int) {
    // What is dropped is unmapped outside the lock.
    _ = lists.withLock { lists -> AlignedBuffer? in
      lists.dirty.append(Kept(buffer: buffer, clearedBytes: dirtyBytes))
      guard lists.dirty.count + lists.clean.count > countMax else { return nil }
      return (lists.clean.isEmpty ? lists.dirty.removeFirst() : lists.clean.removeFirst()).buffer
    }
  }

  /// Keeps memory for one that needs no zeros; beyond the bound, the oldest goes.
  func giveClean(_ buffer: AlignedBuffer) {
    _ = lists.withLock { lists -> AlignedBuffer? in
      lists.clean.append(Kept(buffer: buffer, clearedBytes: 0))
      return lists.clean.count > countMax ? lists.clean.removeFirst().buffer : nil
    }
  }

  /// Asks for memory of that size to be there before it is taken.
  func want(byteCount: Int) {
    lists.withLock { lists in
      if lists.count(byteCount: byteCount) < countMax { lists.wanted.append(byteCount) }
    }
  }

  /// Whether `prepareOne` has something to do.
  package var hasWork: Bool { lists.withLock { !$0.dirty.isEmpty || !$0.wanted.isEmpty } }

  /// Clears one buffer, or touches a fresh one. Runs on the threads that flush and merge.
  package func prepareOne() {
    guard let kept = lists.withLock({ $0.dirty.popLast() }) ?? makeWanted() else { return }
    if let base = unsafe kept.buffer.bytes.baseAddress {
      // SAFETY: nobody else holds the buffer, and it has at least `clearedBytes` bytes.
      unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: kept.clearedBytes)
    }
    lists.withLock { $0.clean.append(kept) }
  }

  private func makeWanted() -> Kept? {
    guard let byteCount = lists.withLock({ $0.wanted.popLast() }) else { return nil }
    do {
      return Kept(
        buffer: try AlignedBuffer(byteCount: byteCount, hugePages: true), clearedBytes: byteCount)
    } catch {
      // Whoever needs it asks the system itself, and is told.
      return nil
    }
  }
}
