import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Entries of a log, dealt to shards")
struct EntryDealerTests {
  /// A payload, where its entries begin, and their hashes.
  private struct Sample {
    var payload: [UInt8]
    var places: [UInt32] = []
    var highs: [UInt64] = []
    var keyBytes: [Int] = []

    init(_ count: Int, _ layout: EntryLayout, seed: UInt64, largestTime: Int64 = 9) {
      var generator = SeededGenerator(seed: seed)
      var writer = ByteWriter()
      writer.writeInt64(largestTime)
      writer.writeUInt32(UInt32(count))
      for _ in 0..<count {
        places.append(UInt32(writer.bytes.count))
        highs.append(generator.next())
        writer.writeUInt64(highs[highs.count - 1])
        writer.writeUInt64(generator.next())
        writer.writeInt64(.random(in: -50...50, using: &generator))
        writer.writeUInt8(.random(in: 0...2, using: &generator))
        writer.writeZeros(Int(layout.valueWidth))
        let length = layout.isExact ? [0, 3, 40].randomElement(using: &generator) ?? 0 : 0
        keyBytes.append(length)
        guard layout.isExact else { continue }
        writer.writeUInt32(UInt32(length))
        writer.writeZeros(length)
      }
      payload = writer.bytes
    }
  }

  private func deal(_ payload: [UInt8], by dealer: EntryDealer) throws -> Int64 {
    try unsafe payload.withUnsafeBytes { try unsafe dealer.deal($0) }
  }

  @Test(
    "each shard gets its own entries in their order", arguments: EntryBatchCodingTests.layouts,
    [1, 2, 3, 7, 256])
  func dealing(layout: EntryLayout, shards: Int) throws {
    let ranges = KeyGroupRange.split(into: shards)
    let dealer = EntryDealer(layout: layout, shards: ranges)
    var loads = [ReplayLoad](repeating: ReplayLoad(), count: shards)
    // Records of any size follow each other.
    for count in [0, 1, 3_000, 2, 500, 0, 5_000] {
      let sample = Sample(count, layout, seed: UInt64(count + shards))
      #expect(try deal(sample.payload, by: dealer) == 9)
      #expect(dealer.count == count)
      for (shard, range) in ranges.enumerated() {
        let own = sample.highs.indices.filter { range.hashRange.contains(sample.highs[$0]) }
        #expect(unsafe Array(dealer.places(of: shard)) == own.map { sample.places[$0] })
        #expect(dealer.count(of: shard) == own.count)
        loads[shard].entries += own.count
        loads[shard].keyBytes += own.reduce(0) { $0 + sample.keyBytes[$1] }
      }
      #expect(dealer.loads == loads)
    }
  }

  @Test("what is refused one by one is refused here", arguments: EntryBatchCodingTests.layouts)
  func hostileBytes(layout: EntryLayout) throws {
    let dealer = EntryDealer(layout: layout, shards: KeyGroupRange.split(into: 3))
    let payload = Sample(5, layout, seed: 4).payload
    func compare(_ bytes: [UInt8]) throws {
      var expected: CodingError?
      var answer: Int64?
      do {
        answer = try EntryBatchCoding.read(bytes, layout: layout) { _ in }
      } catch let error as CodingError { expected = error }
      do {
        #expect(try deal(bytes, by: dealer) == answer)
      } catch let error as CodingError { #expect(error == expected) }
    }
    for length in 0...payload.count { try compare(Array(payload.prefix(length))) }
    try compare(payload + [0])
    for offset in payload.indices {
      for bit in 0..<8 as Range<UInt8> {
        var bytes = payload
        bytes[offset] ^= 1 << bit
        try compare(bytes)
      }
    }
    #expect(try deal(payload, by: dealer) == 9, "an error leaves nothing behind")
  }

  @Test("a memtable for a replay is at most half full, and no larger than it must be")
  func memtablesFitWhatLogsHold() {
    let least = MemoryPlan.firstMemtableSlots
    func slots(_ entries: Int, keyBytes: Int = 0) -> Int {
      MemoryPlan.firstMemtableSlots(for: ReplayLoad(entries: entries, keyBytes: keyBytes))
    }
    #expect(slots(0) == least && slots(least / 2) == least)
    #expect(slots(least / 2 + 1) == least * MemoryPlan.memtableGrowth)
    #expect(slots(1, keyBytes: 1 << 30) > least)
    #expect(slots(.max / 64, keyBytes: .max / 64) >= 1 << 26, "the plan's own limit stands")
  }
}
