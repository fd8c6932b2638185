import SedimentStore
import SedimentTestKit
import Testing

@Suite("State coding")
struct StateCodingTests {
  static let seeds = UInt64(0)..<60

  @Test func statesComeBackAsTheyWere() throws {
    for seed in Self.seeds {
      var random = RandomState(seed: seed)
      let state = random.state()
      #expect(state.complaint == nil, "seed \(seed)")
      #expect(try StateCoding.decodeState(StateCoding.encode(state).bytes) == state, "seed \(seed)")
    }
  }

  @Test func editsComeBackAsTheyWereAndApply() throws {
    for seed in Self.seeds {
      var random = RandomState(seed: seed)
      var state = random.state()
      for _ in 0..<5 {
        let edit = random.edit(of: state)
        #expect(try StateCoding.decodeEdit(StateCoding.encode(edit).bytes) == edit, "seed \(seed)")
        let before = state
        try state.apply(edit)
        #expect(state.complaint == nil, "seed \(seed)")
        let metadata = edit.keepsMetadata ? before.metadata : edit.metadata
        #expect(state.epoch == before.epoch + 1 && state.metadata == metadata)
        checkShards(of: state, follow: before, by: edit)
        checkLevels(of: state, follow: before, by: edit)
      }
    }
  }

  private func checkShards(of state: StoreState, follow old: StoreState, by edit: StateEdit) {
    for (new, old) in zip(state.keyspaces, old.keyspaces) {
      let change = edit.keyspaces.first { $0.id == new.id }
      #expect(new.logs == change?.logs ?? old.logs)
      for index in new.shards.indices {
        let shardEdit = change?.shards.first { $0.index == index }
        let removed = shardEdit?.removedRuns ?? []
        let expected = old.shards[index].runs.filter { !removed.contains($0.id) }
        #expect(
          Set(new.shards[index].runs) == Set(expected + (shardEdit?.addedRuns ?? [])))
      }
    }
  }

  private func checkLevels(of state: StoreState, follow old: StoreState, by edit: StateEdit) {
    #expect(state.writeLogs == edit.writeLogs ?? old.writeLogs)
    for (new, old) in zip(state.orderedKeyspaces, old.orderedKeyspaces) {
      guard let change = edit.orderedKeyspaces.first(where: { $0.id == new.id }) else {
        #expect(new == old)
        continue
      }
      let removed = Set(change.removedTables)
      let expected = old.levels.placed.filter { !removed.contains($0.table.number) }
      #expect(Set(new.levels.placed) == Set(expected + change.addedTables))
      #expect(new.flushedSequence == change.flushedSequence)
      #expect(new.levels.removals == change.removals ?? old.levels.removals)
    }
  }

  @Test("what has no ordered keyspaces is written so that older builds read it")
  func versionFollowsContent() {
    for seed in Self.seeds {
      var random = RandomState(seed: seed)
      let state = random.state()
      let edit = random.edit(of: state)
      let isThird = state.orderedKeyspaces.contains {
        $0.options.mergeOperator != nil || !$0.levels.removals.isEmpty
      }
      let isFifth = state.orderedKeyspaces.contains {
        $0.options.compaction != .leveled || $0.options.uncompressedLevels != 0
      }
      let version: UInt8 =
        isFifth ? 5 : isThird ? 3 : state.orderedKeyspaces.isEmpty ? 1 : 2
      #expect(StateCoding.encode(state).bytes[0] == version)
      let changes =
        edit.writeLogs != nil || !edit.orderedKeyspaces.isEmpty || edit.keepsMetadata
      let isThirdEdit = edit.orderedKeyspaces.contains { $0.removals != nil }
      #expect(StateCoding.encode(edit).bytes[0] == (isThirdEdit ? 3 : changes ? 2 : 1))
    }
  }

  @Test func bytesOfAnOrderedKeyspaceAreGolden() {
    var state = StoreState(
      identity: StoreIdentity(high: 1, low: 2), seed: HashSeed(first: 3, second: 4),
      nextFileNumber: 9)
    state.nextKeyspaceID = 2
    state.writeLogs = [LogReference(number: FileNumber(6), fileID: 7, committedLength: 8)]
    var keyspace = OrderedKeyspaceState(
      id: 1, name: "w", options: OrderedKeyspaceOptions(timeToLive: .milliseconds(5)),
      flushedSequence: 3)
    let table = OrderedTableMetadata(
      number: FileNumber(8), fileID: 9, fileBytes: 10, entryCount: 2, otherCount: 1,
      smallestSequence: 1, largestSequence: 3, smallestKey: [0x61], largestKey: [0x62],
      filterKind: .blockedBloom)
    keyspace.levels.insert([table], at: 1)
    state.orderedKeyspaces = [keyspace]
    var expected: [UInt8] = [2] + word(1) + word(2) + word(3) + word(4) + word(0) + word(0)
    expected += word(9) + [2, 0, 0, 0, 0, 0]
    expected += [1] + word(6) + word(7) + word(8)
    expected += [1, 1, 0, 0, 0, 1, 0x77, 1, 1, 12] + word(5) + word(3) + [0, 1]
    expected += [8, 9, 10, 2, 1, 1, 3].flatMap { word($0) } + [1, 0x61, 1, 0x62]
    expected += [FilterKind.blockedBloom.rawValue] + [0, 0, 0, 0, 0]
    #expect(StateCoding.encode(state).bytes == expected)
  }

  @Test func bytesOfVersion3AreGolden() {
    var state = StoreState(
      identity: StoreIdentity(high: 1, low: 2), seed: HashSeed(first: 3, second: 4),
      nextFileNumber: 9)
    state.nextKeyspaceID = 2
    var keyspace = OrderedKeyspaceState(
      id: 1, name: "w", options: OrderedKeyspaceOptions(mergeOperator: MergeOperator(named: "m")),
      flushedSequence: 7)
    keyspace.levels.removals = [
      RangeRemoval(lower: [0x61], upper: [0x62], sequence: 5),
      RangeRemoval(lower: [], upper: nil, sequence: 6),
    ]
    state.orderedKeyspaces = [keyspace]
    let removals = [2] + word(5) + [1, 0x61, 1, 1, 0x62] + word(6) + [0, 0]
    var expected: [UInt8] = [3] + word(1) + word(2) + word(3) + word(4) + word(0) + word(0)
    expected += word(9) + [2, 0, 0, 0, 0, 0, 0]
    expected += [1, 1, 0, 0, 0, 1, 0x77, 3, 1, 12] + word(0) + [1, 0x6D] + word(7)
    expected += [0, 0, 0, 0, 0, 0, 0] + removals
    #expect(StateCoding.encode(state).bytes == expected)

    var edit = StateEdit(epoch: 2, nextFileNumber: 3, metadata: [])
    edit.orderedKeyspaces = [
      OrderedKeyspaceEdit(id: 4, flushedSequence: 7, removals: keyspace.levels.removals)
    ]
    let bytes: [UInt8] =
      [3] + word(2) + word(3) + [0, 0] + [0, 0] + [1, 4, 0, 0, 0] + word(7) + [0, 0, 1] + removals
    #expect(StateCoding.encode(edit).bytes == bytes)
  }

  @Test func bytesOfAnEditAreGoldenWithOrderedKeyspaces() {
    var edit = StateEdit(epoch: 2, nextFileNumber: 3, metadata: [])
    edit.writeLogs = []
    edit.orderedKeyspaces = [
      OrderedKeyspaceEdit(id: 4, flushedSequence: 5, removedTables: [FileNumber(6)])
    ]
    let expected: [UInt8] =
      [2] + word(2) + word(3) + [0, 0] + [0, 1, 0] + [1, 4, 0, 0, 0] + word(5) + [1] + word(6)
      + [0]
    #expect(StateCoding.encode(edit).bytes == expected)
  }

  @Test func bytesOfAnEmptyStateAreGolden() {
    var state = StoreState(
      identity: StoreIdentity(high: 1, low: 2), seed: HashSeed(first: 3, second: 4),
      nextFileNumber: 7)
    state.writerEpoch = 5
    state.epoch = 6
    state.metadata = [0xAB]
    let expected: [UInt8] =
      [1] + word(1) + word(2) + word(3) + word(4) + word(5) + word(6) + word(7) + [1, 0, 0, 0]
      + [1, 0xAB, 0]
    #expect(StateCoding.encode(state).bytes == expected)
  }

  @Test func bytesOfAnEditAreGolden() {
    let edit = StateEdit(
      epoch: 2, nextFileNumber: 3, metadata: [9],
      keyspaces: [
        KeyspaceEdit(
          id: 4, largestTime: 5,
          logs: [LogReference(number: FileNumber(6), fileID: 7, committedLength: 8)],
          shards: [ShardEdit(index: 1, removedRuns: [10], addedRuns: [])])
      ])
    var expected: [UInt8] = [1] + word(2) + word(3) + [1, 9, 1] + [4, 0, 0, 0] + [1] + word(5)
    expected += [1] + word(6) + word(7) + word(8) + [1] + [1, 0, 0, 0] + [1] + word(10) + [0]
    #expect(StateCoding.encode(edit).bytes == expected)
  }

  private func word(_ value: UInt8) -> [UInt8] { [value, 0, 0, 0, 0, 0, 0, 0] }

  // MARK: - Damage

  @Test func everyTruncationAndEveryExtraByteIsRefused() {
    for seed in Self.seeds.prefix(3) {
      var random = RandomState(seed: seed)
      let state = random.state()
      let snapshot = StateCoding.encode(state).bytes
      let edit = StateCoding.encode(random.edit(of: state)).bytes
      for length in 0..<snapshot.count {
        #expect(throws: CodingError.self, "seed \(seed), \(length) bytes") {
          try StateCoding.decodeState(Array(snapshot.prefix(length)))
        }
      }
      for length in 0..<edit.count {
        #expect(throws: CodingError.self, "seed \(seed), \(length) bytes") {
          try StateCoding.decodeEdit(Array(edit.prefix(length)))
        }
      }
      #expect(throws: CodingError.self) { try StateCoding.decodeState(snapshot + [0]) }
      #expect(throws: CodingError.self) { try StateCoding.decodeEdit(edit + [0]) }
    }
  }

  @Test("bytes that are not a state are refused or give a consistent one, and never trap")
  func hostileBytes() throws {
    var kept = 0
    for seed in UInt64(0)..<1_000 {
      var random = RandomState(seed: seed % 40)
      let state = random.state()
      var snapshot = StateCoding.encode(state).bytes
      var edit = StateCoding.encode(random.edit(of: state)).bytes
      var generator = SeededGenerator(seed: seed)
      if seed % 10 == 0 {
        snapshot = (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) }
        edit = snapshot
        snapshot[0] = StateCoding.version
      } else {
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
          let values: [UInt8] = [
            0, 1, 0x7F, 0x80, 0xFF, UInt8.random(in: 0...255, using: &generator),
          ]
          let value = values[Int.random(in: 0..<6, using: &generator)]
          snapshot[Int.random(in: 0..<snapshot.count, using: &generator)] = value
          edit[Int.random(in: 0..<edit.count, using: &generator)] = value
        }
      }
      if let decoded = try refusing({ try StateCoding.decodeState(snapshot) }) {
        kept += 1
        #expect(decoded.complaint == nil, "seed \(seed)")
        #expect(try StateCoding.decodeState(StateCoding.encode(decoded).bytes) == decoded)
        var arranged = decoded
        for index in arranged.keyspaces.indices {
          arranged.keyspaces[index].arrange(shards: 3, nextNumber: &arranged.nextFileNumber)
        }
        #expect(arranged.complaint == nil, "seed \(seed)")
      }
      if let decoded = try refusing({ try StateCoding.decodeEdit(edit) }) {
        #expect(try StateCoding.decodeEdit(StateCoding.encode(decoded).bytes) == decoded)
        var changed = state
        do throws(StateEditError) { try changed.apply(decoded) } catch { _ = error.reason }
        _ = changed.complaint
      }
    }
    #expect(kept > 30, "some damage changes numbers only")
  }

  private func refusing<Value>(_ body: () throws -> Value) throws -> Value? {
    do { return try body() } catch is CodingError { return nil }
  }

  // MARK: - Edits that do not fit

  @Test func anEditOfWhatIsNotThereIsRefused() throws {
    var random = RandomState(seed: 4)
    var state = random.state(shards: 2)
    state.epoch = 7
    func refusal(_ epoch: UInt64, _ keyspaces: [KeyspaceEdit]) -> String? {
      var changed = state
      do throws(StateEditError) {
        try changed.apply(
          StateEdit(epoch: epoch, nextFileNumber: 1, metadata: [], keyspaces: keyspaces))
        return nil
      } catch { return error.reason }
    }
    func shard(_ index: UInt32, removing id: UInt64) -> [KeyspaceEdit] {
      let edit = ShardEdit(index: index, removedRuns: [id], addedRuns: [])
      return [KeyspaceEdit(id: 1, largestTime: nil, logs: [], shards: [edit])]
    }
    #expect(refusal(6, []) == "epoch 6 follows epoch 7")
    #expect(refusal(7, []) == nil)
    #expect(refusal(8, []) == nil)
    #expect(
      refusal(8, [KeyspaceEdit(id: 99, largestTime: nil, logs: [])])
        == "keyspace 99 is not there")
    #expect(refusal(8, shard(2, removing: 1)) == "shard 2 is not there")
    #expect(refusal(8, shard(.max, removing: 1)) == "shard \(UInt32.max) is not there")
    #expect(refusal(8, shard(1, removing: 99_999)) == "a run to remove is not there")
  }

  @Test func theDifferenceOfEqualRunsIsNone() {
    var random = RandomState(seed: 1)
    let groups = KeyGroupRange.split(into: 1)[0]
    let layout = EntryLayout(isExact: false, valueWidth: 0)
    let runs = random.runs(groups, layout, count: 4)
    #expect(ShardEdit(index: 0, from: runs, to: runs) == nil)
    let edit = ShardEdit(index: 3, from: runs, to: Array(runs.dropFirst()))
    #expect(edit == ShardEdit(index: 3, removedRuns: [runs[0].id], addedRuns: []))
  }
}
