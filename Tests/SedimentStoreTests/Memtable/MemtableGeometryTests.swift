import SedimentStore
import SedimentTestKit
import Testing

@Suite("Memtable geometry")
struct MemtableGeometryTests {
  static let ranges: [ClosedRange<UInt64>] = [
    0...UInt64.max, 0...0, 77...77, 0...1, 5...6, 0...1_000, UInt64.max...UInt64.max,
    (UInt64.max - 5)...UInt64.max, 0...(1 << 63 - 1), (1 << 63)...UInt64.max, 0...(1 << 63),
    1...UInt64.max, 0...(UInt64.max - 1),
    KeyGroupRange(first: 0, last: 0).hashRange, KeyGroupRange(first: 9, last: 21_000).hashRange,
    KeyGroupRange(first: 65_535, last: 65_535).hashRange,
  ]

  static let sizes = [0, 1, 127, 128, 129, 1_000, 4_096, 100_003, 1 << 28]

  @Test("homes rise with the hash from the first slot to the last home", arguments: ranges)
  func homesAreMonotone(range: ClosedRange<UInt64>) {
    for slots in Self.sizes {
      let geometry = MemtableGeometry(slots: slots, range: range)
      #expect(geometry.home(range.lowerBound) == 0)
      #expect(geometry.home(range.upperBound) < geometry.homeCount)
      var generator = SeededGenerator(seed: UInt64(slots))
      let hashes = (0..<300).map { _ in UInt64.random(in: range, using: &generator) }.sorted()
      let homes = hashes.map { geometry.home($0) }
      #expect(homes == homes.sorted(), "\(slots) slots")
      #expect(homes.allSatisfy { $0 >= 0 && $0 < geometry.homeCount }, "\(slots) slots")
    }
  }

  @Test("slots are as many as asked for, with slack behind the homes", arguments: sizes)
  func counts(slots: Int) {
    let geometry = MemtableGeometry(slots: slots, range: 0...UInt64.max)
    #expect(geometry.slotCount == max(slots, MemtableGeometry.slotsMin))
    #expect(geometry.slotCount - geometry.homeCount >= 32)
    #expect(geometry.homeCount >= geometry.slotCount / 2)
    #expect(geometry.fillLimit > 0 && geometry.fillLimit <= geometry.homeCount * 3 / 4)
  }

  @Test(
    "a range uses all its homes evenly",
    arguments: ranges.filter { $0.upperBound - $0.lowerBound > 1 << 32 })
  func homesAreEven(range: ClosedRange<UInt64>) {
    let geometry = MemtableGeometry(slots: 1_000, range: range)
    var uses = [Int](repeating: 0, count: geometry.homeCount)
    let steps = 100 * geometry.homeCount
    let span = range.upperBound - range.lowerBound
    for step in 0..<steps {
      let share = span.multipliedFullWidth(by: UInt64(step))
      let offset = UInt64(steps).dividingFullWidth((share.high, share.low)).quotient
      uses[geometry.home(range.lowerBound + offset)] += 1
    }
    #expect(uses.dropLast().allSatisfy { (97...103).contains($0) })
    // What rounding loses is the last home's.
    #expect((uses.last ?? 0) <= 103)
  }
}
