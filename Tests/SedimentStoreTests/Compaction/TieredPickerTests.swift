import SedimentStore
import SedimentTestKit
import Testing

@Suite("Tiered merges")
struct TieredPickerTests {
  private static func picker(runsMax: Int = 4) -> OrderedCompactionPicker {
    var picker = OrderedCompactionPicker()
    picker.style = .tiered
    picker.tieredRunsMax = runsMax
    return picker
  }

  private func pick(_ text: String, busy: [UInt64] = []) -> String {
    LevelText.describe(
      Self.picker().pick(LevelText.levels(text), busy: Set(busy.map { FileNumber($0) })))
  }

  @Test func nothingIsDoneWhileThereAreFewRuns() {
    #expect(pick("") == "nothing")
    #expect(pick("0: 3 a-z 9, 2 a-z 9, 1 a-z 9") == "nothing")
    // A level is one run, however many tables it has.
    #expect(pick("0: 9 a-z 9\n5: 1 a-b 9, 2 c-d 9, 3 e-f 9\n6: 4 a-z 50") == "nothing")
  }

  @Test func allIsMergedWhenTheOldestIsNoLargerThanTheRest() {
    #expect(
      pick("0: 4 a-z 9, 3 a-z 9, 2 a-z 9, 1 a-z 9") == "0→6 [4 3 2 1] onto [] at the bottom")
    #expect(
      pick("0: 4 a-z 9, 3 a-z 9\n5: 2 a-c 20, 5 d-z 20\n6: 1 a-z 58")
        == "0→6 [4 3 2 5] onto [1] at the bottom")
  }

  @Test func neighboursOfOneSizeAreMergedBeforeALargerOne() {
    #expect(
      pick("0: 5 a-z 9, 4 a-z 9, 3 a-z 9\n5: 2 a-z 100\n6: 1 a-z 500") == "0→4 [5 4 3] onto []")
    // The output joins what is no larger than it.
    #expect(
      pick("0: 5 a-z 9, 4 a-z 9, 3 a-z 9\n4: 7 a-z 25\n5: 2 a-z 100\n6: 1 a-z 500")
        == "0→4 [5 4 3] onto [7]")
  }

  @Test func whereNothingFitsTheNewestAreMerged() {
    #expect(
      pick("0: 5 a-z 1\n3: 4 a-z 20\n4: 3 a-z 90\n5: 2 a-z 400\n6: 1 a-z 2000")
        == "0→4 [5 4] onto [3]")
  }

  @Test func whatHasNoLevelAboveItJoins() {
    #expect(
      pick("0: 5 a-z 9, 4 a-z 9\n1: 3 a-z 50\n2: 2 a-z 90\n6: 1 a-z 900")
        == "0→1 [5 4] onto [3]")
  }

  @Test func mergesUnderWayAreNotPassedBy() {
    let text = "0: 6 a-z 9, 5 a-z 9, 4 a-z 9\n3: 3 a-z 100\n5: 2 a-z 100\n6: 1 a-z 900"
    #expect(pick(text, busy: [3, 2]) == "0→2 [6 5 4] onto []")
    #expect(pick(text, busy: [4]) == "nothing")
    // What waits for long becomes one where it is.
    let waiting = "0: " + (10...21).reversed().map { "\($0) a-z 9" }.joined(separator: ", ")
    #expect(
      pick(waiting, busy: [10, 11, 12]) == "0→0 [21 20 19 18 17 16 15 14 13] onto []")
  }

  @Test func keysInOrderMoveUnread() {
    #expect(
      pick("0: 4 s-t 9, 3 o-p 9, 2 k-l 9, 1 a-c 9\n6: 10 e-f 9")
        == "0→6 [4 3 2 1] onto [] moves at the bottom")
  }

  @Test func aRemovalIsClearedByMergingAll() {
    let levels = LevelText.levels("0: 2 a-z 9\n5: 20 a-c 99\n6: 30 a-b 99")
    let choice = Self.picker().pickClearing(levels, hiding: [FileNumber(20)])
    #expect(LevelText.describe(choice) == "0→6 [2 20] onto [30] at the bottom")
    #expect(Self.picker().pickClearing(levels, hiding: [], busy: [FileNumber(2)]) == nil)
  }

  /// Tables whose key is in one run only after merges, with the writes in them: what is newer never
  /// lies below what is older, and what is written again stays bounded.
  @Test(arguments: 0..<40 as Range<UInt64>)
  func choicesKeepTheOrderOfAge(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let picker = Self.picker(runsMax: 6)
    var levels = OrderedLevels()
    /// The first and last flush whose writes a table holds.
    var ages: [FileNumber: ClosedRange<Int>] = [:]
    var number: UInt64 = 0
    func table(_ range: KeyRange, _ bytes: UInt64, _ age: ClosedRange<Int>) -> OrderedTableMetadata
    {
      number += 1
      ages[FileNumber(number)] = age
      return OrderedTableMetadata(
        number: FileNumber(number), fileID: number, fileBytes: bytes, entryCount: 1,
        otherCount: 0, smallestSequence: UInt64(age.lowerBound),
        largestSequence: UInt64(age.upperBound), smallestKey: range.first,
        largestKey: range.last, filterKind: .none)
    }
    var (flushed, written) = (UInt64(0), UInt64(0))
    for flush in 1...400 {
      let a = UInt8.random(in: 0...255, using: &generator)
      let b = UInt8.random(in: 0...255, using: &generator)
      let range = KeyRange(first: [min(a, b)], last: [max(a, b)])
      levels.insert([table(range, 40, flush...flush)], at: 0)
      flushed += 40
      var steps = 0
      while let choice = picker.pick(levels) {
        steps += 1
        try #require(steps < 100, "merges never end")
        let taken = Set(choice.inputs + choice.overlapped)
        let all = levels.tables.joined().filter { taken.contains($0.number) }
        #expect(all.count == taken.count && !taken.isEmpty)
        levels.remove(taken)
        if choice.isMove {
          levels.insert(all, at: choice.outputLevel)
        } else {
          let range = try #require(KeyRange(of: all))
          let bytes = all.reduce(0) { $0 + $1.fileBytes }
          written += bytes
          let spans = all.compactMap { ages[$0.number] }
          let age = (spans.map(\.lowerBound).min() ?? 0)...(spans.map(\.upperBound).max() ?? 0)
          levels.insert([table(range, bytes, age)], at: choice.outputLevel)
        }
        try checkOrder(levels, ages)
      }
      #expect(levels.tables.joined().count < 400)
    }
    // Nothing is dropped here: an entry is written again a few times only.
    #expect(written < 6 * flushed)
  }

  private func checkOrder(
    _ levels: OrderedLevels, _ ages: [FileNumber: ClosedRange<Int>]
  ) throws {
    for (above, tables) in levels.tables.enumerated() {
      for table in tables {
        for below in above + 1..<OrderedLevels.count {
          for older in levels.overlapping(KeyRange(table), in: below) {
            let (new, old) = (try #require(ages[table.number]), try #require(ages[older.number]))
            #expect(new.lowerBound > old.upperBound, "level \(above) over \(below)")
          }
        }
        let beside = levels.overlapping(KeyRange(table), in: above)
        #expect(above == 0 || beside.count == 1)
      }
    }
  }
}
