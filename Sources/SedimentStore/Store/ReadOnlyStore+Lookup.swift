internal import SedimentIO

/// A version of a key of an ordered keyspace.
public struct InspectedVersion: Sendable, Equatable {
  /// What a version does to its key.
  public enum Kind: Sendable, Equatable {
    /// Sets the value.
    case put
    /// Removes the key.
    case remove
    /// Is an operand on top of what is older.
    case merge
    /// Removes all keys of a range, of which the key is one.
    case removeRange
  }

  /// The number of the write; 0 for one below which nothing is left of the key.
  public var sequence: UInt64
  /// What it does.
  public var kind: Kind
  /// When it expires, in milliseconds since 1970; `nil` for never.
  public var expiry: Int64?
  /// Nothing for a removal.
  public var value: [UInt8]

  init(_ removal: RangeRemoval) {
    sequence = removal.sequence
    kind = .removeRange
    value = []
  }

  init(_ tag: EntryTag, _ value: UnsafeRawBufferPointer) {
    sequence = tag.sequence
    kind =
      switch tag.kind {
      case .put: .put
      case .remove: .remove
      case .merge: .merge
      case .removeRange: .removeRange
      }
    if tag.expires { unsafe expiry = EntryExpiry.time(of: value) }
    let start = tag.expires ? EntryExpiry.byteCount : 0
    self.value = unsafe tag.kind == .removeRange ? [] : Array(value[start...])
  }
}

/// A place where a key of an ordered keyspace was looked for.
public struct LookupStep: Sendable, Equatable {
  /// What was looked into.
  public enum Source: Sendable, Equatable {
    /// A file of the log.
    case log(name: String)
    /// The removals of ranges that the manifest has.
    case rangeRemovals
    /// A table and its level.
    case table(name: String, level: Int)
    /// A level below 0, none of whose tables has bounds that take in the key.
    case level(Int)
  }

  /// How far the look went.
  public enum Outcome: Sendable, Equatable {
    /// The key lies outside the bounds, which the manifest has: nothing was read.
    case outsideBounds
    /// The filter says that the key is not there: no block was read.
    case excludedByFilter
    /// A block was read, the first that can hold the key, of `count`.
    case readBlock(Int, count: Int)
    /// The whole file was read, as logs are.
    case readWhole
  }

  /// What was looked into.
  public var source: Source
  /// How far the look went.
  public var outcome: Outcome
  /// What was found of the key, newest first; with hidden and expired versions.
  public var versions: [InspectedVersion]
}

extension ReadOnlyStore {
  /// Where a key of an ordered keyspace is looked for, the newest place first, and every version of
  /// it that is found: expired ones and those that newer ones hide too.
  ///
  /// A lookup goes the same way and ends at the first version that decides, or at the first that is
  /// older than a removal of its range. Costs a read of the
  /// log, and of filter, index and one block of each table whose bounds take in the key. The moment
  /// is that of `orderedKeyspace(_:)`.
  ///
  /// - Throws: `notFound` when there is no ordered keyspace of that name; `corrupted`,
  ///   `unsupportedFormat`, `inputOutput`.
  public func explain(
    _ key: [UInt8], in keyspaceName: String
  ) throws(StoreError) -> [LookupStep] {
    try reading { state in
      let keyspace = try Self.orderedKeyspace(keyspaceName, of: state)
      return try logSteps(key, keyspace, state) + removalSteps(key, keyspace)
        + tableSteps(key, keyspace, state)
    }
  }

  private func logSteps(
    _ key: [UInt8], _ keyspace: OrderedKeyspaceState, _ state: StoreState
  ) throws -> [LookupStep] {
    let segments = try surveyLog(of: keyspace, in: state)?.segments ?? []
    return try segments.reversed().map { segment in
      var versions: [InspectedVersion] = []
      try files.readWrites(segment.log, stopsAtCommitted: true) { write in
        guard write.keyspace == keyspace.id, write.tag.sequence > keyspace.flushedSequence,
          write.concerns(key)
        else { return }
        unsafe versions.append(InspectedVersion(write.tag, write.value))
      }
      return LookupStep(
        source: .log(name: files.shownName(of: segment.log)), outcome: .readWhole,
        versions: versions.reversed())
    }
  }

  private func removalSteps(
    _ key: [UInt8], _ keyspace: OrderedKeyspaceState
  ) -> [LookupStep] {
    let holding = keyspace.levels.removals.filter { $0.holds(first: key, last: key) }
    guard !holding.isEmpty else { return [] }
    let versions = holding.reversed().map(InspectedVersion.init)
    return [LookupStep(source: .rangeRemovals, outcome: .readWhole, versions: versions)]
  }

  private func tableSteps(
    _ key: [UInt8], _ keyspace: OrderedKeyspaceState, _ state: StoreState
  ) throws -> [LookupStep] {
    let hash = unsafe key.withUnsafeBytes { unsafe KeyHasher(seed: state.seed).hash($0) }
    var steps: [LookupStep] = []
    for (level, tables) in keyspace.levels.tables.enumerated() where !tables.isEmpty {
      let candidates = tables.filter { table in
        unsafe level == 0 || key.withUnsafeBytes { unsafe table.mayHold($0) }
      }
      if candidates.isEmpty {
        steps.append(LookupStep(source: .level(level), outcome: .outsideBounds, versions: []))
      }
      for table in candidates { steps.append(try look(for: key, hash, in: table, level: level)) }
    }
    return steps
  }

  private func look(
    for key: [UInt8], _ hash: KeyHash, in table: OrderedTableMetadata, level: Int
  ) throws -> LookupStep {
    var step = LookupStep(
      source: .table(name: files.shownName(of: TableReference(table)), level: level),
      outcome: .outsideBounds, versions: [])
    try unsafe key.withUnsafeBytes { key in
      guard unsafe table.mayHold(key) else { return }
      let reader = try files.hold(table).open(filterByteBudget: .max)
      step.outcome = .excludedByFilter
      guard reader.mayContain(hash) else { return }
      step.outcome = unsafe .readBlock(reader.index.block(of: key), count: reader.blockCount)
      _ = try unsafe reader.forEachVersion(
        of: key, from: .newest(at: EntryTag.sequenceMax), cache: PageCache(byteBudget: 0),
        scratch: LookupScratch()
      ) { tag, value in
        unsafe step.versions.append(InspectedVersion(tag, value))
        return true
      }
    }
    return step
  }
}
