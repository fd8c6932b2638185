import SedimentStore
import SedimentTestKit
import Testing

@Suite("Statistics of ordered keyspaces")
struct OrderedStatisticsTests {
  private static func open(_ clock: ManualClock) throws -> StateStore {
    try StateStore.open(
      at: "/state", options: OrderedScript.options(clock), fileSystem: MemoryFileSystem())
  }

  @Test func theOldestPinIsASnapshotOrACursor() throws {
    let clock = ManualClock()
    let store = try Self.open(clock)
    let keyspace = try store.orderedKeyspace("a")
    try keyspace.put([1], [1])
    #expect(store.statistics.pins == 0)
    #expect(store.statistics.oldestPinNanos == 0)

    func walk() throws {
      var cursor = keyspace.cursor()
      clock.advance(byMillis: 5)
      try store.withSnapshot { snapshot throws in
        clock.advance(byMillis: 2)
        #expect(store.statistics.pins == 2)
        #expect(store.statistics.oldestPinNanos == 7_000_000)
        // Of snapshots alone.
        #expect(store.oldestSnapshotAge == .milliseconds(2))
        #expect(try keyspace.get([1], at: snapshot) == [1])
      }
      #expect(store.statistics.pins == 1)
      #expect(store.oldestSnapshotAge == nil)
      try cursor.seekToFirst()
      let isAtEntry = cursor.isValid
      #expect(isAtEntry)
    }
    try walk()
    #expect(store.statistics.pins == 0)
    #expect(store.statistics.oldestPinNanos == 0)
    try store.close()
  }

  @Test func levelsCountWhatTheyHoldAndWhatWasWritten() throws {
    let store = try Self.open(ManualClock())
    let keyspace = try store.orderedKeyspace("a")
    #expect(keyspace.levelStatistics == (0..<7).map { LevelStatistics(level: $0) })
    for round in 0..<2 {
      for key in 0..<30 { try keyspace.put([UInt8(key)], [UInt8(round)]) }
      try store.flush()
    }
    let flushed = keyspace.levelStatistics
    #expect(flushed[0].writes == 2)
    #expect(flushed[0].tables == 2)
    #expect(flushed[0].entries == 60)
    #expect(flushed[0].bytes == flushed[0].bytesWritten)
    #expect(store.statistics.bytesFlushed == flushed[0].bytesWritten)

    try store.compact()
    let merged = keyspace.levelStatistics
    #expect(merged[0].tables == 0)
    #expect(merged[0].bytesWritten == flushed[0].bytesWritten)
    let bottom = try #require(merged.first { $0.tables > 0 })
    #expect(bottom.writes == 1)
    #expect(bottom.entries == 30)
    #expect(bottom.bytesRead == flushed[0].bytes)
    #expect(bottom.bytesWritten == bottom.bytes)
    #expect(store.statistics.bytesMerged == bottom.bytesWritten)
    try store.close()
  }
}
