import SedimentStore
import SedimentTestKit
import Testing

/// A memtable's key in a test: hashes collide where the test wants it.
struct MemtableKey: Hashable {
  var hash: KeyHash
  var bytes: [UInt8]
}

/// What a memtable must hold, as plainly as possible.
struct MemtableModel {
  struct Entry: Hashable {
    var time: Int64
    var kind: EntryKind
    var value: [UInt8]
  }

  let ttl: Int64
  var watermark: Int64 = 0
  /// Live entries: the `put` or `remove` first, then the inserts.
  private(set) var live: [MemtableKey: [Entry]] = [:]
  /// Times a cached slot had or has.
  private(set) var cached: [MemtableKey: Set<Int64>] = [:]

  init(ttl: Int64) { self.ttl = ttl }

  private func isExpired(_ time: Int64) -> Bool { watermark - time >= ttl }

  private func matches(_ firstSeen: Int64, _ time: Int64) -> Bool {
    abs(time - firstSeen) < ttl && !isExpired(firstSeen)
  }

  /// Live entries that count, and the `remove`.
  func current(_ key: MemtableKey) -> [Entry] {
    live[key, default: []].filter { $0.kind == .remove || !isExpired($0.time) }
  }

  func isDuplicate(_ key: MemtableKey, at time: Int64) -> Bool {
    live[key, default: []].contains { $0.kind != .remove && matches($0.time, time) }
  }

  func mayBeCached(_ key: MemtableKey, at time: Int64) -> Bool {
    cached[key, default: []].contains { matches($0, time) }
  }

  func hides(_ key: MemtableKey) -> Bool { live[key]?.first?.kind.hidesOlder ?? false }

  mutating func insert(_ key: MemtableKey, _ entry: Entry) {
    // A slot of an expired insert is written over.
    let kept = live[key, default: []].filter { $0.kind != .insert || !isExpired($0.time) }
    live[key] = kept + [entry]
  }

  mutating func cache(_ key: MemtableKey, at time: Int64) { cached[key, default: []].insert(time) }

  mutating func put(_ key: MemtableKey, _ entry: Entry) {
    live[key] = [entry]
    cached[key] = nil
  }

  var keys: [MemtableKey] { Array(live.keys) }
}

/// A memtable, its model, and the one writer of both.
struct MemtableScript {
  let layout: EntryLayout
  let memtable: Memtable
  var model: MemtableModel
  var generator: SeededGenerator
  /// Whether the slack behind the last home may be full before the memtable is.
  var isCrowded = false

  init(
    seed: UInt64, layout: EntryLayout, slots: Int = 400, ttl: Int64 = 50, arenaBytes: Int = 0
  ) throws {
    self.layout = layout
    generator = SeededGenerator(seed: seed)
    memtable = try Memtable(
      layout: layout, geometry: MemtableGeometry(slots: slots, range: 0...UInt64.max),
      arenaBytes: arenaBytes)
    model = MemtableModel(ttl: ttl)
  }

  /// What became of a record.
  enum Outcome: Equatable {
    case duplicate, accepted, withdrawn, cached, full
  }

  private func withProbe<Answer>(
    _ key: MemtableKey, _ time: Int64, _ body: (MemtableProbe) -> Answer
  ) -> Answer {
    unsafe key.bytes.withUnsafeBytes { bytes in
      body(
        unsafe MemtableProbe(hash: key.hash, time: time, watermark: model.watermark, key: bytes))
    }
  }

  /// Probes and settles as told where the record is not there.
  mutating func insert(
    _ key: MemtableKey, at time: Int64, value: [UInt8], then wanted: Outcome
  ) throws -> Outcome {
    var counters = memtable.counters
    defer { memtable.counters = counters }
    var slot: UInt32 = 0
    var expired: UInt32 = 0
    let core = memtable.core
    let fits = memtable.fits(count: 1, keyBytes: key.bytes.count)
    let answer = withProbe(key, time) {
      core.probe($0, ttl: model.ttl, counters: &counters, slot: &slot, expired: &expired)
    }
    let isDuplicate = model.isDuplicate(key, at: time)
    switch answer {
    case .followsTentative: throw ScriptError("no slot is tentative")
    case .full:
      if isDuplicate || (fits && !isCrowded) {
        throw ScriptError("full at \(counters), fits: \(fits)")
      }
      return .full
    case .duplicate:
      guard isDuplicate || model.mayBeCached(key, at: time) else {
        throw ScriptError("duplicate at \(time) of \(model.current(key))")
      }
      return .duplicate
    case .hidden, .absent:
      guard !isDuplicate else { throw ScriptError("\(time) not found in \(model.current(key))") }
      guard (answer == .hidden) == model.hides(key) else {
        throw ScriptError("\(answer) with \(model.current(key))")
      }
    }
    let isTentative = withProbe(key, time) { unsafe core.hasTentative($0.hash, key: $0.key) }
    guard isTentative else { throw ScriptError("the slot is not tentative") }
    switch wanted {
    case .accepted:
      unsafe value.withUnsafeBytes {
        unsafe core.accept(
          slot: slot, expired: expired, time: time, value: $0.baseAddress, counters: &counters)
      }
      model.insert(key, .init(time: time, kind: .insert, value: value))
    case .cached:
      let firstSeen = time - 1
      core.cache(slot: slot, firstSeen: firstSeen, counters: &counters)
      model.cache(key, at: firstSeen)
    default: core.withdraw(slot: slot, counters: &counters)
    }
    return wanted
  }

  /// - Returns: `false` when there was no room.
  mutating func put(
    _ key: MemtableKey, at time: Int64, kind: EntryKind, value: [UInt8]
  ) throws -> Bool {
    let fits = memtable.fits(count: 1, keyBytes: key.bytes.count)
    let entry = TestEntry(key.hash, time: time, kind: kind, value: value, key: key.bytes)
    let isPut = entry.withReference { memtable.put($0) }
    guard isPut else {
      if (fits && !isCrowded) || !model.live[key, default: []].isEmpty {
        throw ScriptError("put: no room")
      }
      return false
    }
    model.put(key, .init(time: time, kind: kind, value: value))
    return true
  }

  /// What a reader sees of a key; `value` is what it copied.
  func find(
    _ key: MemtableKey, _ accepts: (Int64) -> Bool
  ) -> (entry: FoundEntry?, value: [UInt8]) {
    var value = [UInt8](repeating: 0xEE, count: Int(layout.valueWidth))
    let found = unsafe value.withUnsafeMutableBytes { value in
      unsafe key.bytes.withUnsafeBytes { bytes in
        unsafe memtable.core.find(
          key.hash, key: bytes, value: value.baseAddress, accepts: accepts)
      }
    }
    return (found, value)
  }

  /// A key against the model, as a reader sees it.
  func check(_ key: MemtableKey) throws {
    let current = model.current(key)
    let (found, value) = find(key) { model.watermark - $0 < model.ttl }
    let counting = current.filter { $0.kind != .remove }
    guard let found else {
      if !counting.isEmpty || model.hides(key) { throw ScriptError("nothing, not \(current)") }
      return
    }
    guard found.isAccepted else {
      if !counting.isEmpty || !model.hides(key) { throw ScriptError("hidden, not \(current)") }
      return
    }
    guard counting.contains(.init(time: found.time, kind: found.kind, value: value)) else {
      throw ScriptError("\(found) with \(value), not one of \(current)")
    }
  }

  /// The memtable as a flush sees it: all that counts, in the order of tables.
  func checkCursor() throws {
    let all = flushed(memtable)
    #expect(all.count == memtable.counters.live)
    #expect(memtable.isEmpty == all.isEmpty)
    #expect(all.map(\.hash) == all.map(\.hash).sorted())
    var found: [MemtableKey: [MemtableModel.Entry]] = [:]
    for entry in all {
      let key = MemtableKey(hash: entry.hash, bytes: layout.isExact ? entry.key : [])
      found[key, default: []].append(
        .init(time: entry.time, kind: entry.kind, value: entry.value))
    }
    for key in Set(model.keys).union(found.keys) {
      let entries = found[key, default: []]
      let inserts = entries.filter { $0.kind == .insert }
      #expect(entries.dropLast().allSatisfy { $0.kind == .insert }, "what hides is the oldest")
      #expect(inserts.map(\.time) == inserts.map(\.time).sorted(by: >), "the later first")
      let current = entries.filter {
        $0.kind == .remove || model.watermark - $0.time < model.ttl
      }
      #expect(Set(current) == Set(model.current(key)))
      #expect(current.count == model.current(key).count)
    }
  }
}

/// The entries of a memtable as a flush sees them.
func flushed(_ memtable: Memtable) -> [TestEntry] {
  var cursor = MemtableCursor(memtable)
  var block = EntryBlock(layout: memtable.layout, hasKinds: memtable.counters.hasKinds)
  var entries: [TestEntry] = []
  while cursor.fill(&block) {
    entries += block.entries(valueWidth: Int(memtable.layout.valueWidth))
  }
  return entries
}
