import SedimentStore
import SedimentTestKit
import Testing

/// Rows 6 and 7 of the fault matrix, for the log of ordered keyspaces: a torn tail costs what is
/// behind it, a hole is told.
@Suite("Damage of the log of ordered keyspaces")
struct WriteLogDamageTests {
  private static let samples = Result {
    [try WriteLogSample(commits: false), try WriteLogSample(commits: true)]
  }

  private static func sample(_ commits: Bool) throws -> WriteLogSample {
    try samples.get()[commits ? 1 : 0]
  }

  @Test("cut at any byte it holds the batches before the cut", arguments: [false, true])
  func cut(commits: Bool) throws {
    let sample = try Self.sample(commits)
    var outcomes: Set<String> = []
    for size in 0..<sample.bytes.count {
      let outcome = sample.outcome(damagedFrom: size, isTail: true)
      outcomes.insert("\(outcome)")
      let problem = try sample.problem(
        with: Array(sample.bytes[..<size]), expecting: outcome, isThorough: size % 16 == 0)
      #expect(problem == nil, "cut at \(size)")
    }
    // All batches but those that are committed, one by one.
    #expect(outcomes.count >= (commits ? 12 : 25), "\(outcomes.sorted())")
  }

  @Test("zeroed from any byte on it holds the batches before", arguments: [false, true])
  func zeroed(commits: Bool) throws {
    let sample = try Self.sample(commits)
    for size in 0..<sample.bytes.count {
      let zeros = [UInt8](repeating: 0, count: sample.bytes.count - size)
      let damaged = Array(sample.bytes[..<size]) + zeros
      let problem = try sample.problem(
        with: damaged, expecting: sample.outcome(ofTail: damaged), isThorough: size % 16 == 8)
      #expect(problem == nil, "zeroed from \(size)")
    }
  }

  @Test("one flipped bit in any byte is a torn tail, harmless, or told", arguments: [false, true])
  func flipped(commits: Bool) throws {
    let sample = try Self.sample(commits)
    var generator = SeededGenerator(seed: 0xB17)
    var refusedCount = 0
    for byte in sample.bytes.indices {
      var damaged = sample.bytes
      damaged[byte] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      let outcome = sample.outcome(damagedFrom: byte, isTail: false)
      refusedCount += outcome == .refused ? 1 : 0
      let problem = try sample.problem(
        with: damaged, expecting: outcome, isThorough: byte % 16 == 0)
      #expect(problem == nil, "flipped in byte \(byte)")
    }
    // Nearly all of it lies before the last acknowledgement.
    #expect(refusedCount > sample.bytes.count / 2)
  }

  @Test("garbage behind any record ends it there", arguments: [false, true])
  func garbage(commits: Bool) throws {
    let sample = try Self.sample(commits)
    var generator = SeededGenerator(seed: 0x6A5)
    for border in sample.borders + [sample.bytes.count] {
      let whole = Array(sample.bytes[..<border])
      // What a file system may show behind its end: zeros, ones, noise, and other parts of the log,
      // whole records at other places among them.
      let tails: [[UInt8]] = [
        [UInt8](repeating: 0, count: 4_096), [UInt8](repeating: 0xFF, count: 40),
        (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) },
        Array(sample.bytes.dropFirst(RecordLogFormat.headerBytes)), sample.bytes,
      ]
      for (number, tail) in tails.enumerated() {
        let damaged = whole + tail
        // The log's first record stands where it belongs when nothing is before it.
        if damaged.starts(with: sample.bytes) && border < sample.bytes.count { continue }
        let problem = try sample.problem(
          with: damaged, expecting: sample.outcome(ofTail: damaged))
        #expect(problem == nil, "garbage \(number) behind \(border)")
      }
    }
  }
}
