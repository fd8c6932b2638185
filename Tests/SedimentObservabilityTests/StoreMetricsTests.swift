import CoreMetrics
import Foundation
import MetricsTestKit
import SedimentObservability
import SedimentStore
import SedimentTestKit
import Testing

@Suite("A store's metrics")
struct StoreMetricsTests {
  private static let own = [("store", "test")]

  private static func open(
    _ metrics: StoreMetrics, _ clock: ManualClock
  ) throws -> StateStore {
    var options = StoreOptions(memoryBudget: 16 << 20, shards: 1, clock: clock)
    options.observe(metrics: metrics)
    return try StateStore.open(at: "/state", options: options, fileSystem: MemoryFileSystem())
  }

  @Test func countersHoldWhatTheStatisticsCount() throws {
    let factory = TestMetrics()
    let metrics = StoreMetrics(dimensions: Self.own, factory: factory)
    let store = try Self.open(metrics, ManualClock())
    let keyspace = try store.orderedKeyspace("a")
    for round in 0..<3 {
      try keyspace.put([1], [UInt8(round)])
      try store.flush()
      try store.commitEpoch()
      // Looked at more often than anything happens: what was counted is not counted again.
      metrics.update(from: store)
      metrics.update(from: store)
    }
    let statistics = store.statistics
    func total(_ name: String) throws -> UInt64 {
      UInt64(try factory.expectCounter(name, Self.own).totalValue)
    }
    #expect(try total("sediment_flushes_total") == 3)
    #expect(try total("sediment_epochs_total") == 3)
    #expect(try total("sediment_flushed_entries_total") == 3)
    #expect(try total("sediment_flushed_bytes_total") == statistics.bytesFlushed)
    #expect(try total("sediment_merges_total") == statistics.merges)
    #expect(try total("sediment_cache_misses_total") == statistics.cacheMisses)
    try store.close()
  }

  @Test func gaugesTellOfTheMoment() throws {
    let factory = TestMetrics()
    let metrics = StoreMetrics(dimensions: Self.own, factory: factory)
    let clock = ManualClock()
    let store = try Self.open(metrics, clock)
    let keyspace = try store.orderedKeyspace("a")
    try keyspace.put([1], [1])
    try store.withSnapshot { snapshot throws in
      clock.advance(byMillis: 1500)
      metrics.update(from: store)
      #expect(try factory.expectGauge("sediment_oldest_pin_seconds", Self.own).lastValue == 1.5)
      #expect(try factory.expectGauge("sediment_pins", Self.own).lastValue == 1)
      #expect(try keyspace.get([1], at: snapshot) == [1])
    }
    metrics.update(from: store)
    #expect(try factory.expectGauge("sediment_oldest_pin_seconds", Self.own).lastValue == 0)
    #expect(try factory.expectGauge("sediment_pins", Self.own).lastValue == 0)
    try store.close()
  }

  @Test func levelsAreReportedFromTheFirstTimeTheyHoldAnything() throws {
    let factory = TestMetrics()
    let metrics = StoreMetrics(dimensions: Self.own, factory: factory)
    let store = try Self.open(metrics, ManualClock())
    let keyspace = try store.orderedKeyspace("a")
    metrics.update(from: store)
    #expect(throws: (any Error).self) {
      try factory.expectGauge("sediment_level_tables", Self.own + Self.level(0))
    }
    try keyspace.put([1], [1])
    try store.flush()
    metrics.update(from: store)
    let tables = try factory.expectGauge("sediment_level_tables", Self.own + Self.level(0))
    #expect(tables.lastValue == 1)
    try store.compact()
    metrics.update(from: store)
    #expect(tables.lastValue == 0)
    let statistics = keyspace.levelStatistics
    for level in statistics where level.writes > 0 {
      let dimensions = Self.own + Self.level(level.level)
      let written = try factory.expectCounter("sediment_level_written_bytes_total", dimensions)
      #expect(UInt64(written.totalValue) == level.bytesWritten)
      let bytes = try factory.expectGauge("sediment_level_bytes", dimensions)
      #expect(bytes.lastValue == Double(level.bytes))
    }
    try store.close()
  }

  private static func level(_ level: Int) -> [(String, String)] {
    [("keyspace", "a"), ("level", "\(level)")]
  }

  /// The names in the article's tables, `sediment_` in front.
  private static func documentedNames() throws -> Set<String> {
    let article = URL(filePath: #filePath).deletingLastPathComponent().appending(
      path: "../../Sources/SedimentObservability/SedimentObservability.docc/LevelsAndNames.md")
    let lines = try String(contentsOf: article, encoding: .utf8).split(separator: "\n")
    return Set(
      lines.compactMap { line in
        line.hasPrefix("| `sediment_") ? String(line.split(separator: "`")[1]) : nil
      })
  }

  @Test func theArticleNamesEveryMetricAndNoOther() throws {
    let factory = TestMetrics()
    let metrics = StoreMetrics(factory: factory)
    let store = try Self.open(metrics, ManualClock())
    try store.orderedKeyspace("a").put([1], [1])
    try store.flush()
    metrics.update(from: store)
    metrics.note(
      .merged(keyspace: "a", inputs: 2, entriesIn: 2, entriesOut: 1, bytes: 20, nanoseconds: 1))
    let made =
      factory.counters.map(\.label) + factory.recorders.map(\.label)
      + factory.timers.map(\.label)
    #expect(try Self.documentedNames() == Set(made))
    try store.close()
  }

  @Test func eventsAreTimedAndCounted() throws {
    let factory = TestMetrics()
    let metrics = StoreMetrics(dimensions: Self.own, factory: factory)
    for nanoseconds in [5, 7] as [UInt64] {
      metrics.note(.flushed(keyspace: "a", entries: 1, bytes: 10, nanoseconds: nanoseconds))
      metrics.note(
        .merged(
          keyspace: "a", inputs: 2, entriesIn: 2, entriesOut: 1, bytes: 20,
          nanoseconds: nanoseconds))
      metrics.note(.stalled(keyspace: "a", nanoseconds: nanoseconds))
      metrics.note(.epochCommitted(epoch: 1, nanoseconds: nanoseconds))
      metrics.note(.checkpointed(id: "c", newFiles: 1, newBytes: 1, nanoseconds: nanoseconds))
      metrics.note(.lowDisk(availableBytes: 1))
      metrics.note(.retrying(message: "again"))
      metrics.note(.corruption(message: "bad"))
      metrics.note(.expired(keyspace: "a", tables: 1, bytes: 1))
    }
    let keyspace = Self.own + [("keyspace", "a")]
    for name in ["flush", "merge", "stall"] {
      let timer = try factory.expectTimer("sediment_\(name)_duration", keyspace)
      #expect(timer.values == [5, 7])
    }
    for name in ["epoch", "checkpoint"] {
      let timer = try factory.expectTimer("sediment_\(name)_duration", Self.own)
      #expect(timer.values == [5, 7])
    }
    #expect(try factory.expectRecorder("sediment_flush_bytes", keyspace).values == [10, 10])
    #expect(try factory.expectRecorder("sediment_merge_bytes", keyspace).values == [20, 20])
    for name in ["low_disk", "retries", "corruptions"] {
      let counter = try factory.expectCounter("sediment_\(name)_total", Self.own)
      #expect(counter.totalValue == 2)
    }
  }
}
