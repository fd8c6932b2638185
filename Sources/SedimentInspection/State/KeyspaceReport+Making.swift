internal import SedimentIO
internal import SedimentStore

extension KeyspaceReport {
  /// Reads what the report needs: logs, and footers and filters of tables.
  init(_ keyspace: KeyspaceState, of stored: StoredState) throws {
    name = keyspace.name
    options = keyspace.options
    shardCount = keyspace.shards.count
    runCount = keyspace.shards.reduce(0) { $0 + $1.runs.count }
    largestTime = keyspace.largestTime
    let now = StoreState.watermark(largestTime: keyspace.largestTime, options: keyspace.options)
    let isExpiring = keyspace.options.timeToLive != .forever && keyspace.largestTime != nil
    watermark = isExpiring ? now : nil
    tables = Self.tables(of: keyspace, watermark: now)
    logs = try keyspace.logs.map { log in
      try LogReport(log, of: keyspace, in: stored.directory)
    }
    groups = Self.groups(of: keyspace, watermark: now)
    filter = try FilterReport(Self.metadata(of: keyspace), in: stored.directory)
  }

  /// Whether nothing first seen at `time` or before lives any more.
  private static func hasExpired(_ time: Int64, _ options: KeyspaceOptions, at watermark: Int64)
    -> Bool
  {
    guard case .milliseconds(let ttl) = options.timeToLive else { return false }
    let (end, isBeyond) = time.addingReportingOverflow(ttl)
    return !isBeyond && end <= watermark
  }

  /// Every table once.
  private static func metadata(of keyspace: KeyspaceState) -> [TableMetadata] {
    var known: Set<FileNumber> = []
    return keyspace.shards.flatMap(\.runs).flatMap(\.tables).map(\.table)
      .filter { known.insert($0.number).inserted }
      .sorted { $0.number < $1.number }
  }

  private static func tables(of keyspace: KeyspaceState, watermark: Int64) -> [TableReport] {
    var known: Set<FileNumber> = []
    var reports: [(number: FileNumber, report: TableReport)] = []
    for (index, shard) in keyspace.shards.enumerated() {
      for run in shard.runs {
        for table in run.tables.map(\.table) where known.insert(table.number).inserted {
          reports.append(
            (
              table.number,
              TableReport(
                name: table.number.tableName, shard: index, run: run.id, level: run.level,
                window: run.window, entryCount: table.entryCount, bytes: table.fileBytes,
                oldestTime: table.smallestTime, newestTime: table.largestTime,
                isExpired: hasExpired(table.largestTime, keyspace.options, at: watermark))
            ))
        }
      }
    }
    return reports.sorted { $0.number < $1.number }.map(\.report)
  }

  private static func groups(of keyspace: KeyspaceState, watermark: Int64) -> [TableGroup] {
    let options = keyspace.options
    let hasWindows = options.windowLength != nil
    var runs: [Int64: [RunState]] = [:]
    for run in keyspace.shards.flatMap(\.runs) {
      runs[hasWindows ? run.window : Int64(run.level), default: []].append(run)
    }
    let openWindow = options.window(of: keyspace.largestTime ?? 0)
    return runs.sorted { $0.key < $1.key }.map { key, runs in
      var known: Set<FileNumber> = []
      let tables = runs.flatMap(\.tables).map(\.table).filter { known.insert($0.number).inserted }
      let newest = tables.map(\.largestTime).max() ?? .min
      var phase = TableGroup.Phase.open
      if hasWindows, key < openWindow { phase = .sealed }
      if hasExpired(newest, options, at: watermark) { phase = .expired }
      return TableGroup(
        window: hasWindows ? key : nil, start: windowStart(key, options),
        level: hasWindows ? nil : UInt8(truncatingIfNeeded: key), phase: phase,
        runCount: runs.count, tableCount: tables.count,
        entryCount: tables.reduce(0) { $0 &+ $1.entryCount },
        bytes: tables.reduce(0) { $0 &+ $1.fileBytes },
        oldestTime: tables.map(\.smallestTime).min() ?? .max, newestTime: newest)
    }
  }

  private static func windowStart(_ window: Int64, _ options: KeyspaceOptions) -> Int64? {
    guard let length = options.windowLength else { return nil }
    let (start, isBeyond) = window.multipliedReportingOverflow(by: length)
    return isBeyond ? nil : start
  }
}

extension LogReport {
  /// Reads the part of a log that belongs to the state.
  fileprivate init(
    _ log: LogReference, of keyspace: KeyspaceState, in directory: any Directory
  ) throws {
    name = FileNaming.state.name(of: log)
    bytes = log.committedLength
    entryCount = 0
    let entries = EntryLog(log, name: name, layout: keyspace.options.layout)
    try entries.read(in: directory, stopsAtCommitted: true) { entry in
      entryCount += 1
      oldestTime = min(oldestTime ?? .max, entry.time)
      newestTime = max(newestTime ?? .min, entry.time)
    }
  }
}

extension FilterReport {
  /// Random hashes tried on all filters together, as far as each has its share.
  private static let probesMax = 262_144
  /// Tables whose filters are loaded, one at a time: what bounds the reads of a large state.
  private static let tablesMax = 32

  /// Measures the filters of some tables, spread evenly over all; `nil` without tables.
  fileprivate init?(_ tables: [TableMetadata], in directory: any Directory) throws {
    guard !tables.isEmpty else { return nil }
    let count = min(tables.count, Self.tablesMax)
    let probesEach = Self.probesMax / count
    var (bits, keys, hits, expected) = (0.0, 0.0, 0, 0.0)
    for index in 0..<count {
      let reader = try TableReader(
        directory: directory, metadata: tables[index * tables.count / count])
      let geometry = reader.filter.plan.geometry
      bits += Double(geometry.imageBytes) * 8
      keys += Double(geometry.keyCount)
      expected += reader.filter.expectedFalsePositiveRate
      hits += Self.hits(of: reader, probes: probesEach)
    }
    bitsPerKey = keys == 0 ? 0 : bits / keys
    measuredRate = Double(hits) / Double(probesEach * count)
    expectedRate = expected / Double(count)
    probes = probesEach * count
    tablesMeasured = count
  }

  /// How many random hashes between the table's first and last its filter does not exclude. They
  /// are the same every time, so that a report of one state is always the same.
  private static func hits(of reader: TableReader, probes: Int) -> Int {
    var random = SplitMix(state: reader.metadata.fileID)
    // Lookups of other hashes end at the table's slice and never come to its filter.
    let range = reader.metadata.smallestHigh...reader.metadata.largestHigh
    let filter = reader.filter.probe
    var hits = 0
    for _ in 0..<probes {
      let high = UInt64.random(in: range, using: &random)
      hits += filter.mayContain(KeyHash(high: high, low: random.next())) ? 1 : 0
    }
    withExtendedLifetime(reader) {}
    return hits
  }
}

/// Steele, Lea and Flood's splitmix64: repeatable random words.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
