internal import CoreMetrics
internal import SedimentStore
internal import Synchronization

/// The metrics of a store's events; <doc:LevelsAndNames> has their table.
final class StoreEventMetrics: Sendable {
  private let factory: any MetricsFactory
  private let dimensions: [(String, String)]
  private let keyspaces = Mutex<[String: KeyspaceMetrics]>([:])
  private let epochDuration: Timer
  private let checkpointDuration: Timer
  private let lowDisk: MetricCounter
  private let retries: MetricCounter
  private let corruptions: MetricCounter

  /// Those of one keyspace.
  private struct KeyspaceMetrics: Sendable {
    let flushDuration: Timer
    let flushBytes: Recorder
    let mergeDuration: Timer
    let mergeBytes: Recorder
    let stallDuration: Timer

    init(_ name: String, _ dimensions: [(String, String)], _ factory: any MetricsFactory) {
      let own = dimensions + [("keyspace", name)]
      func timer(_ name: String) -> Timer { Timer(label: name, dimensions: own, factory: factory) }
      func recorder(_ name: String) -> Recorder {
        Recorder(label: name, dimensions: own, aggregate: true, factory: factory)
      }
      flushDuration = timer("sediment_flush_duration")
      flushBytes = recorder("sediment_flush_bytes")
      mergeDuration = timer("sediment_merge_duration")
      mergeBytes = recorder("sediment_merge_bytes")
      stallDuration = timer("sediment_stall_duration")
    }
  }

  init(_ dimensions: [(String, String)], _ factory: any MetricsFactory) {
    func timer(_ name: String) -> Timer {
      Timer(label: name, dimensions: dimensions, factory: factory)
    }
    func counter(_ name: String) -> MetricCounter {
      MetricCounter(label: name, dimensions: dimensions, factory: factory)
    }
    self.factory = factory
    self.dimensions = dimensions
    epochDuration = timer("sediment_epoch_duration")
    checkpointDuration = timer("sediment_checkpoint_duration")
    lowDisk = counter("sediment_low_disk_total")
    retries = counter("sediment_retries_total")
    corruptions = counter("sediment_corruptions_total")
  }

  /// Records an event.
  func note(_ event: StoreEvent) {
    switch event {
    case .flushed(let keyspace, _, let bytes, let nanoseconds):
      let metrics = metrics(of: keyspace)
      metrics.flushDuration.recordNanoseconds(nanoseconds)
      metrics.flushBytes.record(bytes)
    case .merged(let keyspace, _, _, _, let bytes, let nanoseconds):
      let metrics = metrics(of: keyspace)
      metrics.mergeDuration.recordNanoseconds(nanoseconds)
      metrics.mergeBytes.record(bytes)
    case .stalled(let keyspace, let nanoseconds):
      metrics(of: keyspace).stallDuration.recordNanoseconds(nanoseconds)
    case .epochCommitted(_, let nanoseconds):
      epochDuration.recordNanoseconds(nanoseconds)
    case .checkpointed(_, _, _, let nanoseconds):
      checkpointDuration.recordNanoseconds(nanoseconds)
    case .lowDisk: lowDisk.increment()
    case .retrying: retries.increment()
    case .corruption: corruptions.increment()
    // The statistics count them.
    case .expired: break
    }
  }

  private func metrics(of keyspace: String) -> KeyspaceMetrics {
    keyspaces.withLock { known in
      if let metrics = known[keyspace] { return metrics }
      let metrics = KeyspaceMetrics(keyspace, dimensions, factory)
      known[keyspace] = metrics
      return metrics
    }
  }
}
