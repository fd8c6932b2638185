// Lookups: any thread, beside the writer. A lookup sees every record whole, and those of batches
// that returned before it began.

internal import SedimentIO
internal import Synchronization

/// What a keyspace holds of a key.
public struct StoredEntry: Sendable, Equatable {
  /// When the key was first seen, or put, in milliseconds.
  public var time: Int64
  /// `valueWidth` bytes.
  public var value: [UInt8]
}

extension HashedKeyspace {
  /// For each key, whether `insertIfAbsent` at that time would find it a duplicate now.
  public func contains(_ keys: KeyBatch, times: [Int64]) throws(StoreError) -> [Bool] {
    guard times.count == keys.count else {
      throw StoreError(.invalidArgument, "\(keys.count) keys need as many times")
    }
    let ttl = options.timeToLive.limit
    let watermark = currentWatermark
    var answers = [Bool](repeating: false, count: keys.count)
    try search(keys) { index, reader throws in
      let time = times[index]
      let found = try reader.find { firstSeen in
        let distance = time.subtractingReportingOverflow(firstSeen)
        return !distance.overflow && distance.partialValue.magnitude < UInt64(ttl)
          && watermark &- firstSeen < ttl
      }
      answers[index] = found != nil
    }
    return answers
  }

  /// Whether the key has an entry that has not expired.
  public func contains(_ key: [UInt8]) throws(StoreError) -> Bool {
    try lookup(key) != nil
  }

  /// An entry of each key that has not expired, `nil` where there is none. Of several, which times
  /// out of order can leave within a TTL and the lateness, it is one in the newest place.
  public func lookup(_ keys: KeyBatch) throws(StoreError) -> [StoredEntry?] {
    let ttl = options.timeToLive.limit
    let watermark = currentWatermark
    var answers = [StoredEntry?](repeating: nil, count: keys.count)
    try search(keys) { index, reader throws in
      if let found = try reader.find({ watermark &- $0 < ttl }) {
        answers[index] = StoredEntry(time: found.time, value: reader.value)
      }
    }
    return answers
  }

  /// The newest entry of a key that has not expired; `nil` when there is none.
  public func lookup(_ key: [UInt8]) throws(StoreError) -> StoredEntry? {
    let batch = KeyBatch(reservingKeys: 1, bytes: key.count)
    try wrapping { try batch.append(key) }
    return try lookup(batch)[0]
  }

  private var currentWatermark: Int64 {
    StoreState.watermark(largestTime: largestTimeSeen, options: options)
  }

  private func search(
    _ keys: KeyBatch, _ body: (Int, inout KeyReader) throws -> Void
  ) throws(StoreError) {
    guard keys.count > 0 else { return }
    try wrapping {
      let views = shards.map(\.view)
      let layout = options.layout
      var hashes = [KeyHash](repeating: KeyHash(high: 0, low: 0), count: keys.count)
      unsafe hashes.withUnsafeMutableBufferPointer { buffer in
        if let base = buffer.baseAddress { unsafe hasher.hash(keys, into: base) }
      }
      var reader = try KeyReader(layout: layout, cache: store.cache)
      let columns = unsafe keys.view
      for index in 0..<keys.count {
        let key =
          unsafe layout.isExact
          ? columns.key(at: index) : UnsafeRawBufferPointer(start: nil, count: 0)
        unsafe reader.begin(hashes[index], key: key, in: views[shardIndex(hashes[index].high)])
        try body(index, &reader)
      }
    }
  }
}

/// Looks one key up in all sources of a shard, newest first.
@safe
struct KeyReader {
  private let layout: EntryLayout
  private let cache: PageCache
  /// One unit for a page, then the value.
  private let memory: AlignedBuffer
  private let page: UnsafeMutableRawPointer
  private var hash = KeyHash(high: 0, low: 0)
  private var key: UnsafeRawBufferPointer
  private var view: ShardView?

  init(layout: EntryLayout, cache: PageCache) throws(AllocationError) {
    self.layout = layout
    self.cache = cache
    memory = try AlignedBuffer(byteCount: 2 * TableFormat.unitBytes)
    guard let base = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: 2 * TableFormat.unitBytes)
    }
    unsafe page = base
    unsafe key = UnsafeRawBufferPointer(start: nil, count: 0)
  }

  private var valueMemory: UnsafeMutableRawPointer { unsafe page + TableFormat.unitBytes }

  /// The value of the entry found last.
  var value: [UInt8] {
    unsafe Array(UnsafeRawBufferPointer(start: valueMemory, count: Int(layout.valueWidth)))
  }

  /// Turns to a key. Its bytes are borrowed until the next.
  mutating func begin(_ hash: KeyHash, key: UnsafeRawBufferPointer, in view: ShardView) {
    self.hash = hash
    unsafe self.key = unsafe key
    self.view = view
  }

  /// The newest entry whose time is accepted, unless something newer hides it.
  mutating func find(_ accepts: (Int64) -> Bool) throws -> FoundEntry? {
    guard let view else { return nil }
    if let found = find(in: view.active, accepts) { return found.isAccepted ? found : nil }
    for frozen in view.frozen {
      if let found = find(in: frozen.memtable, accepts) {
        return found.isAccepted ? found : nil
      }
    }
    for run in view.runs {
      for table in run.tables where table.clip.contains(hash.high) {
        if let found = try find(in: table, accepts) { return found.isAccepted ? found : nil }
      }
    }
    return nil
  }

  private func find(in memtable: Memtable, _ accepts: (Int64) -> Bool) -> FoundEntry? {
    unsafe memtable.core.find(hash, key: key, value: valueMemory, accepts: accepts)
  }

  private func find(in table: OpenTable, _ accepts: (Int64) -> Bool) throws -> FoundEntry? {
    let probe = table.reader.probe
    guard probe.filter.mayContain(hash) else { return nil }
    let units = probe.pageUnits(for: hash)
    guard units.count > 0 else { return nil }
    var answer: FoundEntry?
    try unsafe cache.withPage(
      of: table.reader, first: units.first, count: units.count, scratch: page
    ) { view in
      answer = find(in: view, accepts)
    }
    return answer
  }

  private func find(in page: PageView, _ accepts: (Int64) -> Bool) -> FoundEntry? {
    for index in page.range(of: hash) {
      if unsafe layout.isExact && !page.key(at: index).elementsEqual(key) { continue }
      let kind = page.kind(at: index) ?? .insert
      let time = page.time(at: index)
      if kind != .remove && accepts(time) {
        if layout.valueWidth > 0 {
          unsafe valueMemory.copyMemory(
            from: page.value(at: index), byteCount: Int(layout.valueWidth))
        }
        return FoundEntry(time: time, kind: kind, isAccepted: true)
      }
      if kind.hidesOlder { return FoundEntry(time: time, kind: kind, isAccepted: false) }
    }
    return nil
  }
}
