internal import Synchronization

/// What a level of an ordered keyspace holds at the moment, and what was written to it since the
/// store was opened.
///
/// ```swift
/// let words = try store.orderedKeyspace("words")
/// for level in words.levelStatistics where level.tables > 0 {
///   print(level.level, level.tables, level.bytes)
/// }
/// ```
public struct LevelStatistics: Sendable, Equatable {
  /// Its number: 0 holds flushed tables as they came, each deeper one is in the order of the keys.
  public var level: Int
  /// Tables in it.
  public var tables: Int = 0
  /// Bytes of their files.
  public var bytes: UInt64 = 0
  /// Entries in them: older versions, removes and what has expired are counted until a merge drops
  /// them.
  public var entries: UInt64 = 0
  /// Flushes and merges that wrote to it; a table that moved to it unread is none.
  public var writes: UInt64 = 0
  /// Bytes of the tables that these merges took in, of this level and the ones above.
  public var bytesRead: UInt64 = 0
  /// Bytes of the tables that they wrote. All levels' together over those of level 0 is how often a
  /// byte is written.
  public var bytesWritten: UInt64 = 0

  /// Statistics of an empty level.
  public init(level: Int) { self.level = level }
}

extension OrderedKeyspace {
  /// Statistics of all levels, from 0 on.
  ///
  /// Costs a look at the description of each table; nothing waits for the disk.
  public var levelStatistics: [LevelStatistics] {
    let tables = view.levels.metadata.tables
    var all = written.snapshot
    for level in all.indices {
      all[level].tables = tables[level].count
      all[level].bytes = tables[level].reduce(0) { $0 + $1.fileBytes }
      all[level].entries = tables[level].reduce(0) { $0 + $1.entryCount }
    }
    return all
  }
}

/// What flushes and merges wrote to the levels of a keyspace.
final class LevelCounters: Sendable {
  private let levels = Mutex((0..<OrderedLevels.count).map { LevelStatistics(level: $0) })

  /// The levels with what was written to them, and nothing else.
  var snapshot: [LevelStatistics] { levels.withLock { $0 } }

  func note(level: Int, bytesRead: UInt64, bytesWritten: UInt64) {
    levels.withLock { levels in
      levels[level].writes += 1
      levels[level].bytesRead += bytesRead
      levels[level].bytesWritten += bytesWritten
    }
  }
}
