// The entries of an ordered keyspace as a read sees them: of each key the version of its moment.
//
// Going on, the versions of a key come newest first: the first that the read sees decides, and what
// follows of the key is passed over. Key and value are lent as they lie in memtable or block. Going
// back they come oldest first, so the cursor has passed the one that decides when it knows it: key
// and value are copied. So they are where operands were merged.
//
// Invariants
// 1. `key` holds the key that was decided last; at an entry, the entry's.
// 2. Going on, at an entry, the merge is at it, or, where the value is a copy, behind the versions
//    of its key that gave it; going back, before all of them.
//
// Concurrency: one thread at a time.

internal import SedimentIO

/// Walks the entries of an ordered keyspace, in order or back.
///
/// ```swift
/// var cursor = words.cursor(prefix: Array("st".utf8))
/// try cursor.seekToFirst()
/// while cursor.isValid {
///   cursor.withEntry { key, value in print(key.byteCount, value.byteCount) }
///   try cursor.moveNext()
/// }
/// ```
///
/// After an error it is at no entry.
public struct EntryCursor: ~Copyable {
  private let sequence: UInt64
  private let rules: OrderedReadRules
  /// Keeps what the merge reads.
  private let source: AnyObject
  private let lower: [UInt8]?
  private let upper: [UInt8]?
  /// What removals of ranges hide.
  private let removals: RangeRemovalMap
  private var merge: OrderedMergeCursor
  private var key = KeyCopy()
  /// The entry's value where it is a copy: going back, and of operands.
  private var value = KeyCopy()
  private var hasCopy = false
  private var isGoingBack = false
  /// Whether it is at an entry.
  public private(set) var isValid = false

  /// A cursor at no entry over what `merge` reads, for as long as `source` lives.
  init(
    _ merge: consuming OrderedMergeCursor, of source: AnyObject, sequence: UInt64,
    lower: [UInt8]?, upper: [UInt8]?, rules: OrderedReadRules, removals: RangeRemovalMap
  ) {
    self.merge = merge
    self.source = source
    self.sequence = sequence
    self.lower = lower
    self.upper = upper
    self.rules = rules
    self.removals = removals
  }

  // MARK: - The entry

  /// Calls `body` with the entry's key and value, which are good until it returns.
  ///
  /// - Precondition: the cursor is at an entry.
  public func withEntry<Answer>(_ body: (_ key: RawSpan, _ value: RawSpan) -> Answer) -> Answer {
    precondition(isValid, "the cursor is at no entry")
    let (key, value) = unsafe (key.bytes, currentValue)
    return unsafe body(RawSpan(_unsafeBytes: key), RawSpan(_unsafeBytes: value))
  }

  /// A copy of the entry's key.
  public var keyBytes: [UInt8] {
    withEntry { key, _ in unsafe key.withUnsafeBytes { unsafe Array($0) } }
  }

  /// A copy of the entry's value.
  public var valueBytes: [UInt8] {
    withEntry { _, value in unsafe value.withUnsafeBytes { unsafe Array($0) } }
  }

  /// The value without the time of its expiry.
  private var currentValue: UnsafeRawBufferPointer {
    if hasCopy { return unsafe value.bytes }
    let value = unsafe merge.value
    guard merge.tag.expires else { return unsafe value }
    return unsafe UnsafeRawBufferPointer(rebasing: value[EntryExpiry.byteCount...])
  }

  // MARK: - Moving

  /// Goes to the first entry.
  public mutating func seekToFirst() throws(StoreError) {
    if let lower { return try seek(to: lower) }
    try moving(goingBack: false) { cursor in
      cursor.key.clear()
      try cursor.merge.seekToFirst()
    }
  }

  /// Goes to the last entry.
  public mutating func seekToLast() throws(StoreError) {
    try moving(goingBack: true) { cursor in
      if let upper = cursor.upper {
        try unsafe upper.span.bytes.withUnsafeBytes {
          try unsafe cursor.merge.seekBefore($0, tag: Self.beforeAll)
        }
      } else {
        try cursor.merge.seekToLast()
      }
    }
  }

  /// Goes to the first entry whose key is not less than `key`.
  public mutating func seek(to key: [UInt8]) throws(StoreError) {
    let target = lower.map { key.lexicographicallyPrecedes($0) ? $0 : key } ?? key
    try moving(goingBack: false) { cursor in
      cursor.key.clear()
      try unsafe target.span.bytes.withUnsafeBytes {
        try unsafe cursor.merge.seek($0, tag: .newest(at: cursor.sequence))
      }
    }
  }

  /// Goes to the last entry whose key is not greater than `key`.
  public mutating func seek(notBehind key: [UInt8]) throws(StoreError) {
    // The least key that is greater.
    let behind = key + [0]
    let target = upper.map { $0.lexicographicallyPrecedes(behind) ? $0 : behind } ?? behind
    try moving(goingBack: true) { cursor in
      try unsafe target.span.bytes.withUnsafeBytes {
        try unsafe cursor.merge.seekBefore($0, tag: Self.beforeAll)
      }
    }
  }

  /// Goes one on.
  ///
  /// - Precondition: the cursor is at an entry.
  public mutating func moveNext() throws(StoreError) {
    precondition(isValid, "the cursor is at no entry")
    let turns = isGoingBack
    try moving(goingBack: false) { cursor in
      if turns {
        // Behind the versions of the key, as far as they have a number.
        try unsafe cursor.merge.seek(cursor.key.bytes, tag: EntryTag(word: 0))
      } else if !cursor.hasCopy {
        try cursor.merge.moveNext()
      }
    }
  }

  /// Goes one back.
  ///
  /// - Precondition: the cursor is at an entry.
  public mutating func movePrevious() throws(StoreError) {
    precondition(isValid, "the cursor is at no entry")
    let turns = !isGoingBack
    try moving(goingBack: true) { cursor in
      if turns { try unsafe cursor.merge.seekBefore(cursor.key.bytes, tag: Self.beforeAll) }
    }
  }

  /// The tag before all of a key.
  private static let beforeAll = EntryTag(word: .max)

  private mutating func moving(
    goingBack: Bool, _ move: (inout EntryCursor) throws -> Void
  ) throws(StoreError) {
    isValid = false
    do {
      try move(&self)
      isGoingBack = goingBack
      if goingBack { try settleBack() } else { try settle() }
    } catch {
      throw StoreError(wrapping: error)
    }
  }

  /// Goes on to the first entry that the read sees, from where the merge is.
  private mutating func settle() throws {
    hasCopy = false
    while merge.isValid {
      let tag = merge.tag
      let found = unsafe merge.key
      if tag.sequence <= sequence, unsafe !key.isEqual(to: found) {
        unsafe key.set(to: found)
        if let upper, unsafe !Self.precedes(found, upper) { return }
        let removal = newestRemoval
        switch tag.kind {
        case _ where tag.sequence < removal: break
        case .put: isValid = unsafe rules.live(merge.value, tag) != nil
        case .merge:
          isValid = try mergeOperands(downTo: removal)
          // The merge is behind them already.
          if !isValid { continue }
        case .remove, .removeRange: break
        }
        if isValid { return }
      }
      try merge.moveNext()
    }
  }

  /// The number of the newest removal of a range that holds the key; 0 without one.
  @inline(__always)
  private var newestRemoval: UInt64 {
    removals.isEmpty ? 0 : unsafe removals.newest(of: key.bytes, at: sequence)
  }

  /// Merges the operands of the key, from the newest that the read sees; goes behind them, to what
  /// they build on.
  ///
  /// - Parameter removal: the number of what hides everything older.
  /// - Returns: whether the key has a value.
  private mutating func mergeOperands(downTo removal: UInt64) throws -> Bool {
    var operands = MergeOperands(.newestFirst)
    while merge.isValid, merge.tag.kind == .merge, merge.tag.sequence >= removal,
      unsafe key.isEqual(to: merge.key)
    {
      if let live = unsafe rules.live(merge.value, merge.tag) {
        unsafe operands.add(live, merge.tag)
      }
      try merge.moveNext()
    }
    var base: UnsafeRawBufferPointer?
    if merge.isValid, merge.tag.kind == .put, merge.tag.sequence >= removal,
      unsafe key.isEqual(to: merge.key)
    {
      unsafe base = rules.live(merge.value, merge.tag)
    }
    if operands.isEmpty {
      // All have expired: what is below counts alone.
      guard let base = unsafe base else { return false }
      unsafe value.set(to: base)
    } else {
      let merged = try unsafe rules.merge(operands, onto: base, of: key.bytes)
      unsafe merged.withUnsafeBytes { unsafe value.set(to: $0) }
    }
    hasCopy = true
    return true
  }

  /// Goes back to the first entry that the read sees, from where the merge is, and past its
  /// versions.
  private mutating func settleBack() throws {
    hasCopy = true
    while merge.isValid {
      unsafe key.set(to: merge.key)
      if let lower, unsafe Self.precedes(key.bytes, lower) { return }
      if try settleVersionsBack() {
        isValid = true
        return
      }
    }
  }

  /// Goes back over the versions of the key, of which the last that the read sees is the newest.
  ///
  /// - Returns: whether the key has a value.
  private mutating func settleVersionsBack() throws -> Bool {
    var isThere = false
    var operands = MergeOperands(.oldestFirst)
    let removal = newestRemoval
    repeat {
      let tag = merge.tag
      if tag.sequence <= sequence && tag.sequence >= removal {
        let live = unsafe rules.live(merge.value, tag)
        if tag.kind == .merge {
          if let live = unsafe live { unsafe operands.add(live, tag) }
        } else {
          operands.removeAll()
          isThere = false
          if tag.kind == .put, let live = unsafe live {
            unsafe value.set(to: live)
            isThere = true
          }
        }
      }
      try merge.movePrevious()
    } while merge.isValid && (unsafe key.isEqual(to: merge.key))
    if !operands.isEmpty {
      let merged = try unsafe rules.merge(
        operands, onto: isThere ? value.bytes : nil, of: key.bytes)
      unsafe merged.withUnsafeBytes { unsafe value.set(to: $0) }
    }
    return isThere || !operands.isEmpty
  }

  private static func precedes(_ key: UnsafeRawBufferPointer, _ bound: [UInt8]) -> Bool {
    unsafe bound.span.bytes.withUnsafeBytes { unsafe KeyOrder.compare(key, $0) < 0 }
  }
}

extension EntryExpiry {
  /// What of an entry's value is the user's; `nil` when it has expired.
  static func live(
    _ value: UnsafeRawBufferPointer, _ tag: EntryTag, _ clock: any Clock
  ) -> UnsafeRawBufferPointer? {
    guard tag.expires else { return unsafe value }
    guard unsafe time(of: value) > clock.nowMillis() else { return nil }
    return unsafe UnsafeRawBufferPointer(rebasing: value[byteCount...])
  }
}
