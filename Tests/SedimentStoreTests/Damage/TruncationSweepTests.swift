import SedimentStore
import SedimentTestKit
import Testing

/// Row 7 of the fault matrix: files cut short, zeroed and lengthened.
@Suite("Files cut short, zeroed and lengthened")
struct TruncationSweepTests {
  private typealias Place = SampleScript.Place
  private static let closed = Result { try DamageSample(.closed) }
  private static let killed = Result { try DamageSample(.killed) }
  private static let orderedClosed = Result { try DamageSample(.closed, .ordered) }
  private static let orderedKilled = Result { try DamageSample(.killed, .ordered) }

  private static func closed(_ kind: DamageSample.Kind) throws -> DamageSample {
    try (kind == .hashed ? closed : orderedClosed).get()
  }

  @Test(
    "a file cut short at any offset is refused, or lacks nothing that is durable",
    arguments: SampleScript.Place.allCases,
    [(DamageSample.Kind.hashed, false), (.hashed, true), (.ordered, false), (.ordered, true)])
  func cut(place: SampleScript.Place, how: (kind: DamageSample.Kind, zeroes: Bool)) throws {
    let zeroes = how.zeroes
    let sample = try Self.closed(how.kind)
    let durable = try Self.durableLengths(of: sample, place)
    for file in sample.files(of: place) {
      let bytes = try sample.disk.contents(of: file)
      var sizes = Array(stride(from: 0, to: bytes.count, by: 64))
      if let length = durable[file] { sizes += [length - 8, length - 1, length, length + 1] }
      sizes += [bytes.count - 1]
      for size in Set(sizes).sorted() where size >= 0 && size < bytes.count {
        let content = Array(bytes[..<size])
        let damaged = zeroes ? content + [UInt8](repeating: 0, count: bytes.count - size) : content
        let what = "\(file) \(zeroes ? "zeroed from" : "cut at") \(size)"
        let verdict = try sample.judge(place, what, allowingLoss: true) {
          try $0.replaceContents(of: file, with: damaged)
        }
        guard let length = durable[file], size < length else { continue }
        // What is cut may have been zeros: a record's padding.
        if case .earlier = verdict, !bytes[size..<length].allSatisfy({ $0 == 0 }) {
          Issue.record("\(what) has lost what was durable")
        }
        if !zeroes && size <= length - 8 { #expect(verdict == .refused, "\(what)") }
      }
    }
  }

  @Test("a log of batches cut behind the last epoch keeps every batch before the cut")
  func tornTail() throws {
    let sample = try Self.killed.get()
    let durable = try Self.durableLengths(of: sample, .state)
    let files = sample.files(of: .state).filter { $0.hasSuffix(".log") }
    // Of all logs only that of batches goes on behind what its epoch counts by a whole record.
    let file = try #require(
      try files.first { file in
        try sample.disk.contents(of: file).count > (durable[file] ?? 0) + 32
      })
    let length = try #require(durable[file])
    let size = try sample.disk.contents(of: file).count
    var counts: [Int] = []
    for cut in length..<size {
      let verdict = try sample.judge(.state, "\(file) cut at \(cut)", allowingLoss: true) {
        try $0.truncate(file, to: cut)
      }
      switch verdict {
      case .earlier(let epoch, let batches):
        #expect(epoch == sample.lastEpoch, "cut at \(cut)")
        counts.append(batches)
      case .whole: counts.append(.max)
      case .refused: Issue.record("cut at \(cut) is refused")
      }
    }
    #expect(counts == counts.sorted() && Set(counts).count == 4, "a longer log has fewer batches")
  }

  @Test(
    "a manifest of a killed store cut short is refused or as of an epoch",
    arguments: DamageSample.Kind.allCases, [8, 64])
  func manifest(kind: DamageSample.Kind, step: Int) throws {
    let sample = try (kind == .hashed ? Self.killed : Self.orderedKilled).get()
    let file = try #require(sample.files(of: .state).first { $0.contains("MANIFEST-") })
    let size = try sample.disk.contents(of: file).count
    for cut in stride(from: 0, to: size, by: step) {
      try sample.judge(.state, "\(file) cut at \(cut)", allowingLoss: true) {
        try $0.truncate(file, to: cut)
      }
    }
  }

  @Test(
    "garbage behind a file is harmless or reported", arguments: DamageSample.Kind.allCases,
    SampleScript.Place.allCases)
  func garbage(kind: DamageSample.Kind, place: SampleScript.Place) throws {
    let sample = try Self.closed(kind)
    for file in sample.files(of: place) {
      let bytes = try sample.disk.contents(of: file)
      for tail in Self.tails(of: bytes) {
        try sample.judge(place, "\(file) with \(tail.count) bytes \(tail.prefix(4)) behind it") {
          try $0.replaceContents(of: file, with: bytes + tail)
        }
      }
    }
  }

  /// Zeros, ones, noise, and parts of the file itself.
  private static func tails(of bytes: [UInt8]) -> [[UInt8]] {
    var generator = SeededGenerator(seed: UInt64(bytes.count))
    let lengths = [1, 7, 8, 16, 64, 512, 4_096, 4_097]
    let plain = lengths.flatMap { length in
      [
        [UInt8](repeating: 0, count: length), [UInt8](repeating: 0xFF, count: length),
        (0..<length).map { _ in UInt8.random(in: 0...255, using: &generator) },
      ]
    }
    return plain + [bytes, Array(bytes.suffix(16)), Array(bytes.suffix(4_096))]
  }

  /// The length up to which a file must be whole, by path.
  private static func durableLengths(
    of sample: DamageSample, _ place: Place
  ) throws -> [String: Int] {
    let prefix = DamageSample.paths[place] ?? ""
    let state = try ReadOnlyStore.open(at: "/" + prefix, fileSystem: sample.disk.clone()).state
    var lengths: [String: Int] = [:]
    for file in sample.files(of: place) {
      let size = try sample.disk.contents(of: file).count
      let log = state.logs.first {
        file.hasSuffix("/" + $0.number.logName)
          || file.hasSuffix("/" + FileNaming.objects.name(of: $0))
      }
      let isDescription = file.hasSuffix(".json") || file.hasSuffix("SUMS")
      if !isDescription { lengths[file] = log.map { Int($0.committedLength) } ?? size }
    }
    return lengths
  }
}
