import SedimentStore
import Testing

/// Another number of shards changes which tables a shard names, never what a lookup meets.
@Suite("Arranging runs for another number of shards")
struct ArrangementTests {
  static let counts = [1, 2, 3, 7, 16, 256]

  /// The tables that hold a hash, in the order a lookup meets them.
  private static func tables(of keyspace: KeyspaceState, at high: UInt64) -> [FileNumber] {
    keyspace.shards.filter { $0.groups.hashRange.contains(high) }.flatMap(\.runs)
      .flatMap(\.tables).filter { $0.clip.contains(high) }.map(\.table.number)
  }

  @Test("every hash meets the same tables in the same order", arguments: counts, counts)
  func keepsEveryLookup(from: Int, to: Int) {
    for seed in UInt64(0)..<(from * to > 1_000 ? 1 : 6) {
      var random = RandomState(seed: seed)
      var state = random.state(shards: from)
      let before = state.keyspaces[0]
      let highest = state.nextFileNumber
      state.keyspaces[0].arrange(shards: to, nextNumber: &state.nextFileNumber)
      let after = state.keyspaces[0]
      #expect(state.complaint == nil, "seed \(seed): \(state.complaint ?? "")")
      #expect(after.shards.map(\.groups) == KeyGroupRange.split(into: to))
      if from == to { #expect(after == before && state.nextFileNumber == highest) }
      let ids = after.shards.flatMap(\.runs).map(\.id)
      #expect(Set(ids).count == ids.count, "seed \(seed): ids are unique")
      if from != to { #expect(ids.allSatisfy { $0 >= highest && $0 < state.nextFileNumber }) }
      for probe in 0..<2_000 {
        let high = UInt64(probe) &* (UInt64.max / 2_000)
        #expect(
          Self.tables(of: after, at: high) == Self.tables(of: before, at: high),
          "seed \(seed), hash \(high)")
      }
    }
  }

  @Test("there and back again, every hash still meets the same tables")
  func roundTrip() {
    var random = RandomState(seed: 9)
    var state = random.state(shards: 4)
    let before = state.keyspaces[0]
    for count in [1, 5, 2, 4] {
      state.keyspaces[0].arrange(shards: count, nextNumber: &state.nextFileNumber)
    }
    #expect(state.complaint == nil)
    for probe in 0..<2_000 {
      let high = UInt64(probe) &* (UInt64.max / 2_000)
      #expect(
        Self.tables(of: state.keyspaces[0], at: high) == Self.tables(of: before, at: high))
    }
  }
}
