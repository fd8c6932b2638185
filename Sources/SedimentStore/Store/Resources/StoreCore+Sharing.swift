// What a store does for others that share its resources: it asks for leave before it flushes or
// merges, and gives back what they have more use for.
//
// Both kinds of memory are given back on a thread that flushes and merges. For that of a memtable
// the thread needs the keyspace for itself, and takes it only if nobody is inside: a batch may wait
// for a flush, which may be this thread's to do. Where somebody is inside the keyspace is not idle,
// and its next memtable will be of another size anyway.

internal import SedimentIO

/// What other stores have asked a store for.
struct SharingDemands: OptionSet, Sendable {
  let rawValue: UInt8

  /// Memory of memtables that it is slow to fill.
  static let memtables = SharingDemands(rawValue: 1)
  /// To divide its memory for filters anew.
  static let filters = SharingDemands(rawValue: 2)
}

extension StoreCore {
  /// How many flushes and merges of this store and those it shares with may run at once.
  var backgroundTasksMax: Int { share.shared?.backgroundTasks ?? options.backgroundThreads }

  /// Lets others ask for memory. Precedes the threads.
  func beginSharing() {
    guard let memtables = share.memtables else { return }
    memtables.observe { [weak self] in self?.demand(.memtables) }
    filters.observe { [weak self] in self?.demand(.filters) }
  }

  /// Leaves what it had to others. Follows `releaseKeyspaces`.
  func endSharing() {
    share.memtables?.leave()
    memtableMemory.drop()
    orderedMemtableMemory.drop()
    filters.tellShort()
  }

  private func demand(_ what: SharingDemands) {
    monitor.withLock {
      demands.formUnion(what)
      monitor.broadcast()
    }
  }

  /// Runs a task when as few others run, of all stores that share, as may.
  func withPermit(isUrgent: Bool, _ body: () throws -> Void) throws {
    guard let permits = share.shared?.permits else { return try body() }
    try permits.withPermit(isUrgent: isUrgent, unless: { isHaltedNow }, body)
  }

  /// Lets urgent tasks of other stores go before the merge that calls it.
  func giveWay() {
    share.shared?.permits.giveWay { isHaltedNow }
  }

  /// Does what was asked for.
  func meet(_ demands: SharingDemands) throws {
    if demands.contains(.memtables) { try giveMemtablesBack() }
    if demands.contains(.filters) {
      try balanceFilters()
      filters.tellShort()
    }
  }

  /// Goes on with first memtables, which are small, in keyspaces that nobody is inserting into.
  private func giveMemtablesBack() throws {
    for keyspace in monitor.withLock({ keyspaces }) where keyspace.gate.tryClose() {
      defer { keyspace.gate.open() }
      let first = firstMemtableSlots(
        layout: keyspace.options.layout, parts: keyspaceCount * keyspace.shards.count)
      for shard in keyspace.shards
      where shard.view.frozen.isEmpty && shard.view.active.geometry.slotCount > first {
        try freeze(shard, of: keyspace, waits: false, slotsMax: first)
      }
    }
    memtableMemory.drop()
    orderedMemtableMemory.drop()
  }
}
