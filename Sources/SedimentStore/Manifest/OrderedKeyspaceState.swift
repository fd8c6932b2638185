/// The durable state of an ordered keyspace.
///
/// Invariants (checked by `complaint` whenever one is decoded)
/// 1. Tables of level 0 are in falling order of their largest sequence numbers, newest first.
/// 2. Tables of any other level are in order of keys, and no key is in two.
/// 3. No table holds an entry newer than `flushedSequence`, and no removal of a range is newer.
package struct OrderedKeyspaceState: Hashable, Sendable {
  package var id: UInt32
  package var name: String
  package var options: OrderedKeyspaceOptions
  /// All writes up to this number are in the tables: what a log holds of them is not replayed.
  package var flushedSequence: UInt64
  package var levels: OrderedLevels

  package init(
    id: UInt32, name: String, options: OrderedKeyspaceOptions, flushedSequence: UInt64 = 0,
    levels: OrderedLevels = OrderedLevels()
  ) {
    self.id = id
    self.name = name
    self.options = options
    self.flushedSequence = flushedSequence
    self.levels = levels
  }

  /// The first invariant that does not hold, in words.
  func complaint(below nextFileNumber: UInt64) -> String? {
    if let complaint = options.complaint { return complaint }
    if flushedSequence > EntryTag.sequenceMax { return "sequence number \(flushedSequence)" }
    guard levels.tables.count == OrderedLevels.count else {
      return "\(levels.tables.count) levels"
    }
    for table in levels.tables.joined() {
      let number = table.number.rawValue
      if number >= nextFileNumber { return "table \(number) is not given out yet" }
      if table.largestSequence > flushedSequence { return "table \(number) is too new" }
    }
    for (older, newer) in zip(levels.removals, levels.removals.dropFirst())
    where newer.sequence <= older.sequence {
      return "range removal \(newer.sequence) is out of order"
    }
    if let newest = levels.removals.last?.sequence, newest > flushedSequence {
      return "range removal \(newest) is too new"
    }
    for (newer, older) in zip(levels.tables[0], levels.tables[0].dropFirst())
    where newer.largestSequence <= older.largestSequence {
      return "table \(older.number.rawValue) of level 0 is out of order"
    }
    for level in levels.tables.dropFirst() {
      for (left, right) in zip(level, level.dropFirst())
      where !left.largestKey.lexicographicallyPrecedes(right.smallestKey) {
        return "table \(right.number.rawValue) overlaps"
      }
    }
    return nil
  }
}

/// A table and its level.
package struct PlacedTable: Hashable, Sendable {
  package var level: Int
  package var table: OrderedTableMetadata

  package init(level: Int, table: OrderedTableMetadata) {
    self.level = level
    self.table = table
  }
}

/// What an edit changes in an ordered keyspace.
package struct OrderedKeyspaceEdit: Hashable, Sendable {
  package var id: UInt32
  package var flushedSequence: UInt64
  package var removedTables: [FileNumber]
  /// Also tables that only change their level, which are removed as well.
  package var addedTables: [PlacedTable]
  /// All removals of ranges that there are from now on; `nil` when they stay.
  package var removals: [RangeRemoval]?

  package init(
    id: UInt32, flushedSequence: UInt64, removedTables: [FileNumber] = [],
    addedTables: [PlacedTable] = [], removals: [RangeRemoval]? = nil
  ) {
    self.removals = removals
    self.id = id
    self.flushedSequence = flushedSequence
    self.removedTables = removedTables
    self.addedTables = addedTables
  }

  /// What leads from a state to these levels; `nil` when it is there already.
  package init?(
    from state: OrderedKeyspaceState, to levels: OrderedLevels, flushedSequence: UInt64
  ) {
    let old = state.levels.placed
    let new = levels.placed
    let kept = Set(old).intersection(new)
    id = state.id
    self.flushedSequence = max(flushedSequence, state.flushedSequence)
    removedTables = old.filter { !kept.contains($0) }.map(\.table.number)
    addedTables = new.filter { !kept.contains($0) }
    removals = levels.removals == state.levels.removals ? nil : levels.removals
    if removedTables.isEmpty, addedTables.isEmpty, removals == nil,
      self.flushedSequence == state.flushedSequence
    {
      return nil
    }
  }
}

extension OrderedKeyspaceState {
  /// The state after an edit.
  mutating func apply(_ edit: OrderedKeyspaceEdit) throws(StateEditError) {
    let removed = Set(edit.removedTables)
    guard levels.remove(removed) == removed.count else {
      throw StateEditError("a table to remove is not there")
    }
    guard edit.flushedSequence >= flushedSequence else {
      throw StateEditError("sequence number \(edit.flushedSequence) after \(flushedSequence)")
    }
    flushedSequence = edit.flushedSequence
    for level in levels.tables.indices {
      let added = edit.addedTables.filter { $0.level == level }.map(\.table)
      if !added.isEmpty { levels.insert(added, at: level) }
    }
    if let removals = edit.removals { levels.removals = removals }
    if let complaint = complaint(below: .max) { throw StateEditError(complaint) }
  }
}
