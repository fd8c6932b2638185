import SedimentDedup
import SedimentStore
import SedimentTestKit
import Testing

/// What the documentation shows, compiled and run.
@Suite struct LibraryExampleTests {
  struct Event: Equatable {
    var adserverID: Int64
    var timestamp: Int64
  }

  @Test func theExampleWorks() throws {
    let fileSystem = MemoryFileSystem()
    let events = [
      Event(adserverID: 4711, timestamp: 1000), Event(adserverID: 4712, timestamp: 1000),
      Event(adserverID: 4711, timestamp: 1000), Event(adserverID: 4711, timestamp: 1001),
    ]
    var emitted: [Event] = []

    let store = try StateStore.open(at: "state", fileSystem: fileSystem)
    let dedup = try Deduplicator(
      store: store,
      options: .init(timeToLive: TimeToLive(.seconds(7 * 86_400)), time: .event(maxAhead: nil)))
    for event in events {
      let key = CompositeKey(.int(event.adserverID), .int(event.timestamp))
      if try dedup.isFirst(key, time: event.timestamp) { emitted.append(event) }
    }
    try store.commitEpoch()
    try store.close()

    #expect(emitted == [events[0], events[1], events[3]])
  }
}
