// The memory for memtables that several stores share.
//
// A memtable's memory is taken whole when it is made, and a store has a few at a time: one is
// filled, those before it wait for their flush. Which store needs how much shows only as they fill.
// So no store is given a part of the whole; its next memtable is as large as the others allow:
//
//   limit: a quarter      divided evenly: each store's floor, whatever the others do
//          three quarters for whoever asks first
//   mine   = floor + the three quarters − what the others hold beyond their floors
//   next   = a quarter of mine, and no more than is left; rounded down, so that sizes recur
//
// Three memtables of that size (one being filled, one frozen in mid-epoch, one by the cut) leave a
// quarter of what a store may hold to those who come. Of two stores the one that holds more gets
// less the next time, so n stores that are written alike come to about limit / (3n + 1) for each
// memtable; and one that is written alone has three quarters of all but the others' floors.
//
// First memtables are a third of the floor, so that stores which are hardly written stay within it.
// A store that has asked for nothing while the others took the whole limit once over is slow: its
// memtable would keep what they could use for a long time. It is asked to give it back
// (`MemtableShare.observe`).
//
// Invariant: what all stores hold is within the limit, but for memtables of `leastBytes`, and for
// those that several stores make at the same moment.
//
// Concurrency: any thread; one lock. Whoever is asked is called without it.

internal import Synchronization

/// How memory for memtables is divided: a pure function of what is held.
package struct MemtableDivision: Sendable, Equatable {
  /// What all may hold together.
  package var limit: Int
  /// Stores that are open.
  package var stores: Int

  /// A division of `limit` bytes among so many stores.
  package init(limit: Int, stores: Int) {
    self.limit = limit
    self.stores = stores
  }

  /// What each store may hold whatever the others do.
  package var floor: Int { limit / 4 / max(stores, 1) }

  /// Bytes of a store's first memtable, and of one that takes the place of one it gave back.
  package func first(parts: Int) -> Int {
    max(Self.rounded(floor / (3 * max(parts, 1))), Self.leastBytes)
  }

  /// Bytes of a store's next memtable.
  ///
  /// - Parameters:
  ///   - parts: memtables that the store fills at a time: shards of all keyspaces.
  ///   - own: bytes that it holds.
  ///   - others: bytes that the others hold, each.
  package func next(parts: Int, own: Int, others: [Int]) -> Int {
    let beyond = others.reduce(0) { $0 + max($1 - floor, 0) }
    let mine = floor + max(limit - limit / 4 - beyond, 0)
    let left = min(mine, limit - others.reduce(0, +)) - own
    return max(Self.rounded(min(mine / (4 * max(parts, 1)), left)), Self.leastBytes)
  }

  /// The next lower of eight sizes to a doubling: memory that is kept fits again though shares have
  /// changed a little.
  private static func rounded(_ bytes: Int) -> Int {
    guard bytes >= 16 else { return 0 }
    let step = 1 << (Int.bitWidth - bytes.leadingZeroBitCount - 4)
    return bytes / step * step
  }

  /// No memtable is smaller, whatever is left: a table of fewer entries costs more than it saves.
  package static let leastBytes = 64 << 10
}

/// See the file's header.
package final class MemtableBudget: Sendable {
  private struct Member {
    var held = 0
    /// `State.taken` when it took something last.
    var lastTaken: UInt64
    var isAsked = false
    var hasLeft = false
    var ask: (@Sendable () -> Void)?
  }

  private struct State {
    var members: [Int: Member] = [:]
    var nextID = 0
    /// Stores that are open; one that has left may hold memory for a while.
    var stores = 0
    /// Bytes that were ever taken: what time is here.
    var taken: UInt64 = 0
  }

  /// What all may hold together.
  package let limit: Int
  private let state = Mutex(State())

  /// A budget that nobody takes part in yet.
  package init(limit: Int) { self.limit = limit }

  /// Bytes that are held at the moment.
  package var used: Int { state.withLock { $0.members.values.reduce(0) { $0 + $1.held } } }

  /// Adds a store.
  package func join() -> MemtableShare {
    state.withLock { state in
      let id = state.nextID
      state.nextID += 1
      state.stores += 1
      state.members[id] = Member(lastTaken: state.taken)
      return MemtableShare(self, id: id)
    }
  }

  fileprivate func next(_ id: Int, parts: Int, spare: Int) -> Int {
    state.withLock { state in
      MemtableDivision(limit: limit, stores: state.stores).next(
        parts: parts, own: max((state.members[id]?.held ?? 0) - spare, 0),
        others: state.members.filter { $0.key != id }.map(\.value.held))
    }
  }

  fileprivate func first(parts: Int) -> Int {
    state.withLock { state in
      MemtableDivision(limit: limit, stores: state.stores).first(parts: parts)
    }
  }

  fileprivate func take(_ bytes: Int, _ id: Int) {
    let asked = state.withLock { state -> [@Sendable () -> Void] in
      state.taken &+= UInt64(bytes)
      state.members[id]?.held += bytes
      state.members[id]?.lastTaken = state.taken
      state.members[id]?.isAsked = false
      return slow(&state)
    }
    for ask in asked { ask() }
  }

  fileprivate func takeIfLeft(_ bytes: Int, _ id: Int) -> Bool {
    let isLeft = state.withLock { state in
      state.members.values.reduce(0) { $0 + $1.held } + bytes <= limit
    }
    // Somebody may be faster, as with any memtable that is made at the same moment.
    if isLeft { take(bytes, id) }
    return isLeft
  }

  /// Marks stores that are slow and hold more than their floor as asked.
  private func slow(_ state: inout State) -> [@Sendable () -> Void] {
    let floor = MemtableDivision(limit: limit, stores: state.stores).floor
    var asked: [@Sendable () -> Void] = []
    for (id, member) in state.members
    where !member.isAsked && member.held > floor
      && state.taken &- member.lastTaken > UInt64(limit)
    {
      state.members[id]?.isAsked = true
      if let ask = member.ask { asked.append(ask) }
    }
    return asked
  }

  fileprivate func giveBack(_ bytes: Int, _ id: Int) {
    state.withLock { state in state.members[id]?.held -= bytes }
  }

  fileprivate func observe(_ id: Int, _ ask: (@Sendable () -> Void)?) {
    state.withLock { state in state.members[id]?.ask = ask }
  }

  fileprivate func leave(_ id: Int) {
    state.withLock { state in
      guard state.members[id]?.hasLeft == false else { return }
      state.members[id]?.hasLeft = true
      state.members[id]?.ask = nil
      state.stores -= 1
    }
  }

  fileprivate func forget(_ id: Int) {
    leave(id)
    _ = state.withLock { $0.members.removeValue(forKey: id) }
  }
}

/// What one store has of a `MemtableBudget`. It ends with the last memtable that was made of it.
package final class MemtableShare: Sendable {
  private let budget: MemtableBudget
  private let id: Int

  fileprivate init(_ budget: MemtableBudget, id: Int) {
    self.budget = budget
    self.id = id
  }

  deinit { budget.forget(id) }

  /// Bytes of the store's next memtable; see `MemtableDivision`.
  ///
  /// - Parameter spare: of what it holds, bytes that it can do without.
  package func next(parts: Int, spare: Int) -> Int { budget.next(id, parts: parts, spare: spare) }

  /// Bytes of the store's first memtables, which are within its floor.
  func first(parts: Int) -> Int { budget.first(parts: parts) }

  /// Takes bytes, and asks slow stores for theirs.
  package func take(_ bytes: Int) { budget.take(bytes, id) }

  /// Takes bytes that can be done without, if they are left.
  func takeIfLeft(_ bytes: Int) -> Bool { budget.takeIfLeft(bytes, id) }

  /// Gives bytes back.
  package func giveBack(_ bytes: Int) { budget.giveBack(bytes, id) }

  /// Has `ask` called, on any thread, when the store is to give back what it is slow to use.
  package func observe(_ ask: @escaping @Sendable () -> Void) { budget.observe(id, ask) }

  /// The store closes: its floor is the others', and so is what it holds as that goes.
  package func leave() { budget.leave(id) }
}
