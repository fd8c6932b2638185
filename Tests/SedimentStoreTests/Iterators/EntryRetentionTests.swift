import SedimentStore
import Testing

@Suite("Entry retention")
struct EntryRetentionTests {
  /// Entries of one merge, newest first for each hash, each with what becomes of it.
  ///
  /// An entry reads `kind hash time [key]`, kind being i, p or r; `ttl 100`, watermark 1000, so
  /// times up to 900 are expired.
  struct Case: Sendable, CustomTestStringConvertible {
    var claim: String
    var isExact = false
    var ttl: Int64 = 100
    var isBottommost = false
    var steps: [(entry: String, decision: EntryRetention.Decision)]
    var testDescription: String { claim }
  }

  static let cases = [
    Case(
      claim: "inserts of different keys stay",
      steps: [("i 1 950", .keep), ("i 2 950", .keep), ("i 3 950", .keep)]),
    Case(
      claim: "inserts of one key stay while their times differ",
      steps: [("i 1 1150", .keep), ("i 1 950", .keep), ("i 1 1050", .keep)]),
    Case(
      claim: "a repeat of key and time is dropped, wherever it stands",
      steps: [
        ("i 1 950", .keep), ("i 1 960", .keep), ("i 1 950", .repeated), ("i 1 960", .repeated),
        ("i 2 950", .keep),
      ]),
    Case(
      claim: "an insert is expired from time + ttl = watermark on",
      steps: [("i 1 901", .keep), ("i 1 900", .expired), ("i 2 -5000", .expired)]),
    Case(
      claim: "nothing expires for ever", ttl: .max,
      steps: [("i 1 901", .keep), ("i 1 -5000", .keep), ("p 1 -5000", .keep)]),
    Case(
      claim: "a put hides what is older and not what is newer",
      steps: [
        ("i 1 990", .keep), ("p 1 950", .keep), ("i 1 990", .hidden), ("p 1 980", .hidden),
        ("r 1 980", .hidden), ("i 2 950", .keep),
      ]),
    Case(
      claim: "a remove stays above the bottom, whatever its time, and hides",
      steps: [("r 1 5", .keep), ("i 1 990", .hidden), ("r 1 990", .hidden)]),
    Case(
      claim: "a remove goes from the bottom and still hides", isBottommost: true,
      steps: [("r 1 990", .tombstone), ("i 1 990", .hidden), ("p 1 990", .hidden)]),
    Case(
      claim: "an expired put stays above the bottom, where it hides",
      steps: [("p 1 800", .keep), ("i 1 990", .hidden)]),
    Case(
      claim: "an expired put goes from the bottom and still hides", isBottommost: true,
      steps: [("p 1 800", .expired), ("i 1 990", .hidden), ("p 2 950", .keep)]),
    Case(
      claim: "an insert newer than a remove stays", isBottommost: true,
      steps: [("i 1 990", .keep), ("r 1 980", .tombstone), ("i 1 970", .hidden)]),
    Case(
      claim: "in exact mode equal hashes are different keys when their bytes differ", isExact: true,
      steps: [
        ("i 1 950 a", .keep), ("i 1 950 b", .keep), ("i 1 950 a", .repeated),
        ("p 1 940 b", .keep), ("i 1 960 a", .keep), ("i 1 960 b", .hidden),
        ("r 1 930 a", .keep), ("i 1 990 a", .hidden), ("i 1 990 ab", .keep), ("i 1 990", .keep),
      ]),
    Case(
      claim: "in fingerprint mode the hash is the key", isExact: false,
      steps: [("i 1 950 a", .keep), ("i 1 950 b", .repeated)]),
    Case(
      claim: "hash 0 is a hash like others",
      steps: [("p 0 950", .keep), ("i 0 950", .hidden), ("i 1 950", .keep), ("i 2 950", .keep)]),
  ]

  @Test(arguments: cases)
  func decides(_ scenario: Case) throws {
    var retention = EntryRetention(
      EntryRetention.Rules(
        isExact: scenario.isExact, ttl: scenario.ttl, watermark: 1_000,
        isBottommost: scenario.isBottommost))
    for (text, decision) in scenario.steps {
      let entry = try #require(parse(text))
      let answer = entry.withReference { retention.decide($0) }
      #expect(answer == decision, "\(text)")
    }
  }

  @Test("more inserts of one key than are remembered are kept, none lost")
  func manyInserts() {
    var retention = EntryRetention(
      EntryRetention.Rules(isExact: false, ttl: .max, watermark: 0, isBottommost: true))
    for time in 0..<1_000 {
      let entry = EntryReference(hash: KeyHash(high: 1, low: 1), time: Int64(time))
      #expect(retention.decide(entry) == .keep)
    }
  }

  @Test(
    "a block keeps the entries that are kept one by one",
    arguments: [false, true], [false, true])
  func blocksAgreeWithEntries(isExact: Bool, hasKinds: Bool) {
    for seed in UInt64(0)..<40 {
      var generator = SeededGenerator(seed: seed)
      let rules = EntryRetention.Rules(
        isExact: isExact, ttl: seed % 4 == 0 ? .max : 100, watermark: 1_000,
        isBottommost: seed % 3 == 0)
      var byBlock = EntryRetention(rules)
      var oneByOne = EntryRetention(rules)
      // From hardly any to hardly any but repeated hashes.
      let hashes = 3_000 >> (seed % 10)
      var high: UInt64 = 0
      var kept: [TestEntry] = []
      var expected: [TestEntry] = []
      for _ in 0..<8 {
        var block = EntryBlock(
          layout: EntryLayout(isExact: isExact, valueWidth: 0), hasKinds: hasKinds)
        var references: [EntryReference] = []
        for _ in 0..<Int.random(in: 0...300, using: &generator) {
          if UInt64.random(in: 0..<3_000, using: &generator) < hashes { high += 1 }
          let kind = UInt8.random(in: 0..<20, using: &generator)
          references.append(
            unsafe EntryReference(
              hash: KeyHash(high: high, low: generator.next() >> 63),
              time: Int64.random(in: 880...950, using: &generator),
              kind: hasKinds ? EntryKind(rawValue: kind) ?? .insert : .insert, value: nil,
              key: isExact ? Self.keys.baseAddress : nil,
              keyLength: isExact ? UInt32.random(in: 1...2, using: &generator) : 0))
        }
        references.sort { $0.hash < $1.hash }
        for reference in references {
          block.append(reference)
          if oneByOne.decide(reference) == .keep {
            expected.append(TestEntry(reference, valueWidth: 0))
          }
        }
        byBlock.thin(&block)
        kept += block.entries(valueWidth: 0)
      }
      #expect(kept == expected, "seed \(seed)")
    }
  }

  /// Bytes of keys, which live as long as the process.
  private nonisolated(unsafe) static let keys: UnsafeRawBufferPointer = {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 2, alignment: 1)
    unsafe bytes.copyBytes(from: [7, 7])
    return UnsafeRawBufferPointer(bytes)
  }()

  private func parse(_ text: String) -> TestEntry? {
    let words = text.split(separator: " ")
    let kinds: [Substring: EntryKind] = ["i": .insert, "p": .put, "r": .remove]
    guard
      words.count >= 3, let kind = kinds[words[0]], let hash = UInt64(words[1]),
      let time = Int64(words[2])
    else { return nil }
    return TestEntry(
      KeyHash(high: hash, low: hash), time: time, kind: kind,
      key: words.count > 3 ? Array(words[3].utf8) : [])
  }
}
