// The merge of up to 64 sorted sources.
//
// A loser tree over the sources' next hashes: each inner node holds the source that lost there, so
// an advance compares only along the path from the source that moved to the root, log₂ k times.
//
//   a player of the tree is one word:   hash.high without its lowest 6 bits │ source
//
// Which of two sources comes next is unpredictable, so a branch on it would fail half the time. As
// words they are told apart by minimum and maximum. Words that agree but for the source say nothing
// of the order: then whole hashes are compared, a case that the processor does foresee.
//
// Invariants
// 1. `heads[i]` stands at the next entry of source i; its `upper` is 0 when the source has ended.
// 2. `losers[node]`, 1 ≤ node < width, lost against the winner of its own subtree.
// 3. Equal hashes order by source: the newest source first. Sources that have ended come last.
// 4. A block never goes beyond the page of a source, so its values and keys are all valid.
//
// Concurrency: single owner.

/// Merges sources given newest first: entries come in order of hash, those of one hash newest
/// first.
///
///     var merge = try MergeCursor(sources)
///     while try merge.fill(&block) { use(block) }
@safe
package struct MergeCursor: ~Copyable {
  /// The most sources of one merge: each holds a read-ahead buffer.
  package static let sourcesMax = 64
  /// The part of a player that names the source.
  private static let sourceMask = UInt64(sourcesMax - 1)

  /// The columns of a source's page and the place in them.
  @safe
  private struct Head {
    var highs: UnsafePointer<UInt64>
    var lows: UnsafePointer<UInt64>
    var times: PageTimes
    var position: Int
    var upper: Int
  }

  private let sources: [any PageSource]
  /// Leaves of the tree: the sources, filled up to a power of two with ended ones.
  private let width: Int
  private let heads: UnsafeMutablePointer<Head>
  /// The pages of the heads, for what only some layouts have.
  private let views: UnsafeMutablePointer<PageView>
  private let losers: UnsafeMutablePointer<UInt64>
  private var winner: UInt64 = 0
  private var hasStarted = false
  /// Whether the winner stands behind the last entry of its page, and has not played since.
  private var isPageOver = false

  /// A cursor before the first entry; nothing is read yet.
  ///
  /// - Precondition: 1 to `sourcesMax` sources.
  package init(_ sources: [any PageSource]) {
    precondition((1...Self.sourcesMax).contains(sources.count), "a merge has 1 to 64 sources")
    self.sources = sources
    var width = 1
    while width < sources.count { width *= 2 }
    self.width = width
    unsafe heads = .allocate(capacity: width)
    unsafe views = .allocate(capacity: width)
    unsafe losers = .allocate(capacity: width)
    unsafe losers.initialize(repeating: 0, count: width)
    for source in 0..<width { end(source) }
  }

  deinit {
    unsafe heads.deallocate()
    unsafe views.deallocate()
    unsafe losers.deallocate()
  }

  /// Replaces what the block holds by the next entries; `false` when there are none. Values and
  /// keys are valid until the next call.
  ///
  /// Throws what the sources throw; after that the cursor is only to be dropped.
  package mutating func fill(_ block: inout EntryBlock) throws -> Bool {
    block.removeAll()
    if !hasStarted {
      try start()
    } else if isPageOver {
      let player = try refill(Self.source(of: winner))
      winner = replayed(player)
      isPageOver = false
    }
    guard unsafe heads[Self.source(of: winner)].upper > 0 else { return false }
    take(into: &block)
    return true
  }

  /// Takes entries until the block is full or a page is over.
  ///
  /// SAFETY: the winner's source has not ended, so its head stands at an entry; so does that of
  /// every winner after it, or it would not have won against one.
  private mutating func take(into block: inout EntryBlock) {
    var count = 0
    var winner = self.winner
    repeat {
      let source = Self.source(of: winner)
      let head = unsafe heads + source
      let position = unsafe head.pointee.position
      unsafe block.highs[count] = UInt64(littleEndian: head.pointee.highs[position])
      unsafe block.lows[count] = UInt64(littleEndian: head.pointee.lows[position])
      unsafe block.times[count] = head.pointee.times[position]
      if !block.isPlain { unsafe block.setRest(of: count, to: views[source].entry(at: position)) }
      count &+= 1
      let next = position &+ 1
      unsafe head.pointee.position = next
      if unsafe next == head.pointee.upper {
        isPageOver = true
        break
      }
      let high = unsafe UInt64(littleEndian: head.pointee.highs[next])
      winner = replayed(Self.player(source, high: high))
    } while count < EntryBlock.capacity
    self.winner = winner
    block.count = count
  }

  @inline(__always)
  private static func player(_ source: Int, high: UInt64) -> UInt64 {
    (high & ~sourceMask) | UInt64(truncatingIfNeeded: source)
  }

  @inline(__always)
  private static func source(of player: UInt64) -> Int {
    Int(truncatingIfNeeded: player & sourceMask)
  }

  /// Lets a source at its next entry play against the losers on its path.
  ///
  /// - Returns: who won in the end.
  @inline(__always)
  private func replayed(_ player: UInt64) -> UInt64 {
    var best = player
    var node = (Self.source(of: player) &+ width) &>> 1
    while node > 0 {
      let other = unsafe losers[node]
      if best ^ other > Self.sourceMask {
        unsafe losers[node] = max(best, other)
        best = min(best, other)
      } else if tiePrecedes(other, best) {
        unsafe losers[node] = best
        best = other
      }
      node &>>= 1
    }
    return best
  }

  /// Whether `a` comes before `b`, by all that counts.
  @inline(never)
  private func tiePrecedes(_ a: UInt64, _ b: UInt64) -> Bool {
    let (left, right) = (Self.source(of: a), Self.source(of: b))
    let leftHasEnded = unsafe heads[left].upper == 0
    let rightHasEnded = unsafe heads[right].upper == 0
    if leftHasEnded || rightHasEnded {
      return leftHasEnded == rightHasEnded ? left < right : rightHasEnded
    }
    let (leftHash, rightHash) = (hash(ofNext: left), hash(ofNext: right))
    return leftHash == rightHash ? left < right : leftHash < rightHash
  }

  /// SAFETY: the source has not ended, so its head stands at an entry.
  private func hash(ofNext source: Int) -> KeyHash {
    let head = unsafe heads[source]
    return unsafe KeyHash(
      high: UInt64(littleEndian: head.highs[head.position]),
      low: UInt64(littleEndian: head.lows[head.position]))
  }

  /// Takes the next page of a source, or ends it; returns its player.
  @inline(never)
  private func refill(_ source: Int) throws -> UInt64 {
    guard let slice = try sources[source].nextPage() else { return end(source) }
    let view = slice.view
    unsafe (views + source).initialize(to: view)
    unsafe (heads + source).initialize(
      to: Head(
        highs: view.highs, lows: view.lows, times: view.pageTimes, position: slice.lower,
        upper: slice.upper))
    return Self.player(source, high: view.high(at: slice.lower))
  }

  /// Marks a source as ended; returns its player.
  @discardableResult
  private func end(_ source: Int) -> UInt64 {
    unsafe heads[source].upper = 0
    return Self.player(source, high: .max)
  }

  /// Takes every source's first page and plays the whole tree, leaves to root.
  @inline(never)
  private mutating func start() throws {
    hasStarted = true
    var winners = (0..<2 * width).map { Self.player($0 % width, high: .max) }
    for source in sources.indices { winners[width + source] = try refill(source) }
    for node in stride(from: width - 1, to: 0, by: -1) {
      let (left, right) = (winners[2 * node], winners[2 * node + 1])
      let isTie = left ^ right <= Self.sourceMask
      let isLeft = isTie ? tiePrecedes(left, right) : left < right
      winners[node] = isLeft ? left : right
      unsafe losers[node] = isLeft ? right : left
    }
    winner = winners[1]
  }
}
