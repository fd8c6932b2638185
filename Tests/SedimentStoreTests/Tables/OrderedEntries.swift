import SedimentStore
import SedimentTestKit

/// An entry of an ordered keyspace that owns its bytes.
struct OrderedEntry: Hashable, Comparable {
  var key: [UInt8]
  var tag: EntryTag
  var value: [UInt8]

  static func < (a: OrderedEntry, b: OrderedEntry) -> Bool {
    a.key == b.key ? a.tag > b.tag : a.key.lexicographicallyPrecedes(b.key)
  }

  /// Whether a search for this key and tag goes on behind the entry.
  func isBefore(_ key: [UInt8], _ tag: EntryTag) -> Bool {
    self.key == key ? self.tag > tag : self.key.lexicographicallyPrecedes(key)
  }

  func withBytes<Answer>(
    _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Answer
  ) rethrows -> Answer {
    try unsafe key.withUnsafeBytes { key in
      try unsafe value.withUnsafeBytes { try unsafe body(key, $0) }
    }
  }
}

/// How entries are drawn.
struct OrderedShape: Sendable, CustomStringConvertible {
  var count: Int
  var keyLengths = 0...12
  var alphabet: [UInt8] = [0, 97, 98, 255]
  var valueLengths = 0...40
  /// Of a hundred entries those of a key that is there already.
  var versions = 30
  var compression = BlockCompression.lz4

  var description: String {
    "\(count) entries, keys of \(keyLengths), values of \(valueLengths), \(compression)"
  }

  /// Entries in order; no two have the same key and tag.
  func entries(seed: UInt64) -> [OrderedEntry] {
    var generator = SeededGenerator(seed: seed)
    var entries: [OrderedEntry] = []
    for sequence in 0..<UInt64(count) {
      var key = (0..<Int.random(in: keyLengths, using: &generator)).map { _ in
        alphabet.randomElement(using: &generator) ?? 0
      }
      if Int.random(in: 0..<100, using: &generator) < versions,
        let other = entries.randomElement(using: &generator)
      {
        key = other.key
      }
      let kind = OrderedKind.entryKinds.randomElement(using: &generator) ?? .put
      let expires = kind == .put && Bool.random(using: &generator)
      let value = (0..<Int.random(in: valueLengths, using: &generator) + (expires ? 8 : 0)).map {
        UInt8(truncatingIfNeeded: $0 / 3)
      }
      entries.append(
        OrderedEntry(
          key: key, tag: EntryTag(sequence: sequence, kind: kind, expires: expires), value: value))
    }
    return entries.sorted()
  }
}

extension [UInt8] {
  /// Calls `body` with the bytes.
  func withBytes<Answer>(
    _ body: (UnsafeRawBufferPointer) throws -> Answer
  ) rethrows -> Answer {
    try unsafe withUnsafeBytes { try unsafe body($0) }
  }
}
