// How removals of ranges come to an end.
//
// Of each removal among the levels it is known which tables may hold entries that it hides: at
// first all that overlap it and are older. Those that lie in it whole are dropped, as soon as no
// snapshot sees what is in them and no merge reads them. A merge that knew of the removal, with no
// older snapshot open, leaves tables that hold none. When no such table is left, nothing is hidden
// any more, and the removal goes. What a merge drops because of a removal must not become durable
// before the removal is; so merges look only at those among the levels, which are recorded with
// their tables.

internal import SedimentIO

extension StoreCore {
  /// The number of the last write of which merges of a keyspace may make anything of. The caller
  /// holds the monitor.
  func mergeableLimit(_ keyspace: OrderedKeyspace) -> UInt64 {
    guard let orderedCut, !keyspace.options.isLogged else { return keyspace.flushedSequence }
    return min(keyspace.flushedSequence, orderedCut)
  }

  /// Takes up removals that a flush has brought among the levels, if any. The caller holds the
  /// monitor.
  func begin(_ removals: [RangeRemoval], in keyspace: OrderedKeyspace) {
    let levels = keyspace.view.levels.metadata
    for removal in removals {
      keyspace.hiding[removal.sequence] = Set(levels.tables(under: removal).map(\.number))
    }
    let limit = mergeableLimit(keyspace)
    let open = snapshots.sequences
    for removal in removals where removal.sequence <= limit {
      takeOver(removal, from: levels.removals, open, in: keyspace)
    }
    dropHidden(of: keyspace)
  }

  /// Ends the older removals of the keys of a new one that nobody sees without it: who drops all
  /// that is older than a day, every minute, has one of them.
  private func takeOver(
    _ removal: RangeRemoval, from all: [RangeRemoval], _ open: [UInt64],
    in keyspace: OrderedKeyspace
  ) {
    for older in all
    where older.sequence < removal.sequence && removal.holds(older)
      && !open.contains(where: { older.sequence <= $0 && $0 < removal.sequence })
    {
      // What it hides, the new one does: those tables are older and overlap that, too.
      keyspace.hiding[older.sequence] = []
    }
  }

  /// Drops the tables that hold nothing but what removals hide from everybody, and the removals
  /// that hide nothing any more. The caller holds the monitor.
  func dropHidden(of keyspace: OrderedKeyspace) {
    let levels = keyspace.view.levels.metadata
    guard !levels.removals.isEmpty else { return }
    let limit = mergeableLimit(keyspace)
    var dropped: Set<FileNumber> = []
    for removal in levels.removals
    where removal.sequence <= limit && !snapshots.isAnyOpen(before: removal.sequence) {
      for table in levels.tables(under: removal)
      where table.largestSequence < removal.sequence && !keyspace.busy.contains(table.number)
        && removal.holds(first: table.smallestKey, last: table.largestKey)
      {
        dropped.insert(table.number)
      }
    }
    for sequence in keyspace.hiding.keys { keyspace.hiding[sequence]?.subtract(dropped) }
    let ended = Set(keyspace.hiding.filter(\.value.isEmpty).map(\.key))
    guard !dropped.isEmpty || !ended.isEmpty else { return }
    for sequence in ended { keyspace.hiding[sequence] = nil }
    keyspace.update { view in
      OrderedView(
        active: view.active, frozen: view.frozen,
        levels: view.levels.changing { levels in
          levels.remove(dropped)
          levels.removals.removeAll { ended.contains($0.sequence) }
        })
    }
    keyspace.needsRecording = true
    monitor.broadcast()
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
    dropHidden(of: keyspace)
  }
}
