import SedimentDedup
import SedimentStore
import SedimentTestKit
import Testing

/// What `countFrom: .lastSeen` means, as plainly as possible: one time a key.
struct LastSeenOracle {
  let ttl: Int64
  let lateness: Int64
  private var lastSeen: [[UInt8]: Int64] = [:]
  private var largestTime = Int64.min / 2

  init(ttl: Int64, lateness: Int64) {
    self.ttl = ttl
    self.lateness = lateness
  }

  mutating func decide(_ record: TestRecord) -> DedupDecision {
    largestTime = max(largestTime, record.time)
    let watermark = largestTime - lateness
    let last = lastSeen[record.key]
    if let last, last + ttl > watermark, abs(record.time - last) < ttl {
      lastSeen[record.key] = max(last, record.time)
      return .duplicate
    }
    if record.time + ttl <= watermark { return .lateUnprotected }
    lastSeen[record.key] = max(last ?? record.time, record.time)
    return record.time < watermark ? .lateNew : .new
  }
}

/// The time to live counted from the last time a key was seen.
@Suite struct RefreshOnSeenTests {
  static func options(ttl: Int64, lateness: Int64, mode: KeyMode) -> Deduplicator.Options {
    Deduplicator.Options(
      timeToLive: .milliseconds(ttl), keyMode: mode, allowedLateness: .milliseconds(lateness),
      time: .event(maxAhead: nil), countFrom: .lastSeen)
  }

  @Test func aDuplicateRenewsItsKey() throws {
    let harness = try DedupHarness(Self.options(ttl: 100, lateness: 0, mode: .fingerprint))
    for time in stride(from: 0 as Int64, to: 1000, by: 99) {
      #expect(try harness.dedup.decide([1], time: time) == (time == 0 ? .new : .duplicate))
      if time % 2 == 0 { try harness.reopen() }
    }
    #expect(try harness.dedup.decide([1], time: 990 + 100) == .new)
    try harness.store.close()
  }

  @Test(arguments: 0..<16 as Range<UInt64>)
  func answersEqualTheOracleWhereverEntriesLie(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let ttls: [Int64] = [1, 10, 500, 20_000]
    let ttl = ttls.randomElement(using: &random) ?? 10
    let latenesses = [0, ttl / 8, ttl, 3 * ttl]
    let lateness = latenesses.randomElement(using: &random) ?? 0
    let mode: KeyMode = Bool.random(using: &random) ? .exact : .fingerprint
    let harness = try DedupHarness(Self.options(ttl: ttl, lateness: lateness, mode: mode))
    var oracle = LastSeenOracle(ttl: ttl, lateness: lateness)
    var stream = RecordStream(ttl: ttl, lateness: lateness, seed: random.next())
    for round in 0..<16 {
      let records = stream.take(Int.random(in: 1...8000, using: &random))
      let expected = records.map { oracle.decide($0) }
      let batchSize = DeduplicatorModelTests.batchSizes.randomElement(using: &random) ?? 1
      let answers = try harness.decide(records, batchSize: batchSize)
      expectEqual(
        answers, expected, records, "seed \(seed), round \(round), ttl \(ttl) + \(lateness)")
      if answers != expected { return }
      switch Int.random(in: 0..<4, using: &random) {
      case 0: try harness.store.commitEpoch()
      case 1: try harness.reopen(shards: [1, 2, 4].randomElement(using: &random))
      case 2: try harness.store.compact()
      default: break
      }
    }
    try harness.store.close()
  }
}
