// The merge of up to 64 sorted sources.
//
// A loser tree over the sources' next hashes: each inner node holds the source that lost there, so
// an advance compares only along the path from the source that moved to the root, log₂ k times.
// Keys lie side by side in memory of their own; the columns of the pages are touched only to load
// the next key and, on request, the rest of the entry. A source is asked for a page out of line.
//
// Invariants
// 1. `keys[i]` is the hash at `heads[i].position`, or the sentinel when source i has ended or not
//    begun; then its head is not set.
// 2. `losers[node]`, 1 ≤ node < width, lost against the winner of its own subtree.
// 3. Equal hashes order by source: the newest source first.
//
// Concurrency: single owner.

/// Merges sources given newest first: entries come in order of hash, those of one hash newest
/// first.
///
///     var merge = try MergeCursor(sources)
///     while try merge.advance() { use(merge.current) }
@safe
package struct MergeCursor: ~Copyable {
  /// The most sources of one merge: each holds a read-ahead buffer.
  package static let sourcesMax = 64

  /// What decides the order of two heads.
  private struct Key {
    var high: UInt64
    var low: UInt64
    /// The source's number; `sourcesMax` more when it has ended.
    var rank: Int

    @inline(__always)
    func isBefore(_ other: Key) -> Bool {
      if high != other.high { return high < other.high }
      if low != other.low { return low < other.low }
      return rank < other.rank
    }
  }

  /// A source's slice and the place in it.
  private struct Head {
    var slice: PageSlice
    var position: Int
  }

  private let sources: [any PageSource]
  /// Leaves of the tree: the sources, filled up to a power of two with ended ones.
  private let width: Int
  private let keys: UnsafeMutablePointer<Key>
  private let heads: UnsafeMutablePointer<Head>
  private let losers: UnsafeMutablePointer<Int>
  private var winner = 0
  private var hasStarted = false

  /// A cursor before the first entry; nothing is read yet.
  ///
  /// - Precondition: 1 to `sourcesMax` sources.
  package init(_ sources: [any PageSource]) {
    precondition((1...Self.sourcesMax).contains(sources.count), "a merge has 1 to 64 sources")
    self.sources = sources
    var width = 1
    while width < sources.count { width *= 2 }
    self.width = width
    unsafe keys = .allocate(capacity: width)
    unsafe heads = .allocate(capacity: width)
    unsafe losers = .allocate(capacity: width)
    unsafe losers.initialize(repeating: 0, count: width)
    for source in 0..<width { unsafe keys[source] = Self.ended(source) }
  }

  deinit {
    unsafe keys.deallocate()
    unsafe heads.deallocate()
    unsafe losers.deallocate()
  }

  private static func ended(_ source: Int) -> Key {
    Key(high: .max, low: .max, rank: source + sourcesMax)
  }

  /// The entry the cursor stands at; valid until the next `advance()`.
  ///
  /// - Precondition: the last `advance()` returned `true`.
  package var current: EntryReference {
    @inline(__always) get {
      unsafe precondition(keys[winner].rank < Self.sourcesMax && hasStarted, "no current entry")
      // SAFETY: the head of a source that has not ended was set by `refill`.
      return unsafe heads[winner].slice.view.entry(at: heads[winner].position)
    }
  }

  /// The number of the source of `current`, 0 being the newest.
  package var currentSource: Int { winner }

  /// Goes to the next entry, the first one at first; `false` when there is none.
  ///
  /// Throws what the sources throw; after that the cursor is only to be dropped.
  @inline(__always)
  package mutating func advance() throws -> Bool {
    if hasStarted {
      try step()
      replay()
    } else {
      try start()
    }
    return unsafe keys[winner].rank < Self.sourcesMax
  }

  /// Moves the winner's head to its next entry.
  ///
  /// SAFETY: `winner` is a source's number; unless the source has ended, its head is set.
  @inline(__always)
  private mutating func step() throws {
    guard unsafe keys[winner].rank < Self.sourcesMax else { return }
    let next = unsafe heads[winner].position + 1
    if unsafe next < heads[winner].slice.upper {
      unsafe heads[winner].position = next
      let hash = unsafe heads[winner].slice.view.hash(at: next)
      unsafe keys[winner].high = hash.high
      unsafe keys[winner].low = hash.low
    } else {
      try refill(winner)
    }
  }

  /// Lets the winner's new key play against the losers on its path.
  @inline(__always)
  private mutating func replay() {
    var best = winner
    var key = unsafe keys[best]
    var node = (best + width) >> 1
    while node >= 1 {
      let other = unsafe losers[node]
      let otherKey = unsafe keys[other]
      if otherKey.isBefore(key) {
        unsafe losers[node] = best
        best = other
        key = otherKey
      }
      node >>= 1
    }
    winner = best
  }

  /// Takes the next page of a source, or ends it.
  @inline(never)
  private mutating func refill(_ source: Int) throws {
    guard let slice = try sources[source].nextPage() else {
      unsafe keys[source] = Self.ended(source)
      return
    }
    unsafe heads[source] = Head(slice: slice, position: slice.lower)
    let hash = slice.view.hash(at: slice.lower)
    unsafe keys[source] = Key(high: hash.high, low: hash.low, rank: source)
  }

  /// Takes every source's first page and plays the whole tree, leaves to root.
  @inline(never)
  private mutating func start() throws {
    hasStarted = true
    for source in sources.indices { try refill(source) }
    var winners = Array(repeating: 0, count: 2 * width)
    for leaf in 0..<width { winners[width + leaf] = leaf }
    for node in stride(from: width - 1, to: 0, by: -1) {
      let left = winners[2 * node]
      let right = winners[2 * node + 1]
      let isLeft = unsafe keys[left].isBefore(keys[right])
      winners[node] = isLeft ? left : right
      unsafe losers[node] = isLeft ? right : left
    }
    winner = winners[1]
  }
}
