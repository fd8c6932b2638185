import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Memory for filters that stores share")
struct FilterPoolTests {
  @Test func whatFitsIsNotLimited() {
    #expect(FilterDivision.limit(own: 30, total: 70, limit: 100) == 60)
    #expect(FilterDivision.limit(own: 0, total: 100, limit: 100) == 0)
    #expect(FilterDivision.limit(own: 100, total: 100, limit: 100) == 100)
  }

  @Test(arguments: 0..<20 as Range<UInt64>) func whatDoesNotFitIsDividedAsItIsWanted(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let wanted = (0..<64).map { _ in Int.random(in: 0...10_000_000, using: &generator) }
    let total = wanted.reduce(0, +)
    let limit = Int.random(in: 0..<total, using: &generator)
    let limits = wanted.map { FilterDivision.limit(own: $0, total: total, limit: limit) }
    let sum = limits.reduce(0, +)
    #expect(sum <= limit && sum > limit - 64)
    for (wanted, granted) in zip(wanted, limits) { #expect(granted <= wanted) }
  }

  @Test func whoHoldsTooMuchIsAskedAndWhoIsShortIsToldOfIt() {
    let pool = FilterPool(limit: 1000)
    let told = Mutex<[String]>([])
    func join(_ name: String) -> ByteBudget {
      let budget = ByteBudget(of: pool)
      budget.observe { told.withLock { $0.append(name) } }
      return budget
    }
    let (old, new, small) = (join("old"), join("new"), join("small"))
    old.take(900, wanted: 900)
    small.take(100, wanted: 100)
    #expect(old.available == 0 && old.limit == 900)
    new.take(0, wanted: 1000)
    #expect(new.limit == 500 && new.available == 0)
    new.askOthers()
    #expect(told.withLock { $0 } == ["old", "small"] || told.withLock { $0 } == ["small", "old"])
    told.withLock { $0 = [] }
    // It opens its tables anew with less.
    old.take(450, wanted: 900)
    old.giveBack(900, wanted: 900)
    old.tellShort()
    #expect(told.withLock { $0 } == ["new"])
    old.tellShort()
    #expect(told.withLock { $0 } == ["new"], "once")
    #expect(new.available == 450 && pool.used == 550)
  }

  @Test func aBudgetOfItsOwnIsOfAFixedAmount() {
    let budget = ByteBudget(limit: 100)
    budget.take(30, wanted: 500)
    #expect(budget.limit == 100 && budget.available == 70 && budget.used == 30)
    budget.giveBack(30, wanted: 500)
    #expect(budget.available == 100)
  }
}
