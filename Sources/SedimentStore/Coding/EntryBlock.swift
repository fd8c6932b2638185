// Entries on their way into a table, some hundred at a time.
//
// A cursor fills a block, retention thins it out, a writer takes it. Each step is a loop over
// columns in memory that was taken once, and what is the same for all entries is asked once a
// block. Passing each entry by itself took 1.8 to 2.8 times the instructions (see ARCHITECTURE.md,
// section 5.4).
//
// Invariants
// 1. Elements 0 ..< `count` of `highs`, `lows` and `times` are set; those of `rest` too, unless the
//    block is plain.
// 2. Values and keys are the source's memory, valid until the source is asked for more.
//
// Concurrency: single owner.

/// Columns of entries in order of hash, those of one hash newest first.
///
///     var block = EntryBlock(layout: layout, hasKinds: hasKinds)
///     while try merge.fill(&block) { try writer.append(block, 0..<block.count) }
@safe
package struct EntryBlock: ~Copyable {
  /// The most entries of a block: their columns stay in the processor's nearest cache.
  package static let capacity = 512

  /// What an entry is beside hash and time.
  @safe
  struct Rest {
    var value: UnsafeRawPointer?
    var key: UnsafeRawPointer?
    var keyLength: UInt32
    var kind: EntryKind
  }

  /// Whether hash and time are all of every entry: no keys, no values, inserts only.
  package let isPlain: Bool
  /// Entries in the block.
  package internal(set) var count = 0
  let highs: UnsafeMutablePointer<UInt64>
  let lows: UnsafeMutablePointer<UInt64>
  let times: UnsafeMutablePointer<Int64>
  /// No memory in a plain block.
  let rest: UnsafeMutablePointer<Rest>

  /// An empty block for entries of a layout; `hasKinds` when other kinds than inserts can come.
  package init(layout: EntryLayout, hasKinds: Bool) {
    isPlain = !layout.isExact && layout.valueWidth == 0 && !hasKinds
    unsafe highs = .allocate(capacity: Self.capacity)
    unsafe lows = .allocate(capacity: Self.capacity)
    unsafe times = .allocate(capacity: Self.capacity)
    unsafe rest = .allocate(capacity: isPlain ? 0 : Self.capacity)
  }

  deinit {
    unsafe highs.deallocate()
    unsafe lows.deallocate()
    unsafe times.deallocate()
    unsafe rest.deallocate()
  }

  /// Empties the block.
  package mutating func removeAll() { count = 0 }

  /// Appends an entry; of a plain block hash and time alone.
  ///
  /// - Precondition: `count` < `capacity`.
  package mutating func append(_ entry: EntryReference) {
    precondition(count < Self.capacity, "the block is full")
    unsafe highs[count] = entry.hash.high
    unsafe lows[count] = entry.hash.low
    unsafe times[count] = entry.time
    if !isPlain { setRest(of: count, to: entry) }
    count += 1
  }

  /// Entry `index` as a whole.
  ///
  /// - Precondition: `index` < `count`.
  package func entry(at index: Int) -> EntryReference {
    precondition(index >= 0 && index < count, "entry index out of the block")
    let hash = unsafe KeyHash(high: highs[index], low: lows[index])
    if isPlain { return unsafe EntryReference(hash: hash, time: times[index]) }
    let rest = unsafe self.rest[index]
    return unsafe EntryReference(
      hash: hash, time: times[index], kind: rest.kind, value: rest.value, key: rest.key,
      keyLength: rest.keyLength)
  }

  /// SAFETY: the block is not plain, and `index` is below its capacity.
  @inline(__always)
  func setRest(of index: Int, to entry: EntryReference) {
    unsafe rest[index] = unsafe Rest(
      value: entry.value, key: entry.key, keyLength: entry.keyLength, kind: entry.kind)
  }

  /// Moves entries to the front of the block, or as far as they go: those in between are gone.
  ///
  /// SAFETY: `target` ≤ `entries.lowerBound`, and `entries` lie within `count`.
  @inline(__always)
  func move(_ entries: Range<Int>, to target: Int) {
    if target == entries.lowerBound { return }
    let source = entries.lowerBound
    unsafe (highs + target).update(from: highs + source, count: entries.count)
    unsafe (lows + target).update(from: lows + source, count: entries.count)
    unsafe (times + target).update(from: times + source, count: entries.count)
    if !isPlain { unsafe (rest + target).update(from: rest + source, count: entries.count) }
  }
}

extension EntryBlock {
  /// What a writer asks of entries before it takes them.
  struct Extent {
    var first: KeyHash
    var last: KeyHash
    var smallestTime: Int64
    var largestTime: Int64
    /// Bytes of all keys together, and of the longest.
    var keyBytes = 0
    var longestKey = 0
    /// Whether there are others than inserts.
    var hasKinds = false
  }

  /// Looks at all entries of a range; `nil` when they are not in order of hash.
  ///
  /// SAFETY: the range is not empty and lies within the block.
  func extent(of range: Range<Int>) -> Extent? {
    let (highs, lows, times) = unsafe (highs, lows, times)
    let (first, last) = (range.lowerBound, range.upperBound &- 1)
    var before = unsafe highs[first]
    var smallest = unsafe times[first]
    var largest = smallest
    for index in first &+ 1..<range.upperBound {
      let high = unsafe highs[index]
      if high <= before, unsafe high < before || lows[index] < lows[index &- 1] { return nil }
      before = high
      smallest = unsafe min(smallest, times[index])
      largest = unsafe max(largest, times[index])
    }
    var extent = unsafe Extent(
      first: KeyHash(high: highs[first], low: lows[first]),
      last: KeyHash(high: highs[last], low: lows[last]), smallestTime: smallest,
      largestTime: largest)
    if !isPlain {
      for index in range {
        let rest = unsafe rest[index]
        let length = Int(rest.keyLength)
        extent.keyBytes &+= length
        extent.longestKey = max(extent.longestKey, length)
        if rest.kind != .insert { extent.hasKinds = true }
      }
    }
    return extent
  }
}
