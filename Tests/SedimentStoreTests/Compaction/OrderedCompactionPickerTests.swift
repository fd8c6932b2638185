import SedimentStore
import SedimentTestKit
import Testing

@Suite("Merges of ordered keyspaces")
struct OrderedCompactionPickerTests {
  private let picker = OrderedCompactionPicker(level0TablesMax: 4, baseBytes: 100, growth: 10)

  private func levels(_ text: String) -> OrderedLevels { LevelText.levels(text) }

  private func describe(_ choice: OrderedCompactionChoice?) -> String {
    LevelText.describe(choice)
  }

  private func pick(_ text: String, busy: [UInt64] = []) -> String {
    describe(picker.pick(levels(text), busy: Set(busy.map { FileNumber($0) })))
  }

  @Test func nothingIsDoneBeforeLevel0IsFull() {
    #expect(pick("") == "nothing")
    #expect(pick("0: 3 a-z 9, 2 a-z 9, 1 a-z 9") == "nothing")
  }

  @Test func tablesOfLevel0ThatMeetNoOtherMove() {
    #expect(
      pick("0: 4 s-t 9, 3 o-p 9, 2 k-l 9, 1 a-c 9\n6: 10 e-f 99") == "0→6 [4 3 2 1] onto [] moves")
    // One meets another, one what is below.
    let some = "0: 5 s-t 9, 4 o-q 9, 3 p-p 9, 2 k-l 9, 1 a-c 9\n6: 10 b-f 99"
    #expect(pick(some) == "0→6 [5 2] onto [] moves")
    // What is being merged may come to lie around them.
    #expect(pick(some, busy: [1]) == "nothing")
  }

  @Test func level0GathersWhileWritesComeFastAndTheBaseIsLarge() {
    func pickBusy(_ count: Int, baseBytes: Int) -> String {
      let tables = (1...count).reversed().map { "\($0) a-z 9" }.joined(separator: ", ")
      return describe(
        picker.pick(levels("0: \(tables)\n6: 90 a-z \(baseBytes)"), isBusy: true))
    }
    #expect(pickBusy(4, baseBytes: 200) == "nothing")
    #expect(pickBusy(4, baseBytes: 100) == "0→6 [4 3 2 1] onto [90] at the bottom")
    #expect(pickBusy(7, baseBytes: 200) == "nothing")
    #expect(pickBusy(8, baseBytes: 200).hasSuffix("onto [90] at the bottom"))
    #expect(pickBusy(11, baseBytes: 900) == "nothing")
    #expect(pickBusy(12, baseBytes: 900).hasSuffix("onto [90] at the bottom"))
    #expect(pick("0: 4 a-z 9, 3 a-z 9, 2 a-z 9, 1 a-z 9\n6: 90 a-z 900") != "nothing")
  }

  @Test func whatComesFromOutsideGoesAsDeepAsItMeetsNothing() {
    func level(_ first: String, _ last: String, _ text: String, busy: [UInt64] = []) -> Int {
      picker.level(
        for: KeyRange(first: Array(first.utf8), last: Array(last.utf8)), in: levels(text),
        busy: Set(busy.map { FileNumber($0) }))
    }
    #expect(level("a", "z", "") == 6)
    #expect(level("c", "d", "6: 1 a-b 50, 2 e-f 50") == 6)
    #expect(level("b", "d", "6: 1 a-b 50, 2 e-f 50") == 0)
    #expect(level("c", "d", "0: 3 d-k 9\n6: 1 a-b 50, 2 e-f 50") == 0)
    // Five is the base: it lies above what it meets.
    let two = "5: 3 m-n 90\n6: 1 a-f 1000, 2 p-q 50"
    #expect(level("c", "d", two) == 5)
    #expect(level("m", "m", two) == 0)
    #expect(level("g", "h", two) == 6)
    #expect(level("c", "d", "6: 1 a-b 50, 2 e-f 50", busy: [1, 2]) == 0)
    #expect(level("x", "y", "6: 1 a-b 50, 2 e-f 50", busy: [1, 2]) == 6)
  }

  @Test func level0GoesToTheLastLevelWhileThatIsSmall() {
    #expect(
      pick("0: 4 m-p 9, 3 a-z 9, 2 a-c 9, 1 a-z 9\n6: 10 a-b 99, 11 c-k 99, 12 zz-zzz 99")
        == "0→6 [4 3 2 1] onto [10 11] at the bottom")
  }

  @Test func aRemovalIsClearedTableByTable() {
    func clear(_ text: String, _ hiding: [UInt64], busy: [UInt64] = []) -> String {
      let choice = picker.pickClearing(
        levels(text), hiding: Set(hiding.map { FileNumber($0) }),
        busy: Set(busy.map { FileNumber($0) }))
      #expect(choice?.isMove != true)
      return describe(choice)
    }
    let text = "0: 2 a-z 9, 1 a-z 9\n5: 20 a-c 99, 21 d-e 9\n6: 30 a-b 99, 31 c-c 99, 32 x-z 99"
    #expect(clear(text, []) == "nothing")
    #expect(clear(text, [31, 20]) == "5→6 [20] onto [30 31] at the bottom")
    // What meets nothing is not merely moved.
    #expect(clear(text, [21]) == "5→6 [21] onto [] at the bottom")
    #expect(clear(text, [31, 20], busy: [20]) == "6→6 [31] onto [] at the bottom")
    #expect(clear(text, [31], busy: [31]) == "nothing")
  }

  @Test func whatIsAtTheBottomIsMergedByHandWhenItHasToBeLookedAt() {
    let bottom = levels("6: 30 a-b 99, 31 c-c 99")
    #expect(describe(OrderedCompactionPicker.pickManual(bottom)) == "nothing")
    #expect(
      describe(OrderedCompactionPicker.pickManual(bottom, rewrites: true))
        == "0→6 [] onto [30 31] at the bottom")
    #expect(
      describe(OrderedCompactionPicker.pickManual(levels(""), rewrites: true)) == "nothing")
    #expect(
      OrderedCompactionPicker.pickManual(levels("0: 1 a-b 9"), rewrites: true)?.isMove == false)
  }

  @Test func aRangeTakesWithItWhatItsTablesOverlap() {
    let text = """
      0: 4 m-p 9, 3 o-s 9, 2 a-b 9
      5: 20 a-c 99, 21 r-t 9
      6: 30 a-b 99, 31 l-n 99, 32 u-z 99
      """
    func range(_ lower: String, _ upper: String?) -> String {
      describe(
        OrderedCompactionPicker.pickManual(
          levels(text), from: Array(lower.utf8), to: upper.map { Array($0.utf8) }))
    }
    #expect(range("m", "n") == "0→6 [4 3 21] onto [31] at the bottom")
    #expect(range("", "b") == "0→6 [2 20] onto [30] at the bottom")
    #expect(range("u", nil) == "nothing")
    #expect(range("d", "e") == "nothing")
    #expect(range("", nil) == "0→6 [4 3 2 20 21] onto [30 31 32] at the bottom")
  }

  @Test func targetsAreCountedFromTheLastLevelUp() {
    let small = picker.targets(levels("6: 1 a-b 999"))
    #expect(small.base == 6 && small.bytes[6] == 999)
    let larger = picker.targets(levels("6: 1 a-b 25000"))
    #expect(larger.base == 4)
    #expect(larger.bytes == [0, 0, 0, 0, 250, 2500, 25000])
  }

  @Test func theFullestLevelComesFirst() {
    // Level 4 is the base, with a target of 250 bytes, level 5 has 2,500.
    let deep = "6: 90 a-m 12000, 91 n-z 13000"
    #expect(
      pick("0: 4 a-b 9, 3 a-b 9, 2 a-b 9, 1 a-b 9\n4: 20 a-c 200, 21 d-f 400\n\(deep)")
        == "4→5 [20] onto [] moves")
    #expect(
      pick("0: 4 a-b 9, 3 a-b 9, 2 a-b 9, 1 a-b 9\n4: 20 a-c 100, 21 d-f 100\n\(deep)")
        == "0→4 [4 3 2 1] onto [20]")
  }

  @Test func theTableThatMeetsLeastGoesDown() {
    let text = """
      4: 20 a-c 200, 21 d-f 200, 22 g-i 200
      5: 30 a-b 900, 31 c-d 500, 32 e-e 10, 33 h-h 400
      6: 90 a-z 25000
      """
    #expect(pick(text) == "4→5 [22] onto [33]")
    #expect(pick(text, busy: [33]) == "4→5 [21] onto [31 32]")
    #expect(pick(text, busy: [33, 31]) == "nothing")
  }

  @Test func aMergeIsAtTheBottomWhereNothingLiesBelow() {
    let text = "4: 20 a-c 600\n5: 30 b-b 5\n6: 90 d-z 25000"
    #expect(pick(text) == "4→5 [20] onto [30] at the bottom")
  }

  @Test func whatIsMetReachesBeyondTheInputs() {
    // Table 30 holds keys that 90 may hold too: a remove of one of them must not be dropped.
    let text = "4: 20 m-n 600\n5: 30 a-z 5\n6: 90 b-c 25000"
    #expect(pick(text) == "4→5 [20] onto [30]")
  }

  @Test func levelsThatShouldBeEmptyAreEmptiedBeforeLevel0Passes() {
    let text = "0: 4 a-b 9, 3 a-b 9, 2 a-b 9, 1 a-b 9\n2: 20 a-c 50\n6: 90 a-z 500"
    #expect(pick(text) == "2→3 [20] onto [] moves")
    #expect(pick(text, busy: [20]) == "nothing")
  }

  @Test func level0WaitsForItsMerge() {
    #expect(pick("0: 5 a-b 9, 4 a-b 9, 3 a-b 9, 2 a-b 9, 1 a-b 9", busy: [1]) == "nothing")
  }

  @Test func theNewestOfLevel0BecomeOneWhileItsMergeIsHeldUp() {
    func tables(_ count: Int, _ bytes: Int) -> String {
      "0: " + (1...count).reversed().map { "\($0) a-b \(bytes)" }.joined(separator: ", ")
    }
    #expect(pick(tables(11, 9), busy: [1, 2, 3, 4]) == "nothing")
    #expect(pick(tables(12, 9), busy: [1, 2, 3, 4]) == "0→0 [12 11 10 9 8 7 6 5] onto []")
    // At least as many as are merged at all, and no more than what is said.
    #expect(pick(tables(12, 9), busy: [9]) == "nothing")
    var small = picker
    small.level0OutputBytesMax = 50
    let busy: Set = [FileNumber(1)]
    #expect(
      describe(small.pick(levels(tables(12, 9)), busy: busy)) == "0→0 [12 11 10 9 8] onto []")
    #expect(describe(small.pick(levels(tables(12, 20)), busy: busy)) == "0→0 [12 11] onto []")
    #expect(describe(small.pick(levels(tables(12, 26)), busy: busy)) == "nothing")
  }

  @Test func whatChangesItsCompressionDoesNotMoveUnread() {
    var packing = picker
    packing.uncompressedLevels = 1
    let apart = levels("0: 4 s-t 9, 3 o-p 9, 2 k-l 9, 1 a-c 9\n6: 10 e-f 99")
    #expect(describe(packing.pick(apart)) == "0→6 [4 3 2 1] onto [10] at the bottom")
    #expect(!packing.isCompressed(0, in: apart) && packing.isCompressed(6, in: apart))
    // The base is the second.
    packing.uncompressedLevels = 2
    let deep = levels("4: 20 a-c 400\n6: 90 a-z 25000")
    #expect(!packing.isCompressed(4, in: deep) && packing.isCompressed(5, in: deep))
    #expect(describe(packing.pick(deep)) == "4→5 [20] onto []")
    #expect(describe(picker.pick(deep)) == "4→5 [20] onto [] moves")
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func choicesEndAndLevelsStayRuns(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var levels = OrderedLevels()
    var number: UInt64 = 0
    func table(_ range: KeyRange, _ bytes: UInt64) -> OrderedTableMetadata {
      number += 1
      return OrderedTableMetadata(
        number: FileNumber(number), fileID: number, fileBytes: bytes, entryCount: 1,
        otherCount: 0, smallestSequence: 1, largestSequence: 1, smallestKey: range.first,
        largestKey: range.last, filterKind: .none)
    }
    for _ in 0..<60 {
      let a = UInt8.random(in: 0...255, using: &generator)
      let b = UInt8.random(in: 0...255, using: &generator)
      let flushed = table(KeyRange(first: [min(a, b)], last: [max(a, b)]), 40)
      levels.tables[0].insert(flushed, at: 0)
      var steps = 0
      while let choice = picker.pick(levels) {
        steps += 1
        try #require(steps < 1000, "merges never end")
        let taken = Set(choice.inputs + choice.overlapped)
        let all = (levels.tables[choice.level] + levels.tables[choice.outputLevel])
          .filter { taken.contains($0.number) }
        #expect(all.count == taken.count)
        let range = try #require(KeyRange(of: all))
        for level in [choice.level, choice.outputLevel] {
          levels.tables[level].removeAll { taken.contains($0.number) }
        }
        // What is merged is one table; it must fit between those that stayed.
        #expect(levels.overlapping(range, in: choice.outputLevel).isEmpty)
        levels.tables[choice.outputLevel].append(table(range, all.reduce(0) { $0 + $1.fileBytes }))
        levels.tables[choice.outputLevel].sort {
          $0.smallestKey.lexicographicallyPrecedes($1.smallestKey)
        }
      }
      #expect(levels.tables[0].count < 4)
    }
  }
}
