// What the answers must be: the definition of a duplicate, written down as plainly as possible.
//
// How it works: a dictionary from a key to the times of its accepted entries. For each record, in
// the order of the input:
//   1. the watermark rises to the largest time seen, this record's included, less the lateness;
//   2. entries of the key with firstSeen + ttl ≤ watermark are expired and gone;
//   3. a duplicate iff some entry left has |t − firstSeen| < ttl;
//   4. else, when t < watermark, it is late, and the policy says what becomes of it;
//   5. else it is new, and its time is remembered.
// Without a TTL every entry matches, nothing expires and nothing is late.
//
// Concurrency: a value; copy it to remember a state.

/// What becomes of a record that is older than the watermark and whose key is not found.
public enum OracleLatePolicy: Sendable, Equatable, CaseIterable {
  /// It is emitted, and remembered unless it would be expired at once.
  case keep
  /// It is dropped.
  case drop
  /// It goes where unreadable records go.
  case reject
}

/// What a record is.
public enum OracleAnswer: Sendable, Equatable, CaseIterable {
  /// An unexpired entry of its key is less than the TTL away.
  case duplicate
  /// Emitted and remembered.
  case new
  /// Late, emitted and remembered.
  case lateNew
  /// Late and emitted, but too old to be remembered: another one like it will be emitted too.
  case lateUnprotected
  /// Late, and neither emitted nor remembered: dropped or rejected.
  case lateDropped

  /// Whether the record is in the output.
  public var isEmitted: Bool {
    switch self {
    case .new, .lateNew, .lateUnprotected: true
    case .duplicate, .lateDropped: false
    }
  }
}

/// A dictionary with a TTL that gives the right answers.
///
///     var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 20)
///     oracle.decide(key: Array("a".utf8), time: 0)  // .new
public struct DedupOracle: Sendable {
  /// How long an entry protects, in milliseconds; `nil` is for ever.
  public let ttlMillis: Int64?
  /// How far the watermark stays behind the largest time seen.
  public let latenessMillis: Int64
  /// What becomes of late records.
  public let latePolicy: OracleLatePolicy

  private var entries: [[UInt8]: [Int64]] = [:]
  private var largestTime: Int64?

  /// An oracle that has seen nothing.
  ///
  /// - Precondition: the TTL is positive, the lateness not negative.
  public init(ttlMillis: Int64?, latenessMillis: Int64, latePolicy: OracleLatePolicy = .keep) {
    precondition(ttlMillis ?? 1 > 0 && latenessMillis >= 0, "a TTL is positive, lateness not less")
    self.ttlMillis = ttlMillis
    self.latenessMillis = latenessMillis
    self.latePolicy = latePolicy
  }

  /// The largest time seen less the lateness; `nil` before the first record.
  public var watermark: Int64? {
    largestTime.map { Self.clamped($0.subtractingReportingOverflow(latenessMillis), .min) }
  }

  /// Times of the unexpired entries of a key, oldest first.
  public func firstSeenTimes(of key: [UInt8]) -> [Int64] {
    entries[key, default: []].filter { !isExpired($0) }.sorted()
  }

  /// How many unexpired entries there are in all.
  public var liveCount: Int {
    entries.values.reduce(0) { $0 + $1.count { !isExpired($0) } }
  }

  /// Decides one record, and remembers what is to be remembered of it.
  @discardableResult
  public mutating func decide(key: [UInt8], time: Int64) -> OracleAnswer {
    largestTime = max(largestTime ?? time, time)
    let live = entries[key, default: []].filter { !isExpired($0) }
    entries[key] = live.isEmpty ? nil : live
    if live.contains(where: { matches($0, time) }) { return .duplicate }
    guard isLate(time) else {
      entries[key, default: []].append(time)
      return .new
    }
    guard latePolicy == .keep else { return .lateDropped }
    if isExpired(time) { return .lateUnprotected }
    entries[key, default: []].append(time)
    return .lateNew
  }

  private func isExpired(_ firstSeen: Int64) -> Bool {
    guard let ttlMillis, let watermark else { return false }
    // An end past the largest Int64 is never reached.
    let (end, overflow) = firstSeen.addingReportingOverflow(ttlMillis)
    return !overflow && watermark >= end
  }

  private func matches(_ firstSeen: Int64, _ time: Int64) -> Bool {
    guard let ttlMillis else { return true }
    let (distance, overflow) = max(time, firstSeen)
      .subtractingReportingOverflow(min(time, firstSeen))
    return !overflow && distance < ttlMillis
  }

  private func isLate(_ time: Int64) -> Bool {
    guard ttlMillis != nil, let watermark else { return false }
    return time < watermark
  }

  private static func clamped(
    _ result: (partialValue: Int64, overflow: Bool), _ bound: Int64
  ) -> Int64 {
    result.overflow ? bound : result.partialValue
  }
}
