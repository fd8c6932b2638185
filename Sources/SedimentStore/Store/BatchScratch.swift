internal import SedimentIO
internal import Synchronization

/// Arrays that a batch needs while it is decided: taken once, used again.
///
// @unchecked because one thread at a time has it, and the pool hands it over.
@safe
final class BatchScratch: @unchecked Sendable {
  private var capacity = 0
  /// Hashes in the order of the batch.
  private(set) var hashes: UnsafeMutablePointer<KeyHash>
  /// The watermark at each record; only with a time to live.
  private(set) var watermarks: UnsafeMutablePointer<Int64>
  /// Records dealt (indices in the batch) in the order of their hashes, and so shard by shard.
  private(set) var order: UnsafeMutablePointer<UInt32>
  /// Their hashes.
  private(set) var dealt: UnsafeMutablePointer<KeyHash>
  /// Where in `order` the records of each shard begin, and behind the last where they end.
  let starts: UnsafeMutablePointer<Int>
  /// Where the next record of each bucket goes, while records are dealt.
  private let buckets: UnsafeMutablePointer<UInt32>
  /// Shards to come back to.
  private let postponed: UnsafeMutablePointer<Int>
  /// What a lookup needs beside; taken by the first.
  private var lookup: (memory: AlignedBuffer, pages: PageReader)?
  /// Batches that are decided side by side begin with different shards.
  let ordinal: Int

  init(shards: Int, ordinal: Int) {
    unsafe hashes = .allocate(capacity: 0)
    unsafe watermarks = .allocate(capacity: 0)
    unsafe order = .allocate(capacity: 0)
    unsafe dealt = .allocate(capacity: 0)
    unsafe starts = .allocate(capacity: shards + 1)
    unsafe buckets = .allocate(capacity: 1 << Self.bucketBitsMax)
    unsafe postponed = .allocate(capacity: shards)
    self.ordinal = ordinal
  }

  deinit {
    release()
    unsafe starts.deallocate()
    unsafe buckets.deallocate()
    unsafe postponed.deallocate()
  }

  private func release() {
    unsafe hashes.deallocate()
    unsafe watermarks.deallocate()
    unsafe order.deallocate()
    unsafe dealt.deallocate()
  }

  /// Scratch of a chunk and a way to pages, for a thread that holds no shard. There is one of each,
  /// for one use at a time.
  func makeChunk(
    _ cache: PageCache
  ) throws(AllocationError) -> (scratch: ShardScratch, pages: PageReader) {
    let own: (memory: AlignedBuffer, pages: PageReader)
    if let lookup {
      own = lookup
    } else {
      own = (
        try AlignedBuffer(byteCount: ShardScratch.byteCount), try PageReader(cache: cache)
      )
      lookup = own
    }
    guard let base = unsafe own.memory.bytes.baseAddress else {
      throw AllocationError(byteCount: ShardScratch.byteCount)
    }
    return (unsafe ShardScratch(base: base), own.pages)
  }

  /// Makes room for a batch of `count` records.
  func reserve(_ count: Int) {
    guard count > capacity else { return }
    release()
    capacity = count
    unsafe hashes = .allocate(capacity: count)
    unsafe watermarks = .allocate(capacity: count)
    unsafe order = .allocate(capacity: count)
    unsafe dealt = .allocate(capacity: count)
  }

  /// Deals records of the batch, whose `hashes` are there, to the shards, each shard's in the order
  /// of their hashes: memtables, filters and pages then are walked from end to end, and neighbours
  /// share what was fetched. Records of equal hash stay in the order of the batch.
  ///
  /// - Parameter ends: behind the last key group of each shard.
  func deal(_ records: Range<Int>, shardEnds ends: [UInt32]) {
    let count = records.count
    distribute(records)
    if !settleNeighbours(count: count) { sortWhole(count: count) }
    var start = 0
    for shard in 0..<ends.count {
      unsafe starts[shard] = start
      start = firstRecord(fromGroup: ends[shard], after: start, count: count)
    }
    unsafe starts[ends.count] = count
  }

  /// One pass of a radix sort by the highest bits, about one record a bucket.
  private func distribute(_ records: Range<Int>) {
    let count = records.count
    let bits = min(max(Int.bitWidth - (count - 1).leadingZeroBitCount, 1), Self.bucketBitsMax)
    let shift = UInt64(64 - bits)
    let (hashes, buckets) = unsafe (self.hashes, self.buckets)
    unsafe buckets.update(repeating: 0, count: 1 << bits)
    for record in records {
      unsafe buckets[Int(truncatingIfNeeded: hashes[record].high &>> shift)] &+= 1
    }
    var sum: UInt32 = 0
    for bucket in 0..<1 << bits {
      let size = unsafe buckets[bucket]
      unsafe buckets[bucket] = sum
      sum &+= size
    }
    let (order, dealt) = unsafe (self.order, self.dealt)
    for record in records {
      let hash = unsafe hashes[record]
      let bucket = Int(truncatingIfNeeded: hash.high &>> shift)
      let place = unsafe Int(buckets[bucket])
      unsafe buckets[bucket] &+= 1
      unsafe order[place] = UInt32(truncatingIfNeeded: record)
      unsafe dealt[place] = hash
    }
  }

  /// An insertion sort, in which records move within their bucket only.
  ///
  /// - Returns: whether it was done. It gives up where a few keys that come over and over share a
  ///   bucket, which would take time by their product.
  private func settleNeighbours(count: Int) -> Bool {
    let (order, dealt) = unsafe (self.order, self.dealt)
    var movesLeft = 4 * count + 64
    for index in 1..<max(count, 1) {
      let hash = unsafe dealt[index]
      guard unsafe dealt[index - 1].high > hash.high else { continue }
      let record = unsafe order[index]
      var place = index
      while place > 0, unsafe dealt[place - 1].high > hash.high {
        unsafe dealt[place] = dealt[place - 1]
        unsafe order[place] = order[place - 1]
        place -= 1
      }
      unsafe dealt[place] = hash
      unsafe order[place] = record
      movesLeft -= index - place
      if movesLeft < 0 { return false }
    }
    return true
  }

  private func sortWhole(count: Int) {
    let (order, dealt, hashes) = unsafe (self.order, self.dealt, self.hashes)
    var records = unsafe UnsafeMutableBufferPointer(start: order, count: count)
    unsafe records.sort {
      let (a, b) = unsafe (hashes[Int($0)].high, hashes[Int($1)].high)
      return a < b || (a == b && $0 < $1)
    }
    for place in 0..<count { unsafe dealt[place] = hashes[Int(order[place])] }
  }

  /// The first record dealt, from `start` on, of that key group or one above it.
  private func firstRecord(fromGroup group: UInt32, after start: Int, count: Int) -> Int {
    var (low, high) = (start, count)
    while low < high {
      let middle = (low + high) / 2
      if unsafe UInt32(truncatingIfNeeded: dealt[middle].high &>> 48) < group {
        low = middle + 1
      } else {
        high = middle
      }
    }
    return low
  }

  private static let bucketBitsMax = 14

  /// Whether records were dealt to a shard.
  func hasRecords(ofShard shard: Int) -> Bool {
    unsafe starts[shard] < starts[shard + 1]
  }

  /// Puts a shard on the list of those to come back to, which has `count`.
  func postpone(shard: Int, at count: inout Int) {
    unsafe postponed[count] = shard
    count += 1
  }

  /// A shard that was put on the list.
  func postponedShard(at index: Int) -> Int { unsafe postponed[index] }

  /// The shard that owns a hash: the inverse of `KeyGroupRange.split`, the least i with
  /// 65,536 × (i + 1) / count > group.
  @inline(__always)
  static func shard(_ high: UInt64, _ ends: UnsafeBufferPointer<UInt32>) -> Int {
    let group = UInt32(truncatingIfNeeded: high &>> 48)
    let guess = Int(truncatingIfNeeded: (group &* UInt32(ends.count)) &>> 16)
    // SAFETY: a group is below 65,536, so the guess is below the number of shards.
    return unsafe guess &+ (group >= ends[guess] ? 1 : 0)
  }
}

/// The scratch of batches under way and gone. Any thread.
final class BatchScratchPool: Sendable {
  private struct State {
    var idle: [BatchScratch] = []
    var made = 0
  }

  private let state = Mutex(State())

  /// Scratch for a batch of `count` records, for the caller alone until it is given back.
  func take(shards: Int, count: Int) -> BatchScratch {
    let scratch = state.withLock { state -> BatchScratch in
      if let idle = state.idle.popLast() { return idle }
      state.made += 1
      return BatchScratch(shards: shards, ordinal: state.made - 1)
    }
    scratch.reserve(count)
    return scratch
  }

  /// Takes it back.
  func give(_ scratch: BatchScratch) {
    state.withLock { $0.idle.append(scratch) }
  }
}
