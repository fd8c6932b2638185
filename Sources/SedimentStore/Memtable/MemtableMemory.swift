// Memory of memtables that are gone, kept for those to come.
//
// Fresh memory costs a page fault and a cleared page for each stretch first touched, on the
// writer's path: a seventh of the time of inserting, measured on a virtual machine. A flushed
// memtable gives its memory here instead; a background thread clears the slots; the next freeze
// takes it clean. While there is none to be had that way, the thread takes fresh memory and touches
// it before it is needed.
//
// Where stores share their memory, all that is here counts as held by the store (`MemtableShare`),
// and memory of another size than the one asked for goes back: shares change as stores come and go.
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
    /// The size that was taken last.
    var takenBytes = 0

    var bytes: Int { (clean + dirty).reduce(0) { unsafe $0 + $1.buffer.bytes.count } }

    func count(byteCount: Int) -> Int {
      (clean + dirty).count { unsafe $0.buffer.bytes.count == byteCount }
        + wanted.count { $0 == byteCount }
    }
  }

  private let lists = Mutex(Lists())
  private let countMax: Int
  private let share: MemtableShare?

  /// - Parameters:
  ///   - countMax: buffers kept at most.
  ///   - share: of the memory that stores share; `nil` where they do not.
  package init(countMax: Int, share: MemtableShare? = nil) {
    self.countMax = countMax
    self.share = share
  }

  /// Bytes that are kept.
  var keptBytes: Int { lists.withLock(\.bytes) }

  /// Memory of `byteCount` bytes of which the first `zeroBytes` are zero: kept memory, else fresh.
  func take(byteCount: Int, zeroBytes: Int) throws(AllocationError) -> AlignedBuffer {
    let kept = lists.withLock { lists -> AlignedBuffer? in
      lists.takenBytes = byteCount
      let index = lists.clean.firstIndex {
        unsafe $0.buffer.bytes.count == byteCount && $0.clearedBytes >= zeroBytes
      }
      return index.map { lists.clean.remove(at: $0).buffer }
    }
    if let kept { return kept }
    if share != nil {
      drop()
      lists.withLock { $0.takenBytes = byteCount }
    }
    return try makeFresh(byteCount)
  }

  private func makeFresh(_ byteCount: Int) throws(AllocationError) -> AlignedBuffer {
    let buffer = try AlignedBuffer(byteCount: byteCount, hugePages: true)
    share?.take(byteCount)
    return buffer
  }

  /// Gives back what is kept, and what comes until something is taken again.
  func drop() {
    let dropped = lists.withLock { lists in
      defer { lists = Lists() }
      return lists
    }
    share?.giveBack(dropped.bytes)
  }

  /// Keeps memory for later; beyond the bound, the oldest goes.
  ///
  /// - Parameters:
  ///   - dirtyBytes: leading bytes that may not be zero and must be when it is taken.
  ///   - keeps: whether another of its size is likely to be asked for; else it goes.
  func give(_ buffer: AlignedBuffer, dirtyBytes: Int, keeps: Bool) {
    guard keeps else { return release(buffer) }
    // What is dropped is unmapped outside the lock.
    let dropped = lists.withLock { lists -> AlignedBuffer? in
      if share != nil, unsafe buffer.bytes.count != lists.takenBytes { return buffer }
      lists.dirty.append(Kept(buffer: buffer, clearedBytes: dirtyBytes))
      guard lists.dirty.count + lists.clean.count > countMax else { return nil }
      return (lists.clean.isEmpty ? lists.dirty.removeFirst() : lists.clean.removeFirst()).buffer
    }
    if let dropped { release(dropped) }
  }

  private func release(_ buffer: AlignedBuffer) {
    unsafe share?.giveBack(buffer.bytes.count)
  }

  /// Keeps memory for one that needs no zeros; beyond the bound, the oldest goes.
  func giveClean(_ buffer: AlignedBuffer) {
    let dropped = lists.withLock { lists -> AlignedBuffer? in
      if share != nil, unsafe buffer.bytes.count != lists.takenBytes { return buffer }
      lists.clean.append(Kept(buffer: buffer, clearedBytes: 0))
      return lists.clean.count > countMax ? lists.clean.removeFirst().buffer : nil
    }
    if let dropped { release(dropped) }
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
    guard let byteCount = lists.withLock({ $0.wanted.popLast() }),
      share?.takeIfLeft(byteCount) ?? true
    else { return nil }
    do {
      return Kept(
        buffer: try AlignedBuffer(byteCount: byteCount, hugePages: true), clearedBytes: byteCount)
    } catch {
      share?.giveBack(byteCount)
      // Whoever needs it asks the system itself, and is told.
      return nil
    }
  }
}
