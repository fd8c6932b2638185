// What to merge next in an ordered keyspace: a pure function of its levels.
//
// Level 0 holds flushed tables as they came, newest first; they may overlap. Every deeper level is
// one run: tables that are disjoint and in order of keys. Sizes are counted from the last level up:
// it may be as large as it is, each one above a tenth of that, until a level would be smaller than
// `baseBytes`; that one is the *base*, into which level 0 is merged, and those above it are
// empty. So little is rewritten that is not at the bottom, and a small keyspace has two levels.
//
// What is fullest comes first, by its score: of level 0 the number of tables over those that may be
// there, of a deeper level its bytes over its target. While writes come fast, level 0 gathers up to
// three times as many tables where the base level is much larger, for a merge rewrites all of that.
// Of a deeper level that table goes down which meets least below for its size; what meets nothing
// moves without being read.
//
// Where level 0 fills while its merge is held up by another, its newest tables become one: a lookup
// has fewer to ask, and writers need not wait yet.
//
// Keyspaces of the tiered style are in `OrderedCompactionPicker+Tiered.swift`.
//
// Source: the sizes are those of RocksDB's `level_compaction_dynamic_level_bytes`, the choice of
// the table is its `kMinOverlappingRatio`.

/// The keys from a first to a last one.
package struct KeyRange: Hashable, Sendable {
  /// The least key.
  package var first: [UInt8]
  /// The greatest, which belongs to it.
  package var last: [UInt8]

  /// The keys from `first` to `last`.
  package init(first: [UInt8], last: [UInt8]) {
    self.first = first
    self.last = last
  }

  /// The keys of a table.
  package init(_ table: OrderedTableMetadata) {
    first = table.smallestKey
    last = table.largestKey
  }

  /// From the least to the greatest key of tables; `nil` of none.
  package init?(of tables: [OrderedTableMetadata]) {
    guard let first = tables.map(\.smallestKey).min(by: { $0.lexicographicallyPrecedes($1) }),
      let last = tables.map(\.largestKey).max(by: { $0.lexicographicallyPrecedes($1) })
    else { return nil }
    self.first = first
    self.last = last
  }

  /// Whether a key may be in both.
  package func overlaps(_ other: KeyRange) -> Bool {
    !last.lexicographicallyPrecedes(other.first) && !other.last.lexicographicallyPrecedes(first)
  }
}

extension OrderedLevels {
  /// The tables of a level that may hold keys of a range.
  package func overlapping(_ range: KeyRange, in level: Int) -> [OrderedTableMetadata] {
    tables[level].filter { range.overlaps(KeyRange($0)) }
  }
}

/// A merge of tables of one level with what they meet in a deeper one.
package struct OrderedCompactionChoice: Hashable, Sendable {
  /// Where the inputs come from.
  package var level: Int
  /// Where what becomes of them goes.
  package var outputLevel: Int
  /// Tables of `level`; of level 0 newest first.
  package var inputs: [FileNumber]
  /// Tables of `outputLevel`, in order of keys.
  package var overlapped: [FileNumber]
  /// Whether no deeper level may hold a key that is merged: of the inputs, or of what they meet,
  /// which reaches beyond them.
  package var isBottommost: Bool

  /// Whether what is in the tables has to be looked at, wherever they go.
  package var rewrites = false

  /// Whether no two of the inputs may hold one key.
  package var areDisjoint = false

  /// Whether tables only change their level.
  package var isMove: Bool {
    (areDisjoint || inputs.count == 1) && overlapped.isEmpty && !rewrites
  }
}

/// Decides about one ordered keyspace.
package struct OrderedCompactionPicker: Sendable {
  /// When tables are merged.
  package var style = CompactionStyle.leveled
  /// Runs of a keyspace of the tiered style at which neighbours are merged, at least two.
  package var tieredRunsMax = 6
  /// Levels from the top on whose blocks are not compressed.
  package var uncompressedLevels = 0
  /// What a table may be, at the most, that is made of tables of level 0 and stays there.
  package var level0OutputBytesMax: UInt64 = 256 << 20
  /// Tables of level 0 from which on they are merged.
  package var level0TablesMax: Int
  /// What the base level may be at the least.
  package var baseBytes: UInt64
  /// How many times larger a level is than the one above.
  package var growth: UInt64

  /// How many times as many tables level 0 has, at the most, while writes come fast; and how many
  /// times larger than those the base level may be for a merge.
  private static let gathering = 3

  /// A picker with a base of 256 MiB and levels that are ten times larger each.
  package init(level0TablesMax: Int = 4, baseBytes: UInt64 = 256 << 20, growth: UInt64 = 10) {
    precondition(level0TablesMax >= 1 && baseBytes >= 1 && growth >= 2, "levels that do not grow")
    self.level0TablesMax = level0TablesMax
    self.baseBytes = baseBytes
    self.growth = growth
  }

  /// What each level may hold, and the base level, into which level 0 goes; levels between the two
  /// may hold nothing.
  package func targets(_ levels: OrderedLevels) -> (bytes: [UInt64], base: Int) {
    let last = OrderedLevels.count - 1
    var bytes = [UInt64](repeating: 0, count: OrderedLevels.count)
    // What lies above its place goes down to it first.
    let largest = (1...last).map { levels.byteCount(of: $0) }.max() ?? 0
    var base = last
    bytes[last] = max(largest, baseBytes)
    while base > 1, bytes[base] / growth >= baseBytes {
      bytes[base - 1] = bytes[base] / growth
      base -= 1
    }
    return (bytes, base)
  }

  /// How full each level is; from 1 on it is to be merged.
  ///
  /// - Parameter isBusy: whether writes come fast.
  package func scores(_ levels: OrderedLevels, isBusy: Bool = false) -> [Double] {
    let targets = targets(levels)
    return (0..<OrderedLevels.count).map { level in
      if level == 0 {
        let count = levels.tables[0].count
        let mayGather =
          isBusy && count < Self.gathering * level0TablesMax
          && levels.byteCount(of: 0) < levels.byteCount(of: targets.base) / UInt64(Self.gathering)
        return mayGather ? 0 : Double(count) / Double(level0TablesMax)
      }
      let bytes = Double(levels.byteCount(of: level))
      if level < targets.base { return bytes > 0 ? .infinity : 0 }
      // The last level has nowhere to go.
      return level == OrderedLevels.count - 1 ? 0 : bytes / Double(targets.bytes[level])
    }
  }

  /// The most urgent merge; `nil` when there is nothing to do that can be done beside those under
  /// way.
  ///
  /// - Parameters:
  ///   - busy: tables that take part in a merge already.
  ///   - isBusy: whether writes come fast.
  package func pick(
    _ levels: OrderedLevels, busy: Set<FileNumber> = [], isBusy: Bool = false
  ) -> OrderedCompactionChoice? {
    if style == .tiered { return pickTiered(levels, busy) }
    let base = targets(levels).base
    let urgent = scores(levels, isBusy: isBusy).enumerated().filter { $0.element >= 1 }
      .sorted { $0.element > $1.element }
    for (level, _) in urgent {
      let choice =
        level == 0
        ? pickApart(levels, base: base, busy) ?? pickLevel0(levels, base: base, busy)
          ?? pickWithinLevel0(levels, busy)
        : pickDeeper(level, levels, busy)
      if let choice { return choice }
    }
    return nil
  }

  /// Everything into the last level; `nil` when it is there already.
  ///
  /// - Parameter rewrites: whether to write anew what is there, too.
  package static func pickManual(
    _ levels: OrderedLevels, rewrites: Bool = false
  ) -> OrderedCompactionChoice? {
    let last = OrderedLevels.count - 1
    let isThere = levels.tables[..<last].allSatisfy(\.isEmpty)
    guard !isThere || (rewrites && !levels.tables[last].isEmpty) else { return nil }
    let inputs = levels.placed.filter { $0.level < last }.map(\.table.number)
    return OrderedCompactionChoice(
      level: 0, outputLevel: last, inputs: inputs, overlapped: levels.tables[last].map(\.number),
      isBottommost: true, rewrites: true)
  }

  /// All tables that hold keys of a range, and all that those overlap, into the last level; `nil`
  /// when they are there already.
  ///
  /// - Parameters:
  ///   - upper: behind the last key; `nil` for all keys from `lower` on.
  ///   - rewrites: whether to write anew what is there, too.
  package static func pickManual(
    _ levels: OrderedLevels, from lower: [UInt8], to upper: [UInt8]?, rewrites: Bool = false
  ) -> OrderedCompactionChoice? {
    var chosen = levels.tables.joined().filter { table in
      !table.largestKey.lexicographicallyPrecedes(lower)
        && (upper.map(table.smallestKey.lexicographicallyPrecedes) ?? true)
    }
    // A table that stayed behind above what is merged would hide it.
    while let range = KeyRange(of: chosen) {
      let met = levels.tables.joined().filter { range.overlaps(KeyRange($0)) }
      if met.count == chosen.count { break }
      chosen = met
    }
    var part = OrderedLevels()
    let numbers = Set(chosen.map(\.number))
    for level in levels.tables.indices {
      part.tables[level] = levels.tables[level].filter { numbers.contains($0.number) }
    }
    return pickManual(part, rewrites: rewrites)
  }

  /// A merge that takes entries out which a removal of a range hides.
  ///
  /// - Parameter hiding: the tables that may hold such.
  package func pickClearing(
    _ levels: OrderedLevels, hiding: Set<FileNumber>, busy: Set<FileNumber> = []
  ) -> OrderedCompactionChoice? {
    if style == .tiered {
      return busy.isEmpty ? Self.pickManual(levels, rewrites: true) : nil
    }
    let last = OrderedLevels.count - 1
    for (level, tables) in levels.tables.enumerated() {
      for table in tables where hiding.contains(table.number) && !busy.contains(table.number) {
        var choice =
          switch level {
          case 0: pickLevel0(levels, base: targets(levels).base, busy)
          case last:
            OrderedCompactionChoice(
              level: last, outputLevel: last, inputs: [table.number], overlapped: [],
              isBottommost: true)
          default: self.choice([table], from: level, to: level + 1, levels, busy)
          }
        choice?.rewrites = true
        if let choice { return choice }
      }
    }
    return nil
  }

  /// Where a table goes that is newer than all others and comes from outside: as deep as it meets
  /// none.
  ///
  /// - Parameter busy: tables that take part in a merge, whose output may come to lie around it.
  package func level(
    for range: KeyRange, in levels: OrderedLevels, busy: Set<FileNumber>
  ) -> Int {
    let base = style == .tiered ? 1 : targets(levels).base
    let merging = KeyRange(of: levels.tables.joined().filter { busy.contains($0.number) })
    if let merging, merging.overlaps(range) { return 0 }
    // Levels between are to be empty.
    guard (0..<base).allSatisfy({ levels.overlapping(range, in: $0).isEmpty }),
      (1..<base).allSatisfy({ levels.tables[$0].isEmpty })
    else { return 0 }
    var deepest = 0
    for level in base..<OrderedLevels.count {
      guard levels.overlapping(range, in: level).isEmpty else { break }
      deepest = level
    }
    return deepest
  }

  /// All of level 0: which of its tables has the newest of a key depends on their order.
  private func pickLevel0(
    _ levels: OrderedLevels, base: Int, _ busy: Set<FileNumber>
  ) -> OrderedCompactionChoice? {
    // A level between, which is to be empty, would hide what is merged past it.
    guard (1..<base).allSatisfy({ levels.tables[$0].isEmpty }) else { return nil }
    return choice(levels.tables[0], from: 0, to: base, levels, busy)
  }

  /// Tables of level 0 that meet no other, there and below, as keys in order make them: they go
  /// down without being read.
  private func pickApart(
    _ levels: OrderedLevels, base: Int, _ busy: Set<FileNumber>
  ) -> OrderedCompactionChoice? {
    // What is being merged from level 0 may come to lie around such a table.
    guard (1..<base).allSatisfy({ levels.tables[$0].isEmpty }),
      levels.tables[0].allSatisfy({ !busy.contains($0.number) }),
      isCompressed(0, in: levels) == isCompressed(base, in: levels)
    else { return nil }
    let apart = levels.tables[0].filter { table in
      levels.overlapping(KeyRange(table), in: 0).count == 1
        && levels.overlapping(KeyRange(table), in: base).isEmpty
    }
    guard !apart.isEmpty else { return nil }
    return OrderedCompactionChoice(
      level: 0, outputLevel: base, inputs: apart.map(\.number), overlapped: [],
      isBottommost: false, areDisjoint: true)
  }

  /// The newest tables of level 0 that take part in no merge, as one.
  func pickWithinLevel0(
    _ levels: OrderedLevels, _ busy: Set<FileNumber>
  ) -> OrderedCompactionChoice? {
    guard levels.tables[0].count >= Self.gathering * level0TablesMax else { return nil }
    var inputs: [FileNumber] = []
    var bytes: UInt64 = 0
    for table in levels.tables[0] {
      bytes += table.fileBytes
      guard !busy.contains(table.number), bytes <= level0OutputBytesMax else { break }
      inputs.append(table.number)
    }
    // Large ones that are half as many are worth it, too.
    let taken = levels.tables[0].prefix(inputs.count).reduce(0) { $0 + $1.fileBytes }
    guard inputs.count >= level0TablesMax || (inputs.count >= 2 && taken > level0OutputBytesMax / 2)
    else { return nil }
    return OrderedCompactionChoice(
      level: 0, outputLevel: 0, inputs: inputs, overlapped: [], isBottommost: false,
      rewrites: true)
  }

  /// How many levels lie above, of those that may hold anything.
  private func depth(of level: Int, in levels: OrderedLevels) -> Int {
    guard level > 0 else { return 0 }
    switch style {
    case .leveled: return max(1, level - targets(levels).base + 1)
    case .tiered: return 1 + (1..<level).count { !levels.tables[$0].isEmpty }
    }
  }

  /// Whether blocks of a level are compressed, where the keyspace's are at all.
  package func isCompressed(_ level: Int, in levels: OrderedLevels) -> Bool {
    uncompressedLevels == 0 || depth(of: level, in: levels) >= uncompressedLevels
  }

  private func pickDeeper(
    _ level: Int, _ levels: OrderedLevels, _ busy: Set<FileNumber>
  ) -> OrderedCompactionChoice? {
    func cost(_ table: OrderedTableMetadata) -> Double {
      let met = levels.overlapping(KeyRange(table), in: level + 1)
      return Double(met.reduce(0) { $0 + $1.fileBytes }) / Double(table.fileBytes)
    }
    let ordered = levels.tables[level].map { (table: $0, cost: cost($0)) }
      .sorted { $0.cost < $1.cost }
    for (table, _) in ordered {
      if let choice = choice([table], from: level, to: level + 1, levels, busy) { return choice }
    }
    return nil
  }

  private func choice(
    _ inputs: [OrderedTableMetadata], from level: Int, to output: Int, _ levels: OrderedLevels,
    _ busy: Set<FileNumber>
  ) -> OrderedCompactionChoice? {
    guard let range = KeyRange(of: inputs) else { return nil }
    let met = levels.overlapping(range, in: output)
    guard (inputs + met).allSatisfy({ !busy.contains($0.number) }) else { return nil }
    guard let whole = KeyRange(of: inputs + met) else { return nil }
    let isBottommost = (output + 1..<OrderedLevels.count).allSatisfy {
      levels.overlapping(whole, in: $0).isEmpty
    }
    return OrderedCompactionChoice(
      level: level, outputLevel: output, inputs: inputs.map(\.number),
      overlapped: met.map(\.number), isBottommost: isBottommost,
      rewrites: isCompressed(level, in: levels) != isCompressed(output, in: levels))
  }
}
