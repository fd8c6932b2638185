import SedimentJob
import SedimentKafka
import Testing

/// What errors within a transaction mean to a job.
@Suite struct TransactionFaultTests {
  private static func fault(
    _ code: Int32, isRetriable: Bool = false, isAbortable: Bool = false
  ) -> TransactionFault {
    TransactionFault(
      KafkaFault(code: code, "text"), isRetriable: isRetriable, isAbortable: isAbortable)
  }

  /// Authorisation of topic (29), group (30), cluster (31) and transactional id (53), credentials
  /// (-169, 58), mechanism (33), sizes (10, 18, 12), a record that is none (87), the time-out (50),
  /// the brokers' version (35), a feature (-165), an argument (-186), no transactional id (-145).
  @Test(arguments: [29, 30, 31, 53, -169, 58, 33, 10, 18, 12, 87, 50, 35, -165, -186, -145])
  func whatAnotherTryWouldMeetAgainEndsTheJobHoweverItIsMarked(code: Int32) {
    for isRetriable in [false, true] {
      for isAbortable in [false, true] {
        let fault = Self.fault(code, isRetriable: isRetriable, isAbortable: isAbortable)
        #expect(fault.meaning == .failed, "\(code)")
        #expect(fault.error("do it") == .topic("cannot do it: text"))
      }
    }
  }

  /// A time-out (-185), a state that passes (-172), transport (-195), a coordinator that loads (14)
  /// or is gone (15).
  @Test(arguments: [-185, -172, -195, 14, 15])
  func whatIsNotKnownYetIsAskedAgainUnlessTheTransactionIsLost(code: Int32) {
    #expect(Self.fault(code, isRetriable: true).meaning == .again)
    #expect(Self.fault(code, isRetriable: true, isAbortable: true).meaning == .aborted)
    #expect(Self.fault(code).meaning == .aborted)
  }

  /// Fenced (-144, 90, 47), generation (22), rebalance (27), unknown member (25), a record that
  /// was not sent in time (-192), the end of everything (-150).
  @Test(arguments: [-144, 90, 47, 22, 27, 25, -192, -150])
  func whatLosesTheTransactionGoesBackToTheEpochBefore(code: Int32) {
    for isAbortable in [false, true] {
      let fault = Self.fault(code, isAbortable: isAbortable)
      #expect(fault.meaning == .aborted, "\(code)")
      #expect(fault.error("do it") == .epochAborted("cannot do it: text"))
    }
  }
}
