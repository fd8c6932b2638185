public import SedimentStore

/// Keys and values in the order of the keys, for tasks; see `OrderedKeyspace` and
/// `AsyncStateStore`, which says what cancellation does.
///
/// ```swift
/// let words = try await store.orderedKeyspace("words")
/// try await words.put(Array("stone".utf8), Array("a hard thing".utf8))
/// for try await (word, meaning) in words.entries(prefix: Array("st".utf8)) {
///   print(word.count, meaning.count)
/// }
/// ```
public struct AsyncOrderedKeyspace: Sendable {
  /// The blocking face of the same keyspace, which batches and `run` use.
  public let base: OrderedKeyspace
  /// The store whose threads make the calls.
  public let store: AsyncStateStore

  /// A face of a keyspace, whose calls the store's threads make.
  ///
  /// - Precondition: it is a keyspace of that store.
  public init(_ keyspace: OrderedKeyspace, of store: AsyncStateStore) {
    base = keyspace
    self.store = store
  }

  // MARK: - Reading

  /// The value of a key; `nil` when it is not there, was removed or has expired.
  ///
  /// - Throws: as `OrderedKeyspace.get`, and `cancelled`.
  public nonisolated(nonsending) func get(
    _ key: [UInt8], at snapshot: Snapshot? = nil
  ) async throws(StoreError) -> [UInt8]? {
    try await call(.reading) { base throws(StoreError) in try base.get(key, at: snapshot) }
  }

  /// The values of keys, in their order and all of one moment, at the price of one call.
  ///
  /// - Throws: as `OrderedKeyspace.get`, and `cancelled`.
  public nonisolated(nonsending) func values(
    of keys: [[UInt8]], at snapshot: Snapshot? = nil
  ) async throws(StoreError) -> [[UInt8]?] {
    try await call(.reading) { base throws(StoreError) in
      try base.get(keys, at: snapshot)
    }
  }

  /// Whether a key has a value.
  ///
  /// - Throws: as `OrderedKeyspace.contains`, and `cancelled`.
  public nonisolated(nonsending) func contains(
    _ key: [UInt8], at snapshot: Snapshot? = nil
  ) async throws(StoreError) -> Bool {
    try await call(.reading) { base throws(StoreError) in try base.contains(key, at: snapshot) }
  }

  // MARK: - Writing

  /// Sets the value of a key.
  ///
  /// - Throws: as `OrderedKeyspace.put`, and `cancelled`.
  public nonisolated(nonsending) func put(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) async throws(StoreError) {
    try await call(.writing) { base throws(StoreError) in
      try base.put(key, value, timeToLive: timeToLive, durability: durability)
    }
  }

  /// Removes a key, whether it is there or not.
  ///
  /// - Throws: as `OrderedKeyspace.remove`, and `cancelled`.
  public nonisolated(nonsending) func remove(
    _ key: [UInt8], durability: Durability = .buffered
  ) async throws(StoreError) {
    try await call(.writing) { base throws(StoreError) in
      try base.remove(key, durability: durability)
    }
  }

  /// Merges an operand into the value of a key.
  ///
  /// - Throws: as `OrderedKeyspace.merge`, and `cancelled`.
  public nonisolated(nonsending) func merge(
    _ key: [UInt8], _ operand: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) async throws(StoreError) {
    try await call(.writing) { base throws(StoreError) in
      try base.merge(key, operand, timeToLive: timeToLive, durability: durability)
    }
  }

  /// Removes all keys from `lower` on, up to and without `upper`, by one write.
  ///
  /// - Throws: as `OrderedKeyspace.removeRange`, and `cancelled`.
  public nonisolated(nonsending) func removeRange(
    from lower: [UInt8], to upper: [UInt8]?, durability: Durability = .buffered
  ) async throws(StoreError) {
    try await call(.writing) { base throws(StoreError) in
      try base.removeRange(from: lower, to: upper, durability: durability)
    }
  }

  /// Brings many entries in at once, in order of their keys; see `OrderedKeyspace.ingest`.
  ///
  /// - Parameter body: adds the entries; called on one of the store's threads, where it may block.
  /// - Returns: how many there were.
  /// - Throws: as `OrderedKeyspace.ingest`, what `body` throws, and `cancelled`, of a task that was
  ///   cancelled before it began.
  public nonisolated(nonsending) func ingest(
    _ body: @escaping @Sendable (inout SortedInput) throws -> Void
  ) async throws -> Int {
    try await call(.writing) { base throws(StoreError) in
      Result { try base.ingest(body) }
    }.get()
  }

  /// Sets the value of a key that has none.
  ///
  /// - Returns: whether it had none; otherwise nothing is changed.
  /// - Throws: as `OrderedKeyspace.insertIfAbsent`, and `cancelled`.
  public nonisolated(nonsending) func insertIfAbsent(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) async throws(StoreError) -> Bool {
    try await call(.writing) { base throws(StoreError) in
      try base.insertIfAbsent(key, value, timeToLive: timeToLive, durability: durability)
    }
  }

  /// Sets or removes the value of a key that has the value expected.
  ///
  /// - Parameters:
  ///   - expected: the value it must have; `nil` for none.
  ///   - value: the new one; `nil` to remove the key.
  /// - Returns: whether it had; otherwise nothing is changed.
  /// - Throws: as `OrderedKeyspace.compareAndSet`, and `cancelled`.
  public nonisolated(nonsending) func compareAndSet(
    _ key: [UInt8], expected: [UInt8]?, to value: [UInt8]?, timeToLive: TimeToLive? = nil,
    durability: Durability = .buffered
  ) async throws(StoreError) -> Bool {
    try await call(.writing) { base throws(StoreError) in
      try base.compareAndSet(
        key, expected: expected, to: value, timeToLive: timeToLive, durability: durability)
    }
  }

  private nonisolated(nonsending) func call<Answer: Sendable>(
    _ work: StoreWork, _ body: @escaping @Sendable (OrderedKeyspace) throws(StoreError) -> Answer
  ) async throws(StoreError) -> Answer {
    try await store.threads(work).run { [base] () throws(StoreError) in try body(base) }
  }
}
