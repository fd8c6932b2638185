import SedimentJob
import Testing

/// Names of epochs, and which one goes on.
@Suite struct EpochMarkTests {
  private let tags = (0..<4).map { EpochTag(high: $0, low: .max - $0) }

  @Test func tagsAreReadAsTheyAreWritten() {
    for tag in tags + [.random()] {
      #expect("\(tag)".utf8.count == 32 && EpochTag("\(tag)"[...]) == tag)
    }
    let zeros = String(repeating: "0", count: 31)
    for text in ["", "0", zeros + "g", "+" + zeros, zeros, zeros + "00"] {
      #expect(EpochTag(text[...]) == nil)
    }
  }

  @Test func metadataOfOthersAreNoMarks() {
    let mark = OffsetMark(job: "\(tags[1])", tag: tags[2])
    let handedOver = OffsetMark(job: "\(tags[1])", tag: tags[2], checkpoint: "chk-1")
    for mark in [mark, handedOver] { #expect(OffsetMark("\(mark)") == mark) }
    let others = ["", "sediment:1:", "sediment:2:\(tags[1]):\(tags[2])"]
    for text in others + ["\(mark) ", "\(mark):", "\(mark):a:b"] {
      #expect(OffsetMark(text) == nil, "\(text)")
    }
  }

  // MARK: - Choices

  private func positions(_ offset: Int64) -> TopicPositions {
    var positions = TopicPositions()
    positions[TopicPartition("t", 0)] = offset
    return positions
  }

  private func epoch(_ number: UInt64, _ mark: EpochMark?, events: UInt64) -> LocalEpoch {
    LocalEpoch(
      number: number, mark: mark, events: events, positions: positions(Int64(events)))
  }

  private func offsets(_ tag: Int, _ offset: Int64) -> [TopicPartition: CommittedOffset] {
    [
      TopicPartition("t", 0): CommittedOffset(
        offset: offset, metadata: OffsetMark(job: "\(tags[0])", tag: tags[tag]).description)
    ]
  }

  private func decide(
    _ epochs: [LocalEpoch], _ committed: [TopicPartition: CommittedOffset],
    _ assumption: CommitAssumption? = nil
  ) throws(JobError) -> EpochChoice {
    try EpochChoice.decide(
      epochs: epochs, committed: committed, group: "g", assumption: assumption)
  }

  private var proposal: [LocalEpoch] {
    [
      epoch(4, .settled(tags[1]), events: 10),
      epoch(5, EpochMark(tag: tags[2], confirmed: tags[1]), events: 20),
    ]
  }

  @Test func whatTheOffsetsNameIsOpened() throws {
    #expect(try decide([], [:]) == .begin)
    #expect(try decide(proposal, offsets(2, 20)) == .open(5))
    #expect(try decide(proposal, offsets(1, 10)) == .open(4))
    // An epoch that decided nothing has the tag of the one before.
    let settled = proposal + [epoch(6, .settled(tags[2]), events: 20)]
    #expect(try decide(settled, offsets(2, 20)) == .open(6))
  }

  @Test func anAssumptionCountsOnlyWhereTheBrokersDoNotSay() throws {
    for assumption in [CommitAssumption.committed, .aborted] {
      #expect(try decide(proposal, offsets(2, 20), assumption) == .open(5))
      #expect(try decide(proposal, offsets(1, 10), assumption) == .open(4))
      #expect(try decide([], [:], assumption) == .begin)
    }
    for unknown in [[:], offsets(3, 20), offsets(2, 19)] {
      #expect(throws: JobError.self) { try decide(proposal, unknown) }
      #expect(try decide(proposal, unknown, .committed) == .open(5))
      #expect(try decide(proposal, unknown, .aborted) == .open(4))
    }
    #expect(throws: JobError.self) { try decide([], offsets(1, 10)) }
    #expect(throws: JobError.self) { try decide([], offsets(1, 10), .committed) }
    #expect(try decide([], offsets(1, 10), .aborted) == .begin)
  }

  @Test func abortedIsNotAssumedWhereTheEpochBeforeIsGone() throws {
    let proposal = EpochMark(tag: tags[2], confirmed: tags[1])
    #expect(throws: JobError.self) { try decide([epoch(5, proposal, events: 20)], [:], .aborted) }
    #expect(try decide([epoch(5, proposal, events: 20)], [:], .committed) == .open(5))
    // The first epoch of all, and the first one behind a time with files.
    #expect(try decide([epoch(1, proposal, events: 0)], offsets(3, 9), .aborted) == .open(1))
    let files = [epoch(3, nil, events: 5), epoch(4, nil, events: 10)]
    #expect(
      try decide(files + [epoch(5, proposal, events: 10)], offsets(3, 9), .aborted) == .open(4))
  }

  @Test func withoutOffsetsOnlyWhatIsSettledGoesOn() throws {
    #expect(try decide([epoch(5, .settled(tags[1]), events: 10)], [:]) == .open(5))
    let idle = [
      epoch(4, .settled(tags[1]), events: 10),
      epoch(5, EpochMark(tag: tags[2], confirmed: tags[1]), events: 10),
    ]
    #expect(try decide(idle, [:]) == .open(5), "it decided nothing")
    let first = [epoch(2, EpochMark(tag: tags[2], confirmed: tags[1]), events: 0)]
    #expect(try decide(first, [:]) == .open(2), "nothing was decided ever")
    // A state that no topics were written from.
    #expect(try decide([epoch(7, nil, events: 10)], [:]) == .open(7))
    #expect(throws: JobError.self) { try decide([epoch(7, nil, events: 10)], offsets(1, 10)) }
  }

  @Test func theBrokersCannotHaveTakenWhatCameBeforeAConfirmedEpoch() {
    let settled = proposal + [epoch(6, .settled(tags[2]), events: 20)]
    #expect(throws: JobError.self) { try decide(settled, offsets(1, 10)) }
    // Files were written behind it.
    let files = proposal + [epoch(6, nil, events: 30)]
    #expect(throws: JobError.self) { try decide(files, offsets(2, 20)) }
  }

  @Test func offsetsOfSeveralTagsAreNobodys() {
    var mixed = offsets(2, 20)
    mixed[TopicPartition("t", 1)] = CommittedOffset(
      offset: 1, metadata: OffsetMark(job: "\(tags[0])", tag: tags[1]).description)
    let error = #expect(throws: JobError.self) { try decide(proposal, mixed) }
    #expect(error?.description.contains("were not committed together by one job") == true)
    // A partition of which the epoch knows nothing.
    var more = offsets(2, 20)
    more[TopicPartition("t", 1)] = CommittedOffset(
      offset: 1, metadata: OffsetMark(job: "\(tags[0])", tag: tags[2]).description)
    let other = #expect(throws: JobError.self) { try decide(proposal, more) }
    #expect(other?.description.contains("is at offset 1 in t [1]") == true)
  }
}
