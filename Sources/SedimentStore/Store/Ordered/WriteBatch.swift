/// What makes a write of an ordered keyspace durable.
public enum Durability: UInt8, Hashable, Sendable, Comparable {
  /// It survives the end of the process once the call has returned, and power loss at the latest
  /// with the next `synchronized` write, epoch or checkpoint.
  case buffered
  /// It survives power loss once the call has returned.
  case synchronized

  public static func < (a: Durability, b: Durability) -> Bool { a.rawValue < b.rawValue }
}

/// Writes to ordered keyspaces of one store that are done together: all of them, or none.
///
/// ```swift
/// var batch = WriteBatch()
/// try batch.put(Array("alice".utf8), Array("60".utf8), in: accounts)
/// try batch.put(Array("bob".utf8), Array("40".utf8), in: accounts)
/// try store.write(batch)
/// ```
///
/// Writes to one key count in their order. A batch that was written can be written again.
public struct WriteBatch: Sendable {
  /// What a batch has for one keyspace.
  struct Part: Sendable {
    var keyspace: OrderedKeyspace
    var need = OrderedMemtable.Need()
  }

  var buffer = WriteBatchBuffer()
  private(set) var parts: [Part] = []
  /// Of all its removals of ranges.
  private(set) var removalWeight = 0
  /// One batch lies in one memtable.
  static let removalWeightMax = 1_024

  /// A batch of nothing.
  public init() {}

  /// Writes in it.
  public var count: Int { buffer.count }
  /// Whether there are none.
  public var isEmpty: Bool { buffer.count == 0 }

  /// Empties the batch and keeps its memory.
  public mutating func removeAll() {
    buffer.removeAll()
    removalWeight = 0
    parts.removeAll(keepingCapacity: true)
  }

  /// Sets the value of a key.
  ///
  /// - Parameters:
  ///   - key: up to 65,536 bytes.
  ///   - timeToLive: how long it counts from now on; `nil` for the keyspace's own.
  /// - Throws: `invalidArgument` when the key is too long, or the batch has no room for as much: it
  ///   may have 64 MiB in all.
  public mutating func put(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil, in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    try unsafe put(key.span.bytes, value.span.bytes, timeToLive: timeToLive, in: keyspace)
  }

  /// Sets the value of a key; both are copied.
  public mutating func put(
    _ key: RawSpan, _ value: RawSpan, timeToLive: TimeToLive? = nil, in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    let expiresAt = try keyspace.expiry(timeToLive)
    try append(.put, key, value, expiresAt: expiresAt, in: keyspace)
  }

  /// Removes a key, whether it is there or not.
  ///
  /// - Throws: as `put`.
  public mutating func remove(
    _ key: [UInt8], in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    try unsafe remove(key.span.bytes, in: keyspace)
  }

  /// Removes a key, whether it is there or not.
  public mutating func remove(_ key: RawSpan, in keyspace: OrderedKeyspace) throws(StoreError) {
    try append(.remove, key, RawSpan(), expiresAt: nil, in: keyspace)
  }

  /// Merges an operand into the value of a key, by the keyspace's merge operator.
  ///
  /// With a time to live, the operand counts for so long, and its neighbours for theirs.
  ///
  /// - Throws: `invalidArgument` where the keyspace has no merge operator; and as `put`.
  public mutating func merge(
    _ key: [UInt8], _ operand: [UInt8], timeToLive: TimeToLive? = nil, in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    try unsafe merge(key.span.bytes, operand.span.bytes, timeToLive: timeToLive, in: keyspace)
  }

  /// Merges an operand into the value of a key; both are copied.
  ///
  /// - Throws: as above.
  public mutating func merge(
    _ key: RawSpan, _ operand: RawSpan, timeToLive: TimeToLive? = nil, in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    guard keyspace.options.mergeOperator != nil else {
      throw StoreError(
        .invalidArgument,
        "keyspace \(keyspace.name) was made without a merge operator, so nothing can be merged")
    }
    let expiresAt = try keyspace.expiry(timeToLive)
    try append(.merge, key, operand, expiresAt: expiresAt, in: keyspace)
  }

  /// Removes all keys from `lower` on, up to and without `upper`, by one write: of what the batch
  /// has before, too, but nothing that comes behind.
  ///
  /// - Parameter upper: behind the last key; `nil` for no bound.
  /// - Throws: as `put`; and `invalidArgument` for more than 1,024 in a batch, each KiB of bounds
  ///   counted as another one.
  public mutating func removeRange(
    from lower: [UInt8], to upper: [UInt8]?, in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    if let upper, upper.count > EntryLayout.keyBytesMax {
      throw StoreError(
        .invalidArgument,
        "a bound of \(upper.count) bytes is longer than \(EntryLayout.keyBytesMax)")
    }
    let removal = RangeRemoval(lower: lower, upper: upper, sequence: 0)
    if removal.isEmpty { return }
    let (key, value) = removal.bounds
    let weight = OrderedMemtable.removalWeight(bytes: key.count + value.count)
    guard removalWeight + weight <= Self.removalWeightMax else {
      throw StoreError(
        .invalidArgument,
        "a batch has 1,024 removals of ranges at the most, fewer when their bounds are long: write "
          + "it in parts")
    }
    try unsafe append(.removeRange, key.span.bytes, value.span.bytes, expiresAt: nil, in: keyspace)
    removalWeight += weight
    if let index = parts.firstIndex(where: { $0.keyspace === keyspace }) {
      parts[index].need.removalWeight += weight
    }
  }

  private mutating func append(
    _ kind: OrderedKind, _ key: RawSpan, _ value: RawSpan, expiresAt: Int64?,
    in keyspace: OrderedKeyspace
  ) throws(StoreError) {
    guard key.byteCount <= EntryLayout.keyBytesMax else {
      throw StoreError(
        .invalidArgument,
        "a key of \(key.byteCount) bytes is longer than \(EntryLayout.keyBytesMax)")
    }
    if let first = parts.first, first.keyspace !== keyspace {
      guard first.keyspace.options.isLogged && keyspace.options.isLogged else {
        throw StoreError(
          .invalidArgument,
          "a batch across keyspaces needs the log of each: \(first.keyspace.name) or "
            + "\(keyspace.name) has none")
      }
      guard first.keyspace.store === keyspace.store else {
        throw StoreError(
          .invalidArgument, "\(first.keyspace.name) and \(keyspace.name) are of two stores")
      }
    }
    let isIn = unsafe key.withUnsafeBytes { key in
      unsafe value.withUnsafeBytes { value in
        unsafe buffer.append(
          keyspace: keyspace.id, kind: kind, key: key, value: value, expiresAt: expiresAt)
      }
    }
    guard isIn else {
      throw StoreError(
        .invalidArgument,
        "a value of \(value.byteCount) bytes has no room: a batch has 64 MiB in all")
    }
    let bytes = key.byteCount + value.byteCount + (expiresAt == nil ? 0 : 8)
    let index = parts.firstIndex { $0.keyspace === keyspace }
    if index == nil { parts.append(Part(keyspace: keyspace)) }
    parts[index ?? parts.count - 1].need += OrderedMemtable.Need(entries: 1, bytes: bytes)
  }

  /// Bytes of memory it holds.
  var capacity: Int { buffer.capacity }

  /// Whether its writes go to the log; a batch has only such or only others.
  var isLogged: Bool { parts.first?.keyspace.options.isLogged ?? false }
}
