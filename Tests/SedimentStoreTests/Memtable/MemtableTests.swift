import SedimentStore
import SedimentTestKit
import Testing

@Suite("Memtable against a model")
struct MemtableTests {
  static let layouts = [
    EntryLayout(isExact: false, valueWidth: 0), EntryLayout(isExact: false, valueWidth: 5),
    EntryLayout(isExact: true, valueWidth: 0), EntryLayout(isExact: true, valueWidth: 16),
  ]

  /// How the hashes of a run's keys lie.
  enum Spread: CaseIterable {
    /// Anywhere.
    case even
    /// All of one home, at the beginning.
    case oneHome
    /// Near the last home, so that the slack behind it fills.
    case lastHomes
    /// Few hashes; in exact mode several keys of each.
    case equal
  }

  private static func key(
    _ number: Int, _ spread: Spread, isExact: Bool, _ generator: inout SeededGenerator
  ) -> MemtableKey {
    // The draw depends on the number alone.
    var own = SeededGenerator(seed: UInt64(number) &+ 77)
    let low = own.next()
    let hash =
      switch spread {
      case .even: KeyHash(high: own.next(), low: low)
      case .oneHome: KeyHash(high: UInt64(number % 3), low: UInt64(number))
      case .lastHomes: KeyHash(high: .max - UInt64(number % 7) << 50, low: low)
      case .equal: KeyHash(high: UInt64(number % 4) << 60, low: UInt64(isExact ? 1 : number))
      }
    let bytes = Array("\(number)".utf8) + [UInt8](repeating: 7, count: number % 23)
    return MemtableKey(hash: hash, bytes: isExact ? (number == 0 ? [] : bytes) : [])
  }

  private static func value(_ script: inout MemtableScript) -> [UInt8] {
    (0..<Int(script.layout.valueWidth)).map { _ in
      UInt8.random(in: 0...255, using: &script.generator)
    }
  }

  @Test("random operations answer as a dictionary does", arguments: layouts, Spread.allCases)
  func randomOperations(layout: EntryLayout, spread: Spread) throws {
    for seed in UInt64(0)..<40 {
      var script = try MemtableScript(
        seed: seed, layout: layout, slots: seed % 2 == 0 ? 128 : 500, ttl: seed % 5 == 4 ? 1 : 50)
      script.isCrowded = spread == .lastHomes
      do {
        try run(&script, spread)
        try script.checkCursor()
      } catch {
        Issue.record("seed \(seed), \(layout), \(spread): \(error)")
        return
      }
    }
  }

  /// Operations until nothing fits or there were enough.
  private func run(_ script: inout MemtableScript, _ spread: Spread) throws {
    let keyCount = [3, 40, 300].randomElement(using: &script.generator) ?? 3
    for _ in 0..<600 {
      let number = Int.random(in: 0..<keyCount, using: &script.generator)
      let key = Self.key(
        number, spread, isExact: script.layout.isExact, &script.generator)
      let value = Self.value(&script)
      let time = script.model.watermark + Int64.random(in: -40...90, using: &script.generator)
      let isSmall = !script.memtable.fits(count: 1, keyBytes: key.bytes.count)
      switch Int.random(in: 0..<20, using: &script.generator) {
      case 0: script.model.watermark += Int64.random(in: 0...30, using: &script.generator)
      case 1, 2:
        guard try script.put(key, at: time, kind: .put, value: value) else { return }
      case 3: guard try script.put(key, at: time, kind: .remove, value: value) else { return }
      case 4..<7: try script.check(key)
      case 7: script.memtable.takeDelta { _ in }
      case 8..<11:
        let wanted: MemtableScript.Outcome =
          Bool.random(using: &script.generator) ? .withdrawn : .cached
        if try script.insert(key, at: time, value: value, then: wanted) == .full { return }
      default:
        if try script.insert(key, at: time, value: value, then: .accepted) == .full { return }
      }
      try script.check(key)
      if isSmall { return }
    }
  }

  @Test("the delta is what was accepted or changed since the last one", arguments: layouts)
  func deltas(layout: EntryLayout) throws {
    for seed in UInt64(0)..<20 {
      var script = try MemtableScript(seed: seed, layout: layout, slots: 600)
      let copy = try Memtable(
        layout: layout, geometry: MemtableGeometry(slots: 600, range: 0...UInt64.max),
        arenaBytes: 0)
      for _ in 0..<12 {
        for _ in 0..<30 {
          let number = Int.random(in: 0..<60, using: &script.generator)
          let key = Self.key(number, .even, isExact: layout.isExact, &script.generator)
          let value = Self.value(&script)
          let time = script.model.watermark + Int64.random(in: -40...90, using: &script.generator)
          switch Int.random(in: 0..<8, using: &script.generator) {
          case 0: _ = try script.put(key, at: time, kind: .put, value: value)
          case 1: _ = try script.put(key, at: time, kind: .remove, value: value)
          case 2: _ = try script.insert(key, at: time, value: value, then: .withdrawn)
          default: _ = try script.insert(key, at: time, value: value, then: .accepted)
          }
        }
        script.memtable.takeDelta { #expect(copy.replay($0)) }
        #expect(script.memtable.counters.delta == 0)
        script.memtable.takeDelta { _ in Issue.record("nothing changed since") }
      }
      #expect(contents(of: copy, layout) == contents(of: script.memtable, layout), "seed \(seed)")
    }
  }

  private func contents(of memtable: Memtable, _ layout: EntryLayout) -> [TestEntry] {
    let entries = flushed(memtable)
    // In exact mode keys of one hash have no order.
    return entries.sorted { ($0.hash, $0.time, $0.key.count) < ($1.hash, $1.time, $1.key.count) }
  }

  @Test("a cluster is sorted however long it is")
  func longClustersAreSorted() throws {
    let layout = EntryLayout(isExact: false, valueWidth: 0)
    for count in [1, 511, 512, 513, 1_024, 1_025, 3_000] {
      let memtable = try Memtable(
        layout: layout, geometry: MemtableGeometry(slots: 8_192, range: 0...UInt64.max),
        arenaBytes: 0)
      var generator = SeededGenerator(seed: UInt64(count))
      var expected: [TestEntry] = []
      // All at home in the first slot, and some of one hash.
      for time in 0..<count {
        let entry = TestEntry(
          KeyHash(high: generator.next() >> 50, low: generator.next() >> 62), time: Int64(time))
        #expect(entry.withReference { memtable.replay($0) })
        expected.append(entry)
      }
      expected.sort { ($0.hash, -$0.time) < ($1.hash, -$1.time) }
      #expect(flushed(memtable) == expected)
    }
  }

  // MARK: - Full

  @Test("a full memtable refuses what is new and answers for all it has", arguments: layouts)
  func full(layout: EntryLayout) throws {
    var script = try MemtableScript(seed: 3, layout: layout, slots: 128, ttl: 50)
    var number = 0
    while true {
      let key = Self.key(number, .oneHome, isExact: layout.isExact, &script.generator)
      let value = Self.value(&script)
      if try script.insert(key, at: 10, value: value, then: .accepted) == .full { break }
      number += 1
    }
    #expect(number == script.memtable.geometry.slotCount, "one home reaches every slot")
    #expect(script.memtable.counters.used == number && script.memtable.fill > 1)
    let absent = Self.key(number, .oneHome, isExact: layout.isExact, &script.generator)
    let value = Self.value(&script)
    #expect(try !script.put(absent, at: 11, kind: .put, value: value))
    try script.check(absent)
    for known in 0..<number {
      let key = Self.key(known, .oneHome, isExact: layout.isExact, &script.generator)
      try script.check(key)
      #expect(
        try script.insert(key, at: 12, value: value, then: .accepted) == .duplicate)
      #expect(try script.put(key, at: 13, kind: .put, value: value), "in place")
      try script.check(key)
    }
    try script.checkCursor()
  }

  @Test func aKeyArenaThatIsFullRefusesKeysAndKeepsItsOwn() throws {
    let layout = EntryLayout(isExact: true, valueWidth: 0)
    var script = try MemtableScript(seed: 5, layout: layout, slots: 4_096)
    var keys: [MemtableKey] = []
    for number in 0..<1_000 {
      var own = SeededGenerator(seed: UInt64(number))
      let key = MemtableKey(
        hash: KeyHash(high: own.next(), low: own.next()),
        bytes: [UInt8](repeating: UInt8(number % 256), count: 3_000))
      if try script.insert(key, at: 1, value: [], then: .accepted) == .full { break }
      keys.append(key)
    }
    #expect(keys.count >= 40 && keys.count < 1_000)
    for key in keys { try script.check(key) }
    try script.checkCursor()
  }

  // MARK: - Slots

  @Test func aWithdrawnSlotIsFreeAgain() throws {
    var script = try MemtableScript(
      seed: 1, layout: EntryLayout(isExact: false, valueWidth: 0), slots: 128)
    for number in 0..<10_000 {
      let key = Self.key(number, .even, isExact: false, &script.generator)
      #expect(try script.insert(key, at: 1, value: [], then: .withdrawn) == .withdrawn)
    }
    #expect(script.memtable.counters.used <= 1)
    #expect(script.memtable.isEmpty)
  }

  @Test func cachedSlotsAnswerAreBoundedAndNeverFlushed() throws {
    var script = try MemtableScript(
      seed: 1, layout: EntryLayout(isExact: false, valueWidth: 0), slots: 800)
    for number in 0..<400 {
      let key = Self.key(number, .even, isExact: false, &script.generator)
      _ = try script.insert(key, at: 5, value: [], then: .cached)
      if number < 50 {
        #expect(try script.insert(key, at: 6, value: [], then: .withdrawn) == .duplicate)
      }
      #expect(script.find(key) { _ in true }.entry == nil, "not for readers")
    }
    #expect(script.memtable.counters.cached == 100, "an eighth of the slots")
    #expect(script.memtable.counters.live == 0)
    try script.checkCursor()
  }

  @Test func aKeySeenForEverTakesOneSlot() throws {
    var script = try MemtableScript(
      seed: 1, layout: EntryLayout(isExact: false, valueWidth: 0), slots: 128)
    let key = Self.key(1, .even, isExact: false, &script.generator)
    for round in 0..<1_000 {
      script.model.watermark = Int64(round * 60)
      #expect(
        try script.insert(key, at: script.model.watermark, value: [], then: .accepted)
          == .accepted)
    }
    #expect(script.memtable.counters.live == 1)
    #expect(script.memtable.counters.used <= 2)
  }
}
