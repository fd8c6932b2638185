import SedimentJob
import SedimentKafka
import SedimentTestKit
import Testing

/// Where reading begins, and what is done about records that are gone.
@Suite struct StartPlanTests {
  private let a0 = TopicPartition("a", 0)
  private let a1 = TopicPartition("a", 1)
  private let b0 = TopicPartition("b", 0)
  private var ends: [TopicPartition: PartitionEnds] {
    [
      b0: PartitionEnds(low: 0, high: 0), a1: PartitionEnds(low: 3, high: 8),
      a0: PartitionEnds(low: 10, high: 20),
    ]
  }

  private func plan(
    _ positions: [TopicPartition: Int64], start: KafkaStartPoint = .earliest,
    found: [TopicPartition: Int64] = [:], allowsGaps: Bool = false
  ) throws -> StartPlan {
    var known = TopicPositions()
    for (partition, offset) in positions { known[partition] = offset }
    return try StartPlan(
      ends: ends, positions: known, startPoint: start, found: found, allowsGaps: allowsGaps)
  }

  @Test func theFirstStartIsWhereItIsAskedFor() throws {
    #expect(try plan([:]).starts.map(\.offset) == [10, 3, 0])
    #expect(try plan([:]).starts.map(\.partition) == [a0, a1, b0])
    #expect(try plan([:], start: .latest).starts.map(\.offset) == [20, 8, 0])
    #expect(
      try plan([:], start: .timestamp(7), found: [a0: 15]).starts.map(\.offset) == [15, 8, 0])
    var offsets = TopicPositions()
    offsets[a1] = 7
    #expect(try plan([:], start: .offsets(offsets)).starts.map(\.offset) == [10, 7, 0])
  }

  @Test func anAddedPartitionBeginsAtItsBeginning() throws {
    let plan = try StartPlan(
      ends: [a1: PartitionEnds(low: 3, high: 8)], positions: TopicPositions(), startPoint: .latest,
      isAdded: true, allowsGaps: false)
    #expect(plan.starts.map(\.offset) == [3])
    let text = "a [1] is new: it is read from its beginning"
    #expect(plan.messages == [JobMessage(.information, text)])
  }

  @Test func laterStartsAreWhereTheEpochSaysAndNewPartitionsAtTheirBeginning() throws {
    for start in [KafkaStartPoint.earliest, .latest, .timestamp(0)] {
      let plan = try plan([a0: 12, b0: 0], start: start, found: [a1: 8])
      #expect(plan.starts.map(\.offset) == [12, 3, 0])
      #expect(
        plan.messages == [
          JobMessage(.information, "a [1] is new: it is read from its beginning")
        ])
    }
  }

  @Test func bothEndsAreNoGap() throws {
    #expect(try plan([a0: 10, a1: 8, b0: 0]).starts.map(\.offset) == [10, 8, 0])
    #expect(try plan([a0: 20, a1: 3, b0: 0]).messages.isEmpty)
  }

  @Test func whatRetentionRemovedIsNamedAndGoneOnWithoutOnlyWhenAllowed() throws {
    let positions = [a0: Int64(4), a1: 5, b0: 0]
    let text =
      "a [0]: offsets 4 to 9 are gone before they were read (6 offsets; the partition "
      + "begins at 10 now)"
    #expect {
      try plan(positions)
    } throws: { error in
      "\(error)" == text + "; --allow-gap goes on at offset 10 without them"
    }
    let allowed = try plan(positions, allowsGaps: true)
    #expect(allowed.starts.map(\.offset) == [10, 5, 0])
    #expect(allowed.messages == [JobMessage(.warning, text + "; going on at offset 10")])
  }

  @Test func aPartitionThatEndsBeforeThePositionIsReadFromItsBeginningOnlyWhenAllowed() throws {
    let positions = [a0: Int64(21), a1: 5, b0: 0]
    #expect {
      try plan(positions)
    } throws: { error in
      "\(error)".contains("a [0]: reading stopped at offset 21, and the partition ends at 20")
    }
    #expect(try plan(positions, allowsGaps: true).starts.map(\.offset) == [10, 5, 0])
  }

  @Test func offsetsThatAreAskedForAreHeldToTheSame() {
    var offsets = TopicPositions()
    offsets[a0] = 9
    #expect(throws: KafkaError.self) { try plan([:], start: .offsets(offsets)) }
  }

  @Test func aStartIsAlwaysWithinThePartitionAndNeverSkipsWithoutAWord() throws {
    for seed in UInt64(0)..<2000 {
      var generator = SeededGenerator(seed: seed)
      let low = Int64.random(in: 0...50, using: &generator)
      let ends = PartitionEnds(low: low, high: low + Int64.random(in: 0...50, using: &generator))
      let wanted = Int64.random(in: 0...120, using: &generator)
      switch PartitionStart.decide(a0, wanted: wanted, ends: ends) {
      case .at(let offset):
        #expect(offset == wanted && offset >= ends.low && offset <= ends.high, "seed \(seed)")
      case .gap(let gap):
        #expect(wanted < ends.low || wanted > ends.high, "seed \(seed)")
        #expect(gap.resumption == ends.low, "seed \(seed)")
      }
    }
  }
}
