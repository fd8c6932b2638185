public import SedimentStore

extension AsyncStateStore {
  // MARK: - Keyspaces

  /// Opens an ordered keyspace, and makes it when there is none of that name.
  ///
  /// - Throws: as `StateStore.orderedKeyspace`, and `cancelled`.
  public nonisolated(nonsending) func orderedKeyspace(
    _ name: String, _ options: OrderedKeyspaceOptions = OrderedKeyspaceOptions()
  ) async throws(StoreError) -> AsyncOrderedKeyspace {
    let keyspace = try await call(.maintaining) { store throws(StoreError) in
      try store.orderedKeyspace(name, options)
    }
    return AsyncOrderedKeyspace(keyspace, of: self)
  }

  /// Opens a hashed keyspace, and makes it when there is none of that name. Its batches are calls
  /// for `run`.
  ///
  /// - Throws: as `StateStore.keyspace`, and `cancelled`.
  public nonisolated(nonsending) func keyspace(
    _ name: String, _ options: KeyspaceOptions
  ) async throws(StoreError) -> HashedKeyspace {
    try await call(.maintaining) { store throws(StoreError) in try store.keyspace(name, options) }
  }

  // MARK: - Writing

  /// Writes a batch: all of it, or nothing.
  ///
  /// - Throws: as `StateStore.write`, and `cancelled`.
  public nonisolated(nonsending) func write(
    _ batch: WriteBatch, durability: Durability = .buffered
  ) async throws(StoreError) {
    try await call(.writing) { store throws(StoreError) in
      try store.write(batch, durability: durability)
    }
  }

  /// Makes all that was written to keyspaces with a log durable.
  ///
  /// - Throws: as `StateStore.synchronizeLog`, and `cancelled`.
  public nonisolated(nonsending) func synchronizeLog() async throws(StoreError) {
    try await call(.writing) { store throws(StoreError) in try store.synchronizeLog() }
  }

  // MARK: - Epochs

  /// Makes everything written so far durable, together with `metadata`, in one step.
  ///
  /// - Throws: as `StateStore.commitEpoch`, and `cancelled`.
  @discardableResult
  public nonisolated(nonsending) func commitEpoch(
    metadata: [UInt8] = []
  ) async throws(StoreError) -> EpochID {
    try await call(.maintaining) { store throws(StoreError) in
      try store.commitEpoch(metadata: metadata)
    }
  }

  /// Cuts an epoch, which becomes durable by `commit`.
  ///
  /// - Throws: as `StateStore.beginEpoch`, and `cancelled`.
  public nonisolated(nonsending) func beginEpoch(
    metadata: [UInt8] = []
  ) async throws(StoreError) -> PendingEpoch {
    try await call(.maintaining) { store throws(StoreError) in
      try store.beginEpoch(metadata: metadata)
    }
  }

  /// Makes an epoch durable. Of a task that was cancelled the epoch stays pending: commit it in
  /// another, or abandon it.
  ///
  /// - Throws: as `PendingEpoch.commit`, and `cancelled`.
  @discardableResult
  public nonisolated(nonsending) func commit(
    _ epoch: PendingEpoch
  ) async throws(StoreError) -> EpochID {
    try await call(.maintaining) { _ throws(StoreError) in try epoch.commit() }
  }

  /// Says that an epoch stands; those before it may go.
  ///
  /// - Throws: as `StateStore.confirmEpoch`, and `cancelled`.
  public nonisolated(nonsending) func confirmEpoch(
    _ number: UInt64? = nil
  ) async throws(StoreError) {
    try await call(.maintaining) { store throws(StoreError) in try store.confirmEpoch(number) }
  }

  // MARK: - Maintenance

  /// Makes a checkpoint in a directory that other checkpoints may be in.
  ///
  /// - Throws: as `StateStore.checkpoint`, and `cancelled`.
  @discardableResult
  public nonisolated(nonsending) func checkpoint(
    to path: String, committing: Bool = true
  ) async throws(StoreError) -> CheckpointInfo {
    try await call(.maintaining) { store throws(StoreError) in
      try store.checkpoint(to: path, committing: committing)
    }
  }

  /// Makes a savepoint in a directory of its own.
  ///
  /// - Throws: as `StateStore.savepoint`, and `cancelled`.
  @discardableResult
  public nonisolated(nonsending) func savepoint(
    to path: String, committing: Bool = true
  ) async throws(StoreError) -> CheckpointInfo {
    try await call(.maintaining) { store throws(StoreError) in
      try store.savepoint(to: path, committing: committing)
    }
  }

  /// Writes what ordered keyspaces hold in memory to tables.
  ///
  /// - Throws: as `StateStore.flush`, and `cancelled`.
  public nonisolated(nonsending) func flush() async throws(StoreError) {
    try await call(.maintaining) { store throws(StoreError) in try store.flush() }
  }

  /// Merges everything as far as it may be merged.
  ///
  /// - Throws: as `StateStore.compact`, and `cancelled`.
  public nonisolated(nonsending) func compact() async throws(StoreError) {
    try await call(.maintaining) { store throws(StoreError) in try store.compact() }
  }

  /// Waits until no flush or merge is under way or due.
  ///
  /// - Throws: as `StateStore.waitUntilIdle`, and `cancelled`.
  public nonisolated(nonsending) func waitUntilIdle() async throws(StoreError) {
    try await call(.maintaining) { store throws(StoreError) in try store.waitUntilIdle() }
  }

  /// Ends background work and releases the directory; not stopped by cancellation. What no epoch
  /// and no log has made durable is dropped.
  ///
  /// - Throws: as `StateStore.close`.
  public nonisolated(nonsending) func close() async throws(StoreError) {
    try await threads(.maintaining).run(isCancellable: false) { [base] () throws(StoreError) in
      try base.close()
    }
  }
}
