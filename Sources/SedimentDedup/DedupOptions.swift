public import SedimentStore

extension Deduplicator {
  /// What counts as a duplicate, and for how long.
  ///
  /// Key mode, time to live, lateness and `countFrom` are kept in the store: a state is opened with
  /// those it was made with, or refused. Time and late policy are the caller's to keep.
  public struct Options: Sendable, Hashable {
    /// Where the time of a record comes from.
    public enum Time: Sendable, Hashable {
      /// From the record.
      ///
      /// A record further ahead of the clock than `maxAhead` is rejected before the state sees it:
      /// one wild time would expire everything. `nil` for no limit.
      case event(maxAhead: Duration? = .seconds(3600))
      /// From the clock, read once a batch. Stamps never go back, not even when the clock does or
      /// the process starts again; nothing is late.
      case processing
    }

    /// What happens to a record older than the watermark whose key is not found: its entry may have
    /// expired, so nobody knows whether it is the first.
    public enum Late: Sendable, Hashable, CaseIterable {
      /// It passes, and is remembered unless it has expired already.
      case keep
      /// It goes.
      case drop
      /// It goes where the records go that cannot be processed.
      case reject
    }

    /// What the time to live counts from.
    public enum Start: Sendable, Hashable, CaseIterable {
      /// The time the key was first seen: a duplicate changes nothing.
      case firstSeen
      /// The largest time the key was seen at: a duplicate renews its entry, with a write.
      ///
      /// A key then has one entry. A record a time to live or more older than that one is no
      /// duplicate of it, and is not remembered. Not to be had with a log of batches.
      case lastSeen
    }

    /// What stands for a key in the store.
    public var keyMode: KeyMode
    /// How long an entry makes duplicates.
    public var timeToLive: TimeToLive
    /// How far event times may lie behind the largest one before a record is late; `nil` for an
    /// eighth of the time to live. Of no effect with `forever` and with processing time, where
    /// nothing is late.
    public var allowedLateness: Duration?
    /// Where times come from.
    public var time: Time
    /// What becomes of late records.
    public var late: Late
    /// What the time to live counts from.
    public var countFrom: Start
    /// What makes a decision durable: the store's epochs, unless a log is asked for.
    public var log: LogPolicy

    /// The options of a state whose entries live for `timeToLive`, by event time.
    public init(
      timeToLive: TimeToLive, keyMode: KeyMode = .fingerprint, allowedLateness: Duration? = nil,
      time: Time = .event(), late: Late = .keep, countFrom: Start = .firstSeen,
      log: LogPolicy = .epochs
    ) {
      self.timeToLive = timeToLive
      self.keyMode = keyMode
      self.allowedLateness = allowedLateness
      self.time = time
      self.late = late
      self.countFrom = countFrom
      self.log = log
    }

    /// The options of the keyspace that holds such a state.
    ///
    /// - Throws: `invalidArgument` when a duration is negative or beyond what a store can keep.
    public func keyspaceOptions() throws(StoreError) -> KeyspaceOptions {
      var lateness = try allowedLateness.map { duration throws(StoreError) in
        try duration.storeMilliseconds("an allowed lateness")
      }
      if time == .processing { lateness = 0 }
      return KeyspaceOptions(
        keyMode: keyMode, timeToLive: timeToLive, allowedLateness: lateness, log: log,
        refreshesOnSeen: countFrom == .lastSeen)
    }

    /// Milliseconds that a time may be ahead of the clock; `nil` for no limit.
    func maxAheadMillis() throws(StoreError) -> Int64? {
      guard case .event(let maxAhead?) = time else { return nil }
      return try maxAhead.storeMilliseconds("a limit for times ahead")
    }
  }
}

extension TimeToLive {
  /// A time to live of a duration, in whole milliseconds; a part of one is dropped.
  ///
  /// - Throws: `invalidArgument` when it is less than a millisecond or beyond `millisecondsMax`.
  public init(_ duration: Duration) throws(StoreError) {
    let milliseconds = try duration.storeMilliseconds("a time to live")
    guard milliseconds > 0 else {
      throw StoreError(.invalidArgument, "a time to live of \(duration) is under a millisecond")
    }
    self = .milliseconds(milliseconds)
  }
}

extension Duration {
  /// Whole milliseconds within 0 and `TimeToLive.millisecondsMax`.
  fileprivate func storeMilliseconds(_ what: String) throws(StoreError) -> Int64 {
    let (seconds, attoseconds) = components
    let isInRange =
      seconds >= 0 && attoseconds >= 0 && seconds < TimeToLive.millisecondsMax / 1000
    guard isInRange else {
      throw StoreError(
        .invalidArgument,
        "\(what) of \(self) is not within 0 and \(TimeToLive.millisecondsMax) ms")
    }
    return seconds * 1000 + attoseconds / 1_000_000_000_000_000
  }
}
