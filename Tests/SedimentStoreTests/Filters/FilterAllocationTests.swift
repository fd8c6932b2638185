import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Dividing memory among filters")
struct FilterAllocationTests {
  private static func claim(
    _ keys: Int, of runKeys: Int, isFuse: Bool
  ) throws -> FilterAllocation.Claim {
    let shape = TableShape(
      count: keys, filter: isFuse ? .binaryFuse(planes: 12) : .blockedBloom(bitsPerKey: 12))
    let table = try TestTable(shape, seed: UInt64(keys))
    return FilterAllocation.Claim(
      try table.open().filter.plan.geometry, runKeys: UInt64(runKeys))
  }

  /// The sum of the runs' false positives that a division leaves.
  private static func sum(_ claims: [FilterAllocation.Claim], _ bytes: [Int]) -> Double {
    zip(claims, bytes).reduce(0) { sum, item in
      let (claim, bytes) = item
      let plan = claim.geometry.loadPlan(byteBudget: bytes)
      let share = Double(claim.geometry.keyCount) / Double(claim.runKeys)
      let whole = claim.geometry.loadPlan().units
      if claim.geometry.kind == .binaryFuse { return sum + share / Double(1 << plan.units) }
      return sum + share * (1 - Double(plan.units) / Double(whole))
    }
  }

  @Test("no other division of the same memory leaves fewer false positives")
  func isBest() throws {
    let claims = [
      try Self.claim(1_000, of: 1_000, isFuse: false),
      try Self.claim(3_000, of: 12_000, isFuse: false),
      try Self.claim(9_000, of: 12_000, isFuse: true),
      try Self.claim(20_000, of: 20_000, isFuse: true),
    ]
    let wanted = claims.map { $0.geometry.loadPlan().memoryBytes }
    var generator = SeededGenerator(seed: 8)
    for budget in stride(from: 0, through: wanted.reduce(0, +), by: 2_003) {
      let bytes = FilterAllocation.divide(budget, among: claims)
      #expect(bytes.reduce(0, +) <= budget)
      let best = Self.sum(claims, bytes)
      for _ in 0..<40 {
        // Another one, drawn at random.
        var left = budget
        var other = [Int](repeating: 0, count: claims.count)
        for index in claims.indices.shuffled(using: &generator) {
          other[index] = min(Int.random(in: 0...left, using: &generator), wanted[index])
          left -= other[index]
        }
        // What is not divisible leaves less than a plane of the largest filter over.
        #expect(best <= Self.sum(claims, other) + 0.13, "budget \(budget)")
      }
    }
    #expect(FilterAllocation.divide(.max / 2, among: claims) == wanted)
  }

  @Test("small runs keep their filters when memory is too little for all")
  func smallRunsComeFirst() throws {
    let store = try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 8 << 20, shards: 1),
      fileSystem: MemoryFileSystem())
    let keyspace = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    let keys = KeyBatch()
    var number: UInt64 = 0
    while number < 4_000_000 {
      keys.removeAll()
      for _ in 0..<8_192 {
        number += 1
        try unsafe withUnsafeBytes(of: number) { try unsafe keys.append($0) }
      }
      _ = try keyspace.insertIfAbsent(keys, times: [Int64](repeating: 0, count: 8_192))
      if number % 1_048_576 == 0 { try store.commitEpoch() }
    }
    try store.waitUntilIdle()
    let shares = store.filterShares
    let loaded = shares.reduce(0) { $0 + $1.loaded }
    let whole = shares.reduce(0) { $0 + $1.whole }
    #expect(loaded < whole, "the memory is too little")
    #expect(loaded <= (8 << 20) / 8 * 3)
    #expect(Double(loaded) > 0.7 * Double((8 << 20) / 8 * 3))
    let largest = shares.map(\.runKeys).max() ?? 0
    for share in shares where share.runKeys < largest / 4 {
      #expect(share.loaded == share.whole, "a run of \(share.runKeys) keys")
    }
  }
}
