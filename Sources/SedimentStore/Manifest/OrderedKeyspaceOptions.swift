/// When tables of an ordered keyspace are merged. On disk: never renumber.
public enum CompactionStyle: UInt8, Sendable, CaseIterable {
  /// Level by level, each ten times as large as the one above: least space and fewest places to
  /// look at, at the price of writing an entry about ten times before it rests.
  case leveled = 0
  /// Neighbours of about one size: an entry is written a few times only, but there are more places
  /// to look at, up to about twice the space, and merges that need as much again while they run.
  case tiered = 1
}

/// What an ordered keyspace is. Kept in the manifest and checked when it is opened again.
public struct OrderedKeyspaceOptions: Hashable, Sendable {
  /// Whether writes go to the store's log before they are answered. Without one the keyspace is
  /// durable as of the last epoch, and writes to it cost less.
  public var isLogged: Bool
  /// How blocks of tables are written.
  public var compression: BlockCompression
  /// Levels from the top on whose blocks are written as they are, whatever `compression` says; 0
  /// for none. Level 0 is the first, the one into which it is merged the second. What lies there
  /// is soon written again, so compression costs time and saves little space.
  public var uncompressedLevels: UInt8
  /// Bits of filter for each key of a table, 0 to 32; 0 for no filters. Twelve let a table be asked
  /// in vain about once in 300 times.
  public var filterBitsPerKey: UInt8
  /// How long an entry counts from when it was written, where the write does not say otherwise.
  public var timeToLive: TimeToLive
  /// When tables are merged.
  public var compaction: CompactionStyle
  /// How operands that `merge` writes become values; `nil` when nothing is merged. Its name is what
  /// is kept and checked.
  public var mergeOperator: MergeOperator?

  /// All options, with their defaults.
  public init(
    isLogged: Bool = true, compression: BlockCompression = .lz4, uncompressedLevels: UInt8 = 0,
    filterBitsPerKey: UInt8 = 12, timeToLive: TimeToLive = .forever,
    compaction: CompactionStyle = .leveled, mergeOperator: MergeOperator? = nil
  ) {
    self.isLogged = isLogged
    self.compression = compression
    self.uncompressedLevels = uncompressedLevels
    self.filterBitsPerKey = filterBitsPerKey
    self.timeToLive = timeToLive
    self.compaction = compaction
    self.mergeOperator = mergeOperator
  }

  /// The most bits of filter that a key may have.
  public static let filterBitsPerKeyMax: UInt8 = 32

  /// What is wrong with these options; `nil` when nothing is.
  package var complaint: String? {
    if filterBitsPerKey > Self.filterBitsPerKeyMax {
      return "\(filterBitsPerKey) bits of filter a key are over \(Self.filterBitsPerKeyMax)"
    }
    if uncompressedLevels > OrderedLevels.count {
      return "\(uncompressedLevels) levels that are not compressed, of \(OrderedLevels.count)"
    }
    if case .milliseconds(let ttl) = timeToLive, ttl < 1 || ttl > TimeToLive.millisecondsMax {
      return "a time to live of \(ttl) ms is not within 1 and \(TimeToLive.millisecondsMax)"
    }
    if let name = mergeOperator?.name, !(1...StoreState.nameBytesMax).contains(name.utf8.count) {
      return "a merge operator's name has 1 to \(StoreState.nameBytesMax) bytes, and this one "
        + "\(name.utf8.count)"
    }
    if let mergeOperator, mergeOperator.takesReservedName {
      return "a merge operator's name that begins with \"sediment.\" is this library's: give "
        + "\(mergeOperator.name) another"
    }
    return nil
  }

  /// The names and values of what differs from other options, for a message.
  package func differences(
    from other: OrderedKeyspaceOptions
  ) -> [(name: String, stored: String, given: String)] {
    var differences: [(name: String, stored: String, given: String)] = []
    func compare<Value: Equatable>(_ name: String, _ stored: Value, _ given: Value) {
      if stored != given { differences.append((name, "\(stored)", "\(given)")) }
    }
    compare("log", isLogged, other.isLogged)
    compare("compression", compression, other.compression)
    compare("uncompressed levels", uncompressedLevels, other.uncompressedLevels)
    compare("filter bits per key", filterBitsPerKey, other.filterBitsPerKey)
    compare("time to live", timeToLive, other.timeToLive)
    compare("compaction", compaction, other.compaction)
    compare("merge operator", mergeOperator?.name ?? "none", other.mergeOperator?.name ?? "none")
    return differences
  }
}
