import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Flushes and merges of several stores", .timeLimit(.minutes(30)))
struct TaskPermitsTests {
  private static let never: @Sendable () -> Bool = { false }

  @Test func aMergeGivesWayToWhatIsUrgentAndGoesOnBeforeOthers() throws {
    let permits = TaskPermits(count: 1)
    let order = Mutex<[String]>([])
    @Sendable func note(_ what: String) { order.withLock { $0.append(what) } }
    var threads: [JoinedThread] = []
    try permits.withPermit(isUrgent: false, unless: Self.never) {
      note("begun")
      threads.append(
        try JoinedThread {
          permits.withPermit(isUrgent: false, unless: Self.never) { note("merge") }
        })
      threads.append(
        try JoinedThread {
          permits.withPermit(isUrgent: true, unless: Self.never) { note("flush") }
        })
      while order.withLock({ $0.count }) < 2 { permits.giveWay(unless: Self.never) }
      #expect(permits.takenCount == 1)
      note("ended")
    }
    for thread in threads { thread.join() }
    #expect(order.withLock { $0 } == ["begun", "flush", "ended", "merge"])
    #expect(permits.takenCount == 0)
  }

  @Test func neverMoreRunThanMay() throws {
    let permits = TaskPermits(count: 2)
    let running = Mutex((now: 0, most: 0, total: 0))
    let threads = try (0..<8).map { number in
      try JoinedThread {
        for turn in 0..<200 {
          permits.withPermit(isUrgent: (turn + number) % 3 == 0, unless: Self.never) {
            running.withLock {
              $0.now += 1
              $0.most = max($0.most, $0.now)
              $0.total += 1
            }
            running.withLock { $0.now -= 1 }
            permits.giveWay(unless: Self.never)
          }
        }
      }
    }
    for thread in threads { thread.join() }
    #expect(running.withLock { $0.most } <= 2)
    #expect(running.withLock { $0.total } == 1600)
  }

  @Test func whoEndsDoesNotWait() throws {
    let permits = TaskPermits(count: 1)
    let isEnding = Atomic(false)
    try permits.withPermit(isUrgent: false, unless: Self.never) {
      let thread = try JoinedThread {
        let isUseless = { isEnding.load(ordering: .acquiring) }
        permits.withPermit(isUrgent: true, unless: isUseless) {}
      }
      isEnding.store(true, ordering: .releasing)
      permits.wake()
      thread.join()
      #expect(permits.takenCount == 1)
    }
  }
}
