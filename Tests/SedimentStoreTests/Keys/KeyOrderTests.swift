import SedimentStore
import SedimentTestKit
import Testing

@Suite("Order of keys")
struct KeyOrderTests {
  private func compare(_ a: [UInt8], _ b: [UInt8]) -> Int {
    unsafe a.withUnsafeBytes { a in unsafe b.withUnsafeBytes { unsafe KeyOrder.compare(a, $0) } }
  }

  private func shared(_ a: [UInt8], _ b: [UInt8]) -> Int {
    unsafe a.withUnsafeBytes { a in
      unsafe b.withUnsafeBytes { unsafe KeyOrder.sharedPrefix(a, $0) }
    }
  }

  private func head(_ key: [UInt8]) -> UInt64 {
    unsafe key.withUnsafeBytes { key in
      guard let base = key.baseAddress else { return 0 }
      return unsafe KeyOrder.head(base, key.count)
    }
  }

  /// Keys that differ in few places, if at all.
  private func keys(seed: UInt64) -> [[UInt8]] {
    var generator = SeededGenerator(seed: seed)
    return (0..<200).map { _ in
      let count = Int.random(in: 0...20, using: &generator)
      return (0..<count).map { _ in [0, 1, 127, 128, 255].randomElement(using: &generator) ?? 0 }
    }
  }

  @Test func itIsThatOfStringsOfUnsignedBytes() {
    let keys = keys(seed: 1)
    for a in keys {
      for b in keys.prefix(60) {
        let order = compare(a, b)
        #expect((order < 0) == a.lexicographicallyPrecedes(b))
        #expect((order == 0) == (a == b))
        #expect(shared(a, b) == zip(a, b).prefix { $0 == $1 }.count)
        if head(a) != head(b) { #expect((head(a) < head(b)) == (order < 0), "\(a) \(b)") }
      }
    }
  }

  @Test func aNewerTagIsTheLargerOne() {
    let old = EntryTag(sequence: 7, kind: .merge, expires: true)
    let new = EntryTag(sequence: 8, kind: .put)
    #expect(old < new)
    #expect(EntryTag.newest(at: 7) >= old && EntryTag.newest(at: 7) < new)
    #expect(old.sequence == 7 && old.kind == .merge && old.expires && old.isValid)
    #expect(EntryTag(sequence: EntryTag.sequenceMax, kind: .remove).sequence == 1 << 60 - 1)
    #expect(!EntryTag(word: 3).isValid)
  }
}
