import SedimentJob
import Testing

/// The definition of the workload, word for word and as slowly as it likes.
private struct ReferenceWorkload {
  static func sm(_ x: UInt64) -> UInt64 {
    var z = x &+ 0x9E37_79B9_7F4A_7C15
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  static func id(_ i: UInt64, _ thousandths: UInt64, _ seed: UInt64) -> UInt64 {
    let r = sm(seed &+ i)
    guard i > 0, r % 1000 < thousandths else { return i }
    let x = sm(r)
    return x >= 1 << 63 ? i - 1 - x % min(i, 100_000) : x % i
  }
  static func line(_ id: UInt64) -> String {
    let hex = String(sm(id ^ 0x9E37_79B9_7F4A_7C15), radix: 16)
    let request = String(repeating: "0", count: 16 - hex.count) + hex
    let words = "\(WorkloadGenerator.payloadWords)".split(separator: " ")
    let payload = (0..<11).map { words[Int(sm(~id) >> (4 * UInt64($0)) & 15)] }
    return "{\"adserver_id\":\(sm(id) % 5000),\"event_timestamp\":\(1_700_000_000_000 + id / 10),"
      + "\"request_id\":\"\(request)\",\"payload\":\"\(payload.joined(separator: " "))\"}"
  }
}

@Suite struct WorkloadTests {
  @Test(arguments: [("0.2", 42 as UInt64), ("0", 1), ("1", 7), ("0.0005", .max), (".999", 0)])
  func idsAgreeWithTheReferenceEventByEvent(share: String, seed: UInt64) throws {
    let share = try #require(DuplicateShare(share))
    let workload = Workload(duplicates: share, seed: seed)
    for event in 0..<200_000 as Range<UInt64> {
      let expected = ReferenceWorkload.id(event, share.thousandths, seed)
      if workload.id(ofEvent: event) != expected {
        Issue.record("event \(event): \(workload.id(ofEvent: event)), not \(expected)")
        return
      }
    }
  }

  @Test func linesAgreeWithTheReferenceEventByEvent() {
    let text = Self.text(events: 5_000, bufferBytes: 1 << 16)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 5_001 && lines.last == "")
    for (event, line) in lines.dropLast().enumerated() {
      #expect(line == ReferenceWorkload.line(ReferenceWorkload.id(UInt64(event), 200, 42)))
    }
  }

  @Test func aMillionEventsHaveTheKnownNumberOfIDs() {
    var generator = WorkloadGenerator(events: 1_000_000, format: .lines)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { unsafe buffer.deallocate() }
    while unsafe generator.write(into: buffer) > 0 {}
    #expect(generator.eventsWritten == 1_000_000)
    #expect(generator.distinctIDs == 835_218)
  }

  @Test func bufferSizeDoesNotChangeTheBytes() {
    let expected = Self.text(events: 2_000, bufferBytes: 1 << 20)
    for bytes in [WorkloadGenerator.lineBytesMax, 257, 1_000, 4_096] {
      #expect(Self.text(events: 2_000, bufferBytes: bytes) == expected)
    }
  }

  @Test func noLineReachesTheBound() {
    for format in WorkloadFormat.allCases {
      let text = Self.text(events: 1_000, bufferBytes: 1 << 16, format: format)
      #expect(text.split(separator: "\n").allSatisfy { $0.utf8.count < 200 })
    }
  }

  @Test func csvBeginsWithItsHeaderOnceAndHoldsTheSameFields() {
    let csv = Self.text(events: 300, bufferBytes: 512, format: .csv).split(separator: "\n")
    let lines = Self.text(events: 300, bufferBytes: 512, format: .lines).split(separator: "\n")
    #expect(csv.first == "adserver_id,event_timestamp,request_id,payload")
    #expect(csv.count == 301)
    for (row, line) in zip(csv.dropFirst(), lines) {
      let fields = line.split(separator: " ", maxSplits: 3)
      #expect(row == fields.joined(separator: ","))
    }
  }

  @Test func payloadWordsAreSixteenOfEightBytes() {
    let words = "\(WorkloadGenerator.payloadWords)"
    #expect(words.utf8.count == 128)
    #expect(words.split(separator: " ").count == 16)
    #expect(words.split(separator: " ").allSatisfy { $0.utf8.count == 7 })
  }

  static func text(
    events: UInt64, bufferBytes: Int, format: WorkloadFormat = .ndjson
  ) -> String {
    var generator = WorkloadGenerator(events: events, format: format)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferBytes, alignment: 16)
    defer { unsafe buffer.deallocate() }
    var bytes: [UInt8] = []
    while true {
      let count = unsafe generator.write(into: buffer)
      if count == 0 { return String(decoding: bytes, as: UTF8.self) }
      unsafe bytes.append(contentsOf: buffer[..<count])
    }
  }
}

@Suite struct DuplicateShareTests {
  @Test(arguments: [
    ("0", 0 as UInt64), ("0.2", 200), (".25", 250), ("1", 1000), ("1.000", 1000), ("0.2005", 201),
    ("0.0000000000000000000000001", 1), ("0.1999", 200), ("00.5", 500), ("1.", 1000),
  ])
  func decimalsAreExact(text: String, thousandths: UInt64) {
    #expect(DuplicateShare(text)?.thousandths == thousandths)
  }

  @Test(arguments: ["", ".", "-0.1", "1.001", "1.0000001", "2", "1e-1", "0,2", "0.2.1", "nan", "٣"])
  func anythingElseIsRefused(text: String) {
    #expect(DuplicateShare(text) == nil)
  }
}
