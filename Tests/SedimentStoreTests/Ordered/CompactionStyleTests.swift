import Foundation
import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

@Suite("Styles of compaction")
struct CompactionStyleTests {
  private static func open(
    _ fileSystem: any FileSystem = MemoryFileSystem(), backgroundThreads: Int = 2,
    partBytes: UInt64 = 16 << 10
  ) throws -> StateStore {
    var options = OrderedScript.options(ManualClock())
    options.backgroundThreads = backgroundThreads
    options.orderedPartBytes = partBytes
    options.orderedRunsMax = 6
    return try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
  }

  private static func key(_ number: Int) -> [UInt8] {
    [UInt8(number >> 8), UInt8(number & 0xFF)]
  }

  /// Bytes that do not compress, and differ from round to round.
  private static func value(_ number: Int, _ round: Int) -> [UInt8] {
    var generator = SeededGenerator(seed: UInt64(number * 100 + round))
    return (0..<100).map { _ in UInt8.random(in: 0...255, using: &generator) }
  }

  private static func bytesWritten(_ keyspace: OrderedKeyspace) -> UInt64 {
    keyspace.levelStatistics.reduce(0) { $0 + $1.bytesWritten }
  }

  /// Writes random keys in one style.
  ///
  /// - Returns: bytes written to tables.
  private static func fill(
    _ style: CompactionStyle, _ model: inout [[UInt8]: [UInt8]]
  ) throws -> UInt64 {
    let store = try open()
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions(compaction: style))
    var generator = SeededGenerator(seed: 5)
    for step in 0..<20_000 {
      let number = Int.random(in: 0..<8_000, using: &generator)
      try keyspace.put(key(number), value(number, step))
      model[key(number)] = value(number, step)
      if step % 500 == 0 { try store.waitUntilIdle() }
    }
    try store.waitUntilIdle()
    #expect(try OrderedScript.difference(keyspace, model) == nil, "\(style)")
    let bytes = bytesWritten(keyspace)
    try store.compact()
    #expect(try OrderedScript.difference(keyspace, model) == nil, "\(style), compacted")
    #expect(keyspace.levelStatistics.filter { $0.tables > 0 }.map(\.level) == [6])
    try store.close()
    return bytes
  }

  /// A store may be closed right behind `compact`, whatever its background threads are at: with
  /// many tables one of them may merge before `compact` does, and not have recorded it.
  @Test(arguments: [2, 5]) func whatWasCompactedIsOnDisk(tables: Int) throws {
    let disk = MemoryFileSystem()
    let slow = FaultInjectingFileSystem(disk)
    let store = try Self.open(slow, backgroundThreads: 1)
    let keyspace = try store.orderedKeyspace("k", OrderedKeyspaceOptions())
    for round in 0..<tables {
      for number in 0..<100 { try keyspace.put(Self.key(number), Self.value(number, round)) }
      try store.flush()
    }
    let caller = SystemThread.current
    slow.interrupt { _, _ in
      if SystemThread.current != caller { Thread.sleep(forTimeInterval: 0.1) }
    }
    try store.compact()
    let after = disk.crashed(.nothing)
    slow.interrupt(nil)
    try store.close()
    let reopened = try Self.open(after)
    let levels = try reopened.orderedKeyspace("k", OrderedKeyspaceOptions()).levelStatistics
    #expect(levels.filter { $0.tables > 0 }.map(\.level) == [6])
    try reopened.close()
  }

  @Test func tieredWritesLessThanLeveled() throws {
    var model: [[UInt8]: [UInt8]] = [:]
    let leveled = try Self.fill(.leveled, &model)
    var again: [[UInt8]: [UInt8]] = [:]
    let tiered = try Self.fill(.tiered, &again)
    #expect(model == again)
    #expect(tiered < leveled, "\(tiered) and \(leveled) bytes")
  }

  @Test func aKeyspaceIsOpenedInItsStyle() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let options = OrderedKeyspaceOptions(uncompressedLevels: 2, compaction: .tiered)
    _ = try store.orderedKeyspace("k", options)
    try store.close()
    let again = try Self.open(fileSystem)
    #expect(try again.orderedKeyspace("k", options).options == options)
    let error = #expect(throws: StoreError.self) { try again.orderedKeyspace("k") }
    #expect(error?.code == .optionsDiffer)
    #expect(error?.message.contains("compaction") == true)
    #expect(error?.message.contains("uncompressed levels") == true)
    let tooMany = #expect(throws: StoreError.self) {
      try again.orderedKeyspace("l", OrderedKeyspaceOptions(uncompressedLevels: 8))
    }
    #expect(tooMany?.code == .invalidArgument)
    try again.close()
  }

  @Test func theFirstLevelsAreLeftAsTheyAre() throws {
    let store = try Self.open()
    let packed = try store.orderedKeyspace("packed")
    let plain = try store.orderedKeyspace("plain", OrderedKeyspaceOptions(uncompressedLevels: 1))
    for keyspace in [packed, plain] {
      for number in 0..<60 { try keyspace.put(Self.key(number), [UInt8](repeating: 1, count: 100)) }
    }
    try store.flush()
    func bytes(_ keyspace: OrderedKeyspace, _ level: Int) -> UInt64 {
      keyspace.levelStatistics[level].bytes
    }
    // Beside the footer there are two blocks, which are mostly one byte.
    #expect(bytes(plain, 0) > bytes(packed, 0) + 4_000)
    try store.compact()
    #expect(bytes(plain, 0) == 0)
    #expect(bytes(plain, 6) < bytes(packed, 6) + 100)
    #expect(try plain.get(Self.key(59)) == [UInt8](repeating: 1, count: 100))
    try store.close()
  }

  /// A merge in parts gives what one thread gives, whoever does them.
  @Test(arguments: [1, 2, 4])
  func partsGiveWhatTheWholeGives(threads: Int) throws {
    let store = try Self.open(backgroundThreads: threads)
    let keyspace = try store.orderedKeyspace("k")
    var model: [[UInt8]: [UInt8]] = [:]
    for round in 0..<3 {
      for number in stride(from: 0, to: 2_000, by: round + 1) {
        try keyspace.put(Self.key(number), Self.value(number, round))
        model[Self.key(number)] = Self.value(number, round)
      }
    }
    for number in stride(from: 0, to: 2_000, by: 7) {
      try keyspace.remove(Self.key(number))
      model[Self.key(number)] = nil
    }
    let snapshot = store.snapshot()
    try keyspace.removeRange(from: Self.key(100), to: Self.key(300))
    var after = model
    for number in 100..<300 { after[Self.key(number)] = nil }
    try store.compact()
    #expect(try OrderedScript.difference(keyspace, after) == nil)
    #expect(try OrderedScript.difference(keyspace, model, at: snapshot) == nil)
    #expect(keyspace.levelStatistics[6].tables > 4)
    #expect(store.keyspaceNames == ["k"])
    try store.close()
  }

  /// The keys of a merge's parts are all keys, and no two parts have one.
  @Test func partsAreCutWhereTablesBegin() {
    let levels = LevelText.levels("0: 1 a-z 40\n6: 2 a-c 40, 3 d-f 40, 4 g-k 40, 5 m-z 40")
    let tables = Array(levels.tables.joined())
    func cut(_ count: Int) -> [String] {
      MergePart.cut(tables, into: count).map { part in
        [part.start, part.end].map { $0.map { String(decoding: $0, as: UTF8.self) } ?? "" }
          .joined(separator: "-")
      }
    }
    #expect(cut(1) == ["-"])
    #expect(cut(2) == ["-g", "g-"])
    #expect(cut(5) == ["-d", "d-g", "g-m", "m-"])
    #expect(MergePart.cut([], into: 3).count == 1)
  }

  /// When a part fails, nothing of the merge is left, and what was there is.
  @Test func aPartThatFailsLeavesWhatWas() throws {
    let memory = MemoryFileSystem()
    let faulty = FaultInjectingFileSystem(memory)
    let store = try Self.open(faulty)
    let keyspace = try store.orderedKeyspace("k")
    var model: [[UInt8]: [UInt8]] = [:]
    for number in 0..<2_000 {
      model[Self.key(number)] = Self.value(number, 0)
      try keyspace.put(Self.key(number), Self.value(number, 0))
    }
    try store.compact()
    for number in stride(from: 0, to: 2_000, by: 3) {
      model[Self.key(number)] = Self.value(number, 1)
      try keyspace.put(Self.key(number), Self.value(number, 1))
    }
    try store.flush()
    try store.waitUntilIdle()
    let before = keyspace.levelStatistics.map(\.tables)
    faulty.arm([Fault(number: 60, code: .noSpace, isSticky: true)])
    let error = #expect(throws: StoreError.self) { try store.compact() }
    #expect(error?.code == .noSpace)
    faulty.arm([])
    #expect(keyspace.levelStatistics.map(\.tables) == before)
    #expect(try OrderedScript.difference(keyspace, model) == nil)
    try store.compact()
    #expect(try OrderedScript.difference(keyspace, model) == nil)
    try store.close()
    // What could not be unlinked on the full disk goes with the next opening.
    let again = try Self.open(memory)
    let tables = try again.orderedKeyspace("k").levelStatistics.reduce(0) { $0 + $1.tables }
    let names = try memory.allContents().keys.filter { $0.hasSuffix(".sst") }
    #expect(names.count == tables)
    try again.close()
  }
}
