import SedimentTestKit
import Testing

@Suite struct DedupOracleTests {
  private let key: [UInt8] = [1]

  @Test func bothLiveEntriesOfAKeyMatterToARecordBetweenThem() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 100)
    #expect(oracle.decide(key: key, time: 0) == .new)
    #expect(oracle.decide(key: key, time: 15) == .new)
    #expect(oracle.firstSeenTimes(of: key) == [0, 15])
    #expect(oracle.decide(key: key, time: 3) == .duplicate)
    #expect(oracle.decide(key: key, time: 6) == .duplicate)
    #expect(oracle.decide(key: key, time: -9) == .duplicate)
    #expect(oracle.decide(key: key, time: -10) == .new)
  }

  @Test func theTTLEndsToTheMillisecond() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 0)
    #expect(oracle.decide(key: key, time: 100) == .new)
    #expect(oracle.decide(key: key, time: 109) == .duplicate)
    #expect(oracle.decide(key: key, time: 110) == .new)
    #expect(oracle.firstSeenTimes(of: key) == [110])
  }

  @Test func duplicatesDoNotProlongProtection() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 0)
    oracle.decide(key: key, time: 0)
    #expect(oracle.decide(key: key, time: 9) == .duplicate)
    #expect(oracle.decide(key: key, time: 10) == .new)
  }

  @Test func theWatermarkMovesBeforeTheRecordIsDecided() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 5)
    #expect(oracle.watermark == nil)
    oracle.decide(key: key, time: 0)
    #expect(oracle.watermark == -5)
    #expect(oracle.decide(key: [2], time: 14) == .new)
    #expect(oracle.decide(key: key, time: 9) == .duplicate)
    #expect(oracle.decide(key: [3], time: 15) == .new)
    // Expired at watermark 10 = 0 + ttl; so the record at 9 is late, and its key is not found.
    #expect(oracle.decide(key: key, time: 9) == .lateNew)
  }

  @Test func aRecordAtTheWatermarkIsNotLate() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 5)
    oracle.decide(key: key, time: 20)
    #expect(oracle.decide(key: [2], time: 15) == .new)
    #expect(oracle.decide(key: [3], time: 14) == .lateNew)
    #expect(oracle.decide(key: [3], time: 14) == .duplicate)
  }

  @Test func aLateRecordThatWouldExpireAtOnceIsEmittedEachTime() {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 5)
    oracle.decide(key: key, time: 20)
    #expect(oracle.decide(key: [2], time: 6) == .lateNew)
    for _ in 0..<2 { #expect(oracle.decide(key: [3], time: 5) == .lateUnprotected) }
    #expect(oracle.liveCount == 2)
  }

  @Test(arguments: [OracleLatePolicy.drop, .reject])
  func droppedLateRecordsAreNotRemembered(_ policy: OracleLatePolicy) {
    var oracle = DedupOracle(ttlMillis: 10, latenessMillis: 5, latePolicy: policy)
    oracle.decide(key: key, time: 20)
    for _ in 0..<2 { #expect(oracle.decide(key: [2], time: 14) == .lateDropped) }
    #expect(oracle.decide(key: key, time: 14) == .duplicate)
    #expect(!OracleAnswer.lateDropped.isEmitted && oracle.liveCount == 1)
  }

  @Test func foreverNothingIsLateAndNothingExpires() {
    var oracle = DedupOracle(ttlMillis: nil, latenessMillis: 0)
    #expect(oracle.decide(key: key, time: 1_000_000) == .new)
    #expect(oracle.decide(key: [2], time: -1_000_000) == .new)
    #expect(oracle.decide(key: [2], time: .max) == .duplicate)
    #expect(oracle.decide(key: key, time: .min) == .duplicate)
  }

  @Test func timesAtTheEndsOfTheRangeDoNotTrap() {
    var oracle = DedupOracle(ttlMillis: .max, latenessMillis: .max)
    #expect(oracle.decide(key: key, time: .min) == .new)
    #expect(oracle.decide(key: key, time: .max) == .new)
    // The watermark is 0 by now, and the first entry expired at −1.
    #expect(oracle.decide(key: key, time: .min) == .lateUnprotected)
    #expect(oracle.decide(key: key, time: 1) == .duplicate)
    var short = DedupOracle(ttlMillis: 1, latenessMillis: 0)
    #expect(short.decide(key: key, time: .max) == .new)
    #expect(short.decide(key: key, time: .min) == .lateUnprotected)
  }
}
