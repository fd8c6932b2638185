import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// The tables of a state are opened side by side: what comes of it must not show that.
@Suite("Opening the tables of a state")
struct TableOpeningTests {
  /// Tables in a directory that writes down what is opened, and the state that names them.
  private struct Sample {
    let fileSystem = RecordingFileSystem(MemoryFileSystem(), recordsReads: true)
    let directory: any Directory
    var tables: [TestTable] = []
    var state = StoreState(identity: .random(), seed: HashSeed.random())

    /// Newest runs first, which are not those with the lowest numbers.
    static let numbers: [UInt64] = [21, 14, 17, 12, 19, 13]

    init() throws {
      directory = try fileSystem.openDirectory(at: "/state", creating: true)
      for (index, number) in Self.numbers.enumerated() {
        let shape = TableShape(
          count: 4_000 + 1_000 * index,
          filter: index % 3 == 2 ? .binaryFuse(planes: 9) : .blockedBloom(bitsPerKey: 12))
        tables.append(
          try TestTable(
            shape, seed: number, fileID: number, number: FileNumber(number), in: directory))
      }
      let runs = tables.enumerated().map { index, table in
        RunState(
          id: UInt64(index) + 1, sequence: UInt64(100 - index), level: 0, window: 0,
          tables: [TableSlice(table: table.metadata, clip: 0...UInt64.max)])
      }
      state.keyspaces = [
        KeyspaceState(
          id: 1, name: "seen", options: KeyspaceOptions(timeToLive: .forever),
          shards: [ShardState(groups: KeyGroupRange.split(into: 1)[0], runs: runs)])
      ]
      _ = fileSystem.takeLines()
    }

    /// Opens them, and calls `body` before they are closed again.
    func open<Answer>(
      budget: Int, threads: Int, _ body: (OpenTables) throws -> Answer
    ) throws -> Answer {
      let bytes = ByteBudget(limit: budget)
      let workers = try ShardWorkers(threads: threads)
      defer {
        workers.stop()
        #expect(bytes.available == budget, "all is given back")
      }
      return try body(
        TableOpening(directory: directory, budget: bytes, workers: workers).open(state))
    }

    func readers(_ open: OpenTables) -> [TableReader] {
      tables.map { table in
        open.table(TableSlice(table: table.metadata, clip: 0...UInt64.max)).reader
      }
    }

    /// Where a table's filter and footer begin.
    func places(of table: Int) throws -> (filter: Int, footer: Int) {
      let bytes = try tables[table].bytes()
      let footer = bytes.count - 4096
      let filter = (0..<8).reduce(0) { $0 | Int(bytes[footer + 96 + $1]) << (8 * $1) }
      return (filter, footer)
    }

    func flip(_ table: Int, at offset: Int) throws {
      let file = try directory.openFile(tables[table].metadata.number.tableName, .readWrite)
      defer { file.close() }
      let byte = try tables[table].bytes()[offset]
      try unsafe [byte ^ 4].withUnsafeBytes { try unsafe file.write($0, at: UInt64(offset)) }
    }

    /// Bytes of memory of all indexes and of each filter.
    func sizes() throws -> (indexes: Int, filters: [Int]) {
      try open(budget: .max, threads: 0) { open in
        let readers = readers(open)
        return (
          readers.reduce(0) { $0 + $1.indexBytes }, readers.map { $0.filter.memoryBytes }
        )
      }
    }
  }

  @Test("which filters are loaded in part is the same whatever the threads")
  func divisionIsDeterministic() throws {
    let sample = try Sample()
    let (indexes, filters) = try sample.sizes()
    let all = filters.reduce(0, +)
    for room in [-1, 0, 64, filters[0] / 2, filters[0], filters[0] + 100, all / 2, all - 1, all] {
      var first: [FilterLoadPlan]?
      for round in 0..<12 {
        let plans = try sample.open(budget: indexes + room, threads: round % 4) { open in
          sample.readers(open).map(\.filter.plan)
        }
        #expect(plans.reduce(0) { $0 + $1.memoryBytes } <= max(room, 0))
        #expect(plans == first ?? plans, "room \(room), round \(round)")
        first = plans
      }
      let plans = try #require(first)
      // The runs of Bloom filters become larger; the smaller one's filter is worth more a byte.
      let shares = [0, 1, 3, 4].map { Double(plans[$0].memoryBytes) / Double(filters[$0]) }
      #expect(shares == shares.sorted(by: >), "room \(room): \(shares)")
      #expect((plans.map(\.memoryBytes) == filters) == (room == all))
    }
  }

  @Test("a filter that is loaded in part answers for what it has")
  func partialFilters() throws {
    let sample = try Sample()
    let (indexes, filters) = try sample.sizes()
    for room in stride(from: 0, to: filters.reduce(0, +), by: 3_000) {
      try sample.open(budget: indexes + room, threads: 2) { open in
        for (reader, table) in zip(sample.readers(open), sample.tables) {
          let probe = reader.probe.filter
          #expect(table.entries.allSatisfy { probe.mayContain($0.hash) })
          let single = try table.open(filterByteBudget: reader.filter.memoryBytes)
          #expect(single.filter.plan == reader.filter.plan)
          let strangers = sortedHashes(500, seed: 77)
          let known = strangers.map { single.probe.filter.mayContain($0) }
          #expect(strangers.map { probe.mayContain($0) } == known)
        }
      }
    }
  }

  @Test("each file is opened once, of however many shards it is")
  func filesAreOpenedOnce() throws {
    var sample = try Sample()
    var number: UInt64 = 50
    sample.state.keyspaces[0].arrange(shards: 3, nextNumber: &number)
    let slices = sample.state.keyspaces[0].shards.flatMap(\.runs).flatMap(\.tables)
    #expect(slices.count == 3 * sample.tables.count)
    try sample.open(budget: .max, threads: 3) { open in
      for slice in slices {
        let table = open.table(slice)
        let whole = TableSlice(table: slice.table, clip: 0...UInt64.max)
        #expect(table.reader === open.table(whole).reader)
      }
    }
    let lines = sample.fileSystem.takeLines()
    #expect(lines.count { $0.hasPrefix("open ") } == sample.tables.count)
    for table in sample.tables {
      #expect(lines.count { $0 == "open \(table.metadata.number.tableName)" } == 1)
      #expect(lines.count { $0 == "close \(table.metadata.number.tableName)" } == 1)
    }
  }

  @Test("of damaged tables the one with the lowest number is named, and all are closed")
  func failuresInTheMiddle() throws {
    for round in 0..<24 {
      let sample = try Sample()
      // Numbers 17 and 13; of 12 and 14 only the filter, which is read later.
      for table in [2, 5] { try sample.flip(table, at: sample.places(of: table).footer + 40) }
      for table in [1, 3] {
        try sample.flip(table, at: sample.places(of: table).filter + 200)
      }
      for (named, mended) in [(13, [2, 5]), (12, [3]), (14, [1])] {
        _ = sample.fileSystem.takeLines()
        let error = #expect(throws: Corruption.self) {
          try sample.open(budget: .max, threads: round % 4) { _ in }
        }
        #expect(error?.file == FileNumber(UInt64(named)).tableName, "round \(round)")
        let lines = sample.fileSystem.takeLines()
        let opened = lines.count { $0.hasPrefix("open ") }
        #expect(opened > 0 && lines.count { $0.hasPrefix("close ") } == opened)
        for table in mended {
          let places = try sample.places(of: table)
          let isFooter = table == 2 || table == 5
          try sample.flip(table, at: isFooter ? places.footer + 40 : places.filter + 200)
        }
      }
      try sample.open(budget: .max, threads: round % 4) { _ in }
    }
  }

  @Test("a missing table is named, and the others are closed")
  func missingTable() throws {
    for threads in 0..<4 {
      let sample = try Sample()
      try sample.directory.remove("000000000017.sst")
      _ = sample.fileSystem.takeLines()
      let error = #expect(throws: FileError.self) {
        try sample.open(budget: .max, threads: threads) { _ in }
      }
      #expect(error?.code == .notFound && error?.path.hasSuffix("000000000017.sst") == true)
      let lines = sample.fileSystem.takeLines()
      #expect(
        lines.count { $0.hasPrefix("open ") } == lines.count { $0.hasPrefix("close ") })
    }
  }
}

@Suite("Work side by side")
struct ShardWorkersTests {
  private struct Failure: Error, Equatable { var index: Int }

  @Test(arguments: 0...3) func answersComeInOrder(threads: Int) throws {
    let workers = try ShardWorkers(threads: threads)
    defer { workers.stop() }
    for count in [0, 1, 2, 100] {
      #expect(try workers.map(count) { $0 * $0 } == (0..<count).map { $0 * $0 })
    }
  }

  @Test(arguments: 0...3) func theLeastFailureIsThrownWhateverTheTiming(threads: Int) throws {
    let workers = try ShardWorkers(threads: threads)
    defer { workers.stop() }
    for round in 0..<200 {
      let least = round % 20
      let error = #expect(throws: Failure.self) {
        _ = try workers.map(40) { index in
          if index >= least && (index - least) % 3 == 0 { throw Failure(index: index) }
          return index
        }
      }
      #expect(error == Failure(index: least))
    }
    #expect(try workers.map(3) { $0 } == [0, 1, 2], "a failure ends only its own call")
  }
}
