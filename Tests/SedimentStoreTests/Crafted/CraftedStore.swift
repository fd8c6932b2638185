import SedimentIO
import SedimentStore
import SedimentTestKit
import Testing

/// A small store in memory whose files can be replaced by others that were made up, with checksums
/// that hold: what only an attacker, or a bug, writes.
struct CraftedStore {
  static let storeOptions = StoreOptions(
    memoryBudget: 8 << 20, shards: 1, backgroundThreads: 1, fullDiskPatience: .zero,
    clock: FixedClock())
  static let keyspaceOptions = KeyspaceOptions(
    timeToLive: .milliseconds(80_000), compaction: .tiered(fanout: 2))
  private static let keyCount = 40

  let disk = MemoryFileSystem()
  /// What the store's manifest says.
  let state: StoreState

  /// A store with two tables and a log.
  ///
  /// - Parameter hasOrdered: whether it has ordered keyspaces too, `words` with a log and `plain`
  ///   without, each with a table.
  init(hasOrdered: Bool = false) throws {
    let store = try StateStore.open(at: "/state", options: Self.storeOptions, fileSystem: disk)
    let keyspace = try store.keyspace(
      "seen",
      KeyspaceOptions(timeToLive: .milliseconds(80_000), compaction: .tiered(fanout: 8)))
    for round in 0..<3 {
      try Self.insert(round, into: keyspace)
      try store.commitEpoch(metadata: [UInt8(round)])
      // Each writes what the memtable holds as a table.
      if round < 2 { try Self.flush(store, keyspace) }
    }
    if hasOrdered { try Self.writeOrdered(store) }
    try store.close()
    let directory = try disk.openDirectory(at: "/state", creating: false)
    state = try #require(try ManifestReader.read(directory)).state
    #expect(state.keyspaces[0].shards[0].runs.count == 2 && state.keyspaces[0].logs.count == 1)
    #expect(state.orderedTables.count == (hasOrdered ? 2 : 0))
  }

  static let plainOptions = OrderedKeyspaceOptions(isLogged: false)

  private static func writeOrdered(_ store: StateStore) throws {
    let words = try store.orderedKeyspace("words")
    let plain = try store.orderedKeyspace("plain", plainOptions)
    for number in 0..<40 as Range<UInt8> {
      try words.put([number], [number, 1])
      try plain.put([number], [number, 2])
    }
    try store.flush()
    try store.commitEpoch(metadata: store.lastEpoch.metadata)
  }

  /// An epoch that is given up makes the next one flush.
  private static func flush(_ store: StateStore, _ keyspace: HashedKeyspace) throws {
    _ = try keyspace.insertIfAbsent(Array("marker \(store.lastEpoch.id)".utf8), time: 1_000)
    try store.beginEpoch().abandon()
    try store.commitEpoch(metadata: [9])
    try store.waitUntilIdle()
  }

  static func insert(_ round: Int, into keyspace: HashedKeyspace) throws {
    for key in 0..<keyCount {
      _ = try keyspace.insertIfAbsent(
        Array("key \(round) \(key)".utf8), time: Int64(1_000 * round + key))
    }
  }

  /// Replaces the manifest by one with these records.
  func replaceManifest(_ records: [(type: UInt8, payload: [UInt8])]) throws {
    let directory = try disk.openDirectory(at: "/state", creating: false)
    let name = "MANIFEST-000000000900"
    if try directory.metadata(of: name) != nil { try directory.remove(name) }
    let log = try RecordLogWriter(directory: directory, name: name, kind: .manifest, fileID: 77)
    for record in records {
      var payload = ByteWriter()
      payload.writeBytes(record.payload)
      log.append(type: record.type, payload)
    }
    try log.synchronize()
    try setCurrent(name, fileID: 77, length: log.length)
    log.close()
  }

  /// Writes a `CURRENT` whose checksum holds.
  func setCurrent(_ name: String, fileID: UInt64, length: UInt64) throws {
    let words = "\(name) \(StoreIdentity.digits(fileID)) \(StoreIdentity.digits(length))"
    let sum = Checksum.of(Array(words.utf8), seed: fileID)
    try disk.replaceContents(
      of: "state/CURRENT", with: Array("\(words) \(StoreIdentity.digits(sum))\n".utf8))
  }

  /// Writes a log with these records.
  ///
  /// - Parameter change: what is done to the file afterwards.
  /// - Returns: what the state says of it.
  func makeLog(
    kind: RecordLogFormat.Kind, _ records: [(type: UInt8, payload: [UInt8])],
    change: (inout [UInt8]) -> Void = { _ in }
  ) throws -> LogReference {
    let directory = try disk.openDirectory(at: "/state", creating: false)
    let number = FileNumber(40)
    let log = try RecordLogWriter(
      directory: directory, name: number.logName, kind: kind, fileID: 5)
    for record in records {
      var writer = ByteWriter()
      writer.writeBytes(record.payload)
      log.append(type: record.type, writer)
    }
    try log.synchronize()
    let length = log.length
    log.close()
    let path = "state/" + number.logName
    var bytes = try disk.contents(of: path)
    change(&bytes)
    try disk.replaceContents(of: path, with: bytes)
    return LogReference(number: number, fileID: 5, committedLength: length)
  }

  /// Replaces the state by a changed one.
  func replaceState(_ change: (inout StoreState) -> Void) throws {
    var changed = state
    change(&changed)
    try replaceManifest([(StateCoding.snapshotType, StateCoding.encode(changed).bytes)])
  }

  /// Uses the store in every way; the error that opening, or the first call that fails, gives.
  ///
  /// Whatever is on the disk, nothing but a `StoreError` may come of it.
  @discardableResult
  func use(_ what: String) throws -> StoreError? {
    do throws(StoreError) {
      _ = try ReadOnlyStore.open(at: "/state", fileSystem: disk).verify()
    } catch {
      #expect([.corrupted, .unsupportedFormat].contains(error.code), "\(what): \(error)")
    }
    do throws(StoreError) {
      let store = try StateStore.open(at: "/state", options: Self.storeOptions, fileSystem: disk)
      defer { do throws(StoreError) { try store.close() } catch { _ = error.code } }
      try Self.useOrdered(store)
      for name in store.keyspaceNames {
        guard let keyspace = store.keyspace(named: name) else { continue }
        for round in 0..<3 {
          _ = try keyspace.lookup(Array("key \(round) 3".utf8))
          _ = try keyspace.insertIfAbsent(Array("key \(round) 7".utf8), time: 5_000)
        }
      }
      _ = try store.keyspace("another", KeyspaceOptions(timeToLive: .forever))
      try store.commitEpoch()
      try store.compact()
      try store.commitEpoch()
      try store.checkpoint(to: "/backups")
      return nil
    } catch {
      return error
    }
  }

  private static func useOrdered(_ store: StateStore) throws(StoreError) {
    for name in store.keyspaceNames {
      guard let keyspace = store.orderedKeyspace(named: name) else { continue }
      _ = try keyspace.get([3])
      var cursor = keyspace.cursor()
      try cursor.seekToFirst()
      while cursor.isValid { try cursor.moveNext() }
      try cursor.seekToLast()
      while cursor.isValid { try cursor.movePrevious() }
      try keyspace.put([7], [7], durability: .synchronized)
    }
    try store.flush()
  }
}
