// The entries of several sources of an ordered keyspace as one sequence, in order or back.
//
// Each source that is at an entry is a player in a heap, with the head of its key beside it: most
// matches compare two words. The source whose entry was shown moves; mostly it stays the first,
// which a match or two tell.
//
// Invariants
// 1. What the heap knows of a source's key is good, because only the first player moves.
// 2. Going on, every source is at its first entry that was not shown before; going back, at its
//    last.
// 3. After an error the cursor is at no entry.
//
// Concurrency: one thread at a time.

/// Merges sources of which no two have an entry with the same key and tag.
@safe
package struct OrderedMergeCursor: ~Copyable {
  /// A source at an entry.
  @safe
  private struct Player {
    var head: UInt64
    var key: UnsafeRawBufferPointer
    var tag: EntryTag
    var source: Int
  }

  private let sources: UnsafeMutablePointer<OrderedSource>
  private let players: UnsafeMutablePointer<Player>
  private let capacity: Int
  private var sourceCount = 0
  /// The first so many players are a heap: going on with the least entry on top, going back with
  /// the greatest.
  private var count = 0
  private var isGoingBack = false

  /// A cursor without sources.
  ///
  /// - Parameter capacity: how many there can be.
  package init(capacity: Int) {
    self.capacity = max(capacity, 1)
    unsafe sources = .allocate(capacity: self.capacity)
    unsafe players = .allocate(capacity: self.capacity)
  }

  deinit {
    unsafe sources.deinitialize(count: sourceCount)
    unsafe sources.deallocate()
    unsafe players.deallocate()
  }

  /// Adds a source; before the first move.
  package mutating func add(_ source: consuming OrderedSource) {
    precondition(sourceCount < capacity && count == 0, "a source too many, or too late")
    unsafe (sources + sourceCount).initialize(to: source)
    sourceCount += 1
  }

  /// Whether it is at an entry.
  @inline(__always) package var isValid: Bool { count > 0 }

  /// The entry's key; good until the cursor moves.
  package var key: UnsafeRawBufferPointer { unsafe players[0].key }

  /// When the entry was written, and what it does.
  package var tag: EntryTag { unsafe players[0].tag }

  /// Its value, the time of its expiry in front where it has one; good until the cursor moves.
  package var value: UnsafeRawBufferPointer { unsafe sources[players[0].source].value }

  // MARK: - Moving

  /// Goes to the first entry of `key` that is no newer than `tag`, or to the first behind.
  package mutating func seek(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    count = 0
    for index in 0..<sourceCount { try unsafe sources[index].seek(key, tag: tag) }
    gather(goingBack: false)
  }

  /// Goes to the last entry before where `seek` goes.
  package mutating func seekBefore(_ key: UnsafeRawBufferPointer, tag: EntryTag) throws {
    count = 0
    for index in 0..<sourceCount { try unsafe sources[index].seekBefore(key, tag: tag) }
    gather(goingBack: true)
  }

  /// Goes to the first entry.
  package mutating func seekToFirst() throws {
    count = 0
    for index in 0..<sourceCount { try unsafe sources[index].seekToFirst() }
    gather(goingBack: false)
  }

  /// Goes to the last entry.
  package mutating func seekToLast() throws {
    count = 0
    for index in 0..<sourceCount { try unsafe sources[index].seekToLast() }
    gather(goingBack: true)
  }

  /// Goes one on; the cursor is at an entry.
  package mutating func moveNext() throws {
    if isGoingBack { return try turn(goingBack: false) }
    let source = unsafe players[0].source
    do {
      try unsafe sources[source].moveNext()
    } catch {
      count = 0
      throw error
    }
    replaceFirst(source)
  }

  /// Goes one back; the cursor is at an entry.
  package mutating func movePrevious() throws {
    if !isGoingBack { return try turn(goingBack: true) }
    let source = unsafe players[0].source
    do {
      try unsafe sources[source].movePrevious()
    } catch {
      count = 0
      throw error
    }
    replaceFirst(source)
  }

  /// Goes the other way from the entry it is at.
  private mutating func turn(goingBack: Bool) throws {
    let current = unsafe players[0]
    count = 0
    for index in 0..<sourceCount where index != current.source {
      if goingBack {
        try unsafe sources[index].seekBefore(current.key, tag: current.tag)
      } else {
        // No other source has the entry itself, so this is behind it.
        try unsafe sources[index].seek(current.key, tag: current.tag)
      }
    }
    // Last, because the key is this source's.
    if goingBack {
      try unsafe sources[current.source].movePrevious()
    } else {
      try unsafe sources[current.source].moveNext()
    }
    gather(goingBack: goingBack)
  }

  // MARK: - The heap

  private mutating func gather(goingBack: Bool) {
    isGoingBack = goingBack
    count = 0
    for index in 0..<sourceCount where unsafe sources[index].isValid {
      unsafe (players + count).initialize(to: player(index))
      count += 1
    }
    for index in stride(from: count / 2 - 1, through: 0, by: -1) {
      let player = unsafe players[index]
      sink(player, from: index)
    }
  }

  @inline(__always)
  private func player(_ index: Int) -> Player {
    let key = unsafe sources[index].key
    return unsafe Player(head: KeyOrder.head(key), key: key, tag: sources[index].tag, source: index)
  }

  /// Puts the source that was first back where it belongs after it moved.
  @inline(__always)
  private mutating func replaceFirst(_ source: Int) {
    if unsafe sources[source].isValid {
      sink(player(source), from: 0)
    } else {
      count &-= 1
      if count > 0 {
        let last = unsafe players[count]
        sink(last, from: 0)
      }
    }
  }

  /// Puts a player into the hole at `start` or, as far as others come before it, below.
  private func sink(_ player: Player, from start: Int) {
    var hole = start
    while true {
      var child = 2 &* hole &+ 1
      guard child < count else { break }
      if child &+ 1 < count, unsafe comesFirst(players[child &+ 1], players[child]) { child &+= 1 }
      guard unsafe comesFirst(players[child], player) else { break }
      unsafe players[hole] = players[child]
      hole = child
    }
    unsafe players[hole] = player
  }

  @inline(__always)
  private func comesFirst(_ a: Player, _ b: Player) -> Bool {
    if a.head != b.head { return (a.head < b.head) != isGoingBack }
    let order = unsafe KeyOrder.compare(a.key, b.key)
    if order != 0 { return (order < 0) != isGoingBack }
    return (a.tag > b.tag) != isGoingBack
  }
}
