public import Logging
public import SedimentStore

extension StoreOptions {
  /// Sends every event to a logger and to metrics, and to `onEvent` as before.
  ///
  /// ```swift
  /// var options = StoreOptions()
  /// options.observe(logger: logger, metrics: metrics)
  /// ```
  public mutating func observe(logger: Logger? = nil, metrics: StoreMetrics? = nil) {
    let (before, log) = (onEvent, logger.map { StoreEventLogger($0) })
    onEvent = { event in
      log?.log(event)
      metrics?.note(event)
      before?(event)
    }
  }
}
