internal import Synchronization

/// A table that lookups can use: its reader, the part of it that counts, and what it may answer.
final class OpenTable: Sendable {
  let reader: TableReader
  let clip: ClosedRange<UInt64>
  private let budget: ByteBudget

  /// Takes the reader's memory from `budget` for as long as it lives.
  init(reader: TableReader, clip: ClosedRange<UInt64>, budget: ByteBudget) {
    self.reader = reader
    self.clip = clip
    self.budget = budget
    budget.take(reader.indexBytes + reader.filter.memoryBytes)
  }

  deinit { budget.giveBack(reader.indexBytes + reader.filter.memoryBytes) }
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

/// Grants bytes of a fixed amount; what is granted comes back when its holder is gone.
final class ByteBudget: Sendable {
  let limit: Int
  private let used = Mutex(0)
  private let onChange: @Sendable (Int) -> Void

  /// - Parameter onChange: is told what is not granted, whenever that changes, in order. Takes no
  ///   lock but leaves.
  init(limit: Int, onChange: @escaping @Sendable (Int) -> Void) {
    self.limit = limit
    self.onChange = onChange
  }

  /// Bytes not granted at the moment.
  var available: Int { used.withLock { max(limit - $0, 0) } }

  func take(_ bytes: Int) { add(bytes) }

  func giveBack(_ bytes: Int) { add(-bytes) }

  private func add(_ bytes: Int) {
    used.withLock { used in
      used += bytes
      onChange(max(limit - used, 0))
    }
  }
}
