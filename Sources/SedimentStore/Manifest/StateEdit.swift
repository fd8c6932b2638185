/// What one epoch changes in a `StoreState`; or, of the same epoch, what a log or a flush of an
/// ordered keyspace does.
package struct StateEdit: Hashable, Sendable {
  package var epoch: UInt64
  package var nextFileNumber: UInt64
  package var metadata: [UInt8]
  package var keyspaces: [KeyspaceEdit] = []
  /// Whether the metadata stays as it is, and `metadata` says nothing.
  package var keepsMetadata = false
  /// All logs of writes after the edit; `nil` when they are as before.
  package var writeLogs: [LogReference]?
  package var orderedKeyspaces: [OrderedKeyspaceEdit] = []

  package init(
    epoch: UInt64, nextFileNumber: UInt64, metadata: [UInt8], keyspaces: [KeyspaceEdit] = []
  ) {
    self.epoch = epoch
    self.nextFileNumber = nextFileNumber
    self.metadata = metadata
    self.keyspaces = keyspaces
  }

  /// Whether it changes anything of ordered keyspaces.
  var hasOrdered: Bool { writeLogs != nil || !orderedKeyspaces.isEmpty || keepsMetadata }

  /// An edit that changes nothing of a state yet, and begins no epoch.
  static func within(_ state: StoreState, nextFileNumber: UInt64) -> StateEdit {
    var edit = StateEdit(epoch: state.epoch, nextFileNumber: nextFileNumber, metadata: [])
    edit.keepsMetadata = true
    return edit
  }
}

/// What one epoch changes in a keyspace.
package struct KeyspaceEdit: Hashable, Sendable {
  package var id: UInt32
  package var largestTime: Int64?
  /// All logs after the edit.
  package var logs: [LogReference]
  /// Shards whose runs changed.
  package var shards: [ShardEdit] = []

  package init(
    id: UInt32, largestTime: Int64?, logs: [LogReference], shards: [ShardEdit] = []
  ) {
    self.id = id
    self.largestTime = largestTime
    self.logs = logs
    self.shards = shards
  }
}

/// What one epoch changes in a shard.
package struct ShardEdit: Hashable, Sendable {
  package var index: UInt32
  package var removedRuns: [UInt64]
  package var addedRuns: [RunState]

  package init(index: UInt32, removedRuns: [UInt64], addedRuns: [RunState]) {
    self.index = index
    self.removedRuns = removedRuns
    self.addedRuns = addedRuns
  }

  /// The difference between two versions of a shard's runs; `nil` when there is none.
  package init?(index: Int, from old: [RunState], to new: [RunState]) {
    let oldIDs = Set(old.map(\.id))
    let newIDs = Set(new.map(\.id))
    guard oldIDs != newIDs else { return nil }
    self.index = UInt32(index)
    removedRuns = old.map(\.id).filter { !newIDs.contains($0) }
    addedRuns = new.filter { !oldIDs.contains($0.id) }
  }
}

extension StoreState {
  /// The state after an epoch.
  ///
  /// - Throws: `StateEditError` when the edit names what is not there.
  package mutating func apply(_ edit: StateEdit) throws(StateEditError) {
    // An edit of the same epoch adds a log that is about to be written to.
    guard edit.epoch >= epoch else {
      throw StateEditError("epoch \(edit.epoch) follows epoch \(epoch)")
    }
    epoch = edit.epoch
    nextFileNumber = max(nextFileNumber, edit.nextFileNumber)
    if !edit.keepsMetadata { metadata = edit.metadata }
    for change in edit.keyspaces {
      guard let index = keyspaces.firstIndex(where: { $0.id == change.id }) else {
        throw StateEditError("keyspace \(change.id) is not there")
      }
      try keyspaces[index].apply(change)
    }
    if let logs = edit.writeLogs { writeLogs = logs }
    for change in edit.orderedKeyspaces {
      guard let index = orderedKeyspaces.firstIndex(where: { $0.id == change.id }) else {
        throw StateEditError("keyspace \(change.id) is not there")
      }
      try orderedKeyspaces[index].apply(change)
    }
  }
}

extension KeyspaceState {
  fileprivate mutating func apply(_ edit: KeyspaceEdit) throws(StateEditError) {
    largestTime = edit.largestTime
    logs = edit.logs
    for change in edit.shards {
      guard Int(change.index) < shards.count else {
        throw StateEditError("shard \(change.index) is not there")
      }
      try shards[Int(change.index)].apply(change)
    }
  }
}

extension ShardState {
  fileprivate mutating func apply(_ edit: ShardEdit) throws(StateEditError) {
    let removed = Set(edit.removedRuns)
    let kept = runs.filter { !removed.contains($0.id) }
    guard kept.count == runs.count - removed.count else {
      throw StateEditError("a run to remove is not there")
    }
    runs = (kept + edit.addedRuns).sorted { $0.sequence > $1.sequence }
  }
}

/// An edit that does not fit the state it is applied to.
package struct StateEditError: Error, Sendable {
  package var reason: String

  package init(_ reason: String) { self.reason = reason }
}
