internal import SedimentIO
internal import Synchronization

extension HashedKeyspace {
  /// Sets the value of each key, whatever is there: afterwards the key has one entry, first seen at
  /// the given time. The times advance the watermark.
  ///
  /// - Parameters:
  ///   - times: milliseconds, one a key, within ±2⁶¹.
  ///   - values: `valueWidth` bytes a key; `nil` for zeros.
  /// - Throws: as `insertIfAbsent`.
  public func put(_ keys: KeyBatch, times: [Int64], values: [UInt8]? = nil) throws(StoreError) {
    guard times.count == keys.count,
      values == nil || values?.count == keys.count * Int(options.valueWidth)
    else {
      throw StoreError(
        .invalidArgument,
        "\(keys.count) keys need as many times, and \(options.valueWidth) bytes of value each")
    }
    guard times.allSatisfy({ $0 >= StoreState.timeMin && $0 <= StoreState.timeMax }) else {
      throw StoreError(.invalidArgument, "a time is not within ±2⁶¹ ms")
    }
    try write(keys, kind: .put, times: times, values: values)
  }

  /// Removes each key: afterwards it has no entry.
  ///
  /// - Throws: as `insertIfAbsent`.
  public func remove(_ keys: KeyBatch) throws(StoreError) {
    try write(keys, kind: .remove, times: nil, values: nil)
  }

  /// Sets the value of one key.
  public func put(_ key: [UInt8], time: Int64, value: [UInt8]? = nil) throws(StoreError) {
    try put(try batch(of: key), times: [time], values: value)
  }

  /// Removes one key.
  public func remove(_ key: [UInt8]) throws(StoreError) {
    try remove(try batch(of: key))
  }

  private func batch(of key: [UInt8]) throws(StoreError) -> KeyBatch {
    let batch = KeyBatch(reservingKeys: 1, bytes: key.count)
    try wrapping { try batch.append(key) }
    return batch
  }

  private func write(
    _ keys: KeyBatch, kind: EntryKind, times: [Int64]?, values: [UInt8]?
  ) throws(StoreError) {
    guard keys.count > 0 else { return }
    let failure = withWriter { writer -> StoreError? in
      // The batch before may have failed while this one waited.
      do throws(StoreError) { try store.checkWritable() } catch { return error }
      do {
        try write(keys, kind: kind, times: times, values: values, &writer)
        return nil
      } catch {
        store.poison(error)
        return StoreError(wrapping: error)
      }
    }
    if let failure { throw failure }
  }

  private func write(
    _ keys: KeyBatch, kind: EntryKind, times: [Int64]?, values: [UInt8]?,
    _ writer: inout KeyspaceWriter
  ) throws {
    let options = self.options
    let columns = unsafe keys.view
    let width = Int(options.valueWidth)
    let start = times?.max().map { latest in updateClock { $0.begin(latest) } }
    defer { if let start { updateClock { $0.end(start) } } }
    let largest = clock.withLock { $0.largest }
    let window = options.window(of: largest ?? 0)
    let removalTime = largest ?? 0
    if options.log != .epochs { for shard in shards { shard.activeIsLogged = true } }
    var log = EntryBuffer(layout: options.layout, expectedEntries: keys.count)
    for index in 0..<keys.count {
      let key = unsafe columns.key(at: index)
      var entry = unsafe EntryReference(
        hash: hasher.hash(key), time: times?[index] ?? removalTime, kind: kind)
      if options.layout.isExact {
        unsafe entry.key = key.baseAddress
        entry.keyLength = UInt32(key.count)
      }
      try unsafe withValue(values, at: index * width) { value in
        unsafe entry.value = value
        try apply(entry, window: window, largestTime: largest)
        if options.log != .epochs { log.append(entry) }
      }
    }
    if case .everyBatch(let synchronized) = options.log {
      try append(log, synchronized: synchronized, &writer)
    }
  }

  private func withValue(
    _ values: [UInt8]?, at offset: Int, _ body: (UnsafeRawPointer?) throws -> Void
  ) rethrows {
    guard let values, !values.isEmpty else { return try body(nil) }
    try unsafe values.withUnsafeBytes { try unsafe body($0.baseAddress.map { unsafe $0 + offset }) }
  }

  private func apply(_ entry: EntryReference, window: Int64, largestTime: Int64?) throws {
    let shard = shards[shardIndex(entry.hash.high)]
    if !shard.view.active.fits(count: 1, keyBytes: Int(entry.keyLength))
      || !shard.view.active.put(entry)
    {
      try store.freeze(shard, of: self)
      guard shard.view.active.put(entry) else {
        throw StoreError(.inputOutput, "an entry does not fit an empty memtable")
      }
    }
    shard.view.active.window = window
    shard.largestTime = largestTime
  }
}
