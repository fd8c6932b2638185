internal import CSedimentKernels

/// What a lookup asks of the tables of an ordered keyspace before it reads of one: first and last
/// key, and the filter.
///
/// A trivial value, good as long as the `TableProbeMemory` it is of: while it is walked no
/// reference is counted, for threads that read at the same time would pass the counts back and
/// forth.
@safe
struct TableProbes: BitwiseCopyable, @unchecked Sendable {
  // @unchecked because nothing of it changes.
  /// One table.
  @safe
  fileprivate struct Probe {
    let firstHead: UInt64
    let lastHead: UInt64
    let first: UnsafeRawBufferPointer
    let last: UnsafeRawBufferPointer
    let filter: FilterProbe
    let table: Unmanaged<OrderedTableReader>
  }

  /// Level by level.
  fileprivate let probes: UnsafePointer<Probe>
  /// Where the probes of each level begin, and where the last ones end.
  fileprivate let starts: InlineArray<8, Int>

  /// Whether there is no table.
  var isEmpty: Bool { starts[OrderedLevels.count] == 0 }

  /// Calls `body` with the tables that may hold a key, newest first, until it answers `false`.
  @inline(__always)
  func forEachCandidate(
    of key: UnsafeRawBufferPointer, _ hash: KeyHash, _ body: (OrderedTableReader) throws -> Bool
  ) rethrows {
    let head = unsafe KeyOrder.head(key)
    var index = 0
    while index < starts[1] {
      let probe = unsafe probes + index
      index &+= 1
      guard unsafe !Self.ends(probe, before: key, head),
        unsafe !Self.begins(probe, behind: key, head), unsafe probe.pointee.filter.mayContain(hash)
      else { continue }
      guard try unsafe probe.pointee.table._withUnsafeGuaranteedRef(body) else { return }
    }
    for level in 1..<OrderedLevels.count {
      let index = unsafe firstEnding(notBefore: key, head, in: level)
      guard index < starts[level &+ 1] else { continue }
      let probe = unsafe probes + index
      guard unsafe !Self.begins(probe, behind: key, head),
        unsafe probe.pointee.filter.mayContain(hash)
      else { continue }
      guard try unsafe probe.pointee.table._withUnsafeGuaranteedRef(body) else { return }
    }
  }

  /// The first table of a level below 0 that does not end before a key.
  @inline(__always)
  private func firstEnding(
    notBefore key: UnsafeRawBufferPointer, _ head: UInt64, in level: Int
  ) -> Int {
    let end = starts[level &+ 1]
    var low = starts[level]
    var count = end &- low
    while count > 0 {
      let half = count &>> 1
      if unsafe probes[low &+ half].lastHead < head {
        low &+= half &+ 1
        count &-= half &+ 1
      } else {
        count = half
      }
    }
    // Of tables with this very head the keys decide.
    while low < end, unsafe Self.ends(probes + low, before: key, head) { low &+= 1 }
    return low
  }

  @inline(__always)
  private static func ends(
    _ probe: UnsafePointer<Probe>, before key: UnsafeRawBufferPointer, _ head: UInt64
  ) -> Bool {
    let lastHead = unsafe probe.pointee.lastHead
    return unsafe lastHead == head
      ? KeyOrder.compare(probe.pointee.last, key) < 0 : lastHead < head
  }

  @inline(__always)
  private static func begins(
    _ probe: UnsafePointer<Probe>, behind key: UnsafeRawBufferPointer, _ head: UInt64
  ) -> Bool {
    let firstHead = unsafe probe.pointee.firstHead
    return unsafe firstHead == head
      ? KeyOrder.compare(probe.pointee.first, key) > 0 : firstHead > head
  }
}

/// The memory of `TableProbes`.
@safe
final class TableProbeMemory: @unchecked Sendable {
  // @unchecked because nothing of it changes.
  let probes: TableProbes
  private let memory: UnsafeMutableBufferPointer<TableProbes.Probe>
  /// The keys of all.
  private let keys: UnsafeMutableRawBufferPointer

  /// - Parameter levels: of level 0 newest first, of the others in order of keys. Whoever looks
  ///   something up keeps them.
  init(_ levels: [[OrderedTableReader]]) {
    precondition(levels.count == OrderedLevels.count && OrderedLevels.count == 7)
    let tables = Array(levels.joined())
    let keyBytes = tables.reduce(0) {
      $0 + $1.metadata.smallestKey.count + $1.metadata.largestKey.count
    }
    unsafe keys = .allocate(byteCount: max(keyBytes, 1), alignment: 8)
    unsafe memory = .allocate(capacity: max(tables.count, 1))
    var starts = InlineArray<8, Int>(repeating: tables.count)
    var start = 0
    for (level, tables) in levels.enumerated() {
      starts[level] = start
      start += tables.count
    }
    var used = 0
    for (index, table) in tables.enumerated() {
      let first = unsafe Self.copy(table.metadata.smallestKey, to: keys, &used)
      let last = unsafe Self.copy(table.metadata.largestKey, to: keys, &used)
      let probe = unsafe TableProbes.Probe(
        firstHead: KeyOrder.head(first), lastHead: KeyOrder.head(last), first: first, last: last,
        filter: table.filter.probe, table: Unmanaged.passUnretained(table))
      unsafe memory.initializeElement(at: index, to: probe)
    }
    probes = unsafe TableProbes(
      probes: UnsafePointer(memory.baseAddress.unsafelyUnwrapped), starts: starts)
  }

  deinit {
    unsafe memory.deallocate()
    unsafe keys.deallocate()
  }

  private static func copy(
    _ key: [UInt8], to memory: UnsafeMutableRawBufferPointer, _ used: inout Int
  ) -> UnsafeRawBufferPointer {
    let room = unsafe UnsafeMutableRawBufferPointer(rebasing: memory[used..<(used + key.count)])
    unsafe room.copyBytes(from: key)
    used += key.count
    return UnsafeRawBufferPointer(room)
  }
}
