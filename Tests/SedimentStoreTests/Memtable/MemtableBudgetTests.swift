import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Memory for memtables that stores share")
struct MemtableBudgetTests {
  private static let limit = 96 << 20

  /// A store that fills one memtable, and has flushed all but `keptMax` before it.
  private struct Filling {
    var memtables: [Int] = []
    var held: Int { memtables.reduce(0, +) }

    mutating func flush(keeping keptMax: Int) {
      memtables.removeFirst(max(memtables.count - keptMax, 0))
    }
  }

  private static func turn(_ stores: inout [Filling], _ number: Int, keeping: Int = 2) -> Int {
    stores[number].flush(keeping: keeping)
    let others = stores.indices.filter { $0 != number }.map { stores[$0].held }
    let next = MemtableDivision(limit: limit, stores: stores.count).next(
      parts: 1, own: stores[number].held, others: others)
    stores[number].memtables.append(next)
    return next
  }

  @Test(arguments: [1, 2, 7, 64]) func storesThatAreWrittenAlikeHaveAlikeMemtables(count: Int) {
    var stores = [Filling](repeating: Filling(), count: count)
    var generator = SeededGenerator(seed: UInt64(count))
    for round in 0..<200 {
      for number in stores.indices.shuffled(using: &generator) {
        _ = Self.turn(&stores, number)
      }
      let held = stores.reduce(0) { $0 + $1.held }
      #expect(held <= Self.limit || round < 10, "round \(round)")
    }
    // Rounded down by an eighth at the most.
    let sizes = stores.flatMap(\.memtables).map { Double($0 * (3 * count + 1)) }
    #expect(sizes.allSatisfy { $0 > 0.85 * Double(Self.limit) })
    #expect(sizes.allSatisfy { $0 < 1.15 * Double(Self.limit) })
  }

  @Test func whoIsWrittenAloneHasMostOfTheMemory() {
    var stores = [Filling](repeating: Filling(memtables: [1 << 20]), count: 64)
    for _ in 0..<20 { _ = Self.turn(&stores, 0) }
    // 63 others have a megabyte each, of which a floor of 384 KiB is theirs whatever they do.
    let division = MemtableDivision(limit: Self.limit, stores: 64)
    #expect(division.floor == 384 << 10)
    let mine = Self.limit / 4 * 3 + division.floor - 63 * ((1 << 20) - division.floor)
    #expect(stores[0].memtables == [Int](repeating: stores[0].memtables[0], count: 3))
    #expect((mine / 9 * 2...mine / 4).contains(stores[0].memtables[0]))
  }

  @Test(arguments: 0..<20 as Range<UInt64>) func theLimitHolds(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    var stores = [Filling()]
    for _ in 0..<2000 {
      switch Int.random(in: 0..<20, using: &generator) {
      case 0 where stores.count < 100: stores.append(Filling())
      case 1 where stores.count > 1:
        stores.remove(at: Int.random(in: 0..<stores.count, using: &generator))
      default:
        let number = Int.random(in: 0..<stores.count, using: &generator)
        let keeping = Int.random(in: 0...3, using: &generator)
        let next = Self.turn(&stores, number, keeping: keeping)
        let held = stores.reduce(0) { $0 + $1.held }
        #expect(held <= Self.limit || next == MemtableDivision.leastBytes, "seed \(seed)")
      }
    }
  }

  @Test func whoIsSlowIsAskedAndNobodyElse() {
    let budget = MemtableBudget(limit: Self.limit)
    let asked = Mutex<[String]>([])
    func join(_ name: String) -> MemtableShare {
      let share = budget.join()
      share.observe { asked.withLock { $0.append(name) } }
      return share
    }
    let (slow, idle, first, second) = (join("slow"), join("idle"), join("first"), join("second"))
    slow.take(slow.next(parts: 1, spare: 0))
    // No more than its floor: nobody minds.
    idle.take(1 << 20)
    var taken = 1 << 20
    while taken <= Self.limit {
      for share in [first, second] {
        let bytes = share.next(parts: 1, spare: 0)
        share.take(bytes)
        share.giveBack(bytes)
        taken += bytes
        #expect(asked.withLock { $0 } == (taken > Self.limit ? ["slow"] : []))
      }
    }
    first.take(1 << 20)
    #expect(asked.withLock { $0 } == ["slow"], "once")
  }

  @Test func whoLeavesLeavesItsFloor() {
    let budget = MemtableBudget(limit: Self.limit)
    let stays = budget.join()
    let alone = stays.next(parts: 1, spare: 0)
    do {
      let goes = budget.join()
      goes.take(4 << 20)
      #expect(stays.next(parts: 1, spare: 0) < alone)
      goes.giveBack(4 << 20)
      goes.leave()
      #expect(stays.next(parts: 1, spare: 0) == alone)
    }
    // Of a store that could not be opened.
    do {
      let never = budget.join()
      #expect(never.next(parts: 1, spare: 0) < alone)
    }
    #expect(stays.next(parts: 1, spare: 0) == alone)
    #expect(budget.used == 0)
  }
}
