// Which entries a merge keeps; a flush goes by the rules of a merge that is not at the bottom.
//
// The merge visits the entries of one hash newest first and asks for each. An entry is of the key
// of an earlier one when the hashes are equal and, in exact mode, the key bytes too.
//
//   hidden     an earlier `put` or `remove` of the key hides everything older of it
//   repeated   an insert of the same key and time was kept before
//   expired    time + ttl ≤ watermark. An insert goes wherever it is. A `put` goes only from the
//              bottom: above it, it still hides older entries, which may be unexpired, since times
//              need not grow with age
//   tombstone  a `remove` goes from the bottom, where nothing is left to hide; above it, it stays
//              whatever its time
//
// Readers apply the same rules, so dropping changes no answer.
//
// Hardly any two entries of a merge are of one hash. An insert that stands alone stays unless it is
// expired, whatever came before: those are passed over in stretches, without a decision each.

/// Decides for each entry of a merge whether it stays.
package struct EntryRetention {
  /// What becomes of an entry, and why.
  package enum Decision: Sendable, Equatable {
    case keep, hidden, repeated, expired, tombstone
  }

  /// The rules of one merge.
  package struct Rules: Sendable {
    /// Whether keys count beside hashes.
    package var isExact: Bool
    /// Milliseconds an entry lives; `.max` for ever.
    package var ttl: Int64
    /// Times up to `watermark` − `ttl` are expired.
    package var watermark: Int64
    /// Whether no older run overlaps the merge, so that nothing is left for an entry to hide.
    package var isBottommost: Bool

    /// Rules of a merge; they stay the same to its end.
    package init(isExact: Bool, ttl: Int64, watermark: Int64, isBottommost: Bool) {
      self.isExact = isExact
      self.ttl = ttl
      self.watermark = watermark
      self.isBottommost = isBottommost
    }
  }

  /// The most kept inserts of one hash that later ones are compared with. They lie a TTL apart, so
  /// there are few; a repeat that is missed costs its bytes and no more.
  private static let rememberedInsertsMax = 64

  /// A key of the current hash.
  private struct Key {
    var offset: Int
    var length: Int
    var isHidden = false
  }

  /// An insert of the current hash: its time and the number of its key.
  private struct Insert: Equatable {
    var time: Int64
    var key: Int
  }

  private let rules: Rules
  /// Times up to here are expired; `.min`, which no entry has, when none is.
  private let expiredTime: Int64
  private var hasHash = false
  private var hash = KeyHash(high: 0, low: 0)
  /// Inserts of `hash` that were kept and are remembered: the first here, because mostly it is the
  /// only one, the others in `inserts`.
  private var insertCount = 0
  private var firstInsert = Insert(time: 0, key: 0)
  private var inserts: [Insert] = []
  /// Fingerprint mode: whether the key is hidden.
  private var isHidden = false
  /// Exact mode: the keys of `hash` met so far.
  private var keys: [Key] = []
  /// Bytes of `keys`: the merge's own are gone when it advances.
  private var keyBytes: [UInt8] = []

  /// A decision for every entry of one merge, none made yet.
  package init(_ rules: Rules) {
    self.rules = rules
    let (time, overflow) = rules.watermark.subtractingReportingOverflow(rules.ttl)
    expiredTime = overflow ? .min : time
  }

  /// Leaves in the block the entries that stay. The merge's blocks come in their order.
  package mutating func thin(_ block: inout EntryBlock) {
    var kept = 0
    var index = 0
    while index < block.count {
      let stretch = index..<endOfStretch(in: block, from: index)
      block.move(stretch, to: kept)
      kept += stretch.count
      index = stretch.upperBound
      guard index < block.count else { break }
      if decide(block.entry(at: index)) == .keep {
        block.move(index..<index + 1, to: kept)
        kept += 1
      }
      index += 1
    }
    block.count = kept
  }

  /// One past the inserts from `start` on that share their `high` with no other entry and are not
  /// expired. The last entry of a block is not among them: what shares its hash may be to come.
  ///
  /// SAFETY: `start` is below the block's count; what was moved lies in front of it, and the entry
  /// just before it is still in its place unless it was left out, and then decided on.
  @inline(__always)
  private func endOfStretch(in block: borrowing EntryBlock, from start: Int) -> Int {
    let (highs, times, last) = unsafe (block.highs, block.times, block.count - 1)
    let (isPlain, expiredTime) = (block.isPlain, expiredTime)
    if hasHash, unsafe highs[start] == hash.high { return start }
    var index = start
    var high = unsafe highs[start]
    while index < last {
      let next = unsafe highs[index &+ 1]
      if unsafe next == high || times[index] <= expiredTime { break }
      if !isPlain, unsafe block.rest[index].kind != .insert { break }
      high = next
      index &+= 1
    }
    return index
  }

  /// What becomes of the next entry. Entries come in order of hash, those of one hash newest first.
  package mutating func decide(_ entry: EntryReference) -> Decision {
    if !hasHash || entry.hash != hash { begin(entry.hash) }
    let key = rules.isExact ? number(of: entry) : 0
    if rules.isExact ? keys[key].isHidden : isHidden { return .hidden }
    guard entry.kind == .insert else { return decideHiding(entry, key: key) }
    if isExpired(entry.time) { return .expired }
    let insert = Insert(time: entry.time, key: key)
    if insertCount == 0 {
      firstInsert = insert
      insertCount = 1
      return .keep
    }
    return decideFurther(insert)
  }

  /// Decides on an insert after others of its hash.
  @inline(never)
  private mutating func decideFurther(_ insert: Insert) -> Decision {
    if insert == firstInsert || inserts.contains(insert) { return .repeated }
    if insertCount < Self.rememberedInsertsMax {
      inserts.append(insert)
      insertCount += 1
    }
    return .keep
  }

  /// Decides on a put or remove that nothing hides.
  @inline(never)
  private mutating func decideHiding(_ entry: EntryReference, key: Int) -> Decision {
    if rules.isExact { keys[key].isHidden = true } else { isHidden = true }
    guard rules.isBottommost else { return .keep }
    if entry.kind == .remove { return .tombstone }
    return isExpired(entry.time) ? .expired : .keep
  }

  @inline(__always)
  private mutating func begin(_ hash: KeyHash) {
    self.hash = hash
    hasHash = true
    isHidden = false
    if insertCount > 1 { inserts.removeAll(keepingCapacity: true) }
    insertCount = 0
    if rules.isExact {
      keys.removeAll(keepingCapacity: true)
      keyBytes.removeAll(keepingCapacity: true)
    }
  }

  @inline(__always)
  private func isExpired(_ time: Int64) -> Bool {
    time <= expiredTime
  }

  /// The entry's key among those of the hash, added when it is new.
  private mutating func number(of entry: EntryReference) -> Int {
    let bytes = unsafe entry.keyBytes
    for number in keys.indices where unsafe isEqual(keys[number], bytes) { return number }
    keys.append(Key(offset: keyBytes.count, length: bytes.count))
    unsafe keyBytes.append(contentsOf: bytes)
    return keys.count - 1
  }

  private func isEqual(_ key: Key, _ bytes: UnsafeRawBufferPointer) -> Bool {
    guard key.length == bytes.count else { return false }
    for index in 0..<bytes.count where unsafe keyBytes[key.offset + index] != bytes[index] {
      return false
    }
    return true
  }
}
