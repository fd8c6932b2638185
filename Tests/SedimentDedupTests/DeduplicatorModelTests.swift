import SedimentDedup
import SedimentStore
import SedimentTestKit
import Testing

/// The operator against the definition of a duplicate.
@Suite struct DeduplicatorModelTests {
  static let batchSizes = [1, 2, 13, 100, 1000, 1024, 5000, 65_536]

  @Test(arguments: 0..<24 as Range<UInt64>)
  func answersEqualTheOracle(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let ttls: [Int64] = [1, 2, 10, 1000, 30_000]
    let ttl = ttls.randomElement(using: &random) ?? 10
    let latenesses: [Int64?] = [nil, 0, 1, ttl / 2, ttl, 3 * ttl]
    let lateness = latenesses.randomElement(using: &random) ?? nil
    let isForever = Int.random(in: 0..<8, using: &random) == 0
    let options = Deduplicator.Options(
      timeToLive: isForever ? .forever : .milliseconds(ttl),
      keyMode: Bool.random(using: &random) ? .exact : .fingerprint,
      allowedLateness: lateness.map { .milliseconds($0) }, time: .event(maxAhead: nil),
      late: Deduplicator.Options.Late.allCases.randomElement(using: &random) ?? .keep)
    let harness = try DedupHarness(
      options, shards: [1, 2, 4].randomElement(using: &random) ?? 1)
    var oracle = try DedupOracle(options)
    var stream = RecordStream(ttl: ttl, lateness: lateness ?? ttl / 8, seed: random.next())
    for round in 0..<12 {
      let records = stream.take(Int.random(in: 1...6000, using: &random))
      let batchSize = Self.batchSizes.randomElement(using: &random) ?? 1
      let before = harness.dedup.counters
      let answers = try harness.decide(records, batchSize: batchSize)
      let expected = oracle.decide(records, late: options.late)
      expectEqual(answers, expected, records, "seed \(seed), round \(round), \(options)")
      if answers != expected { return }
      let counters = harness.dedup.counters
      #expect(counters.events - before.events == UInt64(records.count))
      #expect(
        counters.events
          == counters.new + counters.duplicates + counters.lateDropped + counters.rejected)
      if !isForever { #expect(harness.dedup.watermark == oracle.watermark) }
      switch Int.random(in: 0..<4, using: &random) {
      case 0: try harness.store.commitEpoch()
      case 1: try harness.reopen(shards: [1, 2, 4].randomElement(using: &random))
      case 2: try harness.store.compact()
      default: break
      }
    }
    try harness.store.close()
  }

  @Test(arguments: [KeyMode.fingerprint, .exact])
  func answersDoNotDependOnShardsOrBatches(mode: KeyMode) throws {
    let ttl: Int64 = 40_000
    let options = Deduplicator.Options(
      timeToLive: .milliseconds(ttl), keyMode: mode, time: .event(maxAhead: nil))
    var stream = RecordStream(ttl: ttl, lateness: ttl / 8, seed: 7)
    let records = stream.take(140_000)
    var oracle = try DedupOracle(options)
    let expected = oracle.decide(records, late: .keep)
    for shards in [1, 2, 4] {
      for batchSize in [1, 100, 4096, 65_536] {
        // One record a call takes long: the beginning must do.
        let count = batchSize == 1 ? 20_000 : records.count
        let harness = try DedupHarness(options, shards: shards)
        let some = Array(records[..<count])
        let answers = try harness.decide(some, batchSize: batchSize)
        expectEqual(
          answers, Array(expected[..<count]), some,
          "\(mode), \(shards) shards, batches of \(batchSize)")
        try harness.store.close()
      }
    }
  }

  /// Twenty windows pass, with every order of events that the lateness allows.
  @Test(arguments: [KeyMode.fingerprint, .exact])
  func expiredKeysLeaveTheDiskByUnlinkAlone(mode: KeyMode) throws {
    let ttl: Int64 = 80_000
    let lateness: Int64 = 10_000
    let options = Deduplicator.Options(
      timeToLive: .milliseconds(ttl), keyMode: mode, allowedLateness: .milliseconds(lateness),
      time: .event(maxAhead: nil))
    let harness = try DedupHarness(options)
    var oracle = try DedupOracle(options)
    var random = SeededGenerator(seed: 20)
    // Four new keys a millisecond; a window is 10,000 ms.
    let window: Int64 = ttl / 8
    let keysPerMillisecond: Int64 = 4
    var sealingMax = 0
    var settledMax = 0
    var accepted = 0
    for step in 0..<100 {
      let start = Int64(step) * window / 5
      let records = (0..<Int(window / 5 * keysPerMillisecond)).map { index in
        let time = start + Int64(index) / keysPerMillisecond
        let isRepeat = Int.random(in: 0..<5, using: &random) == 0
        let origin =
          isRepeat ? max(time - Int64.random(in: 0...(ttl + 5), using: &random), 0) : time
        let id = UInt64(origin * keysPerMillisecond + Int64(index) % keysPerMillisecond)
        let delay = Int64.random(in: 0...lateness, using: &random)
        return TestRecord(key: RecordStream.key(id &* 0x9e37_79b9), time: max(time - delay, 0))
      }
      let decisions = try harness.decide(records, batchSize: 4096)
      expectEqual(decisions, oracle.decide(records, late: .keep), records, "step \(step)")
      accepted += decisions.count { $0.isNew }
      try harness.store.commitEpoch()
      try harness.store.waitUntilIdle()
      sealingMax = max(sealingMax, try harness.bytesOnDisk())
      // What was merged stays until the next epoch.
      try harness.store.commitEpoch()
      settledMax = max(settledMax, try harness.bytesOnDisk())
    }
    #expect(harness.store.statistics.tablesExpired > 0)
    // An entry is a hash, a time and, in exact mode, a key with its offset; filter, index and the
    // rest of a page are less than 2 bytes more. Beside them lie the manifest and the log.
    let entryBytes: Int64 = mode == .exact ? 16 + 4 + 4 + 16 + 2 : 16 + 4 + 2
    let milliseconds = 20 * window
    let kept = ttl + lateness + window
    func bound(_ span: Int64) -> Int {
      Int(Int64(accepted) * span / milliseconds * entryBytes) + (64 << 10)
    }
    #expect(settledMax <= bound(kept), "\(settledMax) bytes on disk between two epochs")
    #expect(sealingMax <= bound(kept + window), "\(sealingMax) bytes while a window is sealed")
    try harness.store.close()
  }
}
