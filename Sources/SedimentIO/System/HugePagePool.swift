// Memory from huge pages in pieces that are no multiple of them.
//
// A mapping of a few megabytes has huge pages only where one lies in it whole: of 3 MB that is
// mostly one of them, and the rest are pages of 4 KiB, nearly each of which a random access has to
// look up. So pieces are cut from blocks of 64 MiB, side by side, at the lowest place that is free.
// A huge page in which no piece lies any more goes back to the system.
//
// Invariants
// 1. A unit that is not taken belongs to no piece; pieces never overlap.
// 2. Bytes of a huge page count as resident from when a piece first reaches into it until none
//    does.
//
// Concurrency: any thread may take and give back; one lock, held for as long as it takes to go
// through bits.

import Synchronization

/// A piece of memory from a pool, which goes back when the last reference goes. Its bytes are of
/// any content.
// @unchecked because the addresses never change, and the bytes are for the holders to share.
@safe public final class PooledMemory: @unchecked Sendable {
  /// All bytes; valid for as long as this lives. They begin at a multiple of
  /// `HugePagePool.unitBytes`.
  public let bytes: UnsafeMutableRawBufferPointer
  private let pool: HugePagePool

  fileprivate init(_ bytes: UnsafeMutableRawBufferPointer, of pool: HugePagePool) {
    unsafe self.bytes = unsafe bytes
    self.pool = pool
  }

  deinit { unsafe pool.giveBack(bytes) }
}

/// Memory from huge pages, where the system gives them.
public final class HugePagePool: Sendable {
  /// The pool of the process.
  public static let shared = HugePagePool()

  /// What pieces are rounded up to.
  public static let unitBytes = 64 << 10
  /// The largest piece.
  public static let pieceBytesMax = blockBytes / 2
  fileprivate static let blockBytes = 64 << 20
  fileprivate static let pageBytes = 2 << 20
  fileprivate static let unitsPerPage = pageBytes / unitBytes

  /// One mapping.
  @safe fileprivate final class Block {
    let memory: AlignedBuffer
    /// Its first huge page.
    let base: UnsafeMutableRawPointer
    var isTaken = [Bool](repeating: false, count: HugePagePool.blockBytes / HugePagePool.unitBytes)
    /// Of each huge page, how many of its units are taken.
    var takenUnits = [Int](repeating: 0, count: HugePagePool.blockBytes / HugePagePool.pageBytes)
    var takenCount = 0

    init() throws(AllocationError) {
      memory = try AlignedBuffer(
        byteCount: HugePagePool.blockBytes + HugePagePool.pageBytes, hugePages: true)
      guard let start = unsafe memory.bytes.baseAddress else {
        throw AllocationError(byteCount: HugePagePool.blockBytes)
      }
      unsafe base = start.alignedUp(toMultipleOf: HugePagePool.pageBytes)
    }
  }

  private struct State {
    var blocks: [Block] = []
  }

  private let state = Mutex(State())

  /// An empty pool.
  public init() {}

  /// Bytes in pieces, and bytes of huge pages that pieces reach into.
  public var byteCounts: (taken: Int, resident: Int) {
    state.withLock { state in
      let units = state.blocks.reduce(0) { $0 + $1.takenCount }
      let pages = state.blocks.reduce(0) { $0 + $1.takenUnits.count { $0 > 0 } }
      return (units * Self.unitBytes, pages * Self.pageBytes)
    }
  }

  /// Takes a piece of at least so many bytes, 1 to `pieceBytesMax`.
  ///
  /// - Throws: `AllocationError` when the system gives no memory, or for any other count.
  public func take(byteCount: Int) throws(AllocationError) -> PooledMemory {
    guard byteCount >= 1, byteCount <= Self.pieceBytesMax else {
      throw AllocationError(byteCount: byteCount)
    }
    let units = (byteCount + Self.unitBytes - 1) / Self.unitBytes
    let start = try state.withLock { state throws(AllocationError) in
      for block in state.blocks {
        if let start = unsafe block.take(units) { return unsafe Address(pointer: start) }
      }
      let block = try Block()
      state.blocks.append(block)
      guard let start = unsafe block.take(units) else {
        throw AllocationError(byteCount: byteCount)
      }
      return unsafe Address(pointer: start)
    }
    return unsafe PooledMemory(
      UnsafeMutableRawBufferPointer(start: start.pointer, count: byteCount), of: self)
  }

  // @unchecked because it is on its way to who will own the piece.
  @safe private struct Address: @unchecked Sendable {
    let pointer: UnsafeMutableRawPointer
  }

  fileprivate func giveBack(_ bytes: UnsafeMutableRawBufferPointer) {
    guard let base = bytes.baseAddress else { return }
    let address = unsafe Address(pointer: base)
    let units = (bytes.count + Self.unitBytes - 1) / Self.unitBytes
    state.withLock { state in
      let index = state.blocks.firstIndex { block in
        let offset = unsafe address.pointer - block.base
        return offset >= 0 && offset < Self.blockBytes
      }
      guard let index else { preconditionFailure("memory of another pool") }
      let block = state.blocks[index]
      block.giveBack(first: (unsafe address.pointer - block.base) / Self.unitBytes, units)
      if block.takenCount == 0 { state.blocks.remove(at: index) }
    }
  }
}

extension HugePagePool.Block {
  /// Takes units at the lowest place that has as many.
  func take(_ units: Int) -> UnsafeMutableRawPointer? {
    guard takenCount + units <= isTaken.count else { return nil }
    var free = 0
    for unit in isTaken.indices {
      free = isTaken[unit] ? 0 : free + 1
      guard free == units else { continue }
      let first = unit + 1 - units
      set(first, units, isTaken: true)
      return unsafe base + first * HugePagePool.unitBytes
    }
    return nil
  }

  func giveBack(first: Int, _ units: Int) {
    set(first, units, isTaken: false)
    let pages = first / HugePagePool.unitsPerPage...(first + units - 1) / HugePagePool.unitsPerPage
    for page in pages where takenUnits[page] == 0 {
      let offset = unsafe base - (memory.bytes.baseAddress ?? base)
      let start = offset + page * HugePagePool.pageBytes
      // What the system does not take back is used again.
      try? memory.discardPages(in: start..<start + HugePagePool.pageBytes)
    }
  }

  private func set(_ first: Int, _ units: Int, isTaken: Bool) {
    for unit in first..<first + units {
      precondition(self.isTaken[unit] != isTaken, "a unit that was taken or given back twice")
      self.isTaken[unit] = isTaken
      takenUnits[unit / HugePagePool.unitsPerPage] += isTaken ? 1 : -1
    }
    takenCount += isTaken ? units : -units
  }
}
