// Memory for filters when it is not enough for all.
//
// Tables come and go, and who comes first must not keep what others need more: a flushed table
// without a filter costs every key that is nowhere a page, and one of the oldest hardly any. So
// when a flush or merge has published its tables, the memory is divided anew
// (`FilterAllocation`), and tables whose filters are to be larger or smaller are opened again with
// that much of it. Their file, footer and index are shared.
//
// To divide is cheap, to load is not; so nothing is done while what is loaded is near what it can
// be, and what is divided leaves room for a few tables more.

internal import SedimentIO

extension StoreCore {
  /// A table that is open, and the run it is part of.
  private struct Holder {
    var table: OpenTable
    var claim: FilterAllocation.Claim
  }

  /// Shares of the memory for filters between which nothing is loaded or dropped, and the one that
  /// is aimed at.
  ///
  /// What lies in huge pages takes more than its bytes, and a merge keeps what it reads as it was.
  private static let fullEnough = 0.85
  private static let aim = 0.90

  /// Divides the memory for filters anew, where tables have too little or too much of it. Called
  /// after tables were published; one thread at a time does it, others go on.
  func balanceFilters() throws {
    guard balancing.tryLock() else { return }
    defer { balancing.unlock() }
    let holders = filterHolders()
    let loaded = holders.reduce(0) { $0 + $1.table.reader.filter.memoryBytes }
    let wanted = holders.reduce(0) { $0 + $1.table.reader.outline.filter.loadPlan().memoryBytes }
    // What is not a filter of a hashed table's stays as it is.
    let own = filters.limit - (filters.used - loaded)
    // Less where other stores hold what is this one's by now.
    let memory = min(own, loaded + filters.available)
    if loaded < wanted && memory < own { filters.askOthers() }
    guard loaded > memory || loaded < wanted else { return }
    let isWasteful = Double(loaded) < Self.fullEnough * Double(memory)
    guard loaded > memory || isWasteful || Self.hasStarving(holders) else { return }
    let room = wanted <= memory ? wanted : Int(Double(memory) * Self.aim)
    let granted = FilterAllocation.divide(room, among: holders.map(\.claim))
    let changes = zip(holders, granted).map { holder, bytes in
      (holder.table, holder.table.reader.outline.filter.loadPlan(byteBudget: bytes))
    }.filter { table, plan in Self.isWorthwhile(plan, insteadOf: table.reader.filter) }
    // Memory is given up before it is taken.
    for (table, plan) in changes.sorted(by: { Self.growth($0) < Self.growth($1) }) {
      if monitor.withLock({ isStopping || failure != nil }) { return }
      try reload(table, plan)
    }
  }

  /// Whether a run that is small beside the largest has less than all of its filters.
  private static func hasStarving(_ holders: [Holder]) -> Bool {
    let largest = holders.map(\.claim.runKeys).max() ?? 0
    return holders.contains { holder in
      holder.claim.runKeys < largest / 4
        && holder.table.reader.filter.memoryBytes < holder.claim.geometry.loadPlan().memoryBytes
    }
  }

  /// Of every open table: keys of its run, bytes of its filter that are loaded, and of all of it.
  var filterShares: [(runKeys: UInt64, loaded: Int, whole: Int)] {
    filterHolders().map { holder in
      (
        holder.claim.runKeys, holder.table.reader.filter.memoryBytes,
        holder.claim.geometry.loadPlan().memoryBytes
      )
    }
  }

  private static func growth(_ change: (OpenTable, FilterLoadPlan)) -> Int {
    change.1.memoryBytes - change.0.reader.filter.memoryBytes
  }

  /// Whether a filter changes by as much as a sixteenth of it.
  private static func isWorthwhile(_ plan: FilterLoadPlan, insteadOf filter: LoadedFilter) -> Bool {
    let difference = abs(plan.memoryBytes - filter.memoryBytes)
    return difference > 0 && difference >= plan.geometry.imageBytes / 16
  }

  /// Every open table once.
  private func filterHolders() -> [Holder] {
    let shards = monitor.withLock { keyspaces.flatMap(\.shards) }
    var seen: Set<ObjectIdentifier> = []
    return shards.flatMap(\.view.runs).flatMap { run in
      run.tables.filter { seen.insert(ObjectIdentifier($0.reader)).inserted }.map { table in
        Holder(
          table: table,
          claim: FilterAllocation.Claim(
            table.reader.outline.filter, runKeys: run.state.entryCount))
      }
    }
  }

  /// Opens a table again with another part of its filter, and publishes it wherever it is in use.
  private func reload(_ table: OpenTable, _ plan: FilterLoadPlan) throws {
    let outline = table.reader.outline
    let grant = outline.grant(for: plan, of: filters)
    let whole = OpenTable(
      reader: try TableReader(outline, filter: plan), clip: table.clip, grant: grant)
    monitor.withLock {
      for shard in keyspaces.flatMap(\.shards)
      where shard.view.runs.contains(where: { $0.reads(table.reader) }) {
        shard.update { view in
          ShardView(
            active: view.active, frozen: view.frozen,
            runs: view.runs.map { $0.replacing(table.reader, by: whole) })
        }
      }
    }
  }
}

extension OpenRun {
  fileprivate func reads(_ reader: TableReader) -> Bool { tables.contains { $0.reader === reader } }

  /// The run with another reader of one of its tables.
  fileprivate func replacing(_ reader: TableReader, by table: OpenTable) -> OpenRun {
    guard reads(reader) else { return self }
    return OpenRun(
      state: state, tables: tables.map { $0.reader === reader ? table.clipped(to: $0.clip) : $0 })
  }
}
