import SedimentStore
import SedimentTestKit
import Testing

/// Row 8 of the fault matrix: pages, blocks and files that are whole, and stand where they do not
/// belong or did once.
@Suite("Swapped, stale and misplaced pages, blocks and files")
struct MisplacementTests {
  /// With tables of several pages.
  private static let sample = Result { try DamageSample(.reopened, size: 6) }
  /// The same script, run by another store: the same keys, names and lengths.
  private static let twin = Result { try DamageSample(.reopened, size: 6) }
  private static let ordered = Result { try DamageSample(.reopened, .ordered, size: 6) }
  private static let orderedTwin = Result { try DamageSample(.reopened, .ordered, size: 6) }

  private static func sample(_ kind: DamageSample.Kind) throws -> DamageSample {
    try (kind == .hashed ? sample : ordered).get()
  }

  private enum Move: CaseIterable {
    case swapPages, pageOfOtherTable, pageOfTwin, swapBlocks, staleBlock, copyFile, swapFiles
    case staleFile, fileOfTwin
  }

  @Test(
    "240 moves are harmless or reported", arguments: DamageSample.Kind.allCases, 0..<8)
  func moves(kind: DamageSample.Kind, part: Int) throws {
    let sample = try Self.sample(kind)
    let twin = try (kind == .hashed ? Self.twin : Self.orderedTwin).get()
    var generator = SeededGenerator(seed: 0x5A47 + UInt64(part))
    var refusedCount = 0
    for round in 0..<30 {
      let move = Move.allCases[(round + part) % Move.allCases.count]
      let changes = try Self.draw(move, sample, twin, &generator)
      let names = changes.map(\.file)
      let what = "seed \(0x5A47 + part), round \(round): \(move) of \(names)"
      #expect(!changes.isEmpty, "\(what)")
      for place in SampleScript.Place.allCases {
        let verdict = try sample.judge(place, what) { disk in
          for change in changes { try disk.replaceContents(of: change.file, with: change.bytes) }
        }
        refusedCount += verdict == .refused ? 1 : 0
      }
    }
    #expect(refusedCount >= 20, "moves that matter are noticed")
  }

  @Test(
    "a page or block at another place is never read as the one that belongs there",
    arguments: DamageSample.Kind.allCases)
  func everyPage(kind: DamageSample.Kind) throws {
    let sample = try Self.sample(kind)
    let tables = sample.files(of: .state).filter { $0.hasSuffix(".sst") }
    var swaps = 0
    for file in tables {
      let bytes = try sample.disk.contents(of: file)
      let pages = Self.pages(of: bytes)
      for first in pages.indices {
        for second in 0..<first {
          swaps += 1
          let verdict = try sample.judge(.state, "\(file): pages \(first) and \(second) swapped") {
            try $0.replaceContents(
              of: file, with: Self.swapping(pages[second], pages[first], bytes))
          }
          #expect(verdict == .refused, "\(file) pages \(first) and \(second)")
        }
      }
    }
    #expect(swaps >= 5)
  }

  @Test(
    "an older version of any file of a state is harmless or reported",
    arguments: DamageSample.Kind.allCases)
  func everyVersion(kind: DamageSample.Kind) throws {
    let sample = try Self.sample(kind)
    var count = 0
    for file in sample.files(of: .state) {
      for (index, version) in sample.versions[file, default: []].enumerated() {
        count += 1
        try sample.judge(.state, "\(file) as of version \(index)") {
          try $0.replaceContents(of: file, with: version)
        }
      }
    }
    #expect(count >= 10)
  }

  @Test(
    "a checkpoint's log as it went on later brings no later batches",
    arguments: DamageSample.Kind.allCases)
  func longerLog(kind: DamageSample.Kind) throws {
    let sample = try DamageSample(.closed, kind)
    let later = sample.versions.flatMap { file, versions in
      file.hasPrefix("state/") && file.hasSuffix(".log") ? versions : []
    }
    var count = 0
    for place in [SampleScript.Place.checkpoint, .savepoint] {
      for file in sample.files(of: place) where file.hasSuffix(".log") {
        let bytes = try sample.disk.contents(of: file)
        for version in later where version.count > bytes.count && version.starts(with: bytes) {
          count += 1
          let verdict = try sample.judge(place, "\(file) of \(version.count) bytes") {
            try $0.replaceContents(of: file, with: version)
          }
          // A savepoint's files are held against its sums.
          #expect(verdict == (place == .savepoint ? .refused : .whole))
        }
      }
    }
    #expect(count >= 2)
  }

  // MARK: - Moves

  private typealias Change = (file: String, bytes: [UInt8])

  private static func draw(
    _ move: Move, _ sample: DamageSample, _ twin: DamageSample, _ generator: inout SeededGenerator
  ) throws -> [Change] {
    let disk = sample.disk
    let files = SampleScript.Place.allCases.flatMap { sample.files(of: $0) }
    let file = files.randomElement(using: &generator) ?? ""
    let other = files.randomElement(using: &generator) ?? ""
    switch move {
    case .swapPages, .pageOfOtherTable, .pageOfTwin:
      return try drawPages(move, sample, twin, &generator)
    case .swapBlocks:
      let bytes = try disk.contents(of: file)
      let block = [16, 64, 512].randomElement(using: &generator) ?? 16
      let count = bytes.count / block
      guard count > 1 else { return [(file, bytes.reversed())] }
      let first = Int.random(in: 0..<count, using: &generator)
      let second = (first + 1) % count
      let pieces = [first, second].sorted().map { ($0 * block)..<(($0 + 1) * block) }
      return [(file, swapping(pieces[0], pieces[1], bytes))]
    case .staleBlock:
      // A block of an earlier version over the same place of the present one.
      let path = sample.versions.keys.sorted().filter { files.contains($0) }
        .randomElement(using: &generator)
      guard let path, let old = sample.versions[path]?.randomElement(using: &generator) else {
        return []
      }
      var bytes = try disk.contents(of: path)
      let start = Int.random(in: 0...(min(old.count, bytes.count) / 64), using: &generator) * 64
      let end = min(old.count, bytes.count, start + 512)
      if start < end { bytes.replaceSubrange(start..<end, with: old[start..<end]) }
      return [(path, bytes)]
    case .copyFile: return [(file, try disk.contents(of: other))]
    case .swapFiles:
      return [(file, try disk.contents(of: other)), (other, try disk.contents(of: file))]
    case .staleFile:
      // Of any name: also one that is gone, under a name that is there.
      let all = sample.versions.keys.sorted()
      let path = all.randomElement(using: &generator) ?? ""
      guard let old = sample.versions[path]?.randomElement(using: &generator) else { return [] }
      return [(files.contains(path) ? path : file, old)]
    case .fileOfTwin:
      let kind = file.suffix(4)
      let match = twin.disk.files().filter { $0.hasSuffix(kind) && !$0.hasSuffix("LOCK") }
        .randomElement(using: &generator)
      return [(file, try twin.disk.contents(of: match ?? "state/CURRENT"))]
    }
  }

  private static func drawPages(
    _ move: Move, _ sample: DamageSample, _ twin: DamageSample, _ generator: inout SeededGenerator
  ) throws -> [Change] {
    let tables = sample.files(of: .state).filter { $0.hasSuffix(".sst") }
    let source = move == .pageOfTwin ? twin : sample
    let sources = source.files(of: .state).filter { $0.hasSuffix(".sst") }
    guard let file = tables.randomElement(using: &generator),
      let other = sources.randomElement(using: &generator)
    else { return [] }
    var bytes = try sample.disk.contents(of: file)
    let units = units(of: bytes)
    let unit = Int.random(in: units.indices, using: &generator)
    if move == .swapPages {
      let pair = [unit, (unit + 1) % units.count].sorted()
      return [(file, swapping(units[pair[0]], units[pair[1]], bytes))]
    }
    let from = try source.disk.contents(of: other)
    let origins = Self.units(of: from)
    // Half of the time the same place, so that only the identity of the file tells them apart.
    let same = Bool.random(using: &generator) && unit < origins.count
    let origin = origins[same ? unit : Int.random(in: origins.indices, using: &generator)]
    let count = min(units[unit].count, origin.count)
    bytes.replaceSubrange(
      units[unit].prefix(count), with: from[origin.prefix(count)])
    return [(file, bytes)]
  }

  /// Exchanges two pieces, as far as the shorter one goes.
  private static func swapping(
    _ first: Range<Int>, _ second: Range<Int>, _ bytes: [UInt8]
  ) -> [UInt8] {
    var swapped = bytes
    for (index, other) in zip(first, second) where index != other { swapped.swapAt(index, other) }
    return swapped
  }

  /// What a table is made of: its pages or blocks, and what lies behind them in pieces as long as a
  /// page.
  private static func units(of bytes: [UInt8]) -> [Range<Int>] {
    let blocks = CraftedOrderedTable.blocks(of: bytes) ?? []
    let end = blocks.last?.upperBound ?? 0
    return blocks
      + stride(from: end, to: bytes.count, by: 4_096).map { $0..<min($0 + 4_096, bytes.count) }
  }

  /// The pages or blocks of a table.
  private static func pages(of bytes: [UInt8]) -> [Range<Int>] {
    if let blocks = CraftedOrderedTable.blocks(of: bytes) { return blocks }
    // All before the filter section.
    let count = Int(bytes.word(at: bytes.count - 4_096 + 40))
    return (0..<count).map { ($0 * 4_096)..<(($0 + 1) * 4_096) }
  }
}
