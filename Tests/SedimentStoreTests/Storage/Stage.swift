import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization

/// Lets actors on threads of their own make one call of a storage at a time, in an order that a
/// seed replays.
///
/// Concurrency: between two steps nothing runs; the test may look at everything then.
final class Stage: Sendable {
  private struct State {
    var actorCount = 0
    var waiting: Set<Int> = []
    var finished: Set<Int> = []
    var killed: Set<Int> = []
    /// Who has the turn.
    var running: Int?
    /// Who gets the next turns, and how many: with turns drawn one by one nobody would ever be
    /// slow.
    var favoured: (actor: Int, turns: Int) = (-1, 0)
    /// What each has called, as in "put KEY"; the last one is still to come where it waits.
    var calls: [Int: [String]] = [:]
  }

  private let monitor = Monitor()
  private let state = Mutex(State())
  private let threads = Mutex<[JoinedThread]>([])

  /// Starts an actor, which gets the storage as it sees it; returns its number.
  @discardableResult
  func start(
    on storage: any CheckpointStorage, _ body: @escaping @Sendable (any CheckpointStorage) -> Void
  ) throws -> Int {
    let number = state.withLock { state in
      state.actorCount += 1
      return state.actorCount - 1
    }
    let seen = StagedStorage(storage, self, number)
    let thread = try JoinedThread { [self] in
      body(seen)
      monitor.withLock {
        state.withLock {
          $0.finished.insert(number)
          if $0.running == number { $0.running = nil }
        }
        monitor.broadcast()
      }
    }
    threads.withLock { $0.append(thread) }
    return number
  }

  /// Waits until all actors wait for their turn or have ended, and gives it to one of them.
  ///
  /// - Returns: `false` when all have ended.
  func step(using generator: inout SeededGenerator) -> Bool {
    monitor.withLock {
      while true {
        let isReady = state.withLock {
          $0.running == nil && $0.waiting.count + $0.finished.count == $0.actorCount
        }
        if isReady { break }
        monitor.wait()
      }
      return state.withLock { state in
        if state.favoured.turns == 0 || !state.waiting.contains(state.favoured.actor) {
          guard let drawn = state.waiting.sorted().randomElement(using: &generator) else {
            return false
          }
          let most = [1, 8, 64, 512][Int.random(in: 0..<4, using: &generator)]
          state.favoured = (drawn, Int.random(in: 1...most, using: &generator))
        }
        state.favoured.turns -= 1
        let next = state.favoured.actor
        state.running = next
        state.waiting.remove(next)
        monitor.broadcast()
        return true
      }
    }
  }

  /// Gives an actor turns until its next call is one that is asked for, or it has ended.
  ///
  /// - Parameter isMeant: gets a call as in "list PREFIX", "put KEY".
  func run(_ number: Int, until isMeant: (String) -> Bool = { _ in false }) {
    while true {
      settle()
      let next = state.withLock { $0.waiting.contains(number) ? $0.calls[number]?.last : nil }
      guard let next, !isMeant(next) else { return }
      monitor.withLock {
        state.withLock {
          $0.running = number
          $0.waiting.remove(number)
        }
        monitor.broadcast()
      }
    }
  }

  /// All calls of an actor.
  func calls(of number: Int) -> [String] { state.withLock { $0.calls[number] ?? [] } }

  /// Waits until nothing runs.
  func settle() {
    monitor.withLock {
      while state.withLock({
        $0.running != nil || $0.waiting.count + $0.finished.count != $0.actorCount
      }) { monitor.wait() }
    }
  }

  /// Lets all calls of an actor fail from now on.
  func kill(_ number: Int) { state.withLock { _ = $0.killed.insert(number) } }

  /// Whether an actor has ended.
  func isFinished(_ number: Int) -> Bool { state.withLock { $0.finished.contains(number) } }

  /// Waits for the threads of actors that have ended.
  func join() { for thread in threads.withLock({ $0 }) { thread.join() } }

  /// Waits for the turn of an actor; `false` when it was killed.
  fileprivate func enter(_ number: Int, _ call: String) -> Bool {
    monitor.withLock {
      state.withLock {
        if $0.running == number { $0.running = nil }
        $0.waiting.insert(number)
        $0.calls[number, default: []].append(call)
      }
      monitor.broadcast()
      while state.withLock({ $0.running != number }) { monitor.wait() }
      return state.withLock { !$0.killed.contains(number) }
    }
  }
}

/// A storage as one actor sees it.
private struct StagedStorage: CheckpointStorage {
  let storage: any CheckpointStorage
  let stage: Stage
  let number: Int

  init(_ storage: any CheckpointStorage, _ stage: Stage, _ number: Int) {
    self.storage = storage
    self.stage = stage
    self.number = number
  }

  var location: String { storage.location }

  private func call<Answer>(
    _ what: String, _ body: () throws(StoreError) -> Answer
  ) throws(StoreError) -> Answer {
    guard stage.enter(number, what) else { throw StoreError(.inputOutput, "killed") }
    return try body()
  }

  func put(_ file: any File, bytes: UInt64, as key: String) throws(StoreError) {
    try call("put \(key)") { () throws(StoreError) in try storage.put(file, bytes: bytes, as: key) }
  }

  func put(_ content: [UInt8], as key: String) throws(StoreError) {
    try call("put \(key)") { () throws(StoreError) in try storage.put(content, as: key) }
  }

  func putIfAbsent(_ content: [UInt8], as key: String) throws(StoreError) -> Bool {
    try call("put \(key)") { () throws(StoreError) in try storage.putIfAbsent(content, as: key) }
  }

  func read(_ key: String, _ range: Range<UInt64>) throws(StoreError) -> [UInt8]? {
    try call("read \(key)") { () throws(StoreError) in try storage.read(key, range) }
  }

  func list(_ prefix: String) throws(StoreError) -> [StoredObject] {
    try call("list \(prefix)") { () throws(StoreError) in try storage.list(prefix) }
  }

  func delete(_ keys: [String]) throws(StoreError) {
    // One at a time, for others come between.
    for key in keys {
      try call("delete \(key)") { () throws(StoreError) in try storage.delete([key]) }
    }
  }

  func unfinished(
    _ prefix: String, before millis: Int64, removing: Bool
  ) throws(StoreError) -> [StoredObject] {
    try call("unfinished \(prefix)") { () throws(StoreError) in
      try storage.unfinished(prefix, before: millis, removing: removing)
    }
  }
}
