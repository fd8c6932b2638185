import Logging
import SedimentAsync
import SedimentObservability
import ServiceLifecycle
import UnixSignals

/// Counts what it is told until the group shuts down.
struct Counting: Service {
  let counts: AsyncOrderedKeyspace

  func run() async throws {
    try await gracefulShutdown()
  }
}

func serve(logger: Logger) async throws {
  let store = try await StateStoreService.open(
    at: "counts.state",
    options: StateStoreService.Options(epochInterval: .seconds(2)),
    logger: logger, metrics: StoreMetrics(dimensions: [("store", "counts")]))
  let counting = Counting(counts: try await store.store.orderedKeyspace("counts"))
  let group = ServiceGroup(
    services: [store, counting], gracefulShutdownSignals: [.sigterm], logger: logger)
  try await group.run()
}
