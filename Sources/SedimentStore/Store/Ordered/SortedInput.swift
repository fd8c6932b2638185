// Entries in order of their keys, written to tables beside the keyspace.
//
// The tables have no sequence numbers: those are given when all of them come into the keyspace at
// once (`StoreCore+Ingestion`). Until then nothing names the files.

internal import SedimentIO

/// Takes entries in rising order of keys; see `OrderedKeyspace.ingest`.
public struct SortedInput: ~Copyable {
  private let store: StoreCore
  private let keyspace: OrderedKeyspace
  private var tables: OrderedTableSeries
  private var lastKey = KeyCopy()
  /// A value behind the time of its expiry.
  private var expiring: [UInt8] = []
  /// The first error, which all that follows ends with.
  private var failure: StoreError?
  /// Entries that a table is expected to have.
  private var expectedEntries = 0
  /// Entries taken so far.
  public private(set) var count = 0

  init(_ keyspace: OrderedKeyspace) {
    self.keyspace = keyspace
    store = keyspace.store
    // They go deep, mostly.
    tables = OrderedTableSeries(
      of: keyspace, isCompressed: keyspace.options.uncompressedLevels < OrderedLevels.count)
  }

  /// Takes an entry, whose key is behind all before it. Both are copied.
  ///
  /// - Parameter timeToLive: how long it counts from now on; `nil` for the keyspace's own.
  /// - Throws: `invalidArgument` when the key is not behind the last one, or one of the two is too
  ///   long; `noSpace`, `inputOutput`. After an error nothing of the input comes in.
  public mutating func add(
    _ key: [UInt8], _ value: [UInt8], timeToLive: TimeToLive? = nil
  ) throws(StoreError) {
    try unsafe add(key.span.bytes, value.span.bytes, timeToLive: timeToLive)
  }

  /// Takes an entry, whose key is behind all before it. Both are copied.
  ///
  /// - Throws: as above.
  public mutating func add(
    _ key: RawSpan, _ value: RawSpan, timeToLive: TimeToLive? = nil
  ) throws(StoreError) {
    if let failure { throw failure }
    do throws(StoreError) {
      // Whoever closes the store waits.
      try store.checkWritable()
      try take(key, value, timeToLive)
    } catch {
      failure = error
      throw error
    }
  }

  private mutating func take(
    _ key: RawSpan, _ value: RawSpan, _ timeToLive: TimeToLive?
  ) throws(StoreError) {
    let expiresAt = try keyspace.expiry(timeToLive)
    try unsafe key.withUnsafeBytes { key throws(StoreError) in
      try unsafe value.withUnsafeBytes { value throws(StoreError) in
        try unsafe check(key, value)
        try wrapping {
          guard let expiresAt else {
            return try unsafe append(key, EntryTag(sequence: 0, kind: .put), value)
          }
          expiring.removeAll(keepingCapacity: true)
          unsafe withUnsafeBytes(of: expiresAt.littleEndian) {
            unsafe expiring.append(contentsOf: $0)
          }
          unsafe expiring.append(contentsOf: value)
          let tag = EntryTag(sequence: 0, kind: .put, expires: true)
          try unsafe expiring.withUnsafeBytes { try unsafe append(key, tag, $0) }
        }
      }
    }
  }

  private func check(
    _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
  ) throws(StoreError) {
    guard key.count <= EntryLayout.keyBytesMax else {
      throw StoreError(
        .invalidArgument, "a key of \(key.count) bytes is longer than \(EntryLayout.keyBytesMax)")
    }
    guard value.count <= BlockFormat.valueBytesMax - EntryExpiry.byteCount else {
      throw StoreError(.invalidArgument, "a value of \(value.count) bytes is longer than 64 MiB")
    }
    guard count == 0 || (unsafe KeyOrder.compare(lastKey.bytes, key) < 0) else {
      let shown = unsafe String(decoding: key.prefix(80), as: UTF8.self)
      throw StoreError(
        .invalidArgument,
        "entry \(count + 1), key \(shown.debugDescription): not behind the one before; keys of "
          + "sorted input rise")
    }
  }

  private mutating func append(
    _ key: UnsafeRawBufferPointer, _ tag: EntryTag, _ value: UnsafeRawBufferPointer
  ) throws {
    if expectedEntries == 0 {
      // Values compress to half, mostly.
      expectedEntries = 2 * Int(store.orderedTableBytes) / (key.count + value.count + 8) + 1
    }
    if tables.tableBytes >= store.orderedTableBytes {
      try tables.endTable()
      // The next one will have about as many.
      expectedEntries = Int(tables.finished.last?.entryCount ?? 0) * 17 / 16
    }
    unsafe lastKey.set(to: key)
    count += 1
    try unsafe tables.append(key, tag, value, expectedEntries: expectedEntries)
  }

  /// Brings what was taken into the keyspace.
  mutating func install() throws {
    if let failure { throw failure }
    try tables.endTable()
    if !tables.finished.isEmpty { try store.install(tables.finished, in: keyspace) }
  }

  /// Removes what was written.
  mutating func giveUp() { tables.giveUp() }
}

extension OrderedKeyspace {
  /// Takes many entries in order of their keys, all at once: they go to tables without log and
  /// memtable, and mostly to where no merge takes them up again.
  ///
  /// ```swift
  /// try words.ingest { input in
  ///   for (key, value) in sorted { try input.add(key, value) }
  /// }
  /// ```
  ///
  /// They count as one write, made when `body` has returned: a read sees all of them or none, and
  /// where a key has a value, theirs is newer. Of a keyspace with a log they are durable when the
  /// call returns, or soon after the commit of an epoch that is pending; otherwise as of the next
  /// epoch.
  ///
  /// Writes of other threads go on while `body` runs, and wait while what they have in memory is
  /// flushed, and the tables are opened. Closing the store waits for `body`, whose next `add`
  /// throws.
  ///
  /// - Returns: how many came in.
  /// - Throws: what `body` throws, and as `put`, and then nothing has come in; but where the
  ///   message says that it has, only its record in the manifest is missing, which is made when it
  ///   can be.
  @discardableResult
  public func ingest(_ body: (inout SortedInput) throws -> Void) throws -> Int {
    let count = try store.ingesting {
      var input = SortedInput(self)
      do {
        try body(&input)
        try wrapping { try input.install() }
      } catch {
        input.giveUp()
        throw error
      }
      return input.count
    }
    do throws(StoreError) {
      try wrapping { try store.waitUntilRecorded(self) }
    } catch {
      throw StoreError(
        error.code,
        "what was ingested into \(name) has come in and is not durable yet: \(error.message)",
        cause: error)
    }
    return count
  }
}
