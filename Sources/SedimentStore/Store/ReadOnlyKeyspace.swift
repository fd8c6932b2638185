// An ordered keyspace at one moment, without the store that it is part of.
//
// It holds its tables' files open, and of a few tables at a time index and blocks. So it reads the
// same whatever a writer merges and unlinks meanwhile.
//
// Concurrency: immutable but for what is kept in memory of the tables; any thread may read.

internal import SedimentIO
internal import Synchronization

/// An ordered keyspace of a `ReadOnlyStore`, as it was at one moment.
///
/// ```swift
/// let words = try ReadOnlyStore.open(at: "state").orderedKeyspace("words")
/// var cursor = words.cursor(prefix: Array("st".utf8))
/// try cursor.seekToFirst()
/// while cursor.isValid {
///   cursor.withEntry { key, value in print(key.byteCount, value.byteCount) }
///   try cursor.moveNext()
/// }
/// ```
///
/// Which moment it is, `ReadOnlyStore.orderedKeyspace(_:)` says. For as long as it lives it keeps
/// its tables' room on disk, and a file open for each.
public final class ReadOnlyKeyspace: Sendable {
  /// The name it was made under.
  public let name: String
  /// What it was made as.
  public let options: OrderedKeyspaceOptions
  /// The epoch of the manifest that named the tables.
  public let epoch: EpochID
  /// What is in no table: of the log, or nothing.
  private let memtable: OrderedMemtable
  private let levels: [[HeldOrderedTable]]
  /// What removals of ranges hide, of the tables and of the log.
  private let removals: RangeRemovalMap
  private let rules: OrderedReadRules
  private let cache: PageCache
  private let opened = OpenedTables()

  /// Bytes of blocks in memory.
  private static let cacheBytes = 16 << 20

  init(
    _ keyspace: OrderedKeyspaceState, epoch: EpochID, memtable: OrderedMemtable,
    tables: [[HeldOrderedTable]], clock: any Clock
  ) throws(AllocationError) {
    name = keyspace.name
    options = keyspace.options
    self.epoch = epoch
    self.memtable = memtable
    levels = tables
    removals = RangeRemovalMap(keyspace.levels.removals + memtable.rangeRemovals)
    rules = OrderedReadRules(
      name: keyspace.name, clock: clock,
      merging: MergeOperatorHolder(keyspace.options.mergeOperator))
    cache = try PageCache(byteBudget: Self.cacheBytes)
  }

  /// The value of a key; `nil` when it is not there, was removed or has expired.
  ///
  /// - Throws: `mergeFailed` where the key has operands of an operator that is not of this library;
  ///   `corrupted`, `unsupportedFormat`, `inputOutput`.
  public func get(_ key: [UInt8]) throws(StoreError) -> [UInt8]? {
    try wrapping {
      try unsafe key.span.bytes.withUnsafeBytes { key in
        try unsafe rules.withValue(of: key, in: self) { value in
          unsafe value.withUnsafeBytes { unsafe Array($0) }
        }
      }
    }
  }

  /// Takes the function of the keyspace's merge operator: reads of operands need it, where the
  /// operator is not of this library.
  ///
  /// - Throws: `optionsDiffer` when the keyspace was made with another.
  public func adopt(_ mergeOperator: MergeOperator) throws(StoreError) {
    guard options.mergeOperator == mergeOperator else {
      throw StoreError(
        .optionsDiffer,
        "keyspace \(name) has merge operator \(options.mergeOperator?.name ?? "none"), not "
          + mergeOperator.name)
    }
    rules.merging.adopt(mergeOperator)
  }

  /// A cursor over the keys from `lower` on, up to and without `upper`; at no entry yet.
  ///
  /// - Parameters:
  ///   - lower: the least key; `nil` for no bound.
  ///   - upper: behind the greatest key; `nil` for no bound.
  public func cursor(from lower: [UInt8]? = nil, to upper: [UInt8]? = nil) -> EntryCursor {
    let deeper = levels.dropFirst().filter { !$0.isEmpty }
    var merge = OrderedMergeCursor(capacity: 1 + levels[0].count + deeper.count)
    merge.add(OrderedSource(OrderedMemtableCursor(memtable)))
    for tables in levels[0].map({ [$0] }) + deeper {
      merge.add(OrderedSource(OrderedLevelCursor(opening: tables, cache: cache)))
    }
    return EntryCursor(
      merge, of: self, sequence: EntryTag.sequenceMax, lower: lower, upper: upper, rules: rules,
      removals: removals)
  }

  /// A cursor over the keys that begin with `prefix`; at no entry yet.
  public func cursor(prefix: [UInt8]) -> EntryCursor {
    cursor(from: prefix, to: OrderedKeyspace.end(ofPrefix: prefix))
  }

}

extension ReadOnlyKeyspace: VersionSource {
  func newestRemoval(of key: UnsafeRawBufferPointer) -> UInt64 {
    unsafe removals.newest(of: key, at: EntryTag.sequenceMax)
  }

  func forEachVersion(
    of key: UnsafeRawBufferPointer, _ body: (EntryTag, UnsafeRawBufferPointer) throws -> Bool
  ) throws {
    let newest = EntryTag.newest(at: EntryTag.sequenceMax)
    guard try unsafe memtable.core.forEachVersion(of: key, from: newest, body) else { return }
    let scratch = LookupScratch()
    for table in unsafe levels.tables(of: key) {
      let reader = try opened.reader(of: table)
      guard
        try unsafe reader.forEachVersion(
          of: key, from: newest, cache: cache, scratch: scratch, body)
      else { return }
    }
  }
}

extension [[HeldOrderedTable]] {
  /// The tables whose bounds take in a key, in the order to look into them: those of level 0, then
  /// at most one a level.
  func tables(of key: UnsafeRawBufferPointer) -> [HeldOrderedTable] {
    joined().filter { unsafe $0.metadata.mayHold(key) }
  }
}

extension OrderedTableMetadata {
  /// Whether a key lies within the bounds.
  func mayHold(_ key: UnsafeRawBufferPointer) -> Bool {
    unsafe smallestKey.withUnsafeBytes { unsafe KeyOrder.compare($0, key) <= 0 }
      && largestKey.withUnsafeBytes { unsafe KeyOrder.compare($0, key) >= 0 }
  }
}

/// The tables that single reads looked into last, open.
private final class OpenedTables: Sendable {
  /// Newest last.
  private let readers = Mutex<[OrderedTableReader]>([])
  /// Eight indexes of tables of 64 MiB are about as many megabytes; of seven levels and a table or
  /// two of level 0 a lookup asks that many.
  private static let countMax = 8

  /// The reader of a table, without its filter: a read of one block decides as well.
  func reader(of table: HeldOrderedTable) throws -> OrderedTableReader {
    let number = table.metadata.number
    let found = readers.withLock { readers -> OrderedTableReader? in
      guard let index = readers.firstIndex(where: { $0.metadata.number == number }) else {
        return nil
      }
      let reader = readers.remove(at: index)
      readers.append(reader)
      return reader
    }
    if let found { return found }
    // Outside the lock: it reads. Two threads may open one table; either reader does.
    let reader = try table.open()
    readers.withLock { readers in
      if readers.count == Self.countMax { readers.removeFirst() }
      readers.append(reader)
    }
    return reader
  }
}
