internal import SedimentIO

/// Writes sorted entries as one run: one table after the other, each of bounded size.
struct RunWriter: ~Copyable {
  private let store: StoreCore
  private let groups: KeyGroupRange
  private let layout: EntryLayout
  private let hasKinds: Bool
  private let timeBounds: ClosedRange<Int64>
  private let filters: FilterChoice?
  private var remainingEntries: Int
  private var table: TableWriter?
  private var tableName = ""
  private var finished: [TableMetadata] = []
  private var lastHigh: UInt64 = 0
  /// Entries until the size of the table is looked at again.
  private var untilCheck = 0

  /// - Parameter filters: how a merge chooses its tables' filters; `nil` for a flush.
  init(
    store: StoreCore, groups: KeyGroupRange, layout: EntryLayout, hasKinds: Bool,
    timeBounds: ClosedRange<Int64>, expectedEntries: Int, filters: FilterChoice? = nil
  ) {
    self.store = store
    self.groups = groups
    self.layout = layout
    self.hasKinds = hasKinds
    self.timeBounds = timeBounds
    remainingEntries = expectedEntries
    self.filters = filters
  }

  mutating func append(_ entry: EntryReference) throws {
    if untilCheck == 0 { try checkSize(before: entry.hash.high) }
    untilCheck &-= 1
    lastHigh = entry.hash.high
    try table?.append(entry)
  }

  /// Begins a table where there is none, or where the current one is large enough. Entries of equal
  /// `high` stay together.
  private mutating func checkSize(before high: UInt64) throws {
    untilCheck = Self.checkInterval
    if let bytes = table?.estimatedFileBytes, bytes >= store.plan.tableBytes, high != lastHigh {
      try endTable()
    }
    if table == nil { try beginTable() }
    // A large key can fill a table quickly: look at every entry then.
    if layout.isExact { untilCheck = 16 }
  }

  private static let checkInterval = 1024

  private mutating func beginTable() throws {
    let number = store.allocateFileNumber()
    tableName = number.tableName
    store.beginFile(tableName)
    let perEntry = 16 + 8 + Int(layout.valueWidth) + (layout.isExact ? 16 : 0)
    let most = Int(store.plan.tableBytes) / perEntry * 2
    let entries = max(min(remainingEntries, most), 1)
    table = try TableWriter(
      directory: store.directory,
      plan: TableWriter.Plan(
        number: number, fileID: .random(in: .min ... .max), layout: layout, hasKinds: hasKinds,
        timeBounds: timeBounds, hashRange: groups.hashRange,
        expectedEntries: entries,
        filter: filters?.merged(entries: entries) ?? FilterChoice.flushed))
  }

  private mutating func endTable() throws {
    guard let writer = table.take() else { return }
    guard let metadata = try writer.finish() else {
      store.abandonFile(tableName)
      return
    }
    tableName = ""
    remainingEntries = max(remainingEntries - Int(metadata.entryCount), 0)
    finished.append(metadata)
  }

  /// Ends the last table. The files count as being made until their run is published.
  mutating func finish() throws -> [TableMetadata] {
    try endTable()
    return finished
  }

  /// Gives up; tables that were complete are removed with the next epoch.
  mutating func abort() {
    if let writer = table.take() { writer.abort() }
    if !tableName.isEmpty { store.abandonFile(tableName) }
    store.giveUp(finished)
  }
}

/// Merges runs into one.
struct RunMerge {
  let store: StoreCore
  let layout: EntryLayout
  let timeToLive: TimeToLive
  let watermark: Int64
  let isBottommost: Bool
  let filters: FilterChoice

  /// - Parameter inputs: newest first.
  /// - Returns: the tables written, in order of hash; none when nothing is left.
  func run(_ inputs: [OpenRun], groups: KeyGroupRange) throws -> [TableMetadata] {
    let readAhead = store.plan.readAheadBytes(
      fanIn: inputs.count, threads: store.options.backgroundThreads)
    let sources: [any PageSource] = inputs.map { run in
      RunCursor(
        run.tables.map { RunSegment(table: $0.reader, range: $0.clip) }, readAheadBytes: readAhead)
    }
    let smallest = inputs.map(\.smallestTime).min() ?? 0
    var output = RunWriter(
      store: store, groups: groups, layout: layout,
      hasKinds: inputs.contains { $0.hasKinds },
      timeBounds: smallest...max(inputs.map(\.largestTime).max() ?? 0, smallest),
      expectedEntries: Int(inputs.reduce(0) { $0 + $1.state.entryCount }), filters: filters)
    do {
      try write(MergeCursor(sources), to: &output)
      return try output.finish()
    } catch {
      output.abort()
      throw error
    }
  }

  private func write(_ merge: consuming MergeCursor, to output: inout RunWriter) throws {
    var ttl: Int64?
    if case .milliseconds(let milliseconds) = timeToLive { ttl = milliseconds }
    var retention = EntryRetention(
      EntryRetention.Rules(
        isExact: layout.isExact, ttl: ttl, watermark: watermark, isBottommost: isBottommost))
    while try merge.advance() {
      let entry = merge.current
      if retention.decide(entry) == .keep { try output.append(entry) }
    }
  }
}
