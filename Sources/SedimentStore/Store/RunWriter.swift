// Writes sorted entries as one run: one table after the other, each of bounded size.
//
// Tables are cut at hashes fixed beforehand: keyed hashes are uniform, so equal parts of the
// shard's range hold equal numbers of entries, and a table that knows its range has a filter whose
// lines and an index whose quanta fit it. Where entries turn out larger than expected, a table is
// cut by size.

internal import SedimentIO

/// Writes one run.
struct RunWriter: ~Copyable {
  /// What is known of a run before its first entry.
  struct Plan {
    var groups: KeyGroupRange
    var layout: EntryLayout
    var hasKinds: Bool
    var timeBounds: ClosedRange<Int64>
    /// Entries and bytes at most.
    var entries: Int
    var bytes: UInt64
    /// How a merge chooses its tables' filters; `nil` for a flush.
    var filters: FilterChoice?
  }

  private let store: StoreCore
  private let plan: Plan
  private let rangeLow: UInt64
  private let rangeHigh: UInt64
  /// Length of the part of the range that a table covers, less one.
  private let tableSpan: UInt64
  private let entriesPerTable: Int
  private var table: TableWriter?
  private var tableName = ""
  private var finished: [TableMetadata] = []
  /// The last hash that belongs to the current table; entries beyond begin another.
  private var tableHigh: UInt64 = 0
  private var lastHigh: UInt64 = 0
  /// Entries until the size of the table is looked at again.
  private var untilCheck = 0

  init(store: StoreCore, plan: Plan) {
    self.store = store
    self.plan = plan
    rangeLow = plan.groups.hashRange.lowerBound
    rangeHigh = plan.groups.hashRange.upperBound
    var tables = max((plan.bytes + store.plan.tableBytes - 1) / store.plan.tableBytes, 1)
    if let entriesMax = plan.filters?.fuseEntriesMax {
      // A sixteenth less each, as keys that are not quite even must not cost a table its filter.
      tables = max(tables, UInt64(plan.entries / (entriesMax - entriesMax / 16)) + 1)
    }
    tableSpan = (rangeHigh - rangeLow) / tables
    entriesPerTable = plan.entries / Int(tables) + 1
  }

  /// Appends the entries of a block, behind those before.
  mutating func append(_ block: borrowing EntryBlock) throws {
    var index = 0
    while index < block.count {
      let high = unsafe block.highs[index]
      if untilCheck == 0 || high > tableHigh { try prepareTable(for: high) }
      var end = min(block.count, index + untilCheck)
      while unsafe block.highs[end - 1] > tableHigh { end -= 1 }
      try table?.append(block, index..<end)
      untilCheck -= end - index
      lastHigh = unsafe block.highs[end - 1]
      index = end
    }
  }

  /// Sees to it that a table is open to which `high` belongs. Entries of equal `high` stay
  /// together.
  private mutating func prepareTable(for high: UInt64) throws {
    untilCheck = plan.layout.isExact ? Self.exactCheckInterval : Self.checkInterval
    let isTooLarge = (table?.estimatedFileBytes ?? 0) >= 2 * store.plan.tableBytes
    if high > tableHigh || (isTooLarge && high != lastHigh) { try endTable() }
    if table == nil { try beginTable(at: high) }
  }

  private static let checkInterval = 1024
  /// Large keys fill a table quickly: 4 MiB at the most.
  private static let exactCheckInterval = 64

  private mutating func beginTable(at high: UInt64) throws {
    // A span of all hashes is one part; any other leaves room for the addition.
    let part = tableSpan == .max ? 0 : (high - rangeLow) / (tableSpan + 1)
    let low = rangeLow + (part == 0 ? 0 : part * (tableSpan + 1))
    let (end, isBeyond) = low.addingReportingOverflow(tableSpan)
    tableHigh = isBeyond ? rangeHigh : min(end, rangeHigh)
    // Behind a table that was cut by size the rest of the part is left.
    let firstFree = finished.last.map { $0.largestHigh + 1 } ?? rangeLow
    let number = store.allocateFileNumber()
    tableName = number.tableName
    store.beginFile(tableName)
    table = try TableWriter(
      directory: store.directory,
      plan: TableWriter.Plan(
        number: number, fileID: .random(in: .min ... .max), layout: plan.layout,
        hasKinds: plan.hasKinds, timeBounds: plan.timeBounds,
        hashRange: max(low, firstFree)...tableHigh,
        expectedEntries: entriesPerTable,
        filter: plan.filters?.merged(entries: entriesPerTable) ?? FilterChoice.flushed))
  }

  private mutating func endTable() throws {
    guard let writer = table.take() else { return }
    guard let (metadata, file) = try writer.finishUnsynchronized() else {
      store.abandonFile(tableName)
      return
    }
    tableName = ""
    finished.append(metadata)
    try store.noteUnsynchronized(file, named: metadata.number.tableName)
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
    store.giveUp(finished.map(\.number))
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

  /// Entries between two looks at what else there is to do; fewer where they may be large.
  private var lookInterval: Int {
    layout.isExact ? min(store.options.mergeLookInterval, 8192) : store.options.mergeLookInterval
  }

  /// - Parameter inputs: newest first.
  /// - Returns: the tables written, in order of hash; none when nothing is left.
  func run(_ inputs: [OpenRun], groups: KeyGroupRange) throws -> [TableMetadata] {
    let readAhead = store.plan.readAheadBytes(
      fanIn: inputs.count, threads: store.backgroundTasksMax)
    let sources: [any PageSource] = inputs.map { run in
      RunCursor(
        run.tables.map { RunSegment(table: $0.reader, range: $0.clip) }, readAheadBytes: readAhead)
    }
    let smallest = inputs.map(\.smallestTime).min() ?? 0
    let hasKinds = inputs.contains { $0.hasKinds }
    var output = RunWriter(
      store: store,
      plan: RunWriter.Plan(
        groups: groups, layout: layout, hasKinds: hasKinds,
        timeBounds: smallest...max(inputs.map(\.largestTime).max() ?? 0, smallest),
        entries: Int(inputs.reduce(0) { $0 + $1.state.entryCount }),
        bytes: inputs.reduce(0) { $0 + $1.fileBytes }, filters: filters))
    do {
      try write(MergeCursor(sources), hasKinds: hasKinds, to: &output)
      return try output.finish()
    } catch {
      output.abort()
      throw error
    }
  }

  private func write(
    _ merge: consuming MergeCursor, hasKinds: Bool, to output: inout RunWriter
  ) throws {
    var retention = EntryRetention(
      EntryRetention.Rules(
        isExact: layout.isExact, ttl: timeToLive.limit, watermark: watermark,
        isBottommost: isBottommost))
    var block = EntryBlock(layout: layout, hasKinds: hasKinds)
    var untilLook = lookInterval
    while try merge.fill(&block) {
      untilLook -= block.count
      retention.thin(&block)
      try output.append(block)
      if untilLook <= 0 {
        // Whoever closes the store does not wait for the end of a long merge, nor does a failure.
        try store.checkWritable()
        try store.performUrgentTasks()
        untilLook = lookInterval
      }
    }
  }
}
