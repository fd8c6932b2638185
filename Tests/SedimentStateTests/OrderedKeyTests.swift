import Foundation
import SedimentState
import SedimentTestKit
import Testing

@Suite("Keys of types as bytes")
struct OrderedKeyTests {
  /// Values and their bytes order alike, and bytes become the values again, whatever follows them.
  private func check<Key: OrderedKey & Equatable>(
    _ values: [Key], _ precedes: (Key, Key) -> Bool
  ) throws {
    for left in values {
      #expect(try Key(keyBytes: left.keyBytes) == left)
      var followed = (left.keyBytes + [0, 255, 1])[...]
      #expect(try Key.decode(from: &followed) == left)
      #expect(followed == [0, 255, 1])
      for count in 0..<left.keyBytes.count {
        #expect(throws: KeyDecodingError.self) {
          try Key(keyBytes: Array(left.keyBytes.prefix(count)))
        }
      }
      #expect(throws: KeyDecodingError.self) { try Key(keyBytes: left.keyBytes + [0]) }
      for right in values {
        #expect(
          precedes(left, right) == left.keyBytes.lexicographicallyPrecedes(right.keyBytes),
          "\(left) and \(right)")
      }
    }
  }

  @Test func integersOrderAsTheyDo() throws {
    try check([Int64.min, -1_000_000, -256, -1, 0, 1, 255, 256, .max], <)
    try check([UInt64(0), 1, 255, 256, 65_536, .max], <)
    try check([Int8.min, -1, 0, 1, .max], <)
    try check([UInt8(0), 1, 127, 128, 255], <)
    try check([Int32.min, -7, 0, 7, .max], <)
    try check([Int.min, -7, 0, 7, .max], <)
    #expect(UInt16(0x1234).keyBytes == [0x12, 0x34])
    #expect(Int16(-1).keyBytes == [0x7F, 0xFF])
  }

  @Test func numbersDatesAndTruthOrderAsTheyDo() throws {
    try check(
      [-Double.infinity, -1e300, -1, -.leastNonzeroMagnitude, 0, 0.5, 1, 1e300, .infinity], <)
    try check([-1e9, 0, 1, 1e9].map { Date(timeIntervalSinceReferenceDate: $0) }, <)
    try check([false, true]) { !$0 && $1 }
  }

  @Test func bytesAndStringsOrderByTheirBytes() throws {
    let bytes: [[UInt8]] = [
      [], [0], [0, 0], [0, 1], [0, 255], [1], [1, 0], [255], [255, 255],
    ]
    try check(bytes) {
      $0.lexicographicallyPrecedes($1)
    }
    try check(["", "\0", "a", "a\0", "a\0b", "ab", "b", "ä", "日本"]) {
      $0.utf8.lexicographicallyPrecedes($1.utf8)
    }
    #expect(throws: KeyDecodingError.self) { try String(keyBytes: [0xFF, 0, 0]) }
  }

  @Test func identifiersComeBack() throws {
    let ids = (0..<10).map { _ in UUID() }
    // What follows a string never reads as part of it.
    let last = try KeyTuple<String, UInt64>(keyBytes: KeyTuple("a", UInt64.max).keyBytes)
    #expect(last.parts.0 == "a" && last.parts.1 == .max)
    for id in ids { #expect(try UUID(keyBytes: id.keyBytes) == id) }
  }

  @Test func severalOrderByTheFirstThenTheSecond() throws {
    var generator = SeededGenerator(seed: 5)
    let words = ["", "a", "a\0", "ab", "b"]
    let keys = (0..<60).map { _ in
      KeyTuple(
        words[Int.random(in: 0..<words.count, using: &generator)],
        Int64.random(in: -2...2, using: &generator))
    }
    for left in keys {
      let back = try KeyTuple<String, Int64>(keyBytes: left.keyBytes)
      #expect(back.parts.0 == left.parts.0 && back.parts.1 == left.parts.1)
      for right in keys {
        let isBefore =
          left.parts.0 != right.parts.0
          ? left.parts.0 < right.parts.0 : left.parts.1 < right.parts.1
        #expect(isBefore == left.keyBytes.lexicographicallyPrecedes(right.keyBytes))
      }
    }
  }
}
