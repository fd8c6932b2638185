// One state of the tables and logs of several: a pure function of what their manifests say.
//
//   sources, each with the hashes that count of it ─▶ runs of each, clipped, as those of one shard
//                                                  ─▶ files renumbered ─▶ the new state
//
// No file changes. Checksums are bound to a file's id, which stays, and to no number, which is
// given anew: numbers of two stores say nothing of each other.
//
// A record is a duplicate when any entry of its key counts, wherever that lies, and in whatever
// order: so entries of several sources can stand side by side, the same one twice too. That holds
// for inserts. Puts and removes hide older entries of their key, and which of two sources' entries
// is older cannot be told: keyspaces with those are refused. For the same reason a log needs no
// clip. What it holds beyond the range answers nobody who asks within it, and costs memory and
// space like any other entry until it expires.
//
// Invariants
// 1. Every entry of a source within its range is in the new state, and no other of its tables.
// 2. A file of several sources is one file of the new state.

/// See the file's header.
package struct StateUnion: Sendable {
  /// A state, and what counts of it.
  package struct Source: Sendable {
    package var state: StoreState
    /// `hash.high` of the entries that count; logs are taken whole.
    package var range: ClosedRange<UInt64>

    package init(_ state: StoreState, range: ClosedRange<UInt64> = .min ... .max) {
      self.state = state
      self.range = range
    }
  }

  /// A file of the new state.
  package struct Part: Hashable, Sendable {
    /// Whose it is.
    package var source: Int
    /// As among the objects of checkpoints, there and in the new state.
    package var sourceName: String
    package var name: String
    package var bytes: UInt64
  }

  /// The new state; with one shard a keyspace.
  package private(set) var state: StoreState
  /// All files that it needs.
  package private(set) var parts: [Part] = []

  private var tables: [UInt64: TableMetadata] = [:]
  private var logs: [UInt64: LogReference] = [:]

  /// Makes the union.
  ///
  /// - Parameters:
  ///   - sources: one or more, of one seed.
  ///   - identity: of the new state.
  ///   - metadata: what goes with its epoch.
  /// - Throws: `invalidArgument` for states that have none.
  package init(
    of sources: [Source], identity: StoreIdentity, metadata: [UInt8]
  ) throws(StoreError) {
    guard let first = sources.first else {
      throw StoreError(.invalidArgument, "a union of no states")
    }
    state = StoreState(identity: identity, seed: first.state.seed)
    state.epoch = max(1, sources.map(\.state.epoch).max() ?? 1)
    state.writerEpoch = sources.map(\.state.writerEpoch).max() ?? 0
    state.metadata = metadata
    for source in sources { try Self.check(source.state, seed: state.seed) }
    for name in Self.names(of: sources) { try add(name, of: sources) }
    if let complaint = state.complaint {
      throw StoreError(.invalidArgument, "the union of the states is none: \(complaint)")
    }
  }

  /// What is left of a state that nobody needs any more: nothing.
  ///
  /// - Parameter metadata: what goes with its epoch.
  init(endOf last: StoreState, metadata: [UInt8]) {
    state = StoreState(identity: last.identity, seed: last.seed)
    (state.epoch, state.writerEpoch) = (last.epoch, last.writerEpoch)
    state.metadata = metadata
  }

  // MARK: - What is refused

  private static func check(_ state: StoreState, seed: HashSeed) throws(StoreError) {
    guard state.seed == seed else {
      throw StoreError(
        .invalidArgument,
        "the states hash their keys by several seeds, so tables of one cannot become another's")
    }
    guard !state.hasOrdered else {
      throw StoreError(
        .invalidArgument, "a state with ordered keyspaces cannot be united with others")
    }
  }

  private static func check(
    _ keyspace: KeyspaceState, options: KeyspaceOptions
  ) throws(StoreError) {
    if let other = options.differences(from: keyspace.options).first {
      throw StoreError(
        .invalidArgument,
        "the states have keyspaces \(keyspace.name) with several options: \(other.name) "
          + "\(other.stored) and \(other.given)")
    }
    guard !options.refreshesOnSeen,
      !keyspace.shards.contains(where: { $0.runs.contains(where: \.hasKinds) })
    else {
      throw StoreError(
        .invalidArgument,
        "keyspace \(keyspace.name) has entries that hide others of their key: which of two states' "
          + "is older cannot be told")
    }
  }

  private static func names(of sources: [Source]) -> [String] {
    var names: [String] = []
    for keyspace in sources.flatMap(\.state.keyspaces) where !names.contains(keyspace.name) {
      names.append(keyspace.name)
    }
    return names
  }

  // MARK: - One keyspace

  private mutating func add(_ name: String, of sources: [Source]) throws(StoreError) {
    var queues: [[RunState]] = []
    var union: KeyspaceState?
    for (index, source) in sources.enumerated() {
      let found = source.state.keyspaces.first { $0.name == name }
      guard var keyspace = found else { continue }
      var known = union ?? empty(name, keyspace.options)
      try Self.check(keyspace, options: known.options)
      known.largestTime = [known.largestTime, keyspace.largestTime].compactMap(\.self).max()
      // What is numbered here is numbered anew below.
      var number = source.state.nextFileNumber
      keyspace.arrange(shards: 1, nextNumber: &number)
      let runs = keyspace.shards.flatMap(\.runs)
      queues.append(runs.compactMap { take($0.clipped(to: source.range), of: index, queues) })
      for log in keyspace.logs { take(log, of: index, into: &known.logs) }
      union = known
    }
    guard var union else { return }
    union.shards[0].runs = KeyspaceState.merged(queues, nextNumber: &state.nextFileNumber)
    state.keyspaces.append(union)
    state.nextKeyspaceID += 1
  }

  private func empty(_ name: String, _ options: KeyspaceOptions) -> KeyspaceState {
    KeyspaceState(
      id: state.nextKeyspaceID, name: name, options: options,
      shards: KeyGroupRange.split(into: 1).map { ShardState(groups: $0) })
  }

  /// A run of a source as one of the new state; `nil` when nothing of it is left.
  ///
  /// - Parameter taken: the runs of the sources before, which may have the same tables.
  private mutating func take(
    _ run: RunState?, of source: Int, _ taken: [[RunState]]
  ) -> RunState? {
    guard var run else { return nil }
    let slices = run.tables.filter { slice in
      let table = slice.table
      return slice.clip.overlaps(table.smallestHigh...table.largestHigh)
        && !taken.joined().contains { $0.holds(slice) }
    }
    guard !slices.isEmpty else { return nil }
    run.tables = slices.map { slice in
      TableSlice(table: renumbered(slice.table, of: source), clip: slice.clip)
    }
    return run
  }

  private mutating func renumbered(_ table: TableMetadata, of source: Int) -> TableMetadata {
    if let known = tables[table.fileID] { return known }
    var new = table
    new.number = nextNumber()
    tables[table.fileID] = new
    parts.append(
      Part(
        source: source, sourceName: FileNaming.objects.name(of: table),
        name: FileNaming.objects.name(of: new), bytes: table.fileBytes))
    return new
  }

  private mutating func take(
    _ log: LogReference, of source: Int, into references: inout [LogReference]
  ) {
    // A log of epochs is sealed when it is in a checkpoint: it has one length.
    guard logs[log.fileID]?.committedLength != log.committedLength else { return }
    var new = log
    new.number = nextNumber()
    logs[log.fileID] = new
    references.append(new)
    parts.append(
      Part(
        source: source, sourceName: FileNaming.objects.name(of: log),
        name: FileNaming.objects.name(of: new), bytes: log.committedLength))
  }

  private mutating func nextNumber() -> FileNumber {
    defer { state.nextFileNumber += 1 }
    return FileNumber(state.nextFileNumber)
  }
}

extension RunState {
  /// Whether all of a slice is among the run's, under whatever number.
  fileprivate func holds(_ slice: TableSlice) -> Bool {
    tables.contains {
      $0.table.fileID == slice.table.fileID && $0.clip.lowerBound <= slice.clip.lowerBound
        && $0.clip.upperBound >= slice.clip.upperBound
    }
  }
}
