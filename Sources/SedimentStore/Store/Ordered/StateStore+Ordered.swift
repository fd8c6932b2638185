internal import SedimentIO

extension StateStore {
  /// Opens an ordered keyspace, and makes it when there is none of that name.
  ///
  /// - Parameter name: 1 to 255 bytes of UTF-8.
  /// - Throws: `optionsDiffer`, naming what differs, when it was made with other options, or as a
  ///   hashed keyspace.
  public func orderedKeyspace(
    _ name: String, _ options: OrderedKeyspaceOptions = OrderedKeyspaceOptions()
  ) throws(StoreError) -> OrderedKeyspace {
    try core.checkWritable()
    if let complaint = options.complaint { throw StoreError(.invalidArgument, complaint) }
    if let existing = orderedKeyspace(named: name) {
      try Self.check(existing.options.differences(from: options), of: name)
      existing.rules.merging.adopt(options.mergeOperator)
      return existing
    }
    return try createOrdered(name, options)
  }

  /// The ordered keyspace of a name; `nil` when there is none.
  public func orderedKeyspace(named name: String) -> OrderedKeyspace? {
    core.monitor.withLock { core.orderedKeyspaces.first { $0.name == name } }
  }

  private func createOrdered(
    _ name: String, _ options: OrderedKeyspaceOptions
  ) throws(StoreError) -> OrderedKeyspace {
    try Self.check(name: name)
    commitLock.lock()
    defer { commitLock.unlock() }
    // Another thread may have made it meanwhile, or closed the store.
    try core.checkWritable()
    if orderedKeyspace(named: name) != nil { return try orderedKeyspace(name, options) }
    if keyspace(named: name) != nil {
      throw StoreError(.optionsDiffer, "keyspace \(name) is a hashed one, not an ordered one")
    }
    return try wrapping {
      let before = core.manifest.state
      try Self.checkCount(before)
      let state = OrderedKeyspaceState(
        id: before.nextKeyspaceID, name: name, options: options,
        flushedSequence: core.writes.publishedSequence)
      // First what may fail and leaves nothing behind: its memory.
      let view = OrderedView(
        active: try core.makeOrderedMemtable(keyspaces: core.keyspaceCount + 1), frozen: [],
        levels: OpenLevels(OrderedLevels(), [:]))
      let keyspace = OrderedKeyspace(state, store: core, view: view)
      try core.replaceManifest(number: core.allocateFileNumber()) { stored in
        stored.orderedKeyspaces.append(state)
        stored.nextKeyspaceID += 1
        stored.nextFileNumber = max(stored.nextFileNumber, core.peekNextFileNumber)
      }
      keyspace.rules.merging.adopt(options.mergeOperator)
      core.add(keyspace)
      return keyspace
    }
  }

  // MARK: - Writing and reading

  /// Writes a batch: all of it, or nothing.
  ///
  /// - Throws: `invalidArgument` when its keyspaces are of another store; `noSpace` when the disk
  ///   is full, and then nothing was written; `poisoned`, `closed`, `inputOutput`.
  public func write(
    _ batch: WriteBatch, durability: Durability = .buffered
  ) throws(StoreError) {
    try core.write(batch, durability)
  }

  /// Makes all that was written to keyspaces with a log durable.
  ///
  /// - Throws: `poisoned`, `closed`, `inputOutput`.
  public func synchronizeLog() throws(StoreError) {
    try core.checkWritable()
    try wrapping { try core.synchronizeWriteLog() }
  }

  /// Writes what ordered keyspaces hold in memory to tables, and waits until that is done: the next
  /// opening has no log to replay, and reads find nothing in the way.
  ///
  /// Nothing needs it to be durable: see `Durability`.
  ///
  /// - Throws: `noSpace` when the disk stays full for longer than `StoreOptions.fullDiskPatience`;
  ///   `poisoned`, `closed`.
  public func flush() throws(StoreError) {
    try core.checkWritable()
    try wrapping { try core.flushOrdered() }
  }

  /// A snapshot of all ordered keyspaces as they are now.
  public func snapshot() -> Snapshot { Snapshot(core) }

  /// Calls `body` with a snapshot that lives until it returns.
  public func withSnapshot<Answer, Failure: Error>(
    _ body: (Snapshot) throws(Failure) -> Answer
  ) throws(Failure) -> Answer {
    try body(snapshot())
  }

  /// How long the oldest snapshot has been open; `nil` without any.
  public var oldestSnapshotAge: Duration? {
    core.snapshots.oldestNanos.map {
      .nanoseconds(Int64(clamping: core.options.clock.monotonicNanos() &- $0))
    }
  }
}
