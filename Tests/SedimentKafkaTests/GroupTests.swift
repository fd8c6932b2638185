import SedimentJob
import SedimentKafka
import Testing

/// What is done with less than all partitions, with faults, and in outages: the pure decisions.
@Suite struct GroupTests {
  private let all = Set((0..<4).map { TopicPartition("t", $0) })

  @Test func allPartitionsAreWholeAndMoreAreToo() {
    let share = GroupShare(assigned: all, all: all)
    #expect(share.verdict(group: "g", hadAll: false, waitedMillis: 0) == .whole)
    let more = GroupShare(assigned: all.union([TopicPartition("t", 9)]), all: all)
    #expect(more.verdict(group: "g", hadAll: true, waitedMillis: 0) == .whole)
  }

  @Test func aNewcomerIsRefusedBeforeWhoHadAllPartitions() {
    let share = GroupShare(assigned: [TopicPartition("t", 1), TopicPartition("t", 2)], all: all)
    let (short, long) = (GroupShare.newcomerMillis, GroupShare.incumbentMillis)
    #expect(short < long)
    #expect(share.verdict(group: "g", hadAll: false, waitedMillis: short - 1) == .wait)
    #expect(share.verdict(group: "g", hadAll: true, waitedMillis: short) == .wait)
    guard case .refuse(let text) = share.verdict(group: "g", hadAll: false, waitedMillis: short)
    else {
      Issue.record("not refused")
      return
    }
    #expect(text.contains("gave this instance 2 of 4 partitions, without t [0], t [3]"))
    #expect(text.contains("--partitioned-by-key") && text.contains("--group"))
    #expect(share.verdict(group: "g", hadAll: true, waitedMillis: long) == .refuse(text))
  }

  @Test func manyMissingPartitionsAreNotAllNamed() {
    let many = Set((0..<500).map { TopicPartition("t", $0) })
    let share = GroupShare(assigned: [], all: many)
    guard case .refuse(let text) = share.verdict(group: "g", hadAll: false, waitedMillis: .max)
    else {
      Issue.record("not refused")
      return
    }
    #expect(text.contains("0 of 500") && text.contains("t [7], …") && text.utf8.count < 600)
  }

  /// Codes of the protocol and of librdkafka.
  @Test(arguments: [
    (-191, KafkaFault.Meaning.endOfPartition), (-140, .outOfRange), (1, .outOfRange),
    (-187, .allBrokersDown), (3, .unknownTopic), (-188, .unknownTopic), (-190, .unknownTopic),
    (29, .fatal), (30, .fatal), (31, .fatal), (58, .fatal), (-169, .fatal), (-150, .fatal),
    (-199, .fatal), (-198, .fatal), (-195, .nothing), (-193, .nothing), (-147, .nothing),
    (5, .nothing), (6, .nothing), (7, .nothing), (27, .nothing), (9999, .nothing),
  ])
  func codesMeanWhatTheyMeanToAJob(code: Int, meaning: KafkaFault.Meaning) {
    #expect(KafkaFault(code: Int32(code), "").meaning == meaning)
  }

  @Test func anOutageIsToldAtOnceNowAndThenAndWhenItIsOver() {
    var outage = Outage()
    let reminder = Outage.reminderMillis
    var told: [Bool] = [outage.end()]
    for time in [1000, 1001, 1000 + reminder] { told.append(outage.isNews(atMillis: time)) }
    told += [outage.end(), outage.end(), outage.isNews(atMillis: 2000 + reminder)]
    #expect(told == [false, true, false, true, true, false, true])
  }
}
