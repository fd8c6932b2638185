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
  /// What the removals in `metadata` hide.
  let removals: RangeRemovalMap
  /// Of `tables`.
  private let probeMemory: TableProbeMemory
  let probes: TableProbes

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
    removals = RangeRemovalMap(metadata.removals)
    probeMemory = TableProbeMemory(tables.map { $0.map(\.reader) })
    probes = probeMemory.probes
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
}

/// A memtable that waits for its flush.
struct FrozenOrderedMemtable: Sendable {
  let memtable: OrderedMemtable
  /// The number of the last write before it was frozen; all in it is no newer.
  let lastSequence: UInt64
}

/// What an ordered keyspace looks like to a read: an immutable snapshot, but that entries newer
/// than the read come into the active memtable.
@safe
final class OrderedView: @unchecked Sendable {
  // @unchecked because of the addresses, of which nothing changes.
  let active: OrderedMemtable
  /// Newest first.
  let frozen: [FrozenOrderedMemtable]
  let levels: OpenLevels
  /// Of all memtables, newest first; and of the tables. What a read walks without counting
  /// references, for all threads share them.
  private let cores: UnsafeMutableBufferPointer<OrderedMemtableCore>
  private let probes: TableProbes

  init(active: OrderedMemtable, frozen: [FrozenOrderedMemtable], levels: OpenLevels) {
    self.active = active
    self.frozen = frozen
    self.levels = levels
    probes = levels.probes
    unsafe cores = .allocate(capacity: 1 + frozen.count)
    _ = unsafe cores.initialize(fromContentsOf: [active.core] + frozen.map(\.memtable.core))
  }

  deinit { unsafe cores.deallocate() }

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
    let coreCount = unsafe cores.count
    for index in 0..<coreCount {
      guard try unsafe cores[index].forEachVersion(of: key, from: tag, body) else { return }
    }
    guard !probes.isEmpty else { return }
    let hash = unsafe hasher.hash(key)
    let (cache, scratch) = unsafe (
      Unmanaged.passUnretained(cache), Unmanaged.passUnretained(scratch)
    )
    try unsafe probes.forEachCandidate(of: key, hash) { table in
      try unsafe cache._withUnsafeGuaranteedRef { cache in
        try unsafe scratch._withUnsafeGuaranteedRef { scratch in
          try unsafe table.forEachVersion(of: key, from: tag, cache: cache, scratch: scratch, body)
        }
      }
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

extension OrderedMemtableCore {
  /// Calls `body` with the versions of a key that are no newer than `tag`, newest first, until it
  /// answers `false`.
  ///
  /// - Returns: whether `body` never did.
  func forEachVersion(
    of key: UnsafeRawBufferPointer, from tag: EntryTag,
    _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws -> Bool {
    var node = unsafe seek(Target(key, tag: tag))
    while !node.isNone, unsafe KeyOrder.compare(self.key(node), key) == 0 {
      guard try unsafe body(self.tag(node), value(node)) else { return false }
      node = entry(after: node)
    }
    return true
  }
}
