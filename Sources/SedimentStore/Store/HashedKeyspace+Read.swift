// Lookups: any thread, beside batches. A lookup sees every record whole, and those of batches
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
  /// For each key, whether `insertIfAbsent` at that time would find it a duplicate now. While
  /// batches are under way, what has expired is told by the time that the earliest of them found.
  public func contains(_ keys: KeyBatch, times: [Int64]) throws(StoreError) -> [Bool] {
    guard times.count == keys.count else {
      throw StoreError(.invalidArgument, "\(keys.count) keys need as many times")
    }
    var answers = [Bool](repeating: false, count: keys.count)
    guard keys.count > 0 else { return answers }
    // Twice as far as any entry, and so further than a time to live from all: near enough for any
    // time beyond, and no difference overflows.
    let far = 2 * EntryTime.max
    let areNear = times.allSatisfy { $0 >= -far && $0 <= far }
    let times = areNear ? times : times.map { min(max($0, -far), far) }
    try wrapping {
      try unsafe times.withUnsafeBufferPointer { times in
        try unsafe answers.withUnsafeMutableBytes { answers in
          // A Boolean is a byte, 0 or 1.
          guard let times = times.baseAddress,
            let answers = unsafe answers.baseAddress?.assumingMemoryBound(to: UInt8.self)
          else { return }
          try unsafe find(keys.view, times: times, answers: answers)
        }
      }
    }
    return answers
  }

  private func find(
    _ keys: KeyBatchView, times: UnsafePointer<Int64>, answers: UnsafeMutablePointer<UInt8>
  ) throws {
    let count = unsafe keys.count
    let options = self.options
    let scratch = scratch.take(shards: shards.count, count: count)
    defer { self.scratch.give(scratch) }
    unsafe hasher.hash(keys, into: scratch.hashes)
    let watermark = StoreState.watermark(largestTime: largestTimeSeen, options: options)
    unsafe scratch.watermarks.update(repeating: watermark, count: count)
    let columns = unsafe BatchColumns(
      times: times, watermarks: scratch.watermarks, keys: keys, values: nil,
      decisions: answers, ttl: options.timeToLive.limit, late: .keep, layout: options.layout,
      refreshesOnSeen: options.refreshesOnSeen)
    var counts = ShardDecider.Counts()
    defer { note(counts) }
    var next = 0
    while next < count {
      let records = next..<min(next + Self.stretchMax, count)
      next = records.upperBound
      scratch.deal(records, shardEnds: shardEnds)
      for shard in shards where scratch.hasRecords(ofShard: shard.index) {
        try find(in: shard, columns, scratch, &counts)
      }
    }
  }

  /// Looks up what was dealt to a shard, chunk by chunk.
  private func find(
    in shard: Shard, _ columns: BatchColumns, _ batch: BatchScratch,
    _ counts: inout ShardDecider.Counts
  ) throws {
    let (scratch, pages) = try batch.makeChunk(store.cache)
    var decider = ShardDecider(view: shard.view, columns: columns, scratch: scratch, pages: pages)
    defer { counts.add(decider.counts) }
    var next = unsafe batch.starts[shard.index]
    let end = unsafe batch.starts[shard.index + 1]
    while next < end {
      let taken = min(end - next, ShardScratch.chunkRecords)
      unsafe scratch.records.update(from: batch.order + next, count: taken)
      unsafe scratch.hashes.update(from: batch.dealt + next, count: taken)
      try decider.find(count: taken)
      next += taken
    }
  }

  /// Whether the key has an entry that has not expired.
  public func contains(_ key: [UInt8]) throws(StoreError) -> Bool {
    try lookup(key) != nil
  }

  /// What each key has, `nil` where that is nothing: the last `put` or, if it is later, the latest
  /// of what `insertIfAbsent` accepted since. Nothing older than the last `put` or `remove` is ever
  /// seen.
  ///
  /// "Later" is by time, not by order of writing: times more than a TTL apart, which the lateness
  /// allows out of order, leave several entries of a key that have not expired, and of these it is
  /// the one with the largest time, wherever they lie. An entry expires by its own time, so a `put`
  /// with a time that has expired leaves nothing to see.
  public func lookup(_ keys: KeyBatch) throws(StoreError) -> [StoredEntry?] {
    // Of one moment: a change of the time to live may come between.
    let options = self.options
    let ttl = options.timeToLive.limit
    let watermark = StoreState.watermark(largestTime: largestTimeSeen, options: options)
    var answers = [StoredEntry?](repeating: nil, count: keys.count)
    try search(keys) { index, reader throws in
      if let found = try reader.findLatest(isOnlyOne: ttl == .max, { watermark &- $0 < ttl }) {
        answers[index] = StoredEntry(time: found.time, value: reader.value)
      }
    }
    return answers
  }

  /// What a key has; see the lookup of many.
  public func lookup(_ key: [UInt8]) throws(StoreError) -> StoredEntry? {
    let batch = KeyBatch(reservingKeys: 1, bytes: key.count)
    try wrapping { try batch.append(key) }
    return try lookup(batch)[0]
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
      var reader = try KeyReader(layout: layout, pages: PageReader(cache: store.cache))
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
  private let pages: PageReader
  /// The values of the entry found last and of one that may follow it.
  private let memory: AlignedBuffer
  private var valueMemory: UnsafeMutableRawPointer
  private var spareMemory: UnsafeMutableRawPointer
  private var hash = KeyHash(high: 0, low: 0)
  private var key: UnsafeRawBufferPointer
  private var view: ShardView?

  init(layout: EntryLayout, pages: PageReader) throws(AllocationError) {
    self.layout = layout
    self.pages = pages
    let byteCount = 2 * Int(EntryLayout.valueWidthMax)
    memory = try AlignedBuffer(byteCount: byteCount)
    guard let base = unsafe memory.bytes.baseAddress else {
      throw AllocationError(byteCount: byteCount)
    }
    unsafe valueMemory = base
    unsafe spareMemory = base + Int(EntryLayout.valueWidthMax)
    unsafe key = UnsafeRawBufferPointer(start: nil, count: 0)
  }

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

  /// The entry with the largest time of those that are accepted, unless something newer hides it.
  ///
  /// - Parameter isOnlyOne: whether a key has one entry at most, so that the first is the latest.
  mutating func findLatest(
    isOnlyOne: Bool, _ accepts: (Int64) -> Bool
  ) throws -> FoundEntry? {
    guard let view else { return nil }
    var latest: FoundEntry?
    if takeLatest(of: view.active, isOnlyOne, accepts, &latest) { return latest }
    for frozen in view.frozen
    where takeLatest(of: frozen.memtable, isOnlyOne, accepts, &latest) {
      return latest
    }
    for run in view.runs {
      if let latest, !run.hasKinds, run.largestTime <= latest.time { continue }
      for table in run.tables where table.clip.contains(hash.high) {
        if try takeLatest(of: table, isOnlyOne, accepts, &latest) { return latest }
      }
    }
    return latest
  }

  /// Replaces `latest` by an entry of a memtable that is accepted and later.
  ///
  /// - Returns: whether nothing older can count.
  private mutating func takeLatest(
    of memtable: Memtable, _ isOnlyOne: Bool, _ accepts: (Int64) -> Bool,
    _ latest: inout FoundEntry?
  ) -> Bool {
    while true {
      let bound = latest?.time
      // Not over the value of `latest`: what is read beside a writer may have to be read again.
      let found = unsafe memtable.core.find(hash, key: key, value: spareMemory) { time in
        accepts(time) && bound.map { time > $0 } ?? true
      }
      guard let found else { return false }
      guard found.isAccepted else { return true }
      latest = found
      unsafe swap(&valueMemory, &spareMemory)
      if isOnlyOne { return true }
    }
  }

  /// The same for a table.
  private func takeLatest(
    of table: OpenTable, _ isOnlyOne: Bool, _ accepts: (Int64) -> Bool,
    _ latest: inout FoundEntry?
  ) throws -> Bool {
    var endsHere = false
    var found = latest
    try withPage(of: table) { page, part in
      for index in page.range(of: hash, near: part) where isOfKey(index, page) {
        let kind = page.kind(at: index) ?? .insert
        let time = page.time(at: index)
        if kind != .remove && accepts(time) && found.map({ time > $0.time }) ?? true {
          copyValue(at: index, of: page)
          found = FoundEntry(time: time, kind: kind, isAccepted: true)
          endsHere = isOnlyOne
        }
        if endsHere || kind.hidesOlder {
          endsHere = true
          return
        }
      }
    }
    latest = found
    return endsHere
  }

  /// Calls `body` with the page that may hold the hash, if there is one, and where in it to look.
  private func withPage(of table: OpenTable, _ body: (PageView, Float) -> Void) throws {
    let probe = table.reader.probe
    guard probe.filter.mayContain(hash) else { return }
    let place = probe.place(for: hash)
    guard place.count > 0 else { return }
    var read = PageRead(place: place, position: 0)
    try unsafe pages.read(&read, count: 1, of: table.reader, defers: false) { page, _ in
      body(page, place.part)
    }
  }

  private func isOfKey(_ index: Int, _ page: PageView) -> Bool {
    unsafe !layout.isExact || page.key(at: index).elementsEqual(key)
  }

  private func copyValue(at index: Int, of page: PageView) {
    guard layout.valueWidth > 0 else { return }
    unsafe valueMemory.copyMemory(
      from: page.value(at: index), byteCount: Int(layout.valueWidth))
  }
}
