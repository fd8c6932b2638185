// The states of a keyed operator, as stream processors have them: each is a keyspace in which every
// key of the stream has a value, a map, a list, or what its values were reduced to.

public import SedimentStore

/// How long states count.
public struct StateLifetime: Hashable, Sendable {
  /// What begins the time anew.
  public enum Renewal: Hashable, Sendable {
    /// A write.
    case onWrite
    /// A write, and a read, which writes.
    case onReadAndWrite
  }

  /// From the last renewal on.
  public var timeToLive: TimeToLive
  /// What begins it anew.
  public var renewal: Renewal

  /// A lifetime of its parts.
  public init(_ timeToLive: TimeToLive, renewal: Renewal = .onWrite) {
    self.timeToLive = timeToLive
    self.renewal = renewal
  }

  /// Until it is removed.
  public static let forever = StateLifetime(.forever)
}

/// One value for each key.
public struct ValueState<Key: OrderedKey, Value>: Sendable {
  private let keyspace: Keyspace<Key, Value>
  private let lifetime: StateLifetime

  /// A state in a keyspace of its own.
  public init(
    _ base: OrderedKeyspace, values: ValueCodec<Value>, lifetime: StateLifetime = .forever
  ) {
    keyspace = Keyspace(base, values: values)
    self.lifetime = lifetime
  }

  /// The value of a key; `nil` when it has none.
  public func value(for key: Key) throws -> Value? {
    guard lifetime.renewal == .onReadAndWrite else { return try keyspace.get(key) }
    return try keyspace.update(key, timeToLive: lifetime.timeToLive) { $0 }
  }

  /// Sets the value of a key.
  public func update(_ value: Value, for key: Key) throws {
    try keyspace.put(key, value, timeToLive: lifetime.timeToLive)
  }

  /// Removes the value of a key.
  public func clear(_ key: Key) throws { try keyspace.remove(key) }
}

/// A map for each key.
public struct MapState<Key: OrderedKey, Field: OrderedKey, Value>: Sendable {
  private let keyspace: Keyspace<KeyTuple<Key, Field>, Value>
  private let lifetime: StateLifetime

  /// A state in a keyspace of its own; every field has its own lifetime.
  public init(
    _ base: OrderedKeyspace, values: ValueCodec<Value>, lifetime: StateLifetime = .forever
  ) {
    keyspace = Keyspace(base, values: values)
    self.lifetime = lifetime
  }

  /// The value of a field of a key's map; `nil` when it has none.
  public func value(of field: Field, for key: Key) throws -> Value? {
    let place = KeyTuple(key, field)
    guard lifetime.renewal == .onReadAndWrite else { return try keyspace.get(place) }
    return try keyspace.update(place, timeToLive: lifetime.timeToLive) { $0 }
  }

  /// Sets the value of a field.
  public func put(_ value: Value, of field: Field, for key: Key) throws {
    try keyspace.put(KeyTuple(key, field), value, timeToLive: lifetime.timeToLive)
  }

  /// Removes a field.
  public func remove(_ field: Field, for key: Key) throws {
    try keyspace.remove(KeyTuple(key, field))
  }

  /// All of a key's map, in the order of its fields.
  public func entries(for key: Key) throws -> [(field: Field, value: Value)] {
    try keyspace.entries(startingWith: key).map { (field: $0.key.parts.1, value: $0.value) }
  }

  /// Removes all of a key's map.
  public func clear(_ key: Key) throws { try keyspace.removeAll(startingWith: key) }
}

/// A list for each key.
public struct ListState<Key: OrderedKey, Value>: Sendable {
  private let keyspace: Keyspace<KeyTuple<Key, UInt64>, Value>
  private let lifetime: StateLifetime

  /// A state in a keyspace of its own; every element has its own lifetime.
  public init(
    _ base: OrderedKeyspace, values: ValueCodec<Value>, lifetime: StateLifetime = .forever
  ) {
    keyspace = Keyspace(base, values: values)
    self.lifetime = lifetime
  }

  /// Appends a value to a key's list.
  public func append(_ value: Value, for key: Key) throws {
    let prefix = key.keyBytes
    while true {
      var cursor = keyspace.base.cursor(prefix: prefix)
      try cursor.seekToLast()
      let last = cursor.isValid ? try KeyTuple<Key, UInt64>(keyBytes: cursor.keyBytes) : nil
      let place = KeyTuple(key, last.map { $0.parts.1 + 1 } ?? 0)
      // Another thread may have appended meanwhile.
      if try keyspace.insertIfAbsent(place, value, timeToLive: lifetime.timeToLive) { return }
    }
  }

  /// A key's list, in the order in which it was appended.
  public func values(for key: Key) throws -> [Value] {
    let entries = try keyspace.entries(startingWith: key)
    if lifetime.renewal == .onReadAndWrite {
      for entry in entries {
        try keyspace.update(entry.key, timeToLive: lifetime.timeToLive) { $0 }
      }
    }
    return entries.map(\.value)
  }

  /// Removes a key's list.
  public func clear(_ key: Key) throws { try keyspace.removeAll(startingWith: key) }
}

/// For each key, what its values were reduced to.
public struct ReducingState<Key: OrderedKey, Value>: Sendable {
  private let keyspace: Keyspace<Key, Value>
  private let lifetime: StateLifetime
  private let reduce: @Sendable (Value, Value) -> Value

  /// A state in a keyspace of its own.
  ///
  /// - Parameter reduce: of what is there and what is added makes what is there then.
  public init(
    _ base: OrderedKeyspace, values: ValueCodec<Value>, lifetime: StateLifetime = .forever,
    reduce: @escaping @Sendable (Value, Value) -> Value
  ) {
    keyspace = Keyspace(base, values: values)
    self.lifetime = lifetime
    self.reduce = reduce
  }

  /// What a key's values were reduced to; `nil` without any.
  public func value(for key: Key) throws -> Value? {
    guard lifetime.renewal == .onReadAndWrite else { return try keyspace.get(key) }
    return try keyspace.update(key, timeToLive: lifetime.timeToLive) { $0 }
  }

  /// Adds a value.
  ///
  /// - Returns: what the key's values are reduced to then.
  @discardableResult
  public func add(_ value: Value, for key: Key) throws -> Value {
    try keyspace.update(key, timeToLive: lifetime.timeToLive) { before in
      before.map { reduce($0, value) } ?? value
    } ?? value
  }

  /// Forgets a key.
  public func clear(_ key: Key) throws { try keyspace.remove(key) }

  /// All keys and what their values were reduced to, in the order of the keys.
  public func entries() throws -> [(key: Key, value: Value)] { try keyspace.entries() }
}
