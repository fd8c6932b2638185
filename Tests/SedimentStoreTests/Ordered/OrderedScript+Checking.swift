import SedimentIO
import SedimentStore
import SedimentTestKit

extension OrderedScript {
  /// How a keyspace differs from a model, by its cursor in both directions and by single reads.
  static func difference(
    _ keyspace: OrderedKeyspace, _ model: Model, at snapshot: Snapshot? = nil
  ) throws -> String? {
    let keys = model.keys.sorted { $0.lexicographicallyPrecedes($1) }
    var found: [[UInt8]] = []
    var cursor = keyspace.cursor(at: snapshot)
    try cursor.seekToFirst()
    while cursor.isValid {
      let key = cursor.keyBytes
      if model[key] != cursor.valueBytes { return "\(keyspace.name): value of \(key)" }
      found.append(key)
      try cursor.moveNext()
    }
    if found != keys { return "\(keyspace.name): \(found.count) keys, not \(keys.count)" }
    found.removeAll()
    try cursor.seekToLast()
    while cursor.isValid {
      let key = cursor.keyBytes
      if model[key] != cursor.valueBytes { return "\(keyspace.name): value of \(key), going back" }
      found.append(key)
      try cursor.movePrevious()
    }
    if found != keys.reversed() { return "\(keyspace.name): \(found.count) keys, going back" }
    for key in keys where try keyspace.get(key, at: snapshot) != model[key] {
      return "\(keyspace.name): reading \(key)"
    }
    return nil
  }

  /// How keyspaces differ from contents.
  static func difference(_ keyspaces: [OrderedKeyspace], _ contents: Contents) throws -> String? {
    for (keyspace, model) in zip(keyspaces, contents.models) {
      if let difference = try difference(keyspace, model) { return difference }
    }
    return nil
  }

  /// How the open store differs from the model.
  func difference() throws -> String? { try Self.difference(keyspaces, contents) }

  /// What keyspaces hold, by their cursors.
  static func contents(of keyspaces: [OrderedKeyspace]) throws -> Contents {
    let models = try keyspaces.map { keyspace in
      var model: Model = [:]
      var cursor = keyspace.cursor()
      try cursor.seekToFirst()
      while cursor.isValid {
        model[cursor.keyBytes] = cursor.valueBytes
        try cursor.moveNext()
      }
      return model
    }
    return Contents(logged: Array(models.dropLast()), unlogged: models[unloggedPlace])
  }

  // MARK: - After a crash

  /// What is wrong with the state on a disk after a crash; `nil` when it was promised.
  ///
  /// - Parameters:
  ///   - promise: what must be there; the last that was given when `nil`.
  ///   - afterKill: whether all that was answered must be there.
  ///   - goesOn: whether to write to it afterwards, and open it once more.
  func problem(
    with disk: MemoryFileSystem, _ promise: Promise? = nil, afterKill: Bool = false,
    goesOn: Bool = true
  ) throws -> String? {
    let promise = promise ?? self.promise
    if let problem = try checkpointProblem(on: disk, promise) { return problem }
    let store = try StateStore.open(
      at: "/state", options: Self.options(clock), fileSystem: disk)
    let keyspaces = try Self.open(store, style)
    let number = Int(store.lastEpoch.metadata.first ?? 0)
    guard number >= promise.epoch, number < epochs.count else {
      return "epoch \(number), not \(promise.epoch) at least"
    }
    let epoch = epochs[number]
    let first = max(
      afterKill ? promise.answeredIndex : promise.historyIndex, epoch.historyIndex)
    let found = try Self.contents(of: keyspaces)
    guard history[first...].contains(found.logged) else {
      return "no state of the log from \(first) to \(history.count - 1)"
    }
    if found.unlogged != epoch.unlogged {
      return "the keyspace without a log is not as of epoch \(number)"
    }
    if let problem = try Self.difference(keyspaces, found) { return problem }
    return try goesOn ? Self.problemGoingOn(store, keyspaces, disk) : nil
  }

  /// It goes on, its new log follows the old one, and an epoch leaves no file that nothing names.
  private static func problemGoingOn(
    _ store: StateStore, _ keyspaces: [OrderedKeyspace], _ disk: MemoryFileSystem
  ) throws -> String? {
    try keyspaces[0].put([1, 2, 3], [4], durability: .synchronized)
    try store.close()
    let again = try StateStore.open(
      at: "/state", options: options(ManualClock()), fileSystem: disk)
    guard try open(again)[0].get([1, 2, 3]) == [4] else { return "a write after it is lost" }
    let orphans = try orphans(of: again, on: disk)
    if !orphans.isEmpty { return "files that nothing names: \(orphans)" }
    let damage = try ReadOnlyStore.open(at: "/state", fileSystem: disk).verify()
    return damage.isEmpty ? nil : "damage: \(damage)"
  }

  /// Commits an epoch and closes the store; files of its directory that its state does not name.
  static func orphans(of store: StateStore, on disk: MemoryFileSystem) throws -> [String] {
    // The first epoch lets merges go ahead, the second takes in what they made.
    for _ in 0..<2 {
      try store.commitEpoch(metadata: store.lastEpoch.metadata)
      try store.waitUntilIdle()
    }
    try store.close()
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: disk).state
    let current = String(decoding: try disk.contents(of: "state/CURRENT"), as: UTF8.self)
    let named =
      state.tableReferences.map(\.number.tableName) + state.logs.map(\.number.logName)
      + ["CURRENT", "LOCK", String(current.prefix { $0 != " " })]
    return disk.files().filter { path in
      path.hasPrefix("state/") && !named.contains(String(path.dropFirst(6)))
    }
  }

  /// What is wrong with the newest checkpoint.
  private func checkpointProblem(
    on disk: MemoryFileSystem, _ promise: Promise
  ) throws -> String? {
    guard let checkpoint = promise.checkpoint else { return nil }
    try StateStore.restore(
      checkpoint: CheckpointReference(path: "/backups"), to: "/restored", fileSystem: disk)
    let store = try StateStore.open(
      at: "/restored", options: Self.options(clock), fileSystem: disk)
    let number = Int(store.lastEpoch.metadata.first ?? 0)
    guard number >= checkpoint, number < epochs.count else {
      return "a checkpoint of epoch \(number), not \(checkpoint) at least"
    }
    let expected = Contents(
      logged: history[epochs[number].historyIndex], unlogged: epochs[number].unlogged)
    return try Self.difference(Self.open(store), expected).map { "checkpoint: \($0)" }
  }
}
