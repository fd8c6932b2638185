// Writes what a flush or merge of an ordered keyspace keeps, one table after the other.
//
// Tables are cut between keys: all versions of one lie in one table.

internal import SedimentIO

/// Writes the tables of one flush or merge.
struct OrderedRunWriter: ~Copyable {
  private let store: StoreCore
  private let keyspace: OrderedKeyspace
  private let tableBytesMax: UInt64
  private let expectedEntriesPerTable: Int
  private let nowMillis: Int64
  private var retention: OrderedRetention
  private var table: OrderedTableWriter?
  private var tableName = ""
  private var finished: [OrderedTableMetadata] = []
  /// The key of the entry before, and whether anything of it was written.
  private var lastKey = KeyCopy()
  private var hasWrittenKey = false

  /// - Parameters:
  ///   - tableBytesMax: size at which another table is begun.
  ///   - expectedEntries: at the most; `expectedBytes` about.
  init(
    store: StoreCore, keyspace: OrderedKeyspace, isBottommost: Bool, tableBytesMax: UInt64,
    expectedEntries: Int, expectedBytes: UInt64
  ) {
    self.store = store
    self.keyspace = keyspace
    self.tableBytesMax = tableBytesMax
    let tables = tableBytesMax == .max ? 1 : expectedBytes / tableBytesMax + 1
    expectedEntriesPerTable = expectedEntries / Int(tables) + 1
    nowMillis = store.options.clock.nowMillis()
    retention = OrderedRetention(
      OrderedRetention.Rules(
        snapshots: store.snapshots.sequences, isBottommost: isBottommost))
  }

  /// Writes everything a cursor has; returns the tables, open, in order of keys.
  ///
  /// - Parameter givesWay: whether to look now and then at what is more urgent.
  consuming func write(
    _ cursor: consuming OrderedMergeCursor, givesWay: Bool
  ) throws -> [OpenOrderedTable] {
    do {
      try writeEntries(&cursor, givesWay: givesWay)
      try endTable()
      return try finished.map { try store.open($0) }
    } catch {
      table = nil
      if !tableName.isEmpty { store.abandonFile(tableName) }
      store.giveUp(finished.map(\.number))
      throw error
    }
  }

  private mutating func writeEntries(
    _ cursor: inout OrderedMergeCursor, givesWay: Bool
  ) throws {
    let lookInterval = min(store.options.mergeLookInterval, 8192)
    var untilLook = lookInterval
    try cursor.seekToFirst()
    while cursor.isValid {
      // Large values take as long as many small ones.
      untilLook -= 1 + (unsafe cursor.value.count) / 512
      try append(cursor)
      try cursor.moveNext()
      if untilLook <= 0 {
        if givesWay {
          // Whoever closes the store does not wait for the end of a long merge.
          try store.checkWritable()
          try store.performUrgentTasks()
        }
        untilLook = lookInterval
      }
    }
  }

  private mutating func append(_ cursor: borrowing OrderedMergeCursor) throws {
    let key = unsafe cursor.key
    if unsafe !lastKey.isEqual(to: key) {
      retention.beginKey()
      unsafe lastKey.set(to: key)
      hasWrittenKey = false
    }
    let tag = cursor.tag
    let value = unsafe cursor.value
    let isExpired = unsafe tag.expires && EntryExpiry.time(of: value) <= nowMillis
    switch retention.decide(tag, isExpired: isExpired) {
    case .drop: return
    case .keep(let tag): try unsafe append(key, tag, value)
    case .keepWithoutValue(let tag):
      try unsafe append(key, tag, UnsafeRawBufferPointer(start: nil, count: 0))
    }
  }

  private mutating func append(
    _ key: UnsafeRawBufferPointer, _ tag: EntryTag, _ value: UnsafeRawBufferPointer
  ) throws {
    if !hasWrittenKey, (table?.estimatedFileBytes ?? 0) >= tableBytesMax { try endTable() }
    hasWrittenKey = true
    if !isInTable { try beginTable() }
    try unsafe table?.append(key: key, tag: tag, value: value)
  }

  private var isInTable: Bool {
    switch table {
    case .some: true
    case .none: false
    }
  }

  private mutating func beginTable() throws {
    let number = store.allocateFileNumber()
    tableName = number.tableName
    store.beginFile(tableName)
    table = try OrderedTableWriter(
      directory: store.directory,
      plan: OrderedTableWriter.Plan(
        number: number, fileID: .random(in: .min ... .max), seed: store.seed,
        expectedEntries: expectedEntriesPerTable,
        filterBitsPerKey: Int(keyspace.options.filterBitsPerKey),
        compression: keyspace.options.compression))
  }

  private mutating func endTable() throws {
    guard let writer = table.take() else { return }
    guard let (metadata, file) = try writer.finishUnsynchronized() else { return }
    tableName = ""
    finished.append(metadata)
    try store.noteUnsynchronized(file, named: metadata.number.tableName)
  }
}

/// A key that is kept while its cursor moves on.
@safe
struct KeyCopy: ~Copyable {
  private var memory: UnsafeMutableRawBufferPointer
  private var count = -1

  /// No key.
  init() { unsafe memory = .allocate(byteCount: 256, alignment: 8) }

  deinit { unsafe memory.deallocate() }

  /// The key; of none the empty one.
  @inline(__always)
  var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: memory[..<max(count, 0)])
  }

  @inline(__always)
  func isEqual(to key: UnsafeRawBufferPointer) -> Bool {
    unsafe count == key.count && KeyOrder.compare(bytes, key) == 0
  }

  mutating func set(to key: UnsafeRawBufferPointer) {
    if unsafe key.count > memory.count {
      unsafe memory.deallocate()
      unsafe memory = .allocate(byteCount: 2 * key.count, alignment: 8)
    }
    unsafe memory.copyMemory(from: key)
    count = key.count
  }

  /// No key any more.
  mutating func clear() { count = -1 }
}

/// The time at which an entry expires, which stands in front of its value.
enum EntryExpiry {
  static let byteCount = 8

  /// Milliseconds since 1970. SAFETY: an entry that expires has eight bytes at the least.
  @inline(__always)
  static func time(of value: UnsafeRawBufferPointer) -> Int64 {
    unsafe Int64(littleEndian: value.loadUnaligned(as: Int64.self))
  }
}
