// Writes what a flush or merge of an ordered keyspace keeps, one table after the other.
//
// Tables are cut between keys: all versions of one lie in one table.
//
// Operands of merges are held back until it is known what they build on: a put or remove of the
// same stripe gives a value with them, and so does the end of the key at the bottom. Otherwise they
// are made into one operand where the operator does that, else written as they are, and so they are
// when it fails. An operand that expires is always written as it is, as it counts for itself.

internal import SedimentIO

/// Writes the tables of one flush or merge.
struct OrderedRunWriter: ~Copyable {
  /// What decides what is kept, beside the entries.
  struct Rules {
    /// The sequence numbers of open snapshots, rising.
    var snapshots: [UInt64]
    /// Whether no source that takes no part may hold the keys.
    var isBottommost = false
    /// Removals of ranges that are or become durable with what is written, or before.
    var removals = RangeRemovalMap()
    /// The newest of them.
    var removalLimit: UInt64 = 0
    /// Asked about what no snapshot sees.
    var filter: CompactionFilter?
  }

  /// What the tables are like.
  struct Shape {
    /// About the size of a table; `nil` for one that takes it all.
    var tableBytes: UInt64?
    /// At the most.
    var expectedEntries: Int
    /// About.
    var expectedBytes: UInt64
    /// Whether blocks are compressed, where the keyspace's are at all.
    var isCompressed: Bool

    /// The shape of one of so many parts.
    func divided(by count: Int) -> Shape {
      var part = self
      part.expectedEntries = expectedEntries / count + 1
      part.expectedBytes = expectedBytes / UInt64(count) + 1
      return part
    }

    /// Size at which another table is begun, and how many entries one will have: tables of one
    /// size, so that none is much smaller than its filter was planned for.
    var table: (bytesMax: UInt64, expectedEntries: Int) {
      guard let tableBytes else { return (.max, expectedEntries) }
      let count = max((expectedBytes + tableBytes / 2) / tableBytes, 1)
      let bytes = max(expectedBytes / count, tableBytes / 2)
      return (bytes + bytes / 16, expectedEntries / Int(count) / 16 * 17 + 16)
    }
  }

  private let store: StoreCore
  private let rules: Rules
  private let tableBytesMax: UInt64
  private let expectedEntriesPerTable: Int
  private let nowMillis: Int64
  private let mergeOperator: MergeOperator?
  private var retention: OrderedRetention
  /// Operands of the last key that are held back, all of one stripe.
  private var operands = MergeOperands(.newestFirst)
  /// More bytes than this are not held back.
  private static let operandBytesMax = 4 << 20
  private var tables: OrderedTableSeries
  /// The key of the entry before, and whether anything of it was written.
  private var lastKey = KeyCopy()
  private var hasWrittenKey = false
  /// Removals of ranges that hold the key, newest first.
  private var removals: [UInt64] = []

  /// A writer that has written nothing.
  init(store: StoreCore, keyspace: OrderedKeyspace, _ rules: Rules, _ shape: Shape) {
    self.rules = rules
    self.store = store
    tables = OrderedTableSeries(of: keyspace, isCompressed: shape.isCompressed)
    (tableBytesMax, expectedEntriesPerTable) = shape.table
    nowMillis = store.options.clock.nowMillis()
    mergeOperator = keyspace.rules.merging.current.flatMap { $0.isKnown ? $0 : nil }
    retention = OrderedRetention(
      OrderedRetention.Rules(
        snapshots: rules.snapshots, isBottommost: rules.isBottommost))
  }

  /// Writes what a cursor has; returns the tables, open, in order of keys.
  ///
  /// - Parameters:
  ///   - part: the keys to write.
  ///   - givesWay: whether to look now and then at what is more urgent.
  consuming func write(
    _ cursor: consuming OrderedMergeCursor, of part: MergePart = .all, givesWay: Bool
  ) throws -> [OpenOrderedTable] {
    do {
      try writeEntries(&cursor, of: part, givesWay: givesWay)
      try endKey()
      try tables.endTable()
      return try tables.finished.map { try store.open($0) }
    } catch {
      tables.giveUp()
      throw error
    }
  }

  private mutating func writeEntries(
    _ cursor: inout OrderedMergeCursor, of part: MergePart, givesWay: Bool
  ) throws {
    let lookInterval = min(store.options.mergeLookInterval, 8192)
    var untilLook = lookInterval
    try part.seek(&cursor)
    let end = KeyCopy(part.end)
    while cursor.isValid, unsafe !end.isSet || KeyOrder.compare(cursor.key, end.bytes) < 0 {
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
      try endKey()
      retention.beginKey()
      unsafe lastKey.set(to: key)
      hasWrittenKey = false
      if !rules.removals.isEmpty { unsafe removals = rules.removals.sequences(of: key) }
    }
    let tag = cursor.tag
    let value = unsafe cursor.value
    if isHidden(tag) {
      retention.hide(tag)
      if !operands.isEmpty { _ = unsafe try settle(onto: tag, value, isHidden: true) }
      return
    }
    let isExpired = unsafe tag.expires && EntryExpiry.time(of: value) <= nowMillis
    let verdict = retention.decide(tag, isExpired: isExpired, keepsNumber: !removals.isEmpty)
    if tag.kind == .merge, mergeOperator != nil {
      if unsafe try hold(tag, value, verdict) { return }
    } else if !operands.isEmpty {
      if unsafe try settle(onto: tag, value, isHidden: isExpired) { return }
    }
    switch verdict {
    case .drop: return
    case .keep(let tag): try unsafe appendKept(tag, value)
    case .keepWithoutValue(let tag): try unsafe append(tag, Self.nothing)
    }
  }

  /// Whether a removal of a range hides a version of the key from all that see it.
  private func isHidden(_ tag: EntryTag) -> Bool {
    guard
      let removal = removals.last(where: { $0 > tag.sequence && $0 <= rules.removalLimit })
    else { return false }
    return retention.stripe(of: removal) == retention.stripe(of: tag.sequence)
  }

  private static var nothing: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(start: nil, count: 0)
  }

  /// Writes a version of the key, if the filter has nothing against it.
  private mutating func appendKept(_ tag: EntryTag, _ value: UnsafeRawBufferPointer) throws {
    if let filter = rules.filter, tag.kind == .put, !tag.expires,
      retention.stripe(of: tag.sequence) == retention.newestStripe,
      unsafe filter.decide(
        RawSpan(_unsafeBytes: lastKey.bytes), RawSpan(_unsafeBytes: value)) == .remove
    {
      if retention.isBottommost && retention.newestStripe == 0 { return }
      return try unsafe append(EntryTag(sequence: tag.sequence, kind: .remove), Self.nothing)
    }
    try unsafe append(tag, value)
  }

  // MARK: - Operands

  /// Holds an operand back where it may be merged.
  ///
  /// - Returns: whether it did.
  private mutating func hold(
    _ tag: EntryTag, _ value: UnsafeRawBufferPointer, _ verdict: OrderedRetention.Verdict
  ) throws -> Bool {
    guard verdict != .drop else { return true }
    if !operands.isEmpty,
      tag.expires || operands.byteCount + value.count > Self.operandBytesMax
        || retention.stripe(of: tag.sequence) != retention.stripe(of: operands.newestTag.sequence)
    {
      try releaseOperands()
    }
    if tag.expires { return false }
    unsafe operands.add(value, tag)
    return true
  }

  /// Merges what is held back with the put or remove that it builds on.
  ///
  /// - Parameter isHidden: whether that has expired or is in a range that was removed.
  /// - Returns: whether what comes of it takes its place.
  private mutating func settle(
    onto tag: EntryTag, _ value: UnsafeRawBufferPointer, isHidden: Bool
  ) throws -> Bool {
    let stripe = retention.stripe(of: operands.newestTag.sequence)
    let isLasting = tag.kind == .remove || isHidden || !tag.expires
    guard retention.stripe(of: tag.sequence) == stripe, isLasting else {
      try releaseOperands()
      return false
    }
    let base = unsafe tag.kind == .put && !isHidden ? value : nil
    return try unsafe mergeOperands(onto: base)
  }

  /// Behind the last version of a key, at the bottom, there is nothing that operands build on.
  private mutating func endKey() throws {
    guard !operands.isEmpty else { return }
    if retention.isBottommost, unsafe try mergeOperands(onto: nil) { return }
    try releaseOperands()
  }

  /// Writes the value that operands give; where they give none, them as they are.
  ///
  /// - Returns: whether they gave one.
  private mutating func mergeOperands(onto base: UnsafeRawBufferPointer?) throws -> Bool {
    guard let mergeOperator,
      let value = unsafe try? operands.fold(onto: base, by: mergeOperator),
      value.count <= BlockFormat.valueBytesMax
    else {
      try releaseOperands()
      return false
    }
    let tag = retention.tag(
      ofMerged: operands.newestTag, keepsNumber: !removals.isEmpty)
    operands.removeAll()
    try unsafe value.withUnsafeBytes { try unsafe appendKept(tag, $0) }
    return true
  }

  /// Writes what is held back, as one operand where that can be made.
  private mutating func releaseOperands() throws {
    let held = operands
    operands.removeAll()
    if held.count > 1, let mergeOperator, mergeOperator.combines,
      let one = unsafe try? held.fold(onto: nil, by: mergeOperator),
      one.count <= BlockFormat.valueBytesMax
    {
      try unsafe one.withUnsafeBytes { try unsafe append(held.newestTag, $0) }
    } else {
      try unsafe held.withEach { tag, operand in try unsafe append(tag, operand) }
    }
  }

  /// Writes a version of the key.
  private mutating func append(_ tag: EntryTag, _ value: UnsafeRawBufferPointer) throws {
    if !hasWrittenKey, tables.tableBytes >= tableBytesMax { try tables.endTable() }
    hasWrittenKey = true
    try unsafe tables.append(
      lastKey.bytes, tag, value, expectedEntries: expectedEntriesPerTable)
  }
}

/// A key that is kept while its cursor moves on.
@safe
struct KeyCopy: ~Copyable {
  private var memory: UnsafeMutableRawBufferPointer
  private var count = -1

  /// No key.
  init() { unsafe memory = .allocate(byteCount: 256, alignment: 8) }

  /// A key, or none.
  init(_ key: [UInt8]?) {
    self.init()
    if let key { unsafe key.span.bytes.withUnsafeBytes { unsafe set(to: $0) } }
  }

  deinit { unsafe memory.deallocate() }

  /// Whether there is one.
  var isSet: Bool { count >= 0 }

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
