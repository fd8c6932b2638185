import SedimentStore
import Synchronization

/// Gathers events.
final class EventList: Sendable {
  private let events = Mutex<[StoreEvent]>([])

  var count: Int { events.withLock { $0.count } }

  func append(_ event: StoreEvent) { events.withLock { $0.append(event) } }
}
