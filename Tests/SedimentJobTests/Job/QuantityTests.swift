import SedimentJob
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Quantities")
struct QuantityTests {
  // MARK: - Durations

  static let durations: [(text: String, millis: Int64?)] = [
    ("1ms", 1), ("1s", 1_000), ("1m", 60_000), ("1h", 3_600_000), ("1d", 86_400_000),
    ("1w", 604_800_000), ("250ms", 250), ("7d", 604_800_000), ("1h30m", 5_400_000),
    ("1w1d1h1m1s1ms", 694_861_001), ("1d1ms", 86_400_001), ("90m", 5_400_000), ("0s", 0),
    ("007s", 7_000), ("\(1 << 60)ms", 1 << 60), ("\(1 << 60 + 1)ms", nil),
    ("9223372036854775807ms", nil), ("9223372036854775808ms", nil), ("9223372036854775807w", nil),
    ("99999999999999999999999s", nil), ("1906000000w1000000000d", nil),
    ("1152921504606846976ms1", nil),
    ("", nil), ("7", nil), ("d", nil), ("ms", nil), ("7 d", nil), (" 7d", nil), ("7d ", nil),
    ("-1d", nil), ("+1d", nil), ("1.5h", nil), ("1D", nil), ("1y", nil), ("1us", nil),
    ("1d1d", nil), ("1s1m", nil), ("1ms1s", nil), ("1h30", nil), ("1dd", nil), ("１d", nil),
    ("1d\0", nil), ("forever", nil), ("∞", nil),
  ]

  @Test("durations are read as they are meant, or not at all", arguments: durations)
  func millis(_ scenario: (text: String, millis: Int64?)) {
    #expect(Quantity.millis(scenario.text) == scenario.millis)
  }

  @Test func printedDurationsAreReadBack() {
    for seed in UInt64(0)..<2_000 {
      var generator = SeededGenerator(seed: seed)
      let millis = Int64.random(in: 0...(1 << Int64(seed % 61)), using: &generator)
      #expect(Quantity.millis(Figure.duration(millis)) == millis, "\(millis)")
    }
    #expect(Figure.duration(0) == "0ms")
    #expect(Figure.duration(604_800_000) == "7d")
    #expect(Figure.duration(694_861_001) == "8d1h1m1s1ms")
    #expect(Figure.duration(5_400_000) == "1h30m")
    #expect(
      Quantity.millis(Figure.duration(TimeToLive.millisecondsMax))
        == TimeToLive.millisecondsMax)
  }

  @Test func aTimeToLiveIsForEverOrAtLeastAMillisecond() {
    #expect(Quantity.timeToLive("forever") == .forever)
    #expect(Quantity.timeToLive("7d") == .milliseconds(604_800_000))
    #expect(Quantity.timeToLive("1ms") == .milliseconds(1))
    for text in ["0s", "0ms", "", "Forever", "ever", "7", "-1d"] {
      #expect(Quantity.timeToLive(text) == nil, "\(text)")
    }
    for ttl in [TimeToLive.forever, .milliseconds(1), .milliseconds(90_000)] {
      #expect(Quantity.timeToLive(Quantity.text(of: ttl)) == ttl)
    }
  }

  // MARK: - Sizes

  static let sizes: [(text: String, bytes: UInt64?)] = [
    ("0", 0), ("1000", 1_000), ("1b", 1), ("1B", 1), ("1k", 1 << 10), ("1kb", 1_000),
    ("1KB", 1_000), ("1KiB", 1 << 10), ("64k", 65_536), ("1m", 1 << 20), ("1MB", 1_000_000),
    ("1MiB", 1 << 20), ("512mib", 512 << 20), ("1g", 1 << 30), ("1GB", 1_000_000_000),
    ("2GiB", 2 << 30), ("1t", 1 << 40), ("1TB", 1_000_000_000_000), ("1TiB", 1 << 40),
    ("4194304TiB", 1 << 62), ("4194305TiB", nil), ("\(1 << 62 as UInt64)", 1 << 62),
    ("\(1 << 62 + 1 as UInt64)", nil), ("18446744073709551615", nil),
    ("18446744073709551616", nil), ("18446744073709551615TiB", nil), ("", nil), ("k", nil),
    ("GiB", nil), ("1 GiB", nil), (" 1", nil), ("1 ", nil), ("-1", nil), ("+1", nil),
    ("1.5GiB", nil), ("1pb", nil), ("1kk", nil), ("1ki", nil), ("0x10", nil), ("1e3", nil),
    ("１k", nil), ("1K\u{0301}", nil),
  ]

  @Test("sizes are read as they are meant, or not at all", arguments: sizes)
  func bytes(_ scenario: (text: String, bytes: UInt64?)) {
    #expect(Quantity.bytes(scenario.text) == scenario.bytes)
  }

  static let printedSizes: [(bytes: UInt64, text: String)] = [
    (0, "0 B"), (1, "1 B"), (1_023, "1023 B"), (1_024, "1.0 KiB"), (1_536, "1.5 KiB"),
    (2_047, "2.0 KiB"), (10_240, "10.0 KiB"), (102_400, "100.0 KiB"), (1_048_575, "1.0 MiB"),
    (1 << 20, "1.0 MiB"), (3 << 29, "1.5 GiB"), (1 << 40, "1.0 TiB"), (1 << 50, "1.0 PiB"),
    (1 << 60, "1.0 EiB"), (.max, "16.0 EiB"),
  ]

  @Test("sizes are printed for people", arguments: printedSizes)
  func printsBytes(_ scenario: (bytes: UInt64, text: String)) {
    #expect(Figure.bytes(scenario.bytes) == scenario.text)
  }

  // MARK: - Counts

  static let counts: [(count: UInt64, text: String)] = [
    (0, "0"), (7, "7"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"),
    (999_999, "999,999"), (1_000_000, "1,000,000"), (.max, "18,446,744,073,709,551,615"),
  ]

  @Test("counts are grouped by three digits", arguments: counts)
  func grouped(_ scenario: (count: UInt64, text: String)) {
    #expect(Figure.count(scenario.count) == scenario.text)
  }

  @Test func anyTextIsReadWithoutATrap() {
    let alphabet = Array("0123456789wdhmskbgti .-+é９")
    for seed in UInt64(0)..<5_000 {
      var generator = SeededGenerator(seed: seed)
      let text = String(
        (0..<Int.random(in: 0...24, using: &generator)).map { _ in
          alphabet[Int.random(in: 0..<alphabet.count, using: &generator)]
        })
      if let millis = Quantity.millis(text) {
        #expect((0...TimeToLive.millisecondsMax).contains(millis), "\(text)")
      }
      if let bytes = Quantity.bytes(text) { #expect(bytes <= 1 << 62, "\(text)") }
      _ = Quantity.timeToLive(text)
    }
  }
}
