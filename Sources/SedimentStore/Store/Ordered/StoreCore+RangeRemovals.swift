// How removals of ranges come to an end.
//
// Of each removal among the levels it is known which tables may hold entries that it hides: at
// first all that overlap it and are older. A merge that knew of the removal, with no older snapshot
// open, leaves tables that hold none. When no such table is left, nothing is hidden any more, and
// the removal goes. What a merge drops because of a removal must not become durable before the
// removal is; so merges look only at those that are in tables' levels, which are recorded with
// them.

extension StoreCore {
  /// The number of the last write of which merges of a keyspace may make anything of. The caller
  /// holds the monitor.
  func mergeableLimit(_ keyspace: OrderedKeyspace) -> UInt64 {
    guard let orderedCut, !keyspace.options.isLogged else { return keyspace.flushedSequence }
    return min(keyspace.flushedSequence, orderedCut)
  }

  /// Takes up a removal that has just come among the levels: drops the tables that hold nothing but
  /// what it hides. The caller holds the monitor.
  func begin(_ removal: RangeRemoval, in keyspace: OrderedKeyspace) {
    let under = keyspace.view.levels.metadata.tables(under: removal)
    var hiding = Set(under.map(\.number))
    if removal.sequence <= mergeableLimit(keyspace), !snapshots.isAnyOpen(before: removal.sequence)
    {
      let dropped = Set(
        under.filter { table in
          table.largestSequence < removal.sequence && !keyspace.busy.contains(table.number)
            && removal.holds(first: table.smallestKey, last: table.largestKey)
        }.map(\.number))
      hiding.subtract(dropped)
      change(keyspace) { $0.remove(dropped) }
      for sequence in keyspace.hiding.keys { keyspace.hiding[sequence]?.subtract(dropped) }
    }
    keyspace.hiding[removal.sequence] = hiding
    endRemovals(of: keyspace)
  }

  /// Notes that a merge has replaced tables. The caller holds the monitor.
  ///
  /// - Parameter cleared: the removals of which the new tables hold nothing.
  func settle(
    _ keyspace: OrderedKeyspace, _ tables: [OrderedTableMetadata],
    insteadOf numbers: Set<FileNumber>, _ cleared: Set<UInt64>
  ) {
    for removal in keyspace.view.levels.metadata.removals {
      keyspace.hiding[removal.sequence]?.subtract(numbers)
      guard !cleared.contains(removal.sequence) else { continue }
      let left = tables.filter { removal.overlaps(first: $0.smallestKey, last: $0.largestKey) }
      keyspace.hiding[removal.sequence]?.formUnion(left.map(\.number))
    }
    endRemovals(of: keyspace)
  }

  /// Takes out the removals that hide nothing any more.
  private func endRemovals(of keyspace: OrderedKeyspace) {
    let ended = keyspace.hiding.filter(\.value.isEmpty).map(\.key)
    guard !ended.isEmpty else { return }
    for sequence in ended { keyspace.hiding[sequence] = nil }
    change(keyspace) { $0.removals.removeAll { ended.contains($0.sequence) } }
  }

  private func change(_ keyspace: OrderedKeyspace, _ change: (inout OrderedLevels) -> Void) {
    keyspace.update { view in
      OrderedView(active: view.active, frozen: view.frozen, levels: view.levels.changing(change))
    }
  }
}
