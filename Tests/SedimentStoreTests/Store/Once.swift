import SedimentStore
import Synchronization

/// Runs a body at the first call only, and keeps what it throws.
final class Once: Sendable {
  private struct State: Sendable {
    var body: (@Sendable () throws -> Void)?
    var error: StoreError?
  }

  private let state: Mutex<State>

  init(_ body: @escaping @Sendable () throws -> Void) { state = Mutex(State(body: body)) }

  func run() {
    let body = state.withLock { state in
      defer { state.body = nil }
      return state.body
    }
    do {
      try body?()
    } catch {
      state.withLock { $0.error = StoreError(wrapping: error) }
    }
  }

  var hasRun: Bool { state.withLock { $0.body == nil } }

  var error: StoreError? { state.withLock { $0.error } }
}
