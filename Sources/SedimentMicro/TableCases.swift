import SedimentIO
import SedimentStore

extension MicroCase {
  /// Tables in files: written, searched, merged. What the kernel does is not among the
  /// instructions.
  static let tableCases = [
    MicroCase("page-search", item: "hash that is there") { input in
      let directory = try openDirectory(input)
      let table = try writeTable(input.sortedHashes, number: 1, in: directory)
      let pages = try LoadedPages(table)
      let hashes = input.hashes
      return {
        try WrongAnswer.check(hashes.count { pages.entryCount(of: $0) == 1 }, input.items)
      }
    },
    MicroCase("table-write", item: "entry of 16 bytes") { input in
      let directory = try openDirectory(input)
      let hashes = input.sortedHashes
      return {
        let table = try writeTable(hashes, number: 1, in: directory)
        try WrongAnswer.check(Int(table.metadata.entryCount), input.items)
      }
    },
    MicroCase("merge", item: "entry of one of eight runs", merge),
  ]

  private static let layout = EntryLayout(isExact: false, valueWidth: 0)

  private static func openDirectory(_ input: MicroInput) throws -> any Directory {
    try PosixFileSystem().openDirectory(at: input.directory, creating: true)
  }

  /// Writes a table without a filter and opens it.
  private static func writeTable(
    _ hashes: [KeyHash], number: UInt64, in directory: any Directory
  ) throws -> TableReader {
    var writer = try TableWriter(
      directory: directory,
      plan: TableWriter.Plan(
        number: FileNumber(number), fileID: number,
        layout: layout, hasKinds: false,
        timeBounds: MicroInput.time...MicroInput.time, hashRange: 0...UInt64.max,
        expectedEntries: hashes.count, filter: .none))
    var block = EntryBlock(layout: layout, hasKinds: false)
    for hash in hashes {
      block.append(EntryReference(hash: hash, time: MicroInput.time))
      if block.count < EntryBlock.capacity { continue }
      try writer.append(block, 0..<block.count)
      block.removeAll()
    }
    if block.count > 0 { try writer.append(block, 0..<block.count) }
    guard let metadata = try writer.finish() else {
      throw WrongAnswer(found: 0, expected: hashes.count)
    }
    return try TableReader(directory: directory, metadata: metadata)
  }

  private static func merge(_ input: MicroInput) throws -> MicroRound {
    let runs = 8
    let directory = try openDirectory(input)
    let sources = try (0..<runs).map { run -> any PageSource in
      // The runs of `items` entries differ by one entry at most.
      let count = (run + 1) * input.items / runs - run * input.items / runs
      let hashes = MicroInput.hashes(count, stream: UInt64(run)).sorted()
      guard count > 0 else { return RunCursor([]) }
      let table = try writeTable(hashes, number: UInt64(run + 1), in: directory)
      return RunCursor([RunSegment(table: table)])
    }
    let rules = EntryRetention.Rules(
      isExact: false, ttl: .max, watermark: MicroInput.time, isBottommost: true)
    return {
      var cursor = MergeCursor(sources)
      var retention = EntryRetention(rules)
      var block = EntryBlock(layout: layout, hasKinds: false)
      var kept = 0
      while try cursor.fill(&block) {
        retention.thin(&block)
        kept += block.count
      }
      try WrongAnswer.check(kept, input.items)
    }
  }
}

/// All pages of a table in memory.
@safe
private final class LoadedPages {
  private let table: TableReader
  private let memory: UnsafeMutableRawPointer

  init(_ table: TableReader) throws {
    self.table = table
    unsafe memory = .allocate(byteCount: Int(table.metadata.fileBytes), alignment: 64)
    var cursor = MergeCursor([TableCursor(table: table)])
    var read: UInt32 = 0
    var block = EntryBlock(layout: table.metadata.layout, hasKinds: false)
    while try cursor.fill(&block) {
      for index in 0..<block.count {
        let place = table.probe.place(for: block.entry(at: index).hash)
        guard place.first >= read else { continue }
        // SAFETY: the units of a table's pages are part of its file.
        _ = try unsafe table.readPage(
          first: place.first, count: place.count,
          into: memory + Int(place.first) * TableFormat.unitBytes)
        read = place.first + place.count
      }
    }
  }

  deinit { unsafe memory.deallocate() }

  /// How many entries have the hash: a look at the index, then one at the page.
  func entryCount(of hash: KeyHash) -> Int {
    let place = table.probe.place(for: hash)
    guard place.count > 0 else { return 0 }
    // SAFETY: every page was read and checked.
    let page = unsafe table.probe.shape.view(
      checked: memory + Int(place.first) * TableFormat.unitBytes)
    return page.range(of: hash, near: place.part).count
  }
}
