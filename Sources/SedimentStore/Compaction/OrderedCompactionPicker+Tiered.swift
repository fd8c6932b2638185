// Tiered merges: what to merge next where an entry is to be written few times.
//
// Each table of level 0 is a run, and so is each deeper level that holds anything: from the newest
// to the oldest in the order of levels. When there are `tieredRunsMax`, neighbours are merged: all,
// when what is newer than the oldest is as large as that, so that no more than about twice the
// space is taken; else from the newest on as long as the next run is no larger than those before
// together; else as many of the newest as are too many. The output goes to the level above the next
// older run, the last one where there is none. Where there is no such level, because that run lies
// in level 0 or 1, it is merged as well: so all of level 0 is, whenever any of it is.
//
// Invariant: of two tables that may hold one key, the one in the lower level, or before the other
// in level 0, is the newer; as in the leveled style.
//
// Source: the order of the rules is that of RocksDB's universal compaction.

extension OrderedCompactionPicker {
  /// Tables of which no two hold one key.
  private struct SortedRun {
    var level: Int
    var tables: [OrderedTableMetadata]
    var bytes: UInt64
    var isBusy: Bool

    init(_ tables: [OrderedTableMetadata], level: Int, busy: Set<FileNumber>) {
      self.level = level
      self.tables = tables
      bytes = tables.reduce(0) { $0 + $1.fileBytes }
      isBusy = tables.contains { busy.contains($0.number) }
    }
  }

  /// The runs of a keyspace, newest first.
  private func runs(_ levels: OrderedLevels, _ busy: Set<FileNumber>) -> [SortedRun] {
    levels.tables[0].map { SortedRun([$0], level: 0, busy: busy) }
      + (1..<OrderedLevels.count).filter { !levels.tables[$0].isEmpty }
      .map { SortedRun(levels.tables[$0], level: $0, busy: busy) }
  }

  func pickTiered(_ levels: OrderedLevels, _ busy: Set<FileNumber>) -> OrderedCompactionChoice? {
    let runs = runs(levels, busy)
    guard runs.count >= tieredRunsMax, let oldest = runs.last else { return nil }
    let newer = runs.dropLast().reduce(0) { $0 + $1.bytes }
    if newer >= oldest.bytes, let choice = choice(runs, upTo: runs.count, levels) { return choice }
    // What is being merged ends it: what is newer may not pass that by.
    let free = runs.prefix { !$0.isBusy }
    var count = 0
    var bytes: UInt64 = 0
    while count < free.count, count < 2 || free[count].bytes <= bytes {
      bytes += free[count].bytes
      count += 1
    }
    count = max(count, min(runs.count - tieredRunsMax + 2, free.count))
    return choice(runs, upTo: count, levels) ?? pickWithinLevel0(levels, busy)
  }

  /// The newest runs merged; `nil` where one of them takes part in another merge.
  private func choice(
    _ runs: [SortedRun], upTo count: Int, _ levels: OrderedLevels
  ) -> OrderedCompactionChoice? {
    var count = count
    while count < runs.count, runs[count].level <= 1 { count += 1 }
    let chosen = runs[..<count]
    guard count >= 2, chosen.allSatisfy({ !$0.isBusy }) else { return nil }
    let output = count < runs.count ? runs[count].level - 1 : OrderedLevels.count - 1
    let tables = chosen.flatMap(\.tables)
    guard let range = KeyRange(of: tables) else { return nil }
    var choice = OrderedCompactionChoice(
      level: runs[0].level, outputLevel: output,
      inputs: chosen.filter { $0.level != output }.flatMap(\.tables).map(\.number),
      overlapped: chosen.filter { $0.level == output }.flatMap(\.tables).map(\.number),
      isBottommost: (output + 1..<OrderedLevels.count).allSatisfy {
        levels.overlapping(range, in: $0).isEmpty
      })
    choice.rewrites = chosen.contains {
      isCompressed($0.level, in: levels) != isCompressed(output, in: levels)
    }
    if areApart(tables), !choice.rewrites {
      // Keys in order: each table goes to its place unread.
      choice.areDisjoint = true
      choice.overlapped = []
    }
    return choice
  }

  /// Whether no two tables may hold one key.
  private func areApart(_ tables: [OrderedTableMetadata]) -> Bool {
    let sorted = tables.sorted { $0.smallestKey.lexicographicallyPrecedes($1.smallestKey) }
    return zip(sorted, sorted.dropFirst()).allSatisfy { left, right in
      left.largestKey.lexicographicallyPrecedes(right.smallestKey)
    }
  }
}
