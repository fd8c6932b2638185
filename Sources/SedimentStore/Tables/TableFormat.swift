// A table on disk: an immutable, sorted file of entries.
//
//   page 0 │ page 1 │ … │ page P−1 │ filter section │ index section │ zeros │ footer (4096 bytes)
//
// Page (one unit of 4096 bytes, or a jumbo page of several):
//
//      0  u64  checksum of the page's other bytes, padding included (place: first unit's number)
//      8  u32  entryCount n
//     12  u32  unitCount
//     16  u32  keyBytes (exact mode, else 0)
//     20  u32  reserved, 0
//     24  n × u64 hash.high │ n × u64 hash.low │ n × timeWidth (time − timeBase)
//         n × u8 kind (tables with kinds) │ n × valueWidth values
//         exact: n × u32 end of key │ keyBytes of keys │ zeros
//
// Entries are in order of (high, low); entries of one hash stand newest first.
//
// Index section: for every unit the quantum at which its page begins, u32, never decreasing; units
// of one jumbo page repeat it. `quantum(high) = (high − rangeLow) >> shift`. Pages are cut between
// quanta only, so all entries of a quantum are in one page.
//
// Footer:
//
//      0  u64  checksum of the footer's other 4088 bytes
//      8  u64  magic                    16  u32  format version
//     20  u8   1 when exact             21  u8   valueWidth
//     22  u8   timeWidth                23  u8   1 when the table has kinds
//     24  i64  timeBase                 32  u64  entryCount
//     40  u64  pageUnits                48  u64  rangeLow
//     56  u64  rangeHigh                64  u64  smallestHigh
//     72  u64  largestHigh              80  i64  smallestTime
//     88  i64  largestTime              96  u64  filterOffset
//    104  u64  filterBytes             112  u64  indexOffset
//    120  u64  indexBytes              128  u64  index checksum
//    136  zeros
//
// All integers are little-endian. Every checksum is seeded with the file's identity and the place,
// so a page of another file, or of another place in this one, does not pass.

/// The constants of the table format. On disk: never renumber.
package enum TableFormat {
  /// A page's unit, and the least read.
  package static let unitBytes = 4096
  /// Bytes before a page's columns.
  static let pageHeaderBytes = 24
  static let footerBytes = 4096
  /// "SEDTABLE" read as a little-endian word.
  static let magic: UInt64 = 0x454C_4241_5444_4553
  static let version: UInt32 = 1

  /// The most units one page may have, 64 MiB: a thousand of the longest keys in one quantum, which
  /// a keyed hash does not produce.
  package static let pageUnitsMax = 16_384
  /// The largest file a reader opens: 128 MiB of ordinary pages and their overflow.
  package static let fileBytesMax: UInt64 = 1 << 30

  /// The places that seed the checksums of what is no page. Pages use their first unit's number,
  /// which is below 2³².
  enum Place {
    static let footer: UInt64 = 1 << 32
    static let index: UInt64 = 2 << 32
    static let filter: UInt64 = 3 << 32
  }
}

/// How hashes of a table fall into quanta, the grain at which its pages are cut.
package struct TableQuanta: Sendable, Equatable {
  /// The smallest `high` the table may hold.
  package let rangeLow: UInt64
  /// The largest `high` the table may hold.
  package let rangeHigh: UInt64
  /// The least shift that makes every quantum fit 32 bits.
  package let shift: UInt64

  /// - Returns: `nil` when the range is upside down, as a damaged footer may say.
  package init?(rangeLow: UInt64, rangeHigh: UInt64) {
    guard rangeLow <= rangeHigh else { return nil }
    self.rangeLow = rangeLow
    self.rangeHigh = rangeHigh
    let spread = rangeHigh - rangeLow
    shift = UInt64(max(0, 32 - spread.leadingZeroBitCount))
  }

  /// The quantum of a hash; meaningless outside the range.
  @inline(__always)
  package func quantum(of high: UInt64) -> UInt32 {
    UInt32(truncatingIfNeeded: (high &- rangeLow) &>> shift)
  }

  /// Whether the table may hold `high`.
  @inline(__always)
  package func contains(_ high: UInt64) -> Bool { high >= rangeLow && high <= rangeHigh }
}

/// The number by which a store names a file; never used twice.
public struct FileNumber: Hashable, Comparable, Sendable {
  /// Counted from 1.
  public var rawValue: UInt64

  /// The number of a file.
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  public static func < (a: FileNumber, b: FileNumber) -> Bool { a.rawValue < b.rawValue }

  /// The number in at least 12 digits, so that names sort as numbers do.
  package var digits: String {
    let text = String(rawValue)
    return String(repeating: "0", count: max(0, 12 - text.utf8.count)) + text
  }

  /// The name of the table of this number.
  package var tableName: String { digits + ".sst" }
}
