/// How long an entry counts.
public enum TimeToLive: Hashable, Sendable, CustomStringConvertible {
  case forever
  /// From the time the key was first seen; 1 to 2⁶⁰ ms.
  case milliseconds(Int64)

  /// The longest TTL in milliseconds, about 36 million years.
  public static let millisecondsMax: Int64 = 1 << 60

  /// The TTL as hot loops use it: no distance of two times reaches the one of `forever`.
  package var limit: Int64 {
    switch self {
    case .forever: .max
    case .milliseconds(let milliseconds): milliseconds
    }
  }

  public var description: String {
    switch self {
    case .forever: "forever"
    case .milliseconds(let milliseconds): Figure.duration(milliseconds)
    }
  }
}

/// What stands for a key in the store.
public enum KeyMode: UInt8, Hashable, Sendable, CustomStringConvertible {
  /// Its keyed 128-bit hash. Two of n keys collide with a chance of n² / 2¹²⁹.
  case fingerprint = 0
  /// The hash and the key itself: never wrong, and the state can list its keys.
  case exact = 1

  public var description: String { self == .exact ? "exact" : "fingerprint" }
}

/// When the tables of a keyspace are merged.
public enum CompactionPolicy: Hashable, Sendable, CustomStringConvertible {
  /// As many runs of one level as `fanout` are merged into one run of the next; 2 to 32.
  ///
  /// With a TTL this applies inside the open time window; a window that closes is merged into a
  /// single run, and unlinked when its last entry has expired.
  case tiered(fanout: UInt8)

  public var description: String {
    switch self {
    case .tiered(let fanout): "tiered, \(fanout) runs"
    }
  }
}

/// What makes a write durable.
public enum LogPolicy: Hashable, Sendable, CustomStringConvertible {
  /// Epochs and checkpoints only: after a crash the keyspace is as of the last one.
  case epochs
  /// Every batch is written to a log before it is answered; with `synchronized` it survives power
  /// loss, without it only the end of the process. Logs grow until an epoch is committed, and
  /// opening reads all of them: commit one now and then.
  case everyBatch(synchronized: Bool)

  public var description: String {
    switch self {
    case .epochs: "epochs"
    case .everyBatch(let synchronized): synchronized ? "every batch, synchronised" : "every batch"
    }
  }
}

/// What a hashed keyspace is. Kept in the manifest and checked when it is opened again.
public struct KeyspaceOptions: Hashable, Sendable {
  /// Whether entries carry their keys or the keys' hashes alone.
  public var keyMode: KeyMode
  /// Bytes of value with every key, 0 to 64.
  public var valueWidth: UInt8
  /// How long an entry counts.
  public var timeToLive: TimeToLive
  /// How far times may lie behind the largest one seen before a record is late, in milliseconds;
  /// 0 with `forever`, where nothing is late.
  public var allowedLateness: Int64
  /// When runs are merged.
  public var compaction: CompactionPolicy
  /// What is logged, and so what is durable without an epoch.
  public var log: LogPolicy
  /// Whether a duplicate moves its key's time forward, so that the TTL counts from the last time
  /// the key was seen.
  public var refreshesOnSeen: Bool

  /// All options, with their defaults.
  ///
  /// - Parameter allowedLateness: in milliseconds, as times are; `nil` for an eighth of the TTL.
  public init(
    keyMode: KeyMode = .fingerprint, valueWidth: UInt8 = 0, timeToLive: TimeToLive,
    allowedLateness: Int64? = nil, compaction: CompactionPolicy = .tiered(fanout: 8),
    log: LogPolicy = .epochs, refreshesOnSeen: Bool = false
  ) {
    self.keyMode = keyMode
    self.valueWidth = valueWidth
    self.timeToLive = timeToLive
    switch timeToLive {
    case .forever: self.allowedLateness = 0
    case .milliseconds(let milliseconds): self.allowedLateness = allowedLateness ?? milliseconds / 8
    }
    self.compaction = compaction
    self.log = log
    self.refreshesOnSeen = refreshesOnSeen
  }

  /// The same with another time to live. A lateness that is not given stays, unless it was the
  /// default, which follows the time to live.
  func changing(timeToLive: TimeToLive, allowedLateness: Int64?) -> KeyspaceOptions {
    let usual = KeyspaceOptions(timeToLive: self.timeToLive).allowedLateness
    let kept = self.allowedLateness == usual ? nil : self.allowedLateness
    return KeyspaceOptions(
      keyMode: keyMode, valueWidth: valueWidth, timeToLive: timeToLive,
      allowedLateness: allowedLateness ?? kept, compaction: compaction, log: log,
      refreshesOnSeen: refreshesOnSeen)
  }

  package var layout: EntryLayout {
    EntryLayout(isExact: keyMode == .exact, valueWidth: valueWidth)
  }

  /// Length of a time window: an eighth of the TTL. `nil` with `forever`: there is one window.
  package var windowLength: Int64? {
    switch timeToLive {
    case .forever: nil
    case .milliseconds(let milliseconds): max(milliseconds / 8, 1)
    }
  }

  /// The window a time lies in.
  package func window(of time: Int64) -> Int64 {
    guard let length = windowLength else { return 0 }
    let quotient = time / length
    return time < 0 && quotient * length != time ? quotient - 1 : quotient
  }

  /// What is wrong with these options; `nil` when nothing is.
  package var complaint: String? {
    if valueWidth > EntryLayout.valueWidthMax { return "valueWidth \(valueWidth) is over 64" }
    if case .milliseconds(let ttl) = timeToLive, ttl < 1 || ttl > TimeToLive.millisecondsMax {
      return "a time to live of \(ttl) ms is not within 1 and \(TimeToLive.millisecondsMax)"
    }
    if allowedLateness < 0 || allowedLateness > TimeToLive.millisecondsMax {
      return "an allowed lateness of \(allowedLateness) ms is out of range"
    }
    if case .tiered(let fanout) = compaction, fanout < 2 || fanout > 32 {
      return "a fanout of \(fanout) is not within 2 and 32"
    }
    return nil
  }

  /// The names and values of what differs from other options, for a message.
  package func differences(
    from other: KeyspaceOptions
  ) -> [(name: String, stored: String, given: String)] {
    var differences: [(name: String, stored: String, given: String)] = []
    func compare<Value: Equatable>(_ name: String, _ stored: Value, _ given: Value) {
      if stored != given { differences.append((name, "\(stored)", "\(given)")) }
    }
    compare("key mode", keyMode, other.keyMode)
    compare("value width", valueWidth, other.valueWidth)
    compare("time to live", timeToLive, other.timeToLive)
    compare("allowed lateness", allowedLateness, other.allowedLateness)
    compare("compaction", compaction, other.compaction)
    compare("log", log, other.log)
    compare("refresh on seen", refreshesOnSeen, other.refreshesOnSeen)
    return differences
  }
}

/// What `StateStore.changeTimeToLive` changed.
public struct TimeToLiveChange: Hashable, Sendable, CustomStringConvertible {
  /// The time to live before.
  public var from: TimeToLive
  /// The time to live from now on.
  public var to: TimeToLive

  /// Whether entries that would have lived on have expired with the change.
  public var expiresEntries: Bool { to.limit < from.limit }

  /// What the change means, for people.
  public var consequence: String {
    expiresEntries
      ? "entries older than the new time to live count as expired at once"
      : "entries that had expired before the change do not come back"
  }

  /// One line for people.
  public var description: String {
    "time to live changed from \(from) to \(to): \(consequence)"
  }
}
