/// What an entry of an ordered keyspace does to its key. On disk: never renumber.
package enum OrderedKind: UInt8, Sendable {
  /// Sets the value and hides everything older.
  case put = 0
  /// Hides everything older and holds nothing itself.
  case remove = 1
  /// An operand for the keyspace's merge operator, on top of what is older.
  case merge = 2
  /// Hides everything older of a range of keys. In logs only: see `RangeRemoval`.
  case removeRange = 3

  /// Those of entries in memtables and tables.
  package static let entryKinds: [OrderedKind] = [.put, .remove, .merge]
}

/// When an entry of an ordered keyspace was written, and what it does: one word, of which the
/// larger is the newer.
///
///     sequence number (60 bits) │ expires (1) │ kind (3)
///
/// Of equal keys entries lie in falling order of it. On disk (as a varint): never change.
@frozen
package struct EntryTag: Hashable, Comparable, Sendable, BitwiseCopyable {
  /// All of it.
  package var word: UInt64

  /// The largest sequence number: of a read that sees everything.
  package static let sequenceMax: UInt64 = 1 << 60 - 1

  /// What an entry that expires has beside its kind.
  static let expiresBit: UInt8 = 8

  /// A word as it was read; see `isValid`.
  @inline(__always)
  package init(word: UInt64) { self.word = word }

  /// A tag of an entry; with `expires`, its value begins with the time at which it expires.
  @inline(__always)
  package init(sequence: UInt64, kind: OrderedKind, expires: Bool = false) {
    word = sequence &<< 4 | (expires ? 8 : 0) | UInt64(kind.rawValue)
  }

  /// The tag before which no entry of its key lies that a read at `sequence` sees.
  @inline(__always)
  package static func newest(at sequence: UInt64) -> EntryTag {
    EntryTag(word: sequence &<< 4 | 15)
  }

  /// The tag of an entry of a table of sorted input, whose entries have no numbers of their own.
  @inline(__always)
  package func raised(by base: UInt64) -> EntryTag { EntryTag(word: word &+ base) }

  /// Counts up by one with every write of a store.
  @inline(__always) package var sequence: UInt64 { word &>> 4 }
  /// Whether the value begins with the time at which the entry expires.
  @inline(__always) package var expires: Bool { word & 8 != 0 }
  /// What it does, for a valid one.
  @inline(__always) package var kind: OrderedKind {
    switch word & 7 {
    case 0: .put
    case 1: .remove
    case 2: .merge
    default: .removeRange
    }
  }
  /// Whether a word from disk is a tag of an entry.
  @inline(__always) package var isValid: Bool { word & 7 <= 2 }

  @inline(__always)
  package static func < (a: EntryTag, b: EntryTag) -> Bool { a.word < b.word }
}
