/// A table that lookups can use: its reader, the part of it that counts, and what it may answer.
package final class OpenTable: Sendable {
  /// What reads its pages; parts of one table share it.
  package let reader: TableReader
  let clip: ClosedRange<UInt64>
  /// Of the reader's memory, and shared like it.
  private let grant: ByteGrant

  /// - Parameter grant: for the memory of the reader's index and filter.
  init(reader: TableReader, clip: ClosedRange<UInt64>, grant: ByteGrant) {
    self.reader = reader
    self.clip = clip
    self.grant = grant
  }

  /// Another part of the same table.
  func clipped(to clip: ClosedRange<UInt64>) -> OpenTable {
    clip == self.clip ? self : OpenTable(reader: reader, clip: clip, grant: grant)
  }
}

/// A run that lookups can use. Immutable.
final class OpenRun: Sendable {
  let state: RunState
  /// In order of hash.
  let tables: [OpenTable]
  let smallestTime: Int64
  let largestTime: Int64
  let hasKinds: Bool

  /// Bytes of its tables, clipped or not.
  var fileBytes: UInt64 { tables.reduce(0) { $0 + $1.reader.metadata.fileBytes } }

  init(state: RunState, tables: [OpenTable]) {
    self.state = state
    self.tables = tables
    smallestTime = state.smallestTime
    largestTime = state.largestTime
    hasKinds = state.hasKinds
  }
}

/// What a shard looks like to one batch or lookup: an immutable snapshot.
final class ShardView: Sendable {
  let active: Memtable
  /// Newest first.
  let frozen: [FrozenMemtable]
  /// Newest first.
  let runs: [OpenRun]

  init(active: Memtable, frozen: [FrozenMemtable], runs: [OpenRun]) {
    self.active = active
    self.frozen = frozen
    self.runs = runs
  }
}

/// A memtable that waits for its flush, and the sequence number its run will have.
struct FrozenMemtable: Sendable {
  let memtable: Memtable
  let sequence: UInt64
}
