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
    var ttl: Int64? = 100
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
      claim: "nothing expires for ever", ttl: nil,
      steps: [("i 1 901", .keep), ("i 1 -5000", .keep), ("p 1 -5000", .keep)]),
    Case(
      claim: "a ttl that runs past the end of time does not wrap", ttl: .max,
      steps: [("i 1 901", .keep)]),
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
      EntryRetention.Rules(isExact: false, ttl: nil, watermark: 0, isBottommost: true))
    for time in 0..<1_000 {
      let entry = EntryReference(hash: KeyHash(high: 1, low: 1), time: Int64(time))
      #expect(retention.decide(entry) == .keep)
    }
  }

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
