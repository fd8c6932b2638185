import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// Deleting, retaining, collecting garbage; damage.
@Suite struct CheckpointRemovalTests {
  private typealias Harness = CheckpointHarness
  private let disk = MemoryFileSystem()

  /// Makes checkpoints of one round, two rounds and so on; closes the store.
  private func make(_ count: Int) throws -> [String] {
    let store = try Harness.open(disk)
    let seen = try store.keyspace("seen", Harness.forever)
    var ids: [String] = []
    for round in 0..<count {
      try Harness.insert(round, into: seen)
      ids.append(try store.checkpoint(to: "/backups").id)
    }
    try store.close()
    return ids
  }

  private func checkpoints() throws -> Checkpoints {
    try Checkpoints(at: "/backups", fileSystem: disk)
  }

  private func objects() -> [String] { disk.files().filter { $0.hasPrefix("backups/objects/") } }

  @Test func retainKeepsTheNewestAndAllSinceAProtectedOne() throws {
    let ids = try make(5)
    #expect(try checkpoints().retain(2, protecting: [ids[1]]) == [ids[0]])
    #expect(try checkpoints().list().map(\.id) == ids[1...].reversed())
    #expect(try checkpoints().retain(2) == [ids[2], ids[1]])
    for id in ids[3...] { #expect(try checkpoints().verify(id).isEmpty) }
  }

  @Test func onlyWhatNoCheckpointNamesIsSwept() throws {
    let ids = try make(18)
    try checkpoints().delete(ids[0])
    for id in ids[1..<17] { try checkpoints().delete(id) }
    let before = objects()
    let planned = try checkpoints().collectGarbage(dryRun: true)
    #expect(objects() == before && !planned.files.isEmpty)
    #expect(try checkpoints().collectGarbage(dryRun: false) == planned)
    #expect(objects().count == before.count - planned.files.count)
    #expect(try checkpoints().verify(nil).isEmpty)
    try checkpoints().delete(ids[17])
    try checkpoints().collectGarbage(dryRun: false)
    #expect(objects().isEmpty)
  }

  @Test func nothingIsSweptWhileAManifestIsUnreadable() throws {
    let ids = try make(2)
    try disk.flipBit(of: "backups/\(ids[0]).checkpoint", at: 800)
    #expect(try checkpoints().unreadable().map(\.id) == [ids[0]])
    let before = objects()
    let error = #expect(throws: StoreError.self) {
      try checkpoints().collectGarbage(dryRun: false)
    }
    #expect(error?.code == .corrupted && objects() == before)
    #expect(throws: StoreError.self) { try checkpoints().retain(1) }
    #expect(objects() == before)
    try checkpoints().delete(ids[0])
    try checkpoints().collectGarbage(dryRun: false)
    #expect(try checkpoints().verify(ids[1]).isEmpty)
  }

  @Test func aDamagedFileIsNamed() throws {
    let ids = try make(3)
    let id = try #require(ids.last)
    for file in disk.files() where file.hasPrefix("backups/") && !file.hasSuffix("LOCK") {
      let name = String(file.dropFirst("backups/".count))
      let isOthers = name.hasSuffix(".checkpoint") && !name.hasPrefix(id)
      let bytes = try disk.contents(of: file)
      for damaged in [bytes.count * 8 / 3, 100] where !isOthers {
        try disk.flipBit(of: file, at: damaged)
        #expect(try checkpoints().verify(id).map(\.file) == [name])
        try disk.replaceContents(of: file, with: bytes)
      }
      guard !isOthers else { continue }
      try disk.truncate(file, to: bytes.count / 2)
      #expect(try checkpoints().verify(id).map(\.file) == [name])
      try disk.replaceContents(of: file, with: bytes)
    }
    #expect(try checkpoints().verify(id).isEmpty)
    let gone = try #require(objects().first)
    try disk.removeFile(at: gone)
    #expect(try checkpoints().verify(id).map { "backups/" + $0.file } == [gone])
    let error = #expect(throws: StoreError.self) {
      try StateStore.restore(
        checkpoint: CheckpointReference(directory: "/backups", id: id), to: "/r", fileSystem: disk)
    }
    #expect(error?.code == .corrupted)
  }

  @Test func aManifestUnderAnotherNameIsRefused() throws {
    let ids = try make(2)
    let other = try disk.contents(of: "backups/\(ids[1]).checkpoint")
    try disk.replaceContents(of: "backups/\(ids[0]).checkpoint", with: other)
    let error = #expect(throws: StoreError.self) { try checkpoints().read(ids[0]) }
    #expect(error?.code == .corrupted)
  }

  @Test func aHeldDirectoryIsLeftAlone() throws {
    let ids = try make(2)
    let directory = try disk.openDirectory(at: "/backups", creating: false)
    let lock = try directory.lock("LOCK")
    #expect(throws: StoreError.self) { try checkpoints().delete(ids[0]) }
    #expect(throws: StoreError.self) { try checkpoints().retain(1) }
    let store = try Harness.open(disk)
    let error = #expect(throws: StoreError.self) { try store.checkpoint(to: "/backups") }
    if case .locked = error?.code {} else { Issue.record("\(String(describing: error))") }
    lock.unlock()
    try store.checkpoint(to: "/backups")
    try store.close()
  }

  @Test func aRestoreIntoADirectoryThatIsNotEmptyIsRefused() throws {
    _ = try make(1)
    let error = #expect(throws: StoreError.self) {
      try StateStore.restore(
        checkpoint: CheckpointReference(path: "/backups"), to: "/state", fileSystem: disk)
    }
    #expect(error?.code == .alreadyExists)
    let missing = #expect(throws: StoreError.self) {
      try StateStore.restore(
        checkpoint: CheckpointReference(path: "/state"), to: "/r", fileSystem: disk)
    }
    #expect(missing?.code == .notFound)
  }
}
