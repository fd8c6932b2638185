import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Readers beside one writer. Values follow from key and time, so that a torn read shows.
@Suite("Memtable readers beside the writer")
struct MemtableConcurrencyTests {
  /// What the threads share.
  private final class Scene: Sendable {
    let memtable: Memtable
    let isExact: Bool
    /// Keys below it are settled: even ones accepted, odd ones withdrawn.
    let settled = Atomic<Int>(0)
    let isOver = Atomic<Bool>(false)
    let lookups = Atomic<Int>(0)
    let problem = Mutex<String?>(nil)

    init(isExact: Bool, slots: Int) throws {
      self.isExact = isExact
      memtable = try Memtable(
        layout: EntryLayout(isExact: isExact, valueWidth: 24),
        geometry: MemtableGeometry(slots: slots, range: 0...UInt64.max), arenaBytes: 1 << 20)
    }

    func note(_ text: String) { problem.withLock { if $0 == nil { $0 = text } } }
  }

  private static func hash(_ number: Int) -> KeyHash {
    var generator = SeededGenerator(seed: UInt64(number))
    return KeyHash(high: generator.next(), low: UInt64(number))
  }

  private static func bytes(_ number: Int, _ scene: Scene) -> [UInt8] {
    scene.isExact ? Array("key \(number)".utf8) : []
  }

  private static func value(_ number: Int, at time: Int64) -> [UInt8] {
    [UInt8](repeating: UInt8(truncatingIfNeeded: number &* 31 &+ Int(time)), count: 24)
  }

  private static func withProbe<Answer>(
    _ number: Int, at time: Int64, _ scene: Scene, _ body: (MemtableProbe) -> Answer
  ) -> Answer {
    unsafe bytes(number, scene).withUnsafeBytes { key in
      body(unsafe MemtableProbe(hash: hash(number), time: time, watermark: 0, key: key))
    }
  }

  /// The time of a key that a reader finds, whose value is checked; `nil` when it finds none.
  private static func find(
    _ number: Int, _ scene: Scene, where accepts: (Int64) -> Bool = { _ in true }
  ) -> Int64? {
    var value = [UInt8](repeating: 0, count: 24)
    let found = withProbe(number, at: 0, scene) { probe in
      unsafe value.withUnsafeMutableBytes { value in
        unsafe scene.memtable.core.find(
          probe.hash, key: probe.key, value: value.baseAddress, accepts: accepts)
      }
    }
    scene.lookups.wrappingAdd(1, ordering: .relaxed)
    guard let found, found.isAccepted else { return nil }
    if value != Self.value(number, at: found.time) {
      scene.note("key \(number) at \(found.time) has the value \(value)")
    }
    return found.time
  }

  /// Runs readers until the writer has ended, and until they have looked often enough.
  private func run(
    _ scene: Scene, reader: @escaping @Sendable (inout SeededGenerator) -> Void, writer: () -> Void
  ) throws {
    let body: @Sendable (UInt64) -> Void = { seed in
      var generator = SeededGenerator(seed: seed)
      while !scene.isOver.load(ordering: .acquiring) { reader(&generator) }
    }
    let first = try SystemThread(name: "reader1") { body(1) }
    let second = try SystemThread(name: "reader2") { body(2) }
    while scene.lookups.load(ordering: .relaxed) < 10 {}
    writer()
    scene.isOver.store(true, ordering: .releasing)
    first.join()
    second.join()
    #expect(scene.problem.withLock { $0 } == nil)
  }

  /// Takes a tentative slot for each key, then settles them.
  private func insert(
    _ numbers: Range<Int>, at time: Int64, _ scene: Scene, accepts: (Int) -> Bool
  ) {
    var counters = scene.memtable.counters
    defer { scene.memtable.counters = counters }
    let core = scene.memtable.core
    var slots: [UInt32] = []
    for number in numbers {
      var slot: UInt32 = 0
      var expired: UInt32 = 0
      let answer = Self.withProbe(number, at: time, scene) {
        core.probe($0, ttl: 1, counters: &counters, slot: &slot, expired: &expired)
      }
      if answer != .absent && answer != .hidden { scene.note("key \(number): \(answer)") }
      slots.append(slot)
    }
    for (number, slot) in zip(numbers, slots) {
      guard accepts(number) else {
        core.withdraw(slot: slot, counters: &counters)
        continue
      }
      unsafe Self.value(number, at: time).withUnsafeBytes {
        unsafe core.accept(
          slot: slot, expired: MemtableCore.noSlot, time: time, value: $0.baseAddress,
          counters: &counters)
      }
    }
  }

  @Test(
    "what is tentative is never seen, and what was accepted is always", arguments: [false, true])
  func acceptedStays(isExact: Bool) throws {
    let scene = try Scene(isExact: isExact, slots: 20_000)
    try run(scene) { generator in
      let settled = scene.settled.load(ordering: .acquiring)
      let number = Int.random(in: max(settled - 200, 0)..<(settled + 64), using: &generator)
      let found = Self.find(number, scene)
      if found != nil && number % 2 == 1 { scene.note("key \(number) was never accepted") }
      if found == nil && number % 2 == 0 && number < settled {
        scene.note("key \(number) of \(settled) is missed")
      }
    } writer: {
      for start in stride(from: 0, to: 19_200, by: 64) {
        insert(start..<(start + 64), at: Int64(start), scene) { $0 % 2 == 0 }
        scene.settled.store(start + 64, ordering: .releasing)
      }
    }
    #expect(scene.memtable.counters.live == 9_600)
  }

  /// A put makes the last of several entries the only one. Readers that count only what is as late
  /// as the last step must find an entry at every moment.
  @Test("a key that is put again and again is never missed nor torn", arguments: [false, true])
  func putsNeverMiss(isExact: Bool) throws {
    let keys = 0..<8
    let scene = try Scene(isExact: isExact, slots: 128)
    let put: (Int64) -> Void = { time in
      for number in keys {
        let entry = TestEntry(
          Self.hash(number), time: time, kind: .put, value: Self.value(number, at: time),
          key: Self.bytes(number, scene))
        if !entry.withReference({ scene.memtable.put($0) }) { scene.note("no room for a put") }
      }
      scene.settled.store(Int(time), ordering: .releasing)
    }
    put(0)
    try run(scene) { generator in
      let number = Int.random(in: keys, using: &generator)
      let floor = scene.settled.load(ordering: .acquiring)
      if Self.find(number, scene, where: { $0 >= floor }) == nil {
        scene.note("key \(number) is missed at \(floor)")
      }
    } writer: {
      for round in Int64(1)..<2_000 {
        put(10 * round)
        insert(keys, at: 10 * round + 2, scene) { _ in true }
        scene.settled.store(Int(10 * round + 2), ordering: .releasing)
      }
    }
    #expect(scene.memtable.counters.live == 2 * keys.count)
  }
}
