import SedimentDedup
import SedimentStore
import SedimentTestKit
import Testing

/// Clocks and boundaries.
@Suite struct DeduplicatorTimeTests {
  static func event(
    ttl: Int64 = 1000, lateness: Int64 = 0, maxAhead: Duration? = nil,
    late: Deduplicator.Options.Late = .keep
  ) -> Deduplicator.Options {
    Deduplicator.Options(
      timeToLive: .milliseconds(ttl), allowedLateness: .milliseconds(lateness),
      time: .event(maxAhead: maxAhead), late: late)
  }

  @Test(arguments: [KeyMode.fingerprint, .exact])
  func theTimeToLiveIsExactToTheMillisecond(mode: KeyMode) throws {
    var options = Self.event(ttl: 1000, lateness: 5000)
    options.keyMode = mode
    let harness = try DedupHarness(options)
    let key = CompositeKey("k")
    #expect(try harness.dedup.isFirst(key, time: 10_000))
    #expect(try !harness.dedup.isFirst(key, time: 10_999))
    #expect(try !harness.dedup.isFirst(key, time: 9001))
    #expect(try harness.dedup.isFirst(key, time: 9000), "a time to live before the first")
    #expect(try harness.dedup.isFirst(key, time: 11_000), "a time to live after the first")
    #expect(try !harness.dedup.isFirst(key, time: 11_999))
    try harness.store.close()
  }

  /// A mistake of the caller's is thrown before anything is decided, and the store goes on.
  @Test func aWrongNumberOfTimesIsRefusedAndPoisonsNothing() throws {
    let harness = try DedupHarness(Self.event())
    let keys = KeyBatch()
    try keys.append([1])
    for times in [[], [1, 2]] as [[Int64]] {
      let error = #expect(throws: StoreError.self) { try harness.dedup.process(keys, times: times) }
      #expect(error?.code == .invalidArgument)
    }
    let long = [UInt8](repeating: 0, count: KeyBatch.keyBytesMax + 1)
    let error = #expect(throws: StoreError.self) { try harness.dedup.decide(long, time: 1) }
    #expect(error?.code == .invalidArgument)
    #expect(try harness.dedup.process(keys, times: [1]).decisions == [.new])
    try harness.store.close()
  }

  @Test func latePoliciesDoAsTheySay() throws {
    let expected: [(Deduplicator.Options.Late, DedupDecision, DedupDecision)] = [
      (.keep, .lateNew, .lateUnprotected), (.drop, .lateDropped, .lateDropped),
      (.reject, .lateRejected, .lateRejected),
    ]
    for (late, inTime, expired) in expected {
      let harness = try DedupHarness(Self.event(ttl: 100, lateness: 10, late: late))
      #expect(try harness.dedup.decide([1], time: 1000) == .new)
      #expect(try harness.dedup.decide([2], time: 990) == .new, "at the watermark")
      #expect(try harness.dedup.decide([3], time: 989) == inTime)
      #expect(try harness.dedup.decide([4], time: 890) == expired)
      #expect(try harness.dedup.decide([4], time: 890) == expired, "not remembered")
      #expect(try harness.dedup.decide([1], time: 985) == .duplicate, "late, but found")
      let counters = harness.dedup.counters
      #expect(counters.late == 3 && counters.duplicates == 1 && counters.events == 6)
      #expect(counters.lateUnprotected == (late == .keep ? 2 : 0))
      #expect(counters.lateDropped == (late == .drop ? 3 : 0))
      #expect(counters.rejected == (late == .reject ? 3 : 0))
      try harness.store.close()
    }
  }

  @Test func aTimeFarAheadLeavesNoTrace() throws {
    let clock = ManualClock(millis: 1_000_000)
    let harness = try DedupHarness(
      Self.event(ttl: 1000, lateness: 100, maxAhead: .seconds(60)), clock: clock)
    let records = [
      TestRecord(key: [1], time: 1_000_000), TestRecord(key: [2], time: 1_060_001),
      TestRecord(key: [1], time: 1_000_500), TestRecord(key: [3], time: .max),
      TestRecord(key: [2], time: 1_000_600), TestRecord(key: [4], time: .min),
    ]
    #expect(
      try harness.decide(records, batchSize: 6)
        == [.new, .tooFarAhead, .duplicate, .timeOutOfRange, .new, .timeOutOfRange])
    #expect(harness.dedup.largestTime == 1_000_600)
    #expect(harness.dedup.watermark == 1_000_500)
    #expect(harness.dedup.counters.rejected == 3)
    let wild = [TestRecord(key: [9], time: 1_060_001)]
    #expect(try harness.decide(wild, batchSize: 1) == [.tooFarAhead])
    #expect(try harness.dedup.decide([9], time: 1_060_000) == .new, "as far as allowed")
    clock.advance(byMillis: 1)
    #expect(try harness.decide(wild, batchSize: 1) == [.duplicate])
    try harness.store.close()
  }

  @Test func batchesWithWildTimesEqualBatchesWithoutThem() throws {
    let ttl: Int64 = 500
    let clock = ManualClock(millis: 1_800_000_000_000)
    let limited = Self.event(ttl: ttl, lateness: 50, maxAhead: .seconds(0), late: .reject)
    let harness = try DedupHarness(limited, clock: clock)
    var oracle = try DedupOracle(limited)
    var stream = RecordStream(ttl: ttl, lateness: 50, seed: 3)
    for _ in 0..<20 {
      var records = stream.take(700)
      var expected = oracle.decide(records, late: .reject)
      for _ in 0..<50 {
        let index = Int.random(in: 0...records.count, using: &stream.random)
        records.insert(TestRecord(key: [5], time: 1_800_000_000_001), at: index)
        expected.insert(.tooFarAhead, at: index)
      }
      expectEqual(try harness.decide(records, batchSize: 300), expected, records, "wild times")
    }
    try harness.store.close()
  }

  @Test func stampsNeverGoBack() throws {
    let clock = ManualClock(millis: 5000)
    let options = Deduplicator.Options(timeToLive: .milliseconds(1000), time: .processing)
    let harness = try DedupHarness(options, clock: clock)
    let key = CompositeKey(1)
    #expect(try harness.dedup.isFirst(key))
    #expect(try !harness.dedup.isFirst(key), "equal stamps")
    clock.set(millis: 1000)
    #expect(try !harness.dedup.isFirst(key))
    #expect(try harness.dedup.decide([7], time: nil) == .new, "never late")
    #expect(harness.dedup.largestTime == 5000, "the clock went back, the stamp did not")
    try harness.reopen()
    #expect(try !harness.dedup.isFirst(key))
    #expect(harness.dedup.largestTime == 5000, "nor with another start")
    clock.set(millis: 5999)
    #expect(try !harness.dedup.isFirst(key))
    clock.set(millis: 6000)
    #expect(try harness.dedup.isFirst(key), "a time to live has passed")
    clock.set(millis: 6000 + 1_000_000_000)
    #expect(try harness.dedup.isFirst(key), "far in the future")
    clock.set(millis: 6000)
    #expect(try !harness.dedup.isFirst(key))
    #expect(harness.dedup.counters.late == 0)
    try harness.store.close()
  }

  @Test(arguments: 0..<6 as Range<UInt64>)
  func processingTimeEqualsTheOracleOnItsStamps(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let clock = ManualClock(millis: 1_000_000)
    let options = Deduplicator.Options(
      timeToLive: .milliseconds(300), keyMode: seed % 2 == 0 ? .exact : .fingerprint,
      time: .processing)
    let harness = try DedupHarness(options, shards: [1, 2, 4][Int(seed % 3)], clock: clock)
    var oracle = try DedupOracle(options)
    var stamp = Int64.min
    let keys = KeyBatch()
    for _ in 0..<400 {
      clock.set(millis: clock.nowMillis() + Int64.random(in: -100...150, using: &random))
      stamp = max(stamp, clock.nowMillis())
      keys.removeAll()
      var expected: [DedupDecision] = []
      for _ in 0..<Int.random(in: 1...200, using: &random) {
        let key = RecordStream.key(UInt64.random(in: 0..<5000, using: &random))
        try keys.append(key)
        expected.append(DedupDecision(oracle.decide(key: key, time: stamp), .keep))
      }
      #expect(try harness.dedup.process(keys).decisions == expected)
      if Int.random(in: 0..<100, using: &random) == 0 { try harness.reopen() }
    }
    try harness.store.close()
  }

  @Test func optionsThatCannotBeAreRefused() throws {
    let store = try StateStore.open(at: "/state", fileSystem: MemoryFileSystem())
    for options in [
      Self.event(ttl: 0), Self.event(lateness: -1), Self.event(maxAhead: .seconds(-1)),
      Self.event(maxAhead: .seconds(Int64.max)),
    ] {
      let error = #expect(throws: StoreError.self) {
        try Deduplicator(store: store, options: options)
      }
      #expect(error?.code == .invalidArgument)
    }
    _ = try Deduplicator(store: store, options: Self.event(ttl: 5))
    let error = #expect(throws: StoreError.self) {
      try Deduplicator(store: store, options: Self.event(ttl: 6))
    }
    #expect(error?.code == .optionsDiffer)
    #expect(try TimeToLive(.seconds(7 * 86_400)) == .milliseconds(604_800_000))
    #expect(throws: StoreError.self) { try TimeToLive(.microseconds(999)) }
    try store.close()
  }
}
