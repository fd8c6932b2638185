import SedimentStore
import SedimentTestKit
import Testing

@Suite("What flushes and merges of ordered keyspaces keep")
struct OrderedRetentionTests {
  /// A version of one key, newest first in lists.
  private struct Version: Hashable {
    var tag: EntryTag
    var isExpired = false
  }

  /// What a read at a sequence number makes of versions: the operands on top, by their numbers, and
  /// whether a put lies below them, by its expiry.
  private func read(_ versions: [Version], at sequence: UInt64) -> (operands: [UInt64], put: Bool) {
    var operands: [UInt64] = []
    for version in versions where version.tag.sequence <= sequence {
      switch version.tag.kind {
      case .merge: if !version.isExpired { operands.append(version.tag.sequence) }
      case .put: return (operands, !version.isExpired)
      case .remove, .removeRange: return (operands, false)
      }
    }
    return (operands, false)
  }

  private func thin(_ versions: [Version], _ rules: OrderedRetention.Rules) -> [Version] {
    var retention = OrderedRetention(rules)
    retention.beginKey()
    return versions.compactMap { version in
      switch retention.decide(version.tag, isExpired: version.isExpired) {
      case .drop: nil
      case .keep(let tag): Version(tag: tag, isExpired: version.isExpired)
      case .keepWithoutValue(let tag): Version(tag: tag)
      }
    }
  }

  @Test(arguments: 0..<400 as Range<UInt64>)
  func noReadSeesADifference(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    let count = Int.random(in: 1...10, using: &generator)
    let sequences = Set((0..<count).map { _ in UInt64.random(in: 1...30, using: &generator) })
    let versions = sequences.sorted(by: >).map { sequence in
      let kind = OrderedKind.entryKinds.randomElement(using: &generator) ?? .put
      return Version(
        tag: EntryTag(sequence: sequence, kind: kind),
        isExpired: kind == .put && Int.random(in: 0..<3, using: &generator) == 0)
    }
    let snapshots = Set(
      (0..<Int.random(in: 0...3, using: &generator)).map { _ in
        UInt64.random(in: 0...31, using: &generator)
      }
    ).sorted()
    // Older versions that take no part: a merge that is not at the bottom must go on hiding them.
    let older = [Version(tag: EntryTag(sequence: 0, kind: .put))]
    for isBottommost in [false, true] {
      let rules = OrderedRetention.Rules(snapshots: snapshots, isBottommost: isBottommost)
      let kept = thin(versions, rules)
      for sequence in snapshots + [EntryTag.sequenceMax] {
        let below = isBottommost ? [] : older
        let before = read(versions + below, at: sequence)
        let after = read(kept + below, at: sequence)
        #expect(before.operands == after.operands && before.put == after.put)
      }
      #expect(kept.count <= versions.count)
      let tags = kept.map(\.tag)
      #expect(tags == tags.sorted(by: >) && Set(tags).count == tags.count)
    }
  }

  @Test func onlyTheNewestIsKeptWithoutSnapshots() {
    let versions = (1...5).reversed().map { Version(tag: EntryTag(sequence: $0, kind: .put)) }
    let bottom = OrderedRetention.Rules(snapshots: [], isBottommost: true)
    #expect(thin(versions, bottom).map(\.tag) == [EntryTag(sequence: 0, kind: .put)])
    let above = OrderedRetention.Rules(snapshots: [], isBottommost: false)
    #expect(thin(versions, above).map(\.tag) == [EntryTag(sequence: 5, kind: .put)])
  }

  @Test func aRemoveIsKeptUntilTheBottom() {
    let versions = [Version(tag: EntryTag(sequence: 9, kind: .remove))]
    let above = OrderedRetention.Rules(snapshots: [], isBottommost: false)
    #expect(thin(versions, above) == versions)
    #expect(thin(versions, OrderedRetention.Rules(snapshots: [], isBottommost: true)).isEmpty)
    // A snapshot that does not see it needs what lies below to be hidden from the others.
    let seen = OrderedRetention.Rules(snapshots: [5], isBottommost: true)
    #expect(thin(versions, seen) == versions)
  }

  @Test func whatHasExpiredGoesOnHiding() {
    let put = Version(tag: EntryTag(sequence: 9, kind: .put, expires: true), isExpired: true)
    let above = OrderedRetention.Rules(snapshots: [], isBottommost: false)
    #expect(thin([put], above).map(\.tag) == [EntryTag(sequence: 9, kind: .remove)])
    #expect(thin([put], OrderedRetention.Rules(snapshots: [], isBottommost: true)).isEmpty)
  }
}
