// Memory of memtables that are gone, kept for those to come.
//
// Fresh memory costs a page fault and a cleared page for each stretch first touched, on the
// writer's path: a seventh of the time of inserting, measured on a virtual machine. A flushed
// memtable gives its memory here instead; a background thread clears the slots; the next freeze
// takes it clean.
//
// Concurrency: any thread; a lock guards the lists, and clearing happens outside it.

internal import SedimentIO
internal import Synchronization

/// A bounded pool of memory for memtables of one or a few sizes.
package final class MemtableMemory: Sendable {
  private struct Lists {
    var clean: [AlignedBuffer] = []
    /// With the number of leading bytes to clear.
    var dirty: [(buffer: AlignedBuffer, bytes: Int)] = []
  }

  private let lists = Mutex(Lists())
  private let countMax: Int

  /// - Parameter countMax: buffers kept at most.
  package init(countMax: Int) {
    self.countMax = countMax
  }

  /// Memory whose slots are zero: kept memory of that size, else fresh.
  func take(byteCount: Int) throws(AllocationError) -> AlignedBuffer {
    let kept = lists.withLock { lists -> AlignedBuffer? in
      guard let index = lists.clean.firstIndex(where: { unsafe $0.bytes.count == byteCount }) else {
        return nil
      }
      return lists.clean.remove(at: index)
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
      lists.dirty.append((buffer, dirtyBytes))
      guard lists.dirty.count + lists.clean.count > countMax else { return nil }
      return lists.clean.isEmpty ? lists.dirty.removeFirst().buffer : lists.clean.removeFirst()
    }
  }

  /// Whether `clearOne` has something to do.
  package var hasDirty: Bool { lists.withLock { !$0.dirty.isEmpty } }

  /// Clears one buffer. Runs on a background thread.
  package func clearOne() {
    guard let (buffer, bytes) = lists.withLock({ $0.dirty.popLast() }) else { return }
    if let base = unsafe buffer.bytes.baseAddress {
      // SAFETY: nobody else holds the buffer, and it has at least `bytes` bytes.
      unsafe base.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    }
    lists.withLock { $0.clean.append(buffer) }
  }
}
