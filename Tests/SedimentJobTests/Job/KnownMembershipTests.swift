import SedimentJob
import Testing

@Suite struct KnownMembershipTests {
  private let partition = TopicPartition("t", 0)

  @Test func whoKnowsOfNoChangeCommitsNothing() {
    var known = KnownMembership()
    #expect(known.verdict(present: [1]) == .refuse)
    known.hand(.assigned([partition]), place: [1])
    #expect(known.verdict(present: [1]) == .refuse)
  }

  @Test func aCommitWaitsUntilAllChangesAreTaken() {
    var known = KnownMembership()
    known.hand(.assigned([partition]), place: [1])
    known.hand(.revoked([partition]), place: [1])
    known.hand(.assigned([partition]), place: [2])
    known.took(.assigned([partition]))
    #expect(known.verdict(present: [1]) == .commit)
    #expect(known.verdict(present: [2]) == .wait)
    known.took(.revoked([partition]))
    #expect(known.verdict(present: [2]) == .wait)
    known.took(.assigned([partition]))
    #expect(known.verdict(present: [2]) == .commit)
  }

  @Test func whoHasLostAllCommitsNothingUntilItIsGivenSomething() {
    var known = KnownMembership()
    known.hand(.assigned([partition]), place: [1])
    known.took(.assigned([partition]))
    // Without a generation; brokers take offsets in the name of none.
    known.hand(.lost, place: [0])
    #expect(known.verdict(present: [0]) == .wait)
    known.took(.lost)
    #expect(known.verdict(present: [0]) == .refuse)
    #expect(known.verdict(present: [1]) == .refuse)
    known.hand(.assigned([]), place: [2])
    known.took(.assigned([]))
    #expect(known.verdict(present: [2]) == .commit)
  }

  @Test func aChangeThatWasNotHandedOverIsNotTaken() {
    var known = KnownMembership()
    known.hand(.revoked([partition]), place: [1])
    known.took(.assigned([partition]))
    #expect(known.verdict(present: [1]) == .refuse)
  }
}
