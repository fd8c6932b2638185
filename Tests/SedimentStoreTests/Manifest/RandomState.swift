import SedimentStore
import SedimentTestKit

/// Draws states that obey all invariants of `StoreState`.
struct RandomState {
  var generator: SeededGenerator
  private var nextFileNumber: UInt64 = 1
  private var nextID: UInt64 = 1

  init(seed: UInt64) { generator = SeededGenerator(seed: seed) }

  private mutating func draw(_ range: ClosedRange<Int>) -> Int {
    Int.random(in: range, using: &generator)
  }

  private mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
  }

  mutating func options() -> KeyspaceOptions {
    KeyspaceOptions(
      keyMode: draw(0...1) == 0 ? .exact : .fingerprint, valueWidth: UInt8(draw(0...64)),
      timeToLive: draw(0...2) == 0
        ? .forever
        : .milliseconds(.random(in: 1...TimeToLive.millisecondsMax, using: &generator)),
      allowedLateness: draw(0...1) == 0 ? nil : Int64(draw(0...1_000_000)),
      compaction: .tiered(fanout: UInt8(draw(2...32))),
      log: [.epochs, .everyBatch(synchronized: true), .everyBatch(synchronized: false)][
        draw(0...2)],
      refreshesOnSeen: draw(0...1) == 1)
  }

  private mutating func table(_ clip: ClosedRange<UInt64>, _ layout: EntryLayout) -> TableSlice {
    defer { nextFileNumber += 1 }
    let low = Int64.random(in: StoreState.timeMin...StoreState.timeMax, using: &generator)
    let table = TableMetadata(
      number: FileNumber(nextFileNumber), fileID: generator.next(),
      fileBytes: UInt64(draw(16_000_000...100_000_000)),
      entryCount: UInt64(draw(1...1_000_000)), smallestHigh: clip.lowerBound,
      largestHigh: clip.upperBound, smallestTime: low,
      largestTime: .random(in: low...StoreState.timeMax, using: &generator), layout: layout,
      hasKinds: draw(0...1) == 1, filterKind: FilterKind.allCases[draw(0...2)])
    return TableSlice(table: table, clip: clip)
  }

  /// Runs of a shard, newest first, numbered from `sequence` down.
  mutating func runs(_ groups: KeyGroupRange, _ layout: EntryLayout, count: Int) -> [RunState] {
    let range = groups.hashRange
    return (0..<count).map { index in
      defer { nextID += 1 }
      let tables = draw(1...3)
      let part = (range.upperBound - range.lowerBound) / UInt64(tables)
      let slices = (0..<tables).map { number in
        let low = range.lowerBound + part * UInt64(number)
        return table(low + 1...(low + part - 1), layout)
      }
      return RunState(
        id: nextID, sequence: UInt64(10 * (count - index)), level: UInt8(draw(0...62)),
        window: Int64(draw(-100...100)), tables: slices)
    }
  }

  private mutating func keyspace(id: UInt32, shards: Int? = nil) -> KeyspaceState {
    let options = self.options()
    let largest = Int64.random(in: StoreState.timeMin...StoreState.timeMax, using: &generator)
    var keyspace = KeyspaceState(
      id: id, name: draw(0...5) == 0 ? "größe \(id)" : "keyspace \(id)", options: options,
      largestTime: draw(0...3) == 0 ? nil : largest, shards: [])
    for groups in KeyGroupRange.split(into: shards ?? draw(1...5)) {
      let runs = runs(groups, options.layout, count: draw(0...5))
      keyspace.shards.append(ShardState(groups: groups, runs: runs))
    }
    keyspace.logs = (0..<draw(0...3)).map { _ in
      defer { nextFileNumber += 1 }
      return LogReference(
        number: FileNumber(nextFileNumber), fileID: generator.next(),
        committedLength: UInt64(draw(0...1_000_000_000_000)))
    }
    return keyspace
  }

  // MARK: - Ordered keyspaces

  private mutating func orderedTable(
    _ keys: ClosedRange<UInt8>, sequences: ClosedRange<UInt64>
  ) -> OrderedTableMetadata {
    defer { nextFileNumber += 1 }
    return OrderedTableMetadata(
      number: FileNumber(nextFileNumber), fileID: generator.next(),
      fileBytes: UInt64(draw(10_000...1_000_000)), entryCount: UInt64(draw(100...1_000)),
      otherCount: UInt64(draw(0...100)), smallestSequence: sequences.lowerBound,
      largestSequence: sequences.upperBound, smallestKey: [keys.lowerBound] + bytes(draw(0...20)),
      largestKey: [keys.upperBound] + bytes(draw(0...20)),
      filterKind: FilterKind.allCases[draw(0...2)])
  }

  /// Levels of which no table is newer than `sequence`.
  private mutating func levels(upTo sequence: UInt64) -> OrderedLevels {
    var levels = OrderedLevels()
    for index in 0..<draw(0...3) {
      let newest = sequence - UInt64(10 * index)
      levels.tables[0].append(orderedTable(0...200, sequences: newest - 5...newest))
    }
    for level in 1..<OrderedLevels.count where draw(0...2) == 0 {
      for place in 0..<draw(1...3) {
        let first = UInt8(20 * place)
        levels.tables[level].append(orderedTable(first...first + 10, sequences: 0...sequence))
      }
    }
    if draw(0...2) == 0 {
      levels.removals = (1...draw(1...4)).map { index in
        RangeRemoval(
          lower: bytes(draw(0...9)), upper: draw(0...1) == 0 ? nil : bytes(draw(0...9)),
          sequence: sequence - 10 + UInt64(index))
      }
    }
    return levels
  }

  private mutating func orderedKeyspace(id: UInt32) -> OrderedKeyspaceState {
    let sequence = UInt64(draw(1_000...1_000_000))
    return OrderedKeyspaceState(
      id: id, name: "ordered \(id)",
      options: OrderedKeyspaceOptions(
        isLogged: draw(0...1) == 0, compression: BlockCompression.allCases[draw(0...1)],
        uncompressedLevels: draw(0...4) == 0 ? UInt8(draw(1...7)) : 0,
        filterBitsPerKey: UInt8(draw(0...32)),
        timeToLive: draw(0...1) == 0 ? .forever : .milliseconds(Int64(draw(1...1_000_000))),
        compaction: draw(0...4) == 0 ? .tiered : .leveled,
        mergeOperator: draw(0...2) == 0 ? MergeOperator(named: "op \(draw(0...9))") : nil),
      flushedSequence: sequence, levels: levels(upTo: sequence))
  }

  private mutating func writeLog() -> LogReference {
    defer { nextFileNumber += 1 }
    return LogReference(
      number: FileNumber(nextFileNumber), fileID: generator.next(),
      committedLength: UInt64(draw(0...1_000_000)))
  }

  /// Adds to an edit what ordered keyspaces may change in it.
  private mutating func addOrdered(to edit: inout StateEdit, of state: StoreState) {
    if draw(0...4) == 0 {
      edit.metadata = []
      edit.keepsMetadata = true
    }
    if draw(0...1) == 0, !state.orderedKeyspaces.isEmpty {
      edit.writeLogs = Array(state.writeLogs.dropFirst()) + [writeLog()]
    }
    for keyspace in state.orderedKeyspaces where draw(0...2) > 0 {
      let sequence = keyspace.flushedSequence + 1_000
      if let change = OrderedKeyspaceEdit(
        from: keyspace, to: levels(upTo: sequence), flushedSequence: sequence)
      {
        edit.orderedKeyspaces.append(change)
      }
    }
  }

  /// A whole state.
  ///
  /// - Parameter shards: of each keyspace; `nil` for any number.
  mutating func state(shards: Int? = nil) -> StoreState {
    var state = StoreState(
      identity: StoreIdentity(high: generator.next(), low: generator.next()),
      seed: HashSeed(first: generator.next(), second: generator.next()))
    state.metadata = bytes(draw(0...40))
    state.writerEpoch = UInt64(draw(0...1_000_000))
    state.epoch = UInt64(draw(0...1_000_000))
    for id in 1...UInt32(draw(1...3)) {
      state.keyspaces.append(keyspace(id: id, shards: shards))
      state.nextKeyspaceID = id + 1
    }
    for _ in 0..<draw(0...2) {
      state.orderedKeyspaces.append(orderedKeyspace(id: state.nextKeyspaceID))
      state.nextKeyspaceID += 1
    }
    if !state.orderedKeyspaces.isEmpty {
      state.writeLogs = (0..<draw(0...3)).map { _ in writeLog() }
    }
    state.nextFileNumber = nextFileNumber + UInt64(draw(0...5))
    return state
  }

  /// An epoch's edit that fits a state: runs go and come, logs change.
  mutating func edit(of state: StoreState) -> StateEdit {
    nextFileNumber = state.nextFileNumber
    nextID += 1_000
    var edit = StateEdit(
      epoch: state.epoch + 1, nextFileNumber: 0, metadata: bytes(draw(0...40)))
    for keyspace in state.keyspaces where draw(0...3) > 0 {
      var change = KeyspaceEdit(
        id: keyspace.id, largestTime: Int64(draw(-1_000...1_000)),
        logs: draw(0...1) == 0 ? [] : keyspace.logs)
      for (index, shard) in keyspace.shards.enumerated() {
        var runs = shard.runs.filter { _ in draw(0...2) > 0 }
        let layout = keyspace.options.layout
        for var run in self.runs(shard.groups, layout, count: draw(0...2)) {
          run.sequence += 1_000_000 * (state.epoch + 1)
          runs.append(run)
        }
        runs.sort { $0.sequence > $1.sequence }
        if let shardEdit = ShardEdit(index: index, from: shard.runs, to: runs) {
          change.shards.append(shardEdit)
        }
      }
      edit.keyspaces.append(change)
    }
    addOrdered(to: &edit, of: state)
    edit.nextFileNumber = nextFileNumber
    return edit
  }
}
