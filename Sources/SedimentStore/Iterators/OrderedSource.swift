/// A source of entries of an ordered keyspace: a memtable, or tables that are disjoint and in
/// order.
@safe
package struct OrderedSource: ~Copyable {
  private var memtable: OrderedMemtableCursor?
  private var tables: OrderedLevelCursor?

  /// A memtable.
  package init(_ cursor: OrderedMemtableCursor) {
    memtable = cursor
    tables = nil
  }

  /// Tables.
  package init(_ cursor: consuming OrderedLevelCursor) {
    memtable = nil
    tables = consume cursor
  }

  /// Whether it is at an entry.
  var isValid: Bool {
    if let memtable { return memtable.isValid }
    switch tables {
    case .some(let tables): return tables.isValid
    case .none: return false
    }
  }

  /// The entry's key; good until it moves.
  var key: UnsafeRawBufferPointer {
    if let memtable { return unsafe memtable.key }
    switch tables {
    case .some(let tables): return unsafe tables.key
    case .none: return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
  }

  /// When the entry was written, and what it does.
  var tag: EntryTag {
    if let memtable { return memtable.tag }
    switch tables {
    case .some(let tables): return tables.tag
    case .none: return EntryTag(word: 0)
    }
  }

  /// The entry's value; good until it moves.
  var value: UnsafeRawBufferPointer {
    if let memtable { return unsafe memtable.value }
    switch tables {
    case .some(let tables): return unsafe tables.value
    case .none: return unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
  }

  mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    unsafe memtable?.seek(key, tag: tag)
    try unsafe tables?.seek(key, tag: tag)
  }

  mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    unsafe memtable?.seekBefore(key, tag: tag)
    try unsafe tables?.seekBefore(key, tag: tag)
  }

  mutating func seekToFirst() throws {
    memtable?.seekToFirst()
    try tables?.seekToFirst()
  }

  mutating func seekToLast() throws {
    memtable?.seekToLast()
    try tables?.seekToLast()
  }

  mutating func moveNext() throws {
    memtable?.moveNext()
    try tables?.moveNext()
  }

  mutating func movePrevious() throws {
    memtable?.movePrevious()
    try tables?.movePrevious()
  }
}
