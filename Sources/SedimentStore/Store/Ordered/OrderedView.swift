internal import SedimentIO
internal import Synchronization

/// A table of an ordered keyspace that reads can use.
final class OpenOrderedTable: Sendable {
  let reader: OrderedTableReader
  /// For the memory of the reader's index and filter.
  private let grant: ByteGrant

  init(_ reader: OrderedTableReader, of budget: ByteBudget) {
    self.reader = reader
    grant = ByteGrant(reader.memoryBytes, of: budget)
  }
}

/// The tables of an ordered keyspace, open. Immutable.
final class OpenLevels: Sendable {
  let metadata: OrderedLevels
  /// As in `metadata`.
  let tables: [[OpenOrderedTable]]
  /// Whether there is none at all.
  let isEmpty: Bool
  /// What the removals in `metadata` hide.
  let removals: RangeRemovalMap
  /// Of the tables below level 0, level by level, the head of the largest key.
  private let heads: [UInt64]
  /// Where the heads of each level begin, and where the last ones end.
  private let starts: [Int]

  init(_ metadata: OrderedLevels, _ open: [FileNumber: OpenOrderedTable]) {
    self.metadata = metadata
    tables = metadata.tables.map { level in
      level.map { table in
        guard let open = open[table.number] else {
          preconditionFailure("table \(table.number.rawValue) is not open")
        }
        return open
      }
    }
    isEmpty = tables.allSatisfy(\.isEmpty)
    removals = RangeRemovalMap(metadata.removals)
    var heads: [UInt64] = []
    var starts = [0]
    for level in metadata.tables.dropFirst() {
      starts.append(heads.count)
      heads += level.map { unsafe $0.largestKey.withUnsafeBytes { unsafe KeyOrder.head($0) } }
    }
    self.heads = heads
    self.starts = starts + [heads.count]
  }

  /// All of them by number.
  var byNumber: [FileNumber: OpenOrderedTable] {
    var byNumber: [FileNumber: OpenOrderedTable] = [:]
    for table in tables.joined() { byNumber[table.reader.metadata.number] = table }
    return byNumber
  }

  /// The levels after a change.
  func changing(
    adding added: [OpenOrderedTable] = [], _ change: (inout OrderedLevels) -> Void
  ) -> OpenLevels {
    var metadata = self.metadata
    change(&metadata)
    var open = byNumber
    for table in added { open[table.reader.metadata.number] = table }
    return OpenLevels(metadata, open)
  }

  /// The table of a level below 0 in which a key of this head lies, if it is in that level.
  func table(
    of key: UnsafeRawBufferPointer, head: UInt64, in level: Int
  ) -> OpenOrderedTable? {
    let start = starts[level]
    var low = start
    var count = starts[level &+ 1] &- start
    if count == 0 { return nil }
    while count > 0 {
      let half = count &>> 1
      if heads[low &+ half] < head {
        low &+= half &+ 1
        count &-= half &+ 1
      } else {
        count = half
      }
    }
    let tables = self.tables[level]
    // Of tables with this very head the keys decide.
    var index = low &- start
    while index < tables.count, unsafe tables[index].reader.ends(before: key) { index &+= 1 }
    guard index < tables.count, unsafe !tables[index].reader.begins(behind: key) else { return nil }
    return tables[index]
  }
}

extension OrderedTableReader {
  /// Whether all of its keys come before one.
  @inline(__always)
  func ends(before key: UnsafeRawBufferPointer) -> Bool {
    unsafe metadata.largestKey.withUnsafeBytes { unsafe KeyOrder.compare($0, key) < 0 }
  }

  /// Whether all of its keys come behind one.
  @inline(__always)
  func begins(behind key: UnsafeRawBufferPointer) -> Bool {
    unsafe metadata.smallestKey.withUnsafeBytes { unsafe KeyOrder.compare($0, key) > 0 }
  }
}

/// A memtable that waits for its flush.
struct FrozenOrderedMemtable: Sendable {
  let memtable: OrderedMemtable
  /// The number of the last write before it was frozen; all in it is no newer.
  let lastSequence: UInt64
}

/// What an ordered keyspace looks like to a read: an immutable snapshot, but that entries newer
/// than the read come into the active memtable.
final class OrderedView: Sendable {
  let active: OrderedMemtable
  /// Newest first.
  let frozen: [FrozenOrderedMemtable]
  let levels: OpenLevels

  init(active: OrderedMemtable, frozen: [FrozenOrderedMemtable], levels: OpenLevels) {
    self.active = active
    self.frozen = frozen
    self.levels = levels
  }

  /// The number of the newest removal of a range that holds a key and that a read at `sequence`
  /// sees; 0 without one.
  @inline(__always)
  func newestRemoval(of key: UnsafeRawBufferPointer, at sequence: UInt64) -> UInt64 {
    var newest = unsafe active.newestRemoval(of: key, at: sequence)
    for frozen in frozen {
      newest = unsafe max(newest, frozen.memtable.newestRemoval(of: key, at: sequence))
    }
    if levels.removals.isEmpty { return newest }
    return unsafe max(newest, levels.removals.newest(of: key, at: sequence))
  }

  /// Calls `body` with the versions of a key that a read at `sequence` sees, newest first, until it
  /// answers `false`; a removal of a range that holds the key has no say in it.
  ///
  /// - Parameter hasher: hashes the key, once, where there are tables.
  func forEachVersion(
    of key: UnsafeRawBufferPointer, at sequence: UInt64, hasher: KeyHasher, cache: PageCache,
    scratch: LookupScratch, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws {
    let tag = EntryTag.newest(at: sequence)
    guard try unsafe active.forEachVersion(of: key, from: tag, body) else { return }
    for frozen in frozen {
      guard try unsafe frozen.memtable.forEachVersion(of: key, from: tag, body) else { return }
    }
    guard !levels.isEmpty else { return }
    let hash = unsafe hasher.hash(key)
    let head = unsafe KeyOrder.head(key)
    for table in levels.tables[0]
    where unsafe !table.reader.ends(before: key) && !table.reader.begins(behind: key) {
      guard table.reader.mayContain(hash) else { continue }
      guard
        try unsafe table.reader.forEachVersion(
          of: key, from: tag, cache: cache, scratch: scratch, body)
      else { return }
    }
    for level in 1..<OrderedLevels.count {
      guard let table = unsafe levels.table(of: key, head: head, in: level),
        table.reader.mayContain(hash)
      else { continue }
      guard
        try unsafe table.reader.forEachVersion(
          of: key, from: tag, cache: cache, scratch: scratch, body)
      else { return }
    }
  }

  /// What all removals of ranges hide that there are now.
  var removalMap: RangeRemovalMap {
    let fresh = active.rangeRemovals + frozen.flatMap(\.memtable.rangeRemovals)
    return fresh.isEmpty ? levels.removals : RangeRemovalMap(levels.metadata.removals + fresh)
  }

  /// A cursor over everything, at no entry.
  func makeCursor(cache: PageCache?) -> OrderedMergeCursor {
    let deeper = levels.tables.dropFirst().filter { !$0.isEmpty }
    var cursor = OrderedMergeCursor(
      capacity: 1 + frozen.count + levels.tables[0].count + deeper.count)
    cursor.add(OrderedSource(OrderedMemtableCursor(active)))
    for frozen in frozen { cursor.add(OrderedSource(OrderedMemtableCursor(frozen.memtable))) }
    for table in levels.tables[0] {
      cursor.add(OrderedSource(OrderedLevelCursor([table.reader], cache: cache)))
    }
    for level in deeper {
      cursor.add(OrderedSource(OrderedLevelCursor(level.map(\.reader), cache: cache)))
    }
    return cursor
  }
}

extension OrderedMemtable {
  /// Calls `body` with the versions of a key that are no newer than `tag`, newest first, until it
  /// answers `false`.
  ///
  /// - Returns: whether `body` never did.
  func forEachVersion(
    of key: UnsafeRawBufferPointer, from tag: EntryTag,
    _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws -> Bool {
    var node = unsafe core.seek(OrderedMemtableCore.Target(key, tag: tag))
    while !node.isNone, unsafe KeyOrder.compare(core.key(node), key) == 0 {
      guard try unsafe body(core.tag(node), core.value(node)) else { return false }
      node = core.entry(after: node)
    }
    return true
  }
}
