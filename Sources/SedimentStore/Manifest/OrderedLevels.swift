/// The tables of an ordered keyspace, and what hides entries in them.
package struct OrderedLevels: Hashable, Sendable {
  /// Level 0 newest first; the others in order of keys. There are always `count`.
  package var tables: [[OrderedTableMetadata]]
  /// Removals of ranges that may hide entries of the tables, oldest first.
  package var removals: [RangeRemoval] = []

  /// Levels of every keyspace.
  package static let count = 7

  /// Levels without tables.
  package init() { tables = Array(repeating: [], count: Self.count) }

  /// Bytes of a level.
  package func byteCount(of level: Int) -> UInt64 { tables[level].reduce(0) { $0 + $1.fileBytes } }
}

extension OrderedLevels {
  /// The tables that may hold entries that a removal hides.
  package func tables(under removal: RangeRemoval) -> [OrderedTableMetadata] {
    tables.joined().filter {
      $0.smallestSequence < removal.sequence
        && removal.overlaps(first: $0.smallestKey, last: $0.largestKey)
    }
  }

  /// All tables, level by level.
  package var placed: [PlacedTable] {
    tables.enumerated().flatMap { level, tables in
      tables.map { PlacedTable(level: level, table: $0) }
    }
  }

  /// Adds tables to a level, each at its place.
  package mutating func insert(_ added: [OrderedTableMetadata], at level: Int) {
    tables[level] += added
    if level == 0 {
      tables[0].sort { $0.largestSequence > $1.largestSequence }
    } else {
      tables[level].sort { $0.smallestKey.lexicographicallyPrecedes($1.smallestKey) }
    }
  }

  /// Whether the last level may hold what can go from there.
  package var mayShrink: Bool {
    !removals.isEmpty || tables[Self.count - 1].contains { $0.otherCount > 0 }
  }

  /// Takes tables out of whatever levels they are in.
  ///
  /// - Returns: how many were there.
  @discardableResult
  package mutating func remove(_ numbers: Set<FileNumber>) -> Int {
    var count = 0
    for level in tables.indices {
      let before = tables[level].count
      tables[level].removeAll { numbers.contains($0.number) }
      count += before - tables[level].count
    }
    return count
  }
}
