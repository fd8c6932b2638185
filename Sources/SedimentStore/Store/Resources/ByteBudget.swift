// Memory for filters and indexes, taken as tables open and given back as they go.
//
// A budget is of a fixed amount, or one store's part of what several share (`FilterPool`). How much
// that part may be follows from what all of them want: the whole filters of all their tables. While
// that fits, nobody is limited; else each has as much of it as it wants more than others. So a
// store's limit falls as others grow, and the store must give back what it holds beyond: it does so
// whenever it divides its own part anew (`StoreCore.balanceFilters`), and is asked to when another
// is short.
//
// Concurrency: any thread; one lock for all budgets of a pool. The observer is called under it;
// whoever is asked is called without it.

internal import SedimentIO
internal import Synchronization

/// How memory for filters is divided among stores: a pure function of what they want.
package enum FilterDivision {
  /// What a store may take of `limit` bytes.
  ///
  /// - Parameters:
  ///   - own: bytes that it wants.
  ///   - total: what all want, it included.
  package static func limit(own: Int, total: Int, limit: Int) -> Int {
    guard total > limit else { return limit - (total - own) }
    return Int(Double(limit) * (Double(own) / Double(total)))
  }
}

/// Grants bytes of an amount; what is granted comes back when its holder is gone.
package final class ByteBudget: Sendable {
  private let pool: FilterPool
  private let id: Int

  /// A budget of its own, of which nothing is taken.
  package convenience init(limit: Int) { self.init(of: FilterPool(limit: limit)) }

  /// A store's part of a pool.
  package init(of pool: FilterPool) {
    self.pool = pool
    id = pool.join()
  }

  deinit { pool.forget(id) }

  /// The most that may be granted, as things are.
  package var limit: Int { pool.limit(of: id) }

  /// Bytes granted at the moment.
  package var used: Int { pool.used(by: id) }

  /// Bytes that may be granted at the moment.
  package var available: Int { pool.available(to: id) }

  /// Takes bytes, more than are available too.
  ///
  /// - Parameter wanted: what the holder would take if there were enough.
  package func take(_ bytes: Int, wanted: Int) { pool.add(bytes, wanted: wanted, to: id) }

  /// Gives back what was taken.
  package func giveBack(_ bytes: Int, wanted: Int) { pool.add(-bytes, wanted: -wanted, to: id) }

  /// Runs `body`, which looks at what is available and takes of it, while no other does, of all
  /// that share.
  func dividing<Value>(_ body: () -> Value) -> Value { pool.dividing.withLock(body) }

  /// Has `ask` called, on any thread, when bytes should be divided anew: others are short and this
  /// has more than its limit, or was short itself and others have given back.
  package func observe(_ ask: @escaping @Sendable () -> Void) { pool.observe(id, ask) }

  /// Asks those for bytes who hold more than they may.
  package func askOthers() { pool.askOthers(than: id) }

  /// Tells those who were short that bytes came back.
  package func tellShort() { pool.tellShort(but: id) }
}

/// Bytes taken from a budget for as long as this lives.
final class ByteGrant: Sendable {
  private let bytes: Int
  private let wanted: Int
  private let budget: ByteBudget

  /// - Parameter wanted: what would be taken if there were enough; all of it was when `nil`.
  init(_ bytes: Int, wanted: Int? = nil, of budget: ByteBudget) {
    self.bytes = bytes
    self.wanted = max(wanted ?? bytes, bytes)
    self.budget = budget
    budget.take(bytes, wanted: self.wanted)
  }

  deinit { budget.giveBack(bytes, wanted: wanted) }
}

/// Memory for filters and indexes that stores share, or that one has.
package final class FilterPool: Sendable {
  private struct Member {
    var used = 0
    var wanted = 0
    var isShort = false
    var ask: (@Sendable () -> Void)?
  }

  private struct State {
    var used = 0
    var wanted = 0
    var members: [Int: Member] = [:]
    var nextID = 0
    var observer: (@Sendable (Int) -> Void)?

    func limit(of member: Member, _ limit: Int) -> Int {
      FilterDivision.limit(own: member.wanted, total: wanted, limit: limit)
    }
  }

  /// The most that all may take together.
  package let limit: Int
  private let state = Mutex(State())
  /// Held while a budget is divided.
  fileprivate let dividing = Monitor()

  /// A pool of which nothing is taken.
  package init(limit: Int) { self.limit = limit }

  /// Bytes granted at the moment.
  package var used: Int { state.withLock { $0.used } }

  /// Has `observer` told what is not granted, now and whenever that changes, in order. It is called
  /// under the pool's lock and takes none but leaves.
  func observe(_ observer: @escaping @Sendable (Int) -> Void) {
    state.withLock { state in
      state.observer = observer
      observer(max(limit - state.used, 0))
    }
  }

  fileprivate func join() -> Int {
    state.withLock { state in
      defer { state.nextID += 1 }
      state.members[state.nextID] = Member()
      return state.nextID
    }
  }

  fileprivate func forget(_ id: Int) {
    _ = state.withLock { $0.members.removeValue(forKey: id) }
  }

  fileprivate func limit(of id: Int) -> Int {
    state.withLock { state in state.members[id].map { state.limit(of: $0, limit) } ?? 0 }
  }

  fileprivate func used(by id: Int) -> Int { state.withLock { $0.members[id]?.used ?? 0 } }

  fileprivate func available(to id: Int) -> Int {
    state.withLock { state in
      guard let member = state.members[id] else { return 0 }
      return max(min(state.limit(of: member, limit) - member.used, limit - state.used), 0)
    }
  }

  fileprivate func add(_ bytes: Int, wanted: Int, to id: Int) {
    state.withLock { state in
      state.used += bytes
      state.wanted += wanted
      state.members[id]?.used += bytes
      state.members[id]?.wanted += wanted
      state.observer?(max(limit - state.used, 0))
    }
  }

  fileprivate func observe(_ id: Int, _ ask: @escaping @Sendable () -> Void) {
    state.withLock { $0.members[id]?.ask = ask }
  }

  fileprivate func askOthers(than id: Int) {
    let asked = state.withLock { state -> [@Sendable () -> Void] in
      state.members[id]?.isShort = true
      return state.members.compactMap { other, member in
        // An eighth more is not worth reading filters for.
        let most = state.limit(of: member, limit) / 8 * 9
        return other != id && member.used > most ? member.ask : nil
      }
    }
    for ask in asked { ask() }
  }

  fileprivate func tellShort(but id: Int) {
    let told = state.withLock { state -> [@Sendable () -> Void] in
      let short = state.members.filter { $0.key != id && $0.value.isShort }
      for other in short.keys { state.members[other]?.isShort = false }
      return short.values.compactMap(\.ask)
    }
    for tell in told { tell() }
  }
}
