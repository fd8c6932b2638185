import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Savepoints, and looking at states without the lock.
@Suite struct SavepointTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  @Test(arguments: [CheckpointHarness.forever, CheckpointHarness.logged])
  func aSavepointIsWholeAndRestores(options: KeyspaceOptions) throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen \"quoted\"\n", options)
    for round in 0..<2 { try Harness.insert(round, into: seen) }
    let info = try store.savepoint(to: "/saved")
    try Harness.insert(2, into: seen)
    try store.commitEpoch()
    try store.close()
    #expect(try ReadOnlyStore.verify(at: "/saved", fileSystem: disk).isEmpty)
    #expect(
      try Harness.rounds(
        ofCheckpoint: info.id, in: "/saved", "seen \"quoted\"\n", upTo: 3, disk,
        restoringTo: "/r") == [0, 1])
    let sums = String(decoding: try disk.contents(of: "saved/SHA256SUMS"), as: UTF8.self)
    let listed = sums.split(separator: "\n").map { String($0.dropFirst(66)) }
    let files = disk.files().filter { $0.hasPrefix("saved/") }.map { String($0.dropFirst(6)) }
    #expect(Set(listed) == Set(files).subtracting(["SHA256SUMS"]))
    for line in sums.split(separator: "\n") {
      let content = try disk.contents(of: "saved/" + line.dropFirst(66))
      #expect(SHA256.digest(of: content).hexadecimal == line.prefix(64))
    }
  }

  @Test func everyFlippedFileOfASavepointIsNamed() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    try store.savepoint(to: "/saved")
    try store.close()
    for file in disk.files() where file.hasPrefix("saved/") && !file.hasSuffix("SHA256SUMS") {
      let bits = try disk.contents(of: file).count * 8
      for bit in [0, bits / 2, bits - 1] {
        try disk.flipBit(of: file, at: bit)
        let damage = try ReadOnlyStore.verify(at: "/saved", fileSystem: disk)
        #expect(damage.map(\.file) == [String(file.dropFirst(6))], "bit \(bit)")
        try disk.flipBit(of: file, at: bit)
      }
    }
  }

  @Test func linksInASavepointAreRefused() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    try store.savepoint(to: "/saved")
    try store.close()
    let object = try #require(disk.files().first { $0.hasPrefix("saved/objects/") })
    try disk.removeFile(at: object)
    try disk.makeSymbolicLink(at: object)
    let error = #expect(throws: StoreError.self) {
      try StateStore.restore(
        checkpoint: CheckpointReference(path: "/saved"), to: "/r", fileSystem: disk)
    }
    #expect(error?.code == .corrupted)
  }

  @Test func aSavepointNeverChanges() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    let info = try store.savepoint(to: "/saved")
    #expect(throws: StoreError.self) { try store.savepoint(to: "/saved") }
    #expect(throws: StoreError.self) { try store.checkpoint(to: "/saved") }
    try store.close()
    let saved = try Checkpoints(at: "/saved", fileSystem: disk)
    #expect(throws: StoreError.self) { try saved.delete(info.id) }
    #expect(throws: StoreError.self) { try saved.collectGarbage(dryRun: false) }
    #expect(try saved.list() == [saved.read(nil)])
  }

  @Test func aReaderSeesTheLastEpochBesideTheWriter() throws {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    try Harness.insert(0, into: seen)
    try store.commitEpoch(metadata: [9])
    try Harness.insert(1, into: seen)
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    #expect(reader.metadata == [9] && reader.keyspaceNames == ["seen"])
    #expect(try reader.lookup(Harness.key(0, 3), in: "seen").map(\.time) == [3])
    #expect(try reader.lookup(Harness.key(1, 3), in: "seen").isEmpty)
    // Every file the reader knows of goes: flushes drop the logs, merges the tables.
    for round in 2..<40 {
      try Harness.insert(round, into: seen)
      // Each seals a log; after some of these the memtables are flushed and the logs go.
      try store.checkpoint(to: "/backups")
      if round % 10 == 0 { try store.compact() }
    }
    try store.compact()
    try store.commitEpoch()
    #expect(reader.epoch.epoch == 1)
    #expect(try reader.lookup(Harness.key(20, 1), in: "seen").map(\.time) == [2001])
    #expect(try reader.verify().isEmpty)
    try store.close()
  }

  @Test func aFileThatIsMissingIsDamageNotAReason() throws {
    let store = try Harness.open(disk)
    try Harness.insert(0, into: try store.keyspace("seen", Harness.forever))
    try store.commitEpoch()
    try store.close()
    let reader = try ReadOnlyStore.open(at: "/state", fileSystem: disk)
    let file = try #require(
      disk.files().first {
        $0.hasPrefix("state/") && ($0.hasSuffix(".sst") || $0.hasSuffix(".log"))
      })
    try disk.removeFile(at: file)
    #expect(try reader.verify().map { "state/" + $0.file } == [file])
    let error = #expect(throws: StoreError.self) {
      try reader.lookup(Harness.key(0, 0), in: "seen")
    }
    #expect(error?.code == .corrupted)
  }
}
