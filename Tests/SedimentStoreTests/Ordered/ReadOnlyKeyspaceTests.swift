import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Ordered keyspaces read beside whoever writes them.
@Suite("Ordered keyspaces, read only")
struct ReadOnlyKeyspaceTests {
  private static func reader(
    _ name: String, _ fileSystem: any FileSystem, at path: String = "/state"
  ) throws -> ReadOnlyKeyspace {
    try ReadOnlyStore.open(at: path, fileSystem: fileSystem).orderedKeyspace(name)
  }

  private static func code(_ body: () throws -> Void) -> StoreError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? StoreError)?.code
    }
  }

  // MARK: - Against a model

  @Test("a reader sees what the writer answered", arguments: 0..<12)
  func randomRuns(number: Int) throws {
    let seed = UInt64(31_000 + number)
    let script = OrderedScript(seed: seed, fileSystem: MemoryFileSystem())
    try script.open()
    for step in 0..<300 {
      let what = "seed \(seed), step \(step)"
      switch script.draw(0...40) {
      case 0: try script.commit()
      case 1: try script.store?.compact()
      case 2: try script.store?.flush()
      case 3:
        try script.commit()
        try script.close()
        try script.open()
      case 4...7: try Self.compare(script, what)
      default: try script.write()
      }
    }
    try script.commit()
    try Self.compare(script, "seed \(seed), at the end")
    try script.close()
    try Self.compare(script, "seed \(seed), closed")
  }

  private static func compare(_ script: OrderedScript, _ what: String) throws {
    let store = try ReadOnlyStore.open(at: "/state", fileSystem: script.fileSystem)
    let unlogged = script.epochs[script.promise.epoch].unlogged
    for (name, model) in zip(OrderedScript.names, script.contents.logged + [unlogged]) {
      let keyspace = try store.orderedKeyspace(name)
      let bounds = [script.key(), script.key()].sorted { $0.lexicographicallyPrecedes($1) }
      let difference = try ReadOnlyEntries.difference(keyspace, model, bounds)
      #expect(difference == nil, "\(what), keyspace \(name)")
      let key = script.key()
      let value = try store.get(key, in: name)
      #expect(value == model[key], "\(what), keyspace \(name), one key")
      let found = try store.explain(key, in: name).lazy.flatMap(\.versions).first
      #expect(found.flatMap { $0.kind == .put ? $0.value : nil } == model[key], "\(what)")
    }
  }

  @Test("a reader sees what recovery finds after a crash", arguments: 0..<12)
  func crashes(number: Int) throws {
    let seed = UInt64(33_000 + number)
    var generator = SeededGenerator(seed: seed)
    for stop in stride(from: 20 + number, to: 400, by: 37) {
      let disk = MemoryFileSystem()
      disk.stopAfterMutations = stop
      Self.write(OrderedScript(seed: seed, fileSystem: disk))
      let left = disk.crashed(using: &generator)
      guard let store = try Self.store(left) else { continue }
      let names = store.orderedKeyspaceNames
      let seen = try names.map { name in
        try ReadOnlyEntries.all(of: store.orderedKeyspace(name).cursor())
      }
      let recovered = try OrderedScript.options(ManualClock()).opened(on: left)
      for (name, seen) in zip(names, seen) {
        let keyspace = try #require(recovered.orderedKeyspace(named: name))
        let found = try ReadOnlyEntries.all(of: keyspace.cursor())
        #expect(seen == found, "seed \(seed), stopped after \(stop), keyspace \(name)")
      }
      try recovered.close()
    }
  }

  /// Writes until power is lost, and then calls fail.
  private static func write(_ script: OrderedScript) {
    do {
      try script.open()
      for _ in 0..<60 {
        if script.draw(0...15) == 0 { try script.commit() } else { try script.write() }
      }
    } catch {
      script.drop()
    }
  }

  /// The state on a disk; `nil` when power was lost before there was one.
  private static func store(_ disk: MemoryFileSystem) throws -> ReadOnlyStore? {
    do {
      return try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    } catch {
      if error.code == .notFound { return nil }
      throw error
    }
  }

  // MARK: - Beside a writer

  @Test func aMomentStaysWhateverIsWrittenAndMerged() throws {
    let fileSystem = MemoryFileSystem()
    let script = OrderedScript(seed: 1, fileSystem: fileSystem)
    try script.open()
    for _ in 0..<80 { try script.write() }
    try script.commit()
    let keyspace = try Self.reader("a", fileSystem)
    let model = script.contents.logged[0]
    var cursor = keyspace.cursor()
    try cursor.seekToFirst()
    for _ in 0..<80 { try script.write() }
    try script.store?.compact()
    try script.commit()
    try script.store?.flush()
    #expect(script.contents.logged[0] != model)
    #expect(try ReadOnlyEntries.difference(keyspace, model, [[], [255]]) == nil)
    let rest = try ReadOnlyEntries.rest(of: cursor)
    #expect(rest.count == model.count)
    try script.close()
    #expect(try ReadOnlyEntries.difference(keyspace, model, [[], [255]]) == nil)
  }

  /// A state whose log holds `count` writes, and its writer.
  private func makeLogged(_ disk: MemoryFileSystem, count: Int) throws -> StateStore {
    let store = try OrderedScript.options(ManualClock()).opened(on: disk)
    let keyspace = try store.orderedKeyspace("a")
    for number in 0..<count {
      try keyspace.put(Self.key(number), [UInt8](repeating: 1, count: 200))
    }
    return store
  }

  private static func key(_ number: Int) -> [UInt8] {
    [UInt8(number / 256), UInt8(number % 256)]
  }

  /// Reads a keyspace while `body` comes in the way of opening a file of the log, the first one or
  /// the one behind `skipped` others.
  private func readInterrupted(
    _ disk: MemoryFileSystem, behind skipped: Int = 0,
    _ body: @escaping @Sendable () throws -> Void
  ) throws -> [[UInt8]] {
    let once = Once(body)
    let openings = CallCounter()
    let fileSystem = FaultInjectingFileSystem(disk)
    let store = try ReadOnlyStore.open(at: "/state", fileSystem: fileSystem)
    fileSystem.interrupt { operation, path in
      guard operation == .openFile, path.hasSuffix(".log") else { return }
      if openings.next() >= skipped { once.run() }
    }
    let keyspace = try store.orderedKeyspace("a")
    fileSystem.interrupt(nil)
    #expect(once.hasRun && once.error == nil)
    return try ReadOnlyEntries.all(of: keyspace.cursor()).map(\.key)
  }

  @Test func aLogThatTheWriterDropsMeanwhileIsNoDamage() throws {
    let disk = MemoryFileSystem()
    let store = try makeLogged(disk, count: 20)
    let found = try readInterrupted(disk) {
      try store.flush()
      try store.waitUntilIdle()
    }
    #expect(found == (0..<20).map(Self.key))
    try store.close()
  }

  @Test("a writer that goes on in the next file leaves no gap", arguments: [1, 10, 40, 100])
  func turnOver(written: Int) throws {
    let disk = MemoryFileSystem()
    let store = try makeLogged(disk, count: 60)
    try store.waitUntilIdle()
    let keyspace = try #require(store.orderedKeyspace(named: "a"))
    // When a file was read and the next one is about to be.
    let found = try readInterrupted(disk, behind: 1) {
      for number in 60..<60 + written {
        try keyspace.put(Self.key(number), [UInt8](repeating: 2, count: 200))
      }
    }
    #expect(found.count >= 60 && found.count <= 60 + written)
    #expect(found == (0..<found.count).map(Self.key), "all up to some write")
    try store.close()
  }

  @Test func aTornTailIsTheEnd() throws {
    let disk = MemoryFileSystem()
    let store = try makeLogged(disk, count: 10)
    let killed = disk.clone()
    try store.close()
    let log = try #require(
      try killed.files().first { try $0.hasSuffix(".log") && killed.contents(of: $0).count > 200 })
    let bytes = try killed.contents(of: log)
    try killed.replaceContents(of: log, with: Array(bytes.dropLast(100)))
    let keys = try ReadOnlyEntries.all(of: Self.reader("a", killed).cursor()).map(\.key)
    #expect(keys == (0..<9).map(Self.key))
  }

  @Test func aTableThatIsGoneIsDamage() throws {
    let disk = MemoryFileSystem()
    let store = try makeLogged(disk, count: 10)
    try store.flush()
    try store.close()
    try disk.removeFile(at: #require(disk.files().first { $0.hasSuffix(".sst") }))
    #expect(Self.code { _ = try Self.reader("a", disk) } == .corrupted)
  }

  // MARK: - Checkpoints, limits

  @Test func checkpointsAndSavepointsAreReadInPlace() throws {
    let disk = MemoryFileSystem()
    let script = OrderedScript(seed: 5, fileSystem: disk)
    try script.open()
    for _ in 0..<60 { try script.write() }
    try script.store?.checkpoint(to: "/backups")
    let contents = script.contents
    try script.store?.savepoint(to: "/moved")
    for _ in 0..<60 { try script.write() }
    try script.close()
    for path in ["/backups", "/moved"] {
      for (name, model) in zip(OrderedScript.names, contents.logged + [contents.unlogged]) {
        let keyspace = try Self.reader(name, disk, at: path)
        #expect(try ReadOnlyEntries.difference(keyspace, model, [[], [255]]) == nil, "\(path)")
      }
    }
  }

  @Test func whatHasExpiredIsHidden() throws {
    let disk = MemoryFileSystem()
    let clock = ManualClock()
    let store = try OrderedScript.options(clock).opened(on: disk)
    let keyspace = try store.orderedKeyspace("a")
    try keyspace.put([1], [1], timeToLive: .milliseconds(1_000))
    try keyspace.put([2], [2])
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
      .orderedKeyspace("a", clock: clock)
    #expect(try reader.get([1]) == [1])
    clock.advance(byMillis: 1_000)
    #expect(try reader.get([1]) == nil)
    #expect(try ReadOnlyEntries.all(of: reader.cursor()).map(\.key) == [[2]])
    try store.close()
  }

  @Test func namesAndMemoryAreChecked() throws {
    let disk = MemoryFileSystem()
    let store = try makeLogged(disk, count: 15)
    _ = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    try store.close()
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    #expect(reader.orderedKeyspaceNames == ["a"] && reader.keyspaceNames == ["a", "seen"])
    #expect(Self.code { _ = try reader.orderedKeyspace("seen") } == .notFound)
    #expect(Self.code { _ = try reader.get([1], in: "b") } == .notFound)
    let error = #expect(throws: StoreError.self) {
      _ = try reader.orderedKeyspace("a", memoryBudget: 1_000)
    }
    #expect(error?.code == .invalidArgument)
    #expect(error?.message.contains("writes of keyspace a that are in no table yet") == true)
    #expect(try reader.get(Self.key(3), in: "a") == [UInt8](repeating: 1, count: 200))
  }

  // MARK: - Where a key is looked for

  @Test func aLookupIsExplainedPlaceByPlace() throws {
    let disk = MemoryFileSystem()
    let store = try StateStore.open(
      at: "/state", options: StoreOptions(memoryBudget: 16 << 20, clock: ManualClock(millis: 5)),
      seed: HashSeed(first: 1, second: 2), fileSystem: disk)
    let keyspace = try store.orderedKeyspace("a")
    // Even numbers, so that the odd ones between are not there.
    for number in 1...100 { try keyspace.put([UInt8(2 * number)], [1]) }
    try store.flush()
    try store.compact()
    try keyspace.put([4], [2], timeToLive: .milliseconds(10))
    try keyspace.put([6], [2])
    try store.flush()
    try keyspace.remove([4])
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    let steps = try reader.explain([4], in: "a")
    #expect(steps.map(\.outcome.isRead) == [true, true, true])
    #expect(steps.map { $0.versions.map(\.kind) } == [[.remove], [.put], [.put]])
    #expect(steps.map { $0.versions.map(\.value) } == [[[]], [[2]], [[1]]])
    #expect(steps[1].versions[0].expiry == 15 && steps[1].versions[0].sequence == 101)
    guard case .log = steps[0].source, case .table(name: _, level: 0) = steps[1].source,
      case .table(name: _, level: OrderedLevels.count - 1) = steps[2].source
    else {
      Issue.record("\(steps)")
      return
    }
    let outside = try reader.explain([1], in: "a").dropFirst()
    #expect(outside.map(\.outcome) == [.outsideBounds, .outsideBounds])
    #expect(outside.last?.source == .level(OrderedLevels.count - 1))
    let absent = try (4..<100).map { try reader.explain([UInt8(2 * $0 + 1)], in: "a") }
    #expect(absent.allSatisfy { $0.allSatisfy(\.versions.isEmpty) })
    #expect(absent.contains { $0.last?.outcome == .excludedByFilter })
    try store.close()
  }
}

extension LookupStep.Outcome {
  fileprivate var isRead: Bool {
    switch self {
    case .readBlock, .readWhole: true
    case .outsideBounds, .excludedByFilter: false
    }
  }
}

extension StoreOptions {
  /// A store of these options.
  func opened(on fileSystem: any FileSystem) throws -> StateStore {
    try StateStore.open(at: "/state", options: self, fileSystem: fileSystem)
  }
}
