// Opening the tables of a state, side by side and each file once.
//
//   1. read the outline of every table: footer, index, geometry of the filter
//   2. divide the memory for filters and indexes among them
//   3. load of each filter what it was given
//
// Steps 1 and 3 run on the store's threads. Step 2 knows every size and is a pure function of the
// state and the budget: which filters are loaded in part does not depend on the threads' timing.
//
// Invariants
// 1. Filters take what indexes leave of the budget, and no more.
// 2. The error thrown is that of the table with the lowest number of those that fail in a step.
// 3. After an error no file stays open once the threads have ended.

package import SedimentIO

/// Opens the tables of a state.
package struct TableOpening {
  private let directory: any Directory
  private let budget: ByteBudget
  private let workers: ShardWorkers

  /// - Parameters:
  ///   - directory: where the tables lie.
  ///   - budget: what indexes and filters may take.
  ///   - workers: the threads that help; nobody else has work for them.
  package init(directory: any Directory, budget: ByteBudget, workers: ShardWorkers) {
    self.directory = directory
    self.budget = budget
    self.workers = workers
  }

  /// Opens all tables that the state names.
  ///
  /// - Throws: `FileError`, `Corruption` or `UnsupportedFormat` that names the file.
  package func open(_ state: StoreState) throws -> OpenTables {
    let slices = state.tableSlices
    let runKeys = state.runKeys
    let byNumber = slices.indices.sorted { slices[$0].table.number < slices[$1].table.number }
    let outlines = try workers.map(byNumber.count) { [directory] index in
      try TableOutline(directory: directory, metadata: slices[byNumber[index]].table)
    }
    var places = [Int](repeating: 0, count: slices.count)
    for (place, index) in byNumber.enumerated() { places[index] = place }
    let claims = zip(slices, places).map { slice, place in
      FilterAllocation.Claim(outlines[place].filter, runKeys: runKeys[slice.table.number] ?? 0)
    }
    let indexBytes = outlines.reduce(0) { $0 + $1.indexBytes }
    let (plans, grants) = budget.dividing {
      let granted = FilterAllocation.divide(budget.available - indexBytes, among: claims)
      let plans = zip(claims, granted).map { $0.geometry.loadPlan(byteBudget: $1) }
      let grants = zip(places, plans).map { outlines[$0].grant(for: $1, of: budget) }
      return (plans, grants)
    }
    let readers = try workers.map(byNumber.count) { index in
      try TableReader(outlines[index], filter: plans[byNumber[index]])
    }
    var tables = OpenTables()
    for (index, slice) in slices.enumerated() {
      tables.add(
        OpenTable(reader: readers[places[index]], clip: slice.clip, grant: grants[index]), slice)
    }
    return tables
  }
}

/// The open tables of a state, for its shards to take.
package struct OpenTables {
  private var tables: [TableMetadata: OpenTable] = [:]

  fileprivate mutating func add(_ table: OpenTable, _ slice: TableSlice) {
    tables[slice.table] = table
  }

  /// The part of a table of the state that a shard refers to; the parts share one reader.
  package func table(_ slice: TableSlice) -> OpenTable {
    guard let table = tables[slice.table] else {
      preconditionFailure("table \(slice.table.number.rawValue) is not of the state")
    }
    return table.clipped(to: slice.clip)
  }
}

extension TableOutline {
  /// Takes of a budget what the index and a part of the filter hold. Precedes the loading of that
  /// part: what is granted nobody else gets meanwhile.
  func grant(for plan: FilterLoadPlan, of budget: ByteBudget) -> ByteGrant {
    ByteGrant(
      indexBytes + plan.memoryBytes, wanted: indexBytes + filter.loadPlan().memoryBytes,
      of: budget)
  }
}

extension StoreState {
  /// Entries of the run that each table is part of; of the largest, where it is part of several.
  fileprivate var runKeys: [FileNumber: UInt64] {
    var keys: [FileNumber: UInt64] = [:]
    for run in keyspaces.lazy.flatMap(\.shards).flatMap(\.runs) {
      for slice in run.tables {
        keys[slice.table.number] = max(keys[slice.table.number] ?? 0, run.entryCount)
      }
    }
    return keys
  }

  /// A slice of every table named, each table once, in the order of keyspaces, shards, age (the
  /// newest runs, which lookups ask first, come first) and hash.
  fileprivate var tableSlices: [TableSlice] {
    var seen: Set<TableMetadata> = []
    return keyspaces.lazy.flatMap(\.shards).flatMap(\.runs).flatMap(\.tables).filter {
      seen.insert($0.table).inserted
    }
  }
}
