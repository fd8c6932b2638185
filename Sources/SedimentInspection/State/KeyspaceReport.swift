public import SedimentStore

/// A table as the manifest knows it.
public struct TableReport: Sendable, Equatable {
  /// The file's name.
  public var name: String
  /// The shard that refers to it; the first of several.
  public var shard: Int
  /// The run it is part of.
  public var run: UInt64
  public var level: UInt8
  public var window: Int64
  public var entryCount: UInt64
  public var bytes: UInt64
  public var oldestTime: Int64
  public var newestTime: Int64
  /// Whether all its entries have expired, so that it goes as a whole.
  public var isExpired: Bool
}

/// A log whose entries are in no table yet.
public struct LogReport: Sendable, Equatable {
  /// The file's name.
  public var name: String
  public var entryCount: UInt64
  /// The part of it that belongs to the epoch.
  public var bytes: UInt64
  public var oldestTime: Int64?
  public var newestTime: Int64?
}

/// What the filters of a keyspace cost and do.
public struct FilterReport: Sendable, Equatable {
  /// Bits of filter for each different key in it.
  public var bitsPerKey: Double
  /// The share of random hashes that the filters did not exclude.
  public var measuredRate: Double
  /// The same in theory.
  public var expectedRate: Double
  /// How many random hashes were tried.
  public var probes: Int
  /// How many tables' filters were loaded for it.
  public var tablesMeasured: Int
}

/// The tables of a time window, or of a level where there are no windows.
public struct TableGroup: Sendable, Equatable {
  /// What of its entries' life is left.
  public enum Phase: String, Sendable, Equatable {
    /// New keys go there.
    case open
    /// It is closed, and has entries that live.
    case sealed
    /// All its entries have expired; the next epoch unlinks them.
    case expired
  }

  /// The window's number; `nil` for a level.
  public var window: Int64?
  /// When the window begins, in ms.
  public var start: Int64?
  /// The level; `nil` for a window.
  public var level: UInt8?
  public var phase: Phase
  public var runCount: Int
  public var tableCount: Int
  public var entryCount: UInt64
  public var bytes: UInt64
  public var oldestTime: Int64
  public var newestTime: Int64
}

/// What a keyspace holds as of an epoch.
public struct KeyspaceReport: Sendable {
  public var name: String
  public var options: KeyspaceOptions
  public var shardCount: Int
  public var runCount: Int
  /// The largest time seen.
  public var largestTime: Int64?
  /// The largest time less the allowed lateness; `nil` where nothing expires.
  public var watermark: Int64?
  /// Each once, in the order of their names.
  public var tables: [TableReport]
  public var logs: [LogReport]
  /// In the order of time, or of level.
  public var groups: [TableGroup]
  /// `nil` when there are no tables.
  public var filter: FilterReport?
}

extension KeyspaceReport {
  /// Entries in tables and logs; a key that several runs hold counts as often.
  public var entryCount: UInt64 {
    tables.reduce(0) { $0 &+ $1.entryCount } &+ logs.reduce(0) { $0 &+ $1.entryCount }
  }

  /// Bytes of tables.
  public var tableBytes: UInt64 { tables.reduce(0) { $0 &+ $1.bytes } }
  /// Bytes of logs.
  public var logBytes: UInt64 { logs.reduce(0) { $0 &+ $1.bytes } }
  /// Bytes of tables whose entries have all expired.
  public var expiredBytes: UInt64 {
    tables.reduce(0) { $0 &+ ($1.isExpired ? $1.bytes : 0) }
  }
  /// Bytes of all else.
  public var liveBytes: UInt64 { tableBytes &+ logBytes &- expiredBytes }

  /// The oldest time of an entry, live or not.
  public var oldestTime: Int64? {
    (tables.map(\.oldestTime) + logs.compactMap(\.oldestTime)).min()
  }
  /// The newest one.
  public var newestTime: Int64? {
    (tables.map(\.newestTime) + logs.compactMap(\.newestTime)).max()
  }

  /// The chance that any two of the keys have one hash, and so that a key was ever dropped wrongly:
  /// n² / 2¹²⁹. `nil` where the keys themselves are kept: there it is none.
  public var wrongDropChance: Double? {
    guard options.keyMode == .fingerprint else { return nil }
    let count = Double(entryCount)
    return count * count * 0x1p-129
  }
}
