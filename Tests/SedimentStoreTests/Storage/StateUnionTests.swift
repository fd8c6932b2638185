import SedimentStore
import Testing

/// The union of states as a function of what their manifests say.
@Suite struct StateUnionTests {
  private static let seed = HashSeed(first: 1, second: 2)
  private static let options = KeyspaceOptions(timeToLive: .milliseconds(1_000_000))

  /// A state with one keyspace, whose tables hold inserts alone.
  private static func state(
    _ random: inout RandomState, shards: Int = 2, options: KeyspaceOptions = options,
    identity: UInt64 = 1
  ) -> StoreState {
    var state = StoreState(identity: StoreIdentity(high: identity, low: 0), seed: seed)
    state.epoch = 7 + identity
    state.writerEpoch = 3
    var keyspace = KeyspaceState(
      id: 1, name: "seen", options: options, largestTime: Int64(identity) * 100, shards: [])
    for groups in KeyGroupRange.split(into: shards) {
      var runs = random.runs(groups, options.layout, count: 3)
      for run in runs.indices {
        for table in runs[run].tables.indices { runs[run].tables[table].table.hasKinds = false }
      }
      keyspace.shards.append(ShardState(groups: groups, runs: runs))
    }
    keyspace.logs = (0..<2).map { index in
      LogReference(
        number: FileNumber(900 + UInt64(index)), fileID: random.generator.next(),
        committedLength: 500 + UInt64(index))
    }
    state.keyspaces = [keyspace]
    state.nextKeyspaceID = 2
    state.nextFileNumber = 1_000
    return state
  }

  private static func union(
    _ sources: [StateUnion.Source], identity: UInt64 = 99
  ) throws -> StateUnion {
    try StateUnion(
      of: sources, identity: StoreIdentity(high: identity, low: 9), metadata: [5])
  }

  /// Ids of the tables that hold a hash, in the order a lookup meets them.
  private static func tables(of state: StoreState, at high: UInt64) -> [UInt64] {
    state.keyspaces[0].shards.filter { $0.groups.hashRange.contains(high) }.flatMap(\.runs)
      .flatMap(\.tables).filter { $0.clip.contains(high) }.map(\.table.fileID)
  }

  private static let probes = (0..<1_000).map { UInt64($0) &* (UInt64.max / 1_000) }

  @Test func everyHashMeetsTheTablesOfAllSources() throws {
    for seed in UInt64(0)..<20 {
      var random = RandomState(seed: seed)
      let sources = (1...4).map { Self.state(&random, shards: Int($0), identity: $0) }
      let union = try Self.union(sources.map { StateUnion.Source($0) })
      let state = union.state
      #expect(state.complaint == nil, "seed \(seed)")
      #expect(state.keyspaces[0].shards.count == 1)
      #expect(state.keyspaces[0].largestTime == 400)
      #expect(state.epoch == 11 && state.writerEpoch == 3 && state.metadata == [5])
      #expect(state.keyspaces[0].logs.map(\.fileID) == sources.flatMap { $0.logs.map(\.fileID) })
      for high in Self.probes {
        let met = Self.tables(of: state, at: high)
        #expect(Set(met) == Set(sources.flatMap { Self.tables(of: $0, at: high) }))
        for source in sources {
          // Of one source the order stays, but for windows that fall with age: none does there.
          let own = Self.tables(of: source, at: high)
          #expect(met.filter { own.contains($0) } == own, "seed \(seed), hash \(high)")
        }
      }
      #expect(Set(union.parts.map(\.name)).count == union.parts.count)
      #expect(Set(union.parts.map(\.name)) == Set(state.storedFiles.map(\.objectName)))
      for part in union.parts {
        let source = sources[part.source].storedFiles.first { $0.objectName == part.sourceName }
        #expect(source?.bytes == part.bytes)
        #expect(part.name.dropFirst(12) == part.sourceName.dropFirst(12), "the file id stays")
      }
    }
  }

  @Test(arguments: [1, 2, 3, 5], [1, 2, 4, 7])
  func ofRangesEveryHashIsInOne(before: Int, after: Int) throws {
    var random = RandomState(seed: UInt64(before * 10 + after))
    let ranges = KeyGroupRange.split(into: before).map(\.hashRange)
    let sources = ranges.indices.map { Self.state(&random, identity: UInt64($0)) }
    for groups in KeyGroupRange.split(into: after) {
      let range = groups.hashRange
      let parts = zip(sources, ranges).compactMap { source, own in
        own.overlaps(range) ? StateUnion.Source(source, range: own.clamped(to: range)) : nil
      }
      let union = try Self.union(parts)
      for high in Self.probes {
        guard range.contains(high) else {
          #expect(Self.tables(of: union.state, at: high).isEmpty)
          continue
        }
        let owner = try #require(ranges.firstIndex { $0.contains(high) })
        #expect(Self.tables(of: union.state, at: high) == Self.tables(of: sources[owner], at: high))
      }
    }
  }

  @Test func aTableOfSeveralSourcesIsOneFile() throws {
    var random = RandomState(seed: 3)
    let sources = (1...3).map { Self.state(&random, identity: $0) }
    let all = sources.map { StateUnion.Source($0) }
    // Two stores that hold the same, of which one has gone on.
    let first = try Self.union(all, identity: 1).state
    var second = try Self.union(all.reversed(), identity: 2).state
    var more = Self.state(&random, identity: 9)
    more.keyspaces[0].arrange(shards: 1, nextNumber: &more.nextFileNumber)
    var run = more.keyspaces[0].shards[0].runs[0]
    for index in run.tables.indices {
      run.tables[index].table.number = FileNumber(second.nextFileNumber)
      second.nextFileNumber += 1
    }
    (run.id, run.sequence) = (second.nextFileNumber, 1_000)
    second.keyspaces[0].shards[0].runs.insert(run, at: 0)
    let union = try Self.union([StateUnion.Source(first), StateUnion.Source(second)])
    #expect(union.state.complaint == nil)
    #expect(union.parts.count == first.storedFiles.count + run.tables.count)
    #expect(union.state.storedFiles.count == union.parts.count)
    for high in Self.probes {
      let met = Self.tables(of: union.state, at: high)
      #expect(Set(met).count == met.count, "no table is met twice")
      #expect(Set(met) == Set(Self.tables(of: second, at: high)))
    }
  }

  @Test func partsOfATableCountTogether() throws {
    var random = RandomState(seed: 4)
    let whole = Self.state(&random)
    let halves = try KeyGroupRange.split(into: 2).map(\.hashRange).map { range in
      let half = try Self.union([StateUnion.Source(whole, range: range)]).state
      return StateUnion.Source(half, range: range)
    }
    let union = try Self.union(halves)
    #expect(union.parts.count == whole.storedFiles.count)
    for high in Self.probes {
      #expect(Self.tables(of: union.state, at: high) == Self.tables(of: whole, at: high))
    }
  }

  @Test func whatHasNoUnionIsRefused() throws {
    var random = RandomState(seed: 5)
    let good = Self.state(&random)
    func refused(_ other: StoreState, _ word: String) throws {
      let error = #expect(throws: StoreError.self) {
        try Self.union([StateUnion.Source(good), StateUnion.Source(other)])
      }
      #expect(error?.code == .invalidArgument)
      #expect("\(try #require(error))".contains(word), "\(word)")
    }
    var seeded = good
    seeded.seed = HashSeed(first: 3, second: 2)
    try refused(seeded, "seeds")
    var longer = Self.options
    longer.timeToLive = .forever
    try refused(Self.state(&random, options: longer), "time to live")
    var kinds = good
    kinds.keyspaces[0].shards[1].runs[1].tables[0].table.hasKinds = true
    try refused(kinds, "hide others")
    var ordered = good
    ordered.writeLogs = [LogReference(number: FileNumber(1), fileID: 1, committedLength: 1)]
    try refused(ordered, "ordered")
    var refreshing = Self.options
    refreshing.refreshesOnSeen = true
    let one = Self.state(&random, options: refreshing)
    #expect(throws: StoreError.self) { try Self.union([StateUnion.Source(one)]) }
    #expect(throws: StoreError.self) { try Self.union([]) }
  }
}
