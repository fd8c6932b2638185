internal import SedimentIO

/// Walks the entries of a run of tables of an ordered keyspace: disjoint, in order of keys.
package struct OrderedLevelCursor: ~Copyable {
  private let tables: OrderedTableRun
  private let cache: PageCache?
  private var cursor: OrderedTableCursor?
  private var tableIndex = 0

  /// A cursor at no entry; see `OrderedTableCursor`.
  package init(_ tables: [OrderedTableReader], cache: PageCache?) {
    self.tables = OrderedTableRun(readers: tables)
    self.cache = cache
  }

  /// A cursor at no entry that has one of the tables open at a time.
  package init(opening tables: [HeldOrderedTable], cache: PageCache?) {
    self.tables = OrderedTableRun(held: tables)
    self.cache = cache
  }

  /// Whether it is at an entry.
  package var isValid: Bool {
    switch cursor {
    case .some(let cursor): cursor.isValid
    case .none: false
    }
  }
  /// The entry's key; good until the cursor moves.
  package var key: UnsafeRawBufferPointer {
    switch cursor {
    case .some(let cursor): unsafe cursor.key
    case .none: unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
  }
  /// When it was written, and what it does.
  package var tag: EntryTag {
    switch cursor {
    case .some(let cursor): cursor.tag
    case .none: EntryTag(word: 0)
    }
  }
  /// Its value; good until the cursor moves.
  package var value: UnsafeRawBufferPointer {
    switch cursor {
    case .some(let cursor): unsafe cursor.value
    case .none: unsafe UnsafeRawBufferPointer(start: nil, count: 0)
    }
  }

  /// Goes to the first entry of `key` that is no newer than `tag`, or to the first behind.
  package mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    var (low, high) = (0, tables.count)
    while low < high {
      let middle = (low + high) / 2
      if unsafe tables.ends(middle, before: key) { low = middle + 1 } else { high = middle }
    }
    guard low < tables.count else {
      cursor = nil
      return
    }
    try enter(low)
    try unsafe cursor?.seek(key, tag: tag)
    try moveIntoNextTable()
  }

  /// Goes to the last entry before where `seek` goes.
  package mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    try unsafe seek(key, tag: tag)
    if isValid {
      try movePrevious()
    } else {
      try seekToLast()
    }
  }

  /// Goes to the first entry.
  package mutating func seekToFirst() throws {
    guard tables.count > 0 else { return }
    try enter(0)
    try cursor?.seekToFirst()
  }

  /// Goes to the last entry.
  package mutating func seekToLast() throws {
    guard tables.count > 0 else { return }
    try enter(tables.count - 1)
    try cursor?.seekToLast()
  }

  /// Goes one on; the cursor is at an entry.
  package mutating func moveNext() throws {
    try cursor?.moveNext()
    try moveIntoNextTable()
  }

  /// Goes one back; the cursor is at an entry.
  package mutating func movePrevious() throws {
    try cursor?.movePrevious()
    if !isValid, tableIndex > 0 {
      try enter(tableIndex - 1)
      try cursor?.seekToLast()
    }
  }

  private mutating func moveIntoNextTable() throws {
    if !isValid, tableIndex + 1 < tables.count {
      try enter(tableIndex + 1)
      try cursor?.seekToFirst()
    }
  }

  private var isInTable: Bool {
    switch cursor {
    case .some: true
    case .none: false
    }
  }

  private mutating func enter(_ index: Int) throws {
    if isInTable, index == tableIndex { return }
    // Before the next table is open none is, and an error leaves the cursor at no entry.
    cursor = nil
    cursor = OrderedTableCursor(try tables.open(index), cache: cache)
    tableIndex = index
  }
}

/// The tables of a run: open, or opened when they are entered.
private struct OrderedTableRun {
  private let readers: [OrderedTableReader]
  private let held: [HeldOrderedTable]

  init(readers: [OrderedTableReader]) {
    self.readers = readers
    held = []
  }

  init(held: [HeldOrderedTable]) {
    readers = []
    self.held = held
  }

  /// One of the two is empty.
  var count: Int { readers.count &+ held.count }

  /// Whether all keys of a table come before one.
  func ends(_ index: Int, before key: UnsafeRawBufferPointer) -> Bool {
    let largest =
      readers.isEmpty ? held[index].metadata.largestKey : readers[index].metadata.largestKey
    return unsafe largest.withUnsafeBytes { unsafe KeyOrder.compare($0, key) < 0 }
  }

  func open(_ index: Int) throws -> OrderedTableReader {
    readers.isEmpty ? try held[index].open() : readers[index]
  }
}
