public import SedimentStore

/// An ordered keyspace whose keys and values have types.
///
/// ```swift
/// let users = Keyspace<Int, String>(try store.orderedKeyspace("users"), values: .text)
/// try users.put(17, "Ada")
/// for (id, name) in try users.entries(in: 10..<20) { print(id, name) }
/// ```
///
/// Thread-safe, as the keyspace below is. Throws `StoreError`, and what its codecs throw.
public struct Keyspace<Key: OrderedKey, Value>: Sendable {
  /// The bytes behind it.
  public let base: OrderedKeyspace
  let values: ValueCodec<Value>

  /// A view of a keyspace, which must hold keys and values of these types only.
  public init(_ base: OrderedKeyspace, values: ValueCodec<Value>) {
    self.base = base
    self.values = values
  }

  /// The value of a key; `nil` when it has none.
  public func get(_ key: Key, at snapshot: Snapshot? = nil) throws -> Value? {
    try base.get(key.keyBytes, at: snapshot).map(values.decode)
  }

  /// Sets the value of a key.
  public func put(
    _ key: Key, _ value: Value, timeToLive: TimeToLive? = nil, durability: Durability = .buffered
  ) throws {
    try base.put(
      key.keyBytes, values.encode(value), timeToLive: timeToLive, durability: durability)
  }

  /// Sets the value of a key in a batch.
  public func put(
    _ key: Key, _ value: Value, timeToLive: TimeToLive? = nil, in batch: inout WriteBatch
  ) throws {
    try batch.put(key.keyBytes, values.encode(value), timeToLive: timeToLive, in: base)
  }

  /// Removes a key, whether it is there or not.
  public func remove(_ key: Key, durability: Durability = .buffered) throws {
    try base.remove(key.keyBytes, durability: durability)
  }

  /// Removes a key in a batch.
  public func remove(_ key: Key, in batch: inout WriteBatch) throws {
    try batch.remove(key.keyBytes, in: base)
  }

  /// Sets the value of a key that has none; says whether it had none.
  public func insertIfAbsent(
    _ key: Key, _ value: Value, timeToLive: TimeToLive? = nil, durability: Durability = .buffered
  ) throws -> Bool {
    try base.insertIfAbsent(
      key.keyBytes, values.encode(value), timeToLive: timeToLive, durability: durability)
  }

  /// Replaces the value of a key by what `change` makes of it, with no other write to the key
  /// between the two; removes the key when that is `nil`.
  ///
  /// - Parameter change: may be called several times, when others write to the key meanwhile.
  /// - Returns: the new value.
  @discardableResult
  public func update(
    _ key: Key, timeToLive: TimeToLive? = nil, durability: Durability = .buffered,
    _ change: (Value?) throws -> Value?
  ) throws -> Value? {
    let keyBytes = key.keyBytes
    while true {
      let before = try base.get(keyBytes)
      let value = try change(before.map(values.decode))
      let isDone = try base.compareAndSet(
        keyBytes, expected: before, to: value.map(values.encode), timeToLive: timeToLive,
        durability: durability)
      if isDone { return value }
    }
  }

  // MARK: - In order

  /// All entries, in the order of the keys.
  public func entries(at snapshot: Snapshot? = nil) throws -> [(key: Key, value: Value)] {
    try entries(from: nil, to: nil, at: snapshot)
  }

  /// The entries whose keys lie in a range, in the order of the keys.
  public func entries(
    in range: Range<Key>, at snapshot: Snapshot? = nil
  ) throws -> [(key: Key, value: Value)] where Key: Comparable {
    try entries(from: range.lowerBound, to: range.upperBound, at: snapshot)
  }

  /// The entries from the key `lower` on, up to and without `upper`, in the order of the keys.
  public func entries(
    from lower: Key, to upper: Key, at snapshot: Snapshot? = nil
  ) throws -> [(key: Key, value: Value)] {
    try entries(from: lower.keyBytes, to: upper.keyBytes, at: snapshot)
  }

  /// The entries whose keys begin with the bytes of another key: of a composite one, its first
  /// parts.
  public func entries(
    startingWith prefix: some OrderedKey, at snapshot: Snapshot? = nil
  ) throws -> [(key: Key, value: Value)] {
    try entries(of: base.cursor(prefix: prefix.keyBytes, at: snapshot))
  }

  /// Removes all keys that begin with the bytes of another key, in one batch.
  ///
  /// - Throws: `invalidArgument` when they have no room in a batch: 64 MiB.
  public func removeAll(startingWith prefix: some OrderedKey) throws {
    var batch = WriteBatch()
    var cursor = base.cursor(prefix: prefix.keyBytes)
    try cursor.seekToFirst()
    while cursor.isValid {
      try batch.remove(cursor.keyBytes, in: base)
      try cursor.moveNext()
    }
    try base.write(batch)
  }

  private func entries(
    from lower: [UInt8]?, to upper: [UInt8]?, at snapshot: Snapshot?
  ) throws -> [(key: Key, value: Value)] {
    try entries(of: base.cursor(from: lower, to: upper, at: snapshot))
  }

  private func entries(
    of cursor: consuming EntryCursor
  ) throws -> [(key: Key, value: Value)] {
    var entries: [(key: Key, value: Value)] = []
    try cursor.seekToFirst()
    while cursor.isValid {
      entries.append((try Key(keyBytes: cursor.keyBytes), try values.decode(cursor.valueBytes)))
      try cursor.moveNext()
    }
    return entries
  }
}
