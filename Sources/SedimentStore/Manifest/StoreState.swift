// What a manifest says: the whole durable state of a store as plain values.
//
// `StoreState` is the fold of a manifest's records: a snapshot, then edits, one an epoch. The
// running store keeps the state of the last durable record and derives the next edit from what
// changed since; recovery applies the same edits. Nothing here does I/O.
//
// Invariants (checked by `StoreState.complaint` whenever one is decoded)
// 1. Shards of a keyspace cover all key groups, in order, without overlap.
// 2. Runs of a shard are in order of falling sequence number, that is newest first.
// 3. Tables of a run are in hash order, disjoint, and their clips lie within the shard.
// 4. Every file number is below `nextFileNumber`.
// 5. Ids and names are unique among keyspaces of both kinds.

/// A 128-bit random id, made once per store or job.
public struct StoreIdentity: Hashable, Sendable, CustomStringConvertible {
  /// The first 64 bits.
  public var high: UInt64
  /// The last 64 bits.
  public var low: UInt64

  /// An identity made earlier, of its two words.
  public init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A new identity.
  public static func random() -> StoreIdentity {
    StoreIdentity(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
  }

  /// 32 hexadecimal digits.
  public var description: String { Self.digits(high) + Self.digits(low) }

  package static func digits(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// The part of a table that a shard refers to.
package struct TableSlice: Hashable, Sendable {
  package var table: TableMetadata
  /// Only hashes whose high word lies in here count: a table made for other shards is clipped.
  package var clip: ClosedRange<UInt64>

  package init(table: TableMetadata, clip: ClosedRange<UInt64>) {
    self.table = table
    self.clip = clip
  }
}

/// A sorted run of one shard.
package struct RunState: Hashable, Sendable {
  /// Unique in the store.
  package var id: UInt64
  /// Runs with larger numbers are newer. A merge's output takes the largest of its inputs.
  package var sequence: UInt64
  package var level: UInt8
  /// The window of the largest time seen when its youngest keys were inserted.
  package var window: Int64
  package var tables: [TableSlice]

  package init(id: UInt64, sequence: UInt64, level: UInt8, window: Int64, tables: [TableSlice]) {
    self.id = id
    self.sequence = sequence
    self.level = level
    self.window = window
    self.tables = tables
  }

  package var smallestTime: Int64 { tables.map(\.table.smallestTime).min() ?? .max }
  package var largestTime: Int64 { tables.map(\.table.largestTime).max() ?? .min }
  package var entryCount: UInt64 { tables.reduce(0) { $0 + $1.table.entryCount } }
  package var hasKinds: Bool { tables.contains { $0.table.hasKinds } }
}

/// A contiguous range of key groups: the values of the top 16 bits of a hash.
public struct KeyGroupRange: Hashable, Sendable {
  /// The lowest group of the range.
  public var first: UInt16
  /// The highest group of the range, which belongs to it.
  public var last: UInt16

  package init(first: UInt16, last: UInt16) {
    self.first = first
    self.last = last
  }

  /// The range of `hash.high`.
  package var hashRange: ClosedRange<UInt64> {
    UInt64(first) << 48...(UInt64(last) << 48 | 0xFFFF_FFFF_FFFF)
  }

  /// All groups cut into `count` ranges of nearly equal length.
  package static func split(into count: Int) -> [KeyGroupRange] {
    (0..<count).map { index in
      KeyGroupRange(
        first: UInt16(65_536 * index / count), last: UInt16(65_536 * (index + 1) / count - 1))
    }
  }

  /// The range of `split(into: count)` that holds a group: the least i with
  /// 65,536 × (i + 1) / count > group.
  @inline(__always)
  package static func index(ofGroup group: UInt16, amongRanges count: Int) -> Int {
    ((Int(group) + 1) * count - 1) >> 16
  }
}

/// The durable state of a shard.
package struct ShardState: Hashable, Sendable {
  package var groups: KeyGroupRange
  /// Newest first.
  package var runs: [RunState] = []

  package init(groups: KeyGroupRange, runs: [RunState] = []) {
    self.groups = groups
    self.runs = runs
  }
}

/// A log whose records belong to the state, up to a length.
package struct LogReference: Hashable, Sendable {
  package var number: FileNumber
  package var fileID: UInt64
  package var committedLength: UInt64

  package init(number: FileNumber, fileID: UInt64, committedLength: UInt64) {
    self.number = number
    self.fileID = fileID
    self.committedLength = committedLength
  }

  /// Longer than any log grows; a longer one on disk is damage, and no sum of lengths overflows.
  package static let lengthMax: UInt64 = 1 << 40
}

/// The durable state of a keyspace.
package struct KeyspaceState: Hashable, Sendable {
  package var id: UInt32
  package var name: String
  package var options: KeyspaceOptions
  /// The largest time seen; `nil` before the first record.
  package var largestTime: Int64?
  package var shards: [ShardState]
  /// In the order to replay them; what they hold is in no table.
  package var logs: [LogReference] = []

  package init(
    id: UInt32, name: String, options: KeyspaceOptions, largestTime: Int64? = nil,
    shards: [ShardState], logs: [LogReference] = []
  ) {
    self.id = id
    self.name = name
    self.options = options
    self.largestTime = largestTime
    self.shards = shards
    self.logs = logs
  }
}

/// The durable state of a store.
package struct StoreState: Hashable, Sendable {
  package var identity: StoreIdentity
  package var seed: HashSeed
  /// One higher with every opening for writing.
  package var writerEpoch: UInt64 = 0
  package var epoch: UInt64 = 0
  package var nextFileNumber: UInt64 = 1
  package var nextKeyspaceID: UInt32 = 1
  /// What the caller gave with the epoch: source positions and the like.
  package var metadata: [UInt8] = []
  /// The hashed ones, in order of id.
  package var keyspaces: [KeyspaceState] = []
  /// In order of id.
  package var orderedKeyspaces: [OrderedKeyspaceState] = []
  /// The logs of ordered keyspaces, oldest first. What their tables hold is not replayed.
  package var writeLogs: [LogReference] = []

  package init(identity: StoreIdentity, seed: HashSeed, nextFileNumber: UInt64 = 1) {
    self.identity = identity
    self.seed = seed
    self.nextFileNumber = nextFileNumber
  }

  /// Longest metadata of an epoch.
  package static let metadataBytesMax = 16 << 20
  package static let keyspacesMax = 1024
  /// None is larger, and adding to one never overflows.
  package static let keyspaceIDMax: UInt32 = 1 << 30
  package static let shardsMax = 256
  package static let nameBytesMax = 255

  /// Whether it holds anything that the first version of the format has no place for.
  var hasOrdered: Bool { !orderedKeyspaces.isEmpty || !writeLogs.isEmpty }

  /// Every table of hashed keyspaces, each once.
  package var tables: [FileNumber: TableMetadata] {
    var tables: [FileNumber: TableMetadata] = [:]
    for slice in keyspaces.lazy.flatMap(\.shards).flatMap(\.runs).flatMap(\.tables) {
      tables[slice.table.number] = slice.table
    }
    return tables
  }

  /// Every table of ordered keyspaces.
  package var orderedTables: [OrderedTableMetadata] {
    orderedKeyspaces.flatMap { $0.levels.tables.joined() }
  }

  /// Names of the keyspaces of both kinds, in the order they were made.
  package var keyspaceNames: [String] {
    (keyspaces.map { ($0.id, $0.name) } + orderedKeyspaces.map { ($0.id, $0.name) })
      .sorted { $0.0 < $1.0 }.map(\.1)
  }

  /// Every log named.
  package var logs: [LogReference] { keyspaces.flatMap(\.logs) + writeLogs }

  /// The largest time whose records the keyspaces have seen, less the lateness.
  package static func watermark(largestTime: Int64?, options: KeyspaceOptions) -> Int64 {
    guard let largestTime, options.timeToLive != .forever else { return Self.timeMin }
    return largestTime - options.allowedLateness
  }

  /// Times lie within ±2⁶¹, so that no difference of two, nor one with a TTL, overflows.
  package static let timeMin = EntryTime.min
  package static let timeMax = EntryTime.max
}

extension StoreState {
  /// The first invariant that does not hold, in words.
  package var complaint: String? {
    for counter in [writerEpoch, epoch, nextFileNumber] where counter > Counter.max {
      return "a counter of \(counter)"
    }
    if nextKeyspaceID > StoreState.keyspaceIDMax { return "keyspace id \(nextKeyspaceID)" }
    let ids = keyspaces.map(\.id) + orderedKeyspaces.map(\.id)
    if ids.count > Self.keyspacesMax { return "\(ids.count) keyspaces" }
    if Set(ids).count != ids.count { return "two keyspaces with one id" }
    if Set(keyspaceNames).count != ids.count { return "two keyspaces of one name" }
    if let id = ids.first(where: { $0 >= nextKeyspaceID }) {
      return "keyspace id \(id) is not given out yet"
    }
    for keyspace in keyspaces {
      if let complaint = keyspace.complaint(below: nextFileNumber) {
        return "keyspace \(keyspace.name): \(complaint)"
      }
    }
    for keyspace in orderedKeyspaces {
      if let complaint = keyspace.complaint(below: nextFileNumber) {
        return "keyspace \(keyspace.name): \(complaint)"
      }
    }
    let numbers = orderedTables.map(\.number)
    if Set(numbers).count != numbers.count { return "a table in two places" }
    if writeLogs.contains(where: { $0.number.rawValue >= nextFileNumber }) {
      return "a log with a file number not given out yet"
    }
    return nil
  }
}

extension KeyspaceState {
  fileprivate func complaint(below nextFileNumber: UInt64) -> String? {
    if let complaint = options.complaint { return complaint }
    if let time = largestTime, time < StoreState.timeMin || time > StoreState.timeMax {
      return "largest time \(time) is out of range"
    }
    var expected = 0
    for shard in shards {
      guard Int(shard.groups.first) == expected, shard.groups.last >= shard.groups.first else {
        return "key groups \(shard.groups.first)-\(shard.groups.last) do not continue \(expected)"
      }
      expected = Int(shard.groups.last) + 1
      if let complaint = shard.complaint(layout: options.layout, below: nextFileNumber) {
        return complaint
      }
    }
    if expected != 65_536 { return "its shards end at key group \(expected)" }
    if logs.contains(where: { $0.number.rawValue >= nextFileNumber }) {
      return "a log with a file number not given out yet"
    }
    return nil
  }
}

extension ShardState {
  fileprivate func complaint(layout: EntryLayout, below nextFileNumber: UInt64) -> String? {
    let range = groups.hashRange
    if Set(runs.map(\.id)).count != runs.count { return "two runs with one id" }
    var newest: UInt64?
    for run in runs {
      if run.sequence > Counter.max || run.id > Counter.max {
        return "run \(run.id) is out of range"
      }
      if let newest, run.sequence >= newest { return "run \(run.id) is out of order" }
      newest = run.sequence
      var last: UInt64?
      for slice in run.tables {
        let number = slice.table.number.rawValue
        if number >= nextFileNumber { return "table \(number) is not given out yet" }
        if slice.table.smallestTime < EntryTime.min || slice.table.largestTime > EntryTime.max {
          return "table \(number) has times out of range"
        }
        if slice.table.layout != layout { return "table \(number) has another layout" }
        if slice.clip.lowerBound < range.lowerBound || slice.clip.upperBound > range.upperBound {
          return "table \(number) lies outside its shard"
        }
        if let last, slice.clip.lowerBound <= last { return "table \(number) overlaps" }
        last = slice.clip.upperBound
      }
    }
    return nil
  }
}
