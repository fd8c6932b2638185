import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

/// Orders of requests to a checkpoint storage that chance seldom draws, each of which one step of
/// the protocol is there for. In all of them a checkpoint goes out of use while somebody is at work
/// who uses its objects: the same store publishes another one, the old one is let go, and its
/// objects are collected.
@Suite final class StorageOrderTests: Sendable {
  private let storage = MemoryStorage()
  private let clock = ManualClock(millis: 1_700_000_000_000)
  private let disk = MemoryFileSystem()
  private let identity = StoreIdentity(high: 7, low: 7)
  private let stage = Stage()
  private let failures = Mutex<[String]>([])
  private var area: CheckpointArea { CheckpointArea(storage, of: identity) }

  /// There is a checkpoint of file 1, which is two days old.
  init() throws {
    try upload([1], epoch: 1, to: storage)
    clock.advance(byMillis: 49 * StorageHarness.hour)
  }

  /// Uploads a checkpoint of some files.
  private func upload(_ files: [UInt64], epoch: UInt64, to storage: any CheckpointStorage) throws {
    let directory = try disk.openDirectory(at: "/state", creating: true)
    _ = try CheckpointUpload(
      area: CheckpointArea(storage, of: identity), source: directory,
      state: StorageHarness.state(of: identity, epoch: epoch, files: files, in: directory),
      writer: StorageWriter(
        directory: StoreIdentity(high: 2, low: 2), opening: StoreIdentity(high: 1, low: 1),
        base: 0),
      supersedes: false, clock: clock, transfers: 1, smallBytesMax: 0
    ).run()
  }

  /// Starts an actor whose failure fails the test.
  private func start(
    _ body: @escaping @Sendable (any CheckpointStorage) throws -> Void
  ) throws -> Int {
    try stage.start(on: storage) { [self] storage in
      do { try body(storage) } catch { failures.withLock { $0.append("\(error)") } }
    }
  }

  private func startUpload() throws -> Int {
    try start { [self] storage in try upload([1, 2], epoch: 3, to: storage) }
  }

  private func startRestore() throws -> Int {
    let oldest = try #require(try area.entry(area.sequences()[0])?.published).id.description
    return try start { [self] storage in
      try StateStore.restore(
        from: storage, of: identity, id: oldest, to: "/restored", transfers: 1, fileSystem: disk,
        clock: clock)
    }
  }

  private func startCollection() throws -> Int {
    try start { [self] storage in
      try StoredCheckpoints(in: storage, of: identity, clock: clock)
        .collectGarbage(dryRun: false)
    }
  }

  /// A checkpoint of file 3 alone is published, and those before are let go.
  private func replaceAll() throws {
    try upload([3], epoch: 2, to: storage)
    let letGo = try StoredCheckpoints(in: storage, of: identity, clock: clock).retain(1)
    #expect(letGo.count == 1)
  }

  private func collect() throws {
    try StoredCheckpoints(in: storage, of: identity, clock: clock).collectGarbage(dryRun: false)
  }

  /// All have ended well, and all that is published is whole.
  private func end() throws {
    stage.join()
    #expect(failures.withLock { $0 } == [])
    for sequence in try area.sequences() {
      guard let published = try area.entry(sequence)?.published else { continue }
      for object in try area.manifest(of: published).objects {
        let content = storage.content(area.keys.object(object.name, of: object.upload))
        #expect(content.map { SHA256.digest(of: $0) } == object.digest)
      }
    }
  }

  /// The files that an actor put, and how often its upload began.
  private func work(of actor: Int) -> (files: [String], attempts: Int) {
    let puts = stage.calls(of: actor).filter { $0.hasPrefix("put ") }
    return (
      puts.filter { $0.hasSuffix(".log") }, puts.count { $0.contains(area.keys.intents) }
    )
  }

  @Test func aBaseThatWentBeforeTheLeaseIsNoticedBeforeAnythingIsUploaded() throws {
    let uploader = try startUpload()
    stage.run(uploader) { [area] in $0.hasPrefix("put \(area.keys.leases)") }
    try replaceAll()
    try collect()
    stage.run(uploader)
    try end()
    let (files, attempts) = work(of: uploader)
    let uploads = Set(files.map { $0.split(separator: "/").dropLast().joined(separator: "/") })
    #expect(attempts == 2)
    // Both by the second attempt.
    #expect(files.count == 2 && uploads.count == 1, "\(files)")
  }

  @Test func aBaseThatGoesBehindTheLeaseKeepsItsObjects() throws {
    let uploader = try startUpload()
    stage.run(uploader) { [area] in $0.hasPrefix("put \(area.keys.uploads)") }
    try replaceAll()
    try collect()
    stage.run(uploader)
    try end()
    let (files, attempts) = work(of: uploader)
    #expect(attempts == 1 && files.count == 1, "\(files)")
  }

  @Test func whatIsBeingRestoredStaysThoughItIsLetGo() throws {
    let restorer = try startRestore()
    stage.run(restorer) { $0.hasPrefix("read ") && $0.hasSuffix(".log") }
    try replaceAll()
    try collect()
    stage.run(restorer)
    try end()
  }

  /// The collection has read the leases and not the log when the lease comes and, behind it, the
  /// checkpoint goes: one reading sees neither.
  @Test func aCollectionBesideAnotherThatLetsGoSeesTheLeaseOfARestore() throws {
    let restorer = try startRestore()
    let collector = try startCollection()
    stage.run(restorer) { [area] in $0.hasPrefix("put \(area.keys.leases)") }
    stage.run(collector) { [area] in $0 == "list \(area.keys.log)" }
    stage.run(restorer) { $0.hasPrefix("read ") && $0.hasSuffix(".log") }
    try replaceAll()
    stage.run(collector)
    stage.run(restorer)
    try end()
  }
}
