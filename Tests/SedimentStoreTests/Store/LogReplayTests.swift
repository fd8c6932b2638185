import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// What logs hold is in memory again after opening, whoever put it there.
@Suite("Replaying logs")
struct LogReplayTests {
  private static let count: UInt64 = 30_000

  private static func options(_ mode: KeyMode, _ log: LogPolicy) -> KeyspaceOptions {
    KeyspaceOptions(keyMode: mode, valueWidth: 8, timeToLive: .forever, log: log)
  }

  private static func open(
    _ fileSystem: any FileSystem, shards: Int, slots: Int = .max
  ) throws -> StateStore {
    var options = StoreOptions(memoryBudget: 64 << 20, shards: shards, backgroundThreads: 1)
    options.memtableSlotsMax = slots
    return try StateStore.open(at: "/state", options: options, fileSystem: fileSystem)
  }

  private static func value(_ id: UInt64, _ round: UInt8) -> [UInt8] {
    [round] + StateStoreTests.key(id).dropLast()
  }

  /// Keys that were put, some again, some removed and some of those put once more.
  private static func fill(_ keyspace: HashedKeyspace) throws {
    func batch(_ ids: some Sequence<UInt64>) throws -> KeyBatch {
      let batch = KeyBatch()
      for id in ids { try batch.append(StateStoreTests.key(id)) }
      return batch
    }
    let all = Array(0..<count)
    for (round, ids) in [all, all.filter { $0 % 3 == 0 }].enumerated() {
      try keyspace.put(
        batch(ids), times: ids.map { Int64($0) },
        values: ids.flatMap { value($0, UInt8(round)) })
    }
    try keyspace.remove(batch(all.filter { $0 % 5 == 0 }))
    let again = all.filter { $0 % 10 == 0 }
    try keyspace.put(
      batch(again), times: again.map { Int64($0) }, values: again.flatMap { value($0, 2) })
  }

  private static func check(_ keyspace: HashedKeyspace, _ what: String) throws {
    let keys = KeyBatch()
    for id in 0..<count { try keys.append(StateStoreTests.key(id)) }
    let found = try keyspace.lookup(keys)
    var wrong = 0
    for id in 0..<count {
      let entry = found[Int(id)]
      let round: UInt8? = id % 10 == 0 ? 2 : id % 5 == 0 ? nil : id % 3 == 0 ? 1 : 0
      let isRight = entry?.value == round.map { value(id, $0) }
      wrong += isRight && (round == nil || entry?.time == Int64(id)) ? 0 : 1
    }
    #expect(wrong == 0, "\(what): \(wrong) of \(count)")
  }

  @Test(
    "every entry is back, in the order it was written, whatever the shards and memtables",
    arguments: [KeyMode.fingerprint, .exact], [LogPolicy.epochs, .everyBatch(synchronized: false)])
  func replaying(mode: KeyMode, log: LogPolicy) throws {
    let options = Self.options(mode, log)
    let written = MemoryFileSystem()
    let store = try Self.open(written, shards: 2)
    try Self.fill(try store.keyspace("state", options))
    try store.commitEpoch()
    try store.close()
    #expect(written.files().contains { $0.hasSuffix(".log") }, "or nothing is tested")
    for (shards, slots) in [(1, Int.max), (2, .max), (4, .max), (1, 512), (4, 512), (3, 16_384)] {
      let what = "\(shards) shards of \(slots) slots"
      let disk = written.clone()
      let opened = try Self.open(disk, shards: shards, slots: slots)
      try Self.check(try opened.keyspace("state", options), what)
      try opened.commitEpoch()
      try Self.check(try opened.keyspace("state", options), what + ", after an epoch")
      if slots == .max && log == .epochs {
        #expect(opened.statistics.bytesLogged == 0, "\(what): what is logged is not logged again")
      }
      try opened.close()
      let again = try Self.open(disk, shards: 2)
      try Self.check(try again.keyspace("state", options), what + ", opened again")
      try again.close()
    }
  }

  @Test("opening reads everything before it writes anything")
  func damageIsRefusedAsItIs() throws {
    let options = Self.options(.fingerprint, .epochs)
    let memory = MemoryFileSystem()
    let store = try Self.open(memory, shards: 2)
    let keyspace = try store.keyspace("state", options)
    try Self.fill(keyspace)
    try store.commitEpoch()
    try store.compact()
    try store.close()
    // Some in tables, some in a log.
    let flushed = try Self.open(memory, shards: 2, slots: 1024)
    try flushed.keyspace("state", options).put(StateStoreTests.key(1), time: 1)
    try flushed.commitEpoch()
    try flushed.waitUntilIdle()
    try flushed.commitEpoch()
    try flushed.keyspace("state", options).put(StateStoreTests.key(2), time: 1)
    try flushed.commitEpoch()
    try flushed.close()
    let files = memory.files().filter { !$0.hasSuffix("LOCK") }
    let tables = files.filter { $0.hasSuffix(".sst") }
    #expect(tables.count > 1 && files.contains { $0.hasSuffix(".log") }, "\(files)")
    for file in files where file.hasSuffix(".sst") || file.hasSuffix(".log") {
      let disk = memory.clone()
      let bytes = try disk.contents(of: file)
      var place = bytes.count - 20
      if file.hasSuffix(".sst") {
        // In the filter's first chunk: the footer says where the section begins.
        let footer = bytes.count - 4096 + 96
        place = (0..<8).reduce(0) { $0 | Int(bytes[footer + $1]) << (8 * $1) } + 100
      }
      try disk.flipBit(of: file, at: place * 8)
      let before = try files.map { try disk.contents(of: $0) }
      let recorded = RecordingFileSystem(disk)
      let error = #expect(throws: StoreError.self) { try Self.open(recorded, shards: 3) }
      let name = String(file.dropFirst("state/".count))
      #expect(error?.code == .corrupted && error?.message.contains(name) == true, "\(file)")
      #expect(recorded.lines.allSatisfy { $0.contains("LOCK") || $0.hasPrefix("sync-dir") })
      #expect(disk.files().filter { !$0.hasSuffix("LOCK") } == files)
      #expect(try files.map { try disk.contents(of: $0) } == before)
    }
  }
}
