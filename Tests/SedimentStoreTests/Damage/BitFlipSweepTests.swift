import SedimentStore
import SedimentTestKit
import Testing

/// Row 6 of the fault matrix: one bit of every byte of every file.
@Suite("Bit flips in a store, its checkpoint and its savepoint")
struct BitFlipSweepTests {
  private static let sample = Result { try DamageSample(.closed) }
  private static let ordered = Result { try DamageSample(.closed, .ordered) }
  /// The sweep is dealt to so many cases, which run side by side.
  private static let parts = 8

  @Test(
    "one flipped bit in any byte is harmless or reported", arguments: DamageSample.Kind.allCases,
    0..<parts)
  func everyByte(kind: DamageSample.Kind, part: Int) throws {
    let sample = try (kind == .hashed ? Self.sample : Self.ordered).get()
    var generator = SeededGenerator(seed: 0xB175 + UInt64(part))
    var refusedCount = 0
    for names in try sample.distinctFiles() {
      let count = try sample.disk.contents(of: names[0].path).count
      for byte in stride(from: part, to: count, by: Self.parts) {
        // The zeros of a footer are all one to the reader; `OrderedTableTests` has them all.
        let isPadding = names[0].path.hasSuffix(".sst") && byte > count - 3_900
        if kind == .ordered && isPadding && byte / Self.parts % 16 != 0 { continue }
        // A file that was linked is one file under several names: each has its turn.
        let (place, file) = names[byte / Self.parts % names.count]
        let bit = byte * 8 + Int.random(in: 0..<8, using: &generator)
        let verdict = try sample.judge(place, "\(file) bit \(bit)") {
          try $0.flipBit(of: file, at: bit)
        }
        refusedCount += verdict == .refused ? 1 : 0
      }
    }
    #expect(refusedCount > (kind == .hashed ? 4_000 : 1_500))
  }

  @Test("a flipped bit in what only says what a savepoint holds is found by verifying")
  func descriptions() throws {
    let sample = try Self.sample.get()
    for file in ["saved/savepoint.json", "saved/SHA256SUMS"] {
      for byte in 0..<(try sample.disk.contents(of: file).count) {
        let copy = sample.disk.clone()
        try copy.flipBit(of: file, at: byte * 8 + byte % 8)
        let damage = try ReadOnlyStore.verify(at: "/saved", fileSystem: copy)
        #expect(!damage.isEmpty, "\(file) byte \(byte)")
      }
    }
  }
}
