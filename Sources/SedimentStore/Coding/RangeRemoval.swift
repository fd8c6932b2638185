// Removals of whole ranges of keys.
//
// A range removal is one write, however many keys it hides: all entries of its keys that are older
// than it. It lies in the memtable that was active, and when that is flushed among the levels of
// the keyspace, not in a table: there are few of them, tables need not know where they end, and
// whether one still hides anything is a question about all tables. Merges drop what is hidden, and
// a removal goes when no table is left that may hold anything older in its range.

internal import SedimentIO

/// Hides all entries of the keys from `lower` up to and without `upper` that are older than it.
package struct RangeRemoval: Hashable, Sendable {
  package var lower: [UInt8]
  /// Behind the last key; `nil` for all keys from `lower` on.
  package var upper: [UInt8]?
  /// When it was written.
  package var sequence: UInt64

  package init(lower: [UInt8], upper: [UInt8]?, sequence: UInt64) {
    self.lower = lower
    self.upper = upper
    self.sequence = sequence
  }

  /// Whether it holds no key at all.
  package var isEmpty: Bool { upper.map { !lower.lexicographicallyPrecedes($0) } ?? false }

  /// Whether any key from `first` to `last` is in it.
  package func overlaps(first: [UInt8], last: [UInt8]) -> Bool {
    !last.lexicographicallyPrecedes(lower) && (upper.map(first.lexicographicallyPrecedes) ?? true)
  }

  /// Whether all keys from `first` to `last` are in it.
  package func holds(first: [UInt8], last: [UInt8]) -> Bool {
    !first.lexicographicallyPrecedes(lower) && (upper.map(last.lexicographicallyPrecedes) ?? true)
  }

  /// Whether all keys of another are in it.
  package func holds(_ other: RangeRemoval) -> Bool {
    guard !other.lower.lexicographicallyPrecedes(lower) else { return false }
    guard let upper else { return true }
    return other.upper.map { !upper.lexicographicallyPrecedes($0) } ?? false
  }

  // MARK: - Bytes

  /// Appends it: sequence number u64, the lower bound with its length in front, u8 whether there is
  /// an upper one, which follows likewise. On disk: never change.
  package func encode(into writer: inout ByteWriter) {
    writer.writeUInt64(sequence)
    writer.writeLengthPrefixed(lower)
    writer.writeUInt8(upper == nil ? 0 : 1)
    if let upper { writer.writeLengthPrefixed(upper) }
  }

  /// Bytes of the shortest.
  package static let encodedBytesMin = 8 + 1 + 1

  /// Reads one.
  package static func decode(from reader: inout ByteReader) throws(CodingError) -> RangeRemoval {
    let sequence = try reader.readUInt64()
    let lower = try reader.readLengthPrefixed(maxBytes: EntryLayout.keyBytesMax)
    let flag = try reader.readUInt8()
    guard flag <= 1 else { throw .invalid("presence flag \(flag)") }
    let upper = flag == 0 ? nil : try reader.readLengthPrefixed(maxBytes: EntryLayout.keyBytesMax)
    guard sequence <= EntryTag.sequenceMax else { throw .invalid("sequence number \(sequence)") }
    return RangeRemoval(lower: lower, upper: upper, sequence: sequence)
  }

  /// The bounds as key and value of a write: an upper bound has a byte in front, so that there may
  /// be none.
  package var bounds: (key: [UInt8], value: [UInt8]) { (lower, upper.map { [1] + $0 } ?? []) }

  /// Whether the value of a write is an upper bound, or says that there is none.
  static func isBound(_ value: UnsafeRawBufferPointer) -> Bool {
    guard let flag = unsafe value.first else { return true }
    return flag == 1 && value.count - 1 <= EntryLayout.keyBytesMax
  }

  /// A removal from such a write; `nil` where the value is none of these.
  package init?(
    key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, sequence: UInt64
  ) {
    unsafe lower = Array(key)
    self.sequence = sequence
    guard unsafe Self.isBound(value) else { return nil }
    unsafe upper = value.isEmpty ? nil : Array(value.dropFirst())
  }
}

/// Which removals hide a key: the ranges of several cut where any begins or ends.
package struct RangeRemovalMap: Sendable {
  /// Where a piece begins, rising.
  private var bounds: [[UInt8]] = []
  /// The sequence numbers of the removals that hold a piece, newest first.
  private var sequences: [[UInt64]] = []

  /// The map of removals, in whatever order.
  package init(_ removals: [RangeRemoval] = []) {
    let removals = removals.filter { !$0.isEmpty }.sorted { $0.sequence > $1.sequence }
    guard !removals.isEmpty else { return }
    bounds = Set(removals.map(\.lower) + removals.compactMap(\.upper)).sorted {
      $0.lexicographicallyPrecedes($1)
    }
    sequences = Array(repeating: [], count: bounds.count)
    for removal in removals {
      let end = removal.upper.map(position) ?? bounds.count
      for piece in position(removal.lower)..<end { sequences[piece].append(removal.sequence) }
    }
  }

  /// Whether nothing is hidden.
  package var isEmpty: Bool { bounds.isEmpty }

  private func position(_ bound: [UInt8]) -> Int {
    unsafe bound.withUnsafeBytes { unsafe firstPiece(behind: $0) - 1 }
  }

  /// The first piece that begins behind a key.
  private func firstPiece(behind key: UnsafeRawBufferPointer) -> Int {
    var (low, high) = (0, bounds.count)
    while low < high {
      let middle = (low + high) / 2
      let begins = unsafe bounds[middle].withUnsafeBytes {
        unsafe KeyOrder.compare($0, key) <= 0
      }
      if begins { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// The numbers of the removals that hold a key, newest first.
  package func sequences(of key: UnsafeRawBufferPointer) -> [UInt64] {
    let piece = unsafe firstPiece(behind: key) - 1
    return piece < 0 ? [] : sequences[piece]
  }

  /// The number of the newest removal that holds a key and that a read at `sequence` sees; 0
  /// without one.
  package func newest(of key: UnsafeRawBufferPointer, at sequence: UInt64) -> UInt64 {
    unsafe sequences(of: key).first { $0 <= sequence } ?? 0
  }
}
