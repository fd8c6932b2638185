// The statistics and events of a store as metrics.
//
// How it works: events, which the store's threads bring, are recorded at once. Statistics are
// looked at when `update` is called, now and then: what they count since the store was opened goes
// to counters as what came since the last look, what they tell of the moment to gauges.
//
// Concurrency: any thread may call; a look at a time.

public import CoreMetrics
public import SedimentStore
internal import Synchronization

/// The store has a `Counter` of its own within the package.
typealias MetricCounter = CoreMetrics.Counter

/// Reports a store to swift-metrics.
///
/// ```swift
/// let metrics = StoreMetrics(dimensions: [("store", "clicks")])
/// var options = StoreOptions()
/// options.observe(metrics: metrics)
/// let store = try StateStore.open(at: "clicks.state", options: options)
/// metrics.update(from: store)  // and again, every few seconds
/// ```
///
/// <doc:LevelsAndNames> has the table of names.
///
/// Use one for each store, and another when the store is opened again: counters go on from zero.
public final class StoreMetrics: Sendable {
  private let factory: any MetricsFactory
  private let dimensions: [(String, String)]
  private let events: StoreEventMetrics
  private let state: Mutex<State>

  /// What the last look found, and where it went.
  private struct State: Sendable {
    var last = StoreStatistics()
    let counters: [MetricCounter]
    let gauges: StoreGauges
    var levels: [LevelName: LevelMetrics] = [:]
  }

  /// - Parameters:
  ///   - dimensions: of all metrics: what tells this store from others of the program.
  ///   - factory: what makes them; the program's own unless another is given.
  public init(
    dimensions: [(String, String)] = [], factory: any MetricsFactory = MetricsSystem.factory
  ) {
    self.factory = factory
    self.dimensions = dimensions
    events = StoreEventMetrics(dimensions, factory)
    state = Mutex(
      State(
        counters: Self.counters.map {
          MetricCounter(label: $0.name, dimensions: dimensions, factory: factory)
        },
        gauges: StoreGauges(dimensions, factory)))
  }

  /// What of the statistics goes to counters.
  private static let counters: [(name: String, value: @Sendable (StoreStatistics) -> UInt64)] = [
    ("sediment_flushes_total", { $0.flushes }),
    ("sediment_merges_total", { $0.merges }),
    ("sediment_epochs_total", { $0.epochs }),
    ("sediment_stalls_total", { $0.stalls }),
    ("sediment_flushed_entries_total", { $0.entriesFlushed }),
    ("sediment_expired_tables_total", { $0.tablesExpired }),
    ("sediment_flushed_bytes_total", { $0.bytesFlushed }),
    ("sediment_merged_bytes_total", { $0.bytesMerged }),
    ("sediment_logged_bytes_total", { $0.bytesLogged }),
    ("sediment_stall_nanoseconds_total", { $0.stallNanos }),
    ("sediment_filter_probes_total", { $0.filterProbes }),
    ("sediment_page_lookups_total", { $0.pageLookups }),
    ("sediment_false_positives_total", { $0.falsePositives }),
    ("sediment_cache_hits_total", { $0.cacheHits }),
    ("sediment_cache_misses_total", { $0.cacheMisses }),
  ]

  /// Records an event; called from the store's threads.
  public func note(_ event: StoreEvent) { events.note(event) }

  /// Looks at a store's statistics; does not wait for the disk.
  public func update(from store: StateStore) {
    let keyspaces = store.keyspaceNames.compactMap { store.orderedKeyspace(named: $0) }
    // Within the lock, so that no look finds less than the one before.
    state.withLock { state in
      let now = store.statistics
      for (counter, (_, value)) in zip(state.counters, Self.counters) {
        counter.increment(by: value(now) - value(state.last))
      }
      state.last = now
      state.gauges.record(now, filterBytes: store.filterBytesInUse)
      for keyspace in keyspaces {
        for level in keyspace.levelStatistics where level != LevelStatistics(level: level.level) {
          let name = LevelName(keyspace: keyspace.name, level: level.level)
          state.levels[name, default: LevelMetrics(name, dimensions, factory)].update(level)
        }
      }
    }
  }
}

/// What the statistics tell of the moment.
private struct StoreGauges: Sendable {
  private let longestCut: Gauge
  private let oldestPin: Gauge
  private let pins: Gauge
  private let filterBytes: Gauge

  init(_ dimensions: [(String, String)], _ factory: any MetricsFactory) {
    func gauge(_ name: String) -> Gauge {
      Gauge(label: name, dimensions: dimensions, factory: factory)
    }
    longestCut = gauge("sediment_longest_cut_seconds")
    oldestPin = gauge("sediment_oldest_pin_seconds")
    pins = gauge("sediment_pins")
    filterBytes = gauge("sediment_filter_bytes")
  }

  func record(_ statistics: StoreStatistics, filterBytes: Int) {
    longestCut.record(Double(statistics.longestCutNanos) / 1e9)
    oldestPin.record(Double(statistics.oldestPinNanos) / 1e9)
    pins.record(statistics.pins)
    self.filterBytes.record(filterBytes)
  }
}

private struct LevelName: Hashable, Sendable {
  var keyspace: String
  var level: Int
}

/// The metrics of a level, and what the last look found.
private struct LevelMetrics: Sendable {
  private var last: LevelStatistics
  private let tables: Gauge
  private let bytes: Gauge
  private let entries: Gauge
  private let writes: MetricCounter
  private let bytesRead: MetricCounter
  private let bytesWritten: MetricCounter

  init(_ name: LevelName, _ dimensions: [(String, String)], _ factory: any MetricsFactory) {
    let own = dimensions + [("keyspace", name.keyspace), ("level", "\(name.level)")]
    func gauge(_ name: String) -> Gauge { Gauge(label: name, dimensions: own, factory: factory) }
    func counter(_ name: String) -> MetricCounter {
      MetricCounter(label: name, dimensions: own, factory: factory)
    }
    last = LevelStatistics(level: name.level)
    tables = gauge("sediment_level_tables")
    bytes = gauge("sediment_level_bytes")
    entries = gauge("sediment_level_entries")
    writes = counter("sediment_level_writes_total")
    bytesRead = counter("sediment_level_read_bytes_total")
    bytesWritten = counter("sediment_level_written_bytes_total")
  }

  mutating func update(_ now: LevelStatistics) {
    tables.record(now.tables)
    bytes.record(now.bytes)
    entries.record(now.entries)
    writes.increment(by: now.writes - last.writes)
    bytesRead.increment(by: now.bytesRead - last.bytesRead)
    bytesWritten.increment(by: now.bytesWritten - last.bytesWritten)
    last = now
  }
}
