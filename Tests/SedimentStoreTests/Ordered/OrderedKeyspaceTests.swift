import SedimentIO
import SedimentStore
import SedimentTestKit
import Synchronization
import Testing

@Suite("Ordered keyspaces")
struct OrderedKeyspaceTests {
  private static func open(
    _ fileSystem: any FileSystem, clock: ManualClock = ManualClock()
  ) throws -> StateStore {
    try StateStore.open(at: "/state", options: OrderedScript.options(clock), fileSystem: fileSystem)
  }

  private static func code(_ body: () throws -> Void) -> StoreError.Code? {
    do {
      try body()
      return nil
    } catch {
      return (error as? StoreError)?.code
    }
  }

  @Test func keysAndValuesOfAllSizes() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("a")
    let long = [UInt8](repeating: 7, count: 65_536)
    let large = [UInt8](repeating: 9, count: 3 << 20)
    try keyspace.put([], [1])
    try keyspace.put(long, [])
    try keyspace.put([2], large)
    #expect(Self.code { try keyspace.put(long + [0], []) } == .invalidArgument)
    #expect(
      Self.code { try keyspace.put([3], [UInt8](repeating: 0, count: 64 << 20)) }
        == .invalidArgument)
    try store.close()
    let again = try Self.open(fileSystem)
    let found = try again.orderedKeyspace("a")
    #expect(try found.get([]) == [1])
    #expect(try found.get(long) == [])
    #expect(try found.get([2]) == large)
    #expect(try found.get([3]) == nil)
    try again.compact()
    try again.waitUntilIdle()
    #expect(try found.get([2]) == large)
    #expect(try found.get(long) == [])
  }

  @Test func severalKeysAreReadAtOnce() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("a")
    let keys = (0..<200).map { Array("\($0)".utf8) }
    for (number, key) in keys.enumerated() where number % 3 != 0 {
      try keyspace.put(key, [UInt8(number)])
      if number == 100 { try store.flush() }
    }
    let snapshot = store.snapshot()
    let expected = keys.indices.map { $0 % 3 == 0 ? nil : [UInt8($0)] }
    try keyspace.remove(keys[1])
    #expect(try keyspace.get(keys, at: snapshot) == expected)
    #expect(try keyspace.get(keys + [[], keys[2]]).dropFirst(199) == [expected[199], nil, [2]])
    #expect(try keyspace.get(keys)[1] == nil)
    #expect(try keyspace.get([[UInt8]]()) == [])
    let batch = KeyBatch()
    for key in keys { try batch.append(key) }
    var seen: [Int] = []
    try keyspace.withValues(of: batch, at: snapshot) { index, value in
      seen.append(index)
      #expect(unsafe value.unsafeLoad(as: UInt8.self) == UInt8(index))
    }
    #expect(seen == keys.indices.filter { $0 % 3 != 0 })
  }

  @Test func aRangeOfKeysIsMergedByHand() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("a", OrderedKeyspaceOptions(compression: .none))
    for round in UInt8(0)..<2 {
      for key in UInt8(0)..<200 { try keyspace.put([key], [UInt8](repeating: round, count: 200)) }
    }
    try store.flush()
    try store.waitUntilIdle()
    try keyspace.compact()
    for key in UInt8(150)..<200 { try keyspace.remove([key]) }
    try store.flush()
    let before = keyspace.tableEntryCount
    try keyspace.compact(from: [0], to: [10])
    #expect(keyspace.tableEntryCount == before)
    try keyspace.compact(from: [190])
    #expect(keyspace.tableEntryCount < before)
    #expect(try keyspace.get([149])?.first == 1 && keyspace.get([150]) == nil)
  }

  @Test func namesAndOptionsAreChecked() throws {
    let store = try Self.open(MemoryFileSystem())
    _ = try store.orderedKeyspace("a")
    _ = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    #expect(
      Self.code { _ = try store.orderedKeyspace("a", OrderedKeyspaceOptions(isLogged: false)) }
        == .optionsDiffer)
    #expect(Self.code { _ = try store.orderedKeyspace("seen") } == .optionsDiffer)
    #expect(
      Self.code { _ = try store.keyspace("a", KeyspaceOptions(timeToLive: .forever)) }
        == .optionsDiffer)
    #expect(Self.code { _ = try store.orderedKeyspace("") } == .invalidArgument)
    #expect(
      Self.code {
        _ = try store.orderedKeyspace("b", OrderedKeyspaceOptions(filterBitsPerKey: 33))
      } == .invalidArgument)
    #expect(store.keyspaceNames == ["a", "seen"])
  }

  @Test func aBatchAcrossKeyspacesNeedsTheirLogs() throws {
    let store = try Self.open(MemoryFileSystem())
    let other = try StateStore.open(at: "/other", fileSystem: MemoryFileSystem())
    let logged = try store.orderedKeyspace("a")
    let plain = try store.orderedKeyspace("b", OrderedKeyspaceOptions(isLogged: false))
    let foreign = try other.orderedKeyspace("c")
    var batch = WriteBatch()
    try batch.put([1], [1], in: logged)
    #expect(Self.code { try batch.put([1], [1], in: plain) } == .invalidArgument)
    #expect(Self.code { try batch.put([1], [1], in: foreign) } == .invalidArgument)
    #expect(Self.code { try other.write(batch) } == .invalidArgument)
    try store.write(batch)
    #expect(try logged.get([1]) == [1])
  }

  @Test func compareAndSetChangesWhatIsExpected() throws {
    let store = try Self.open(MemoryFileSystem())
    let keyspace = try store.orderedKeyspace("a")
    #expect(try keyspace.insertIfAbsent([1], [10]))
    #expect(try !keyspace.insertIfAbsent([1], [11]))
    #expect(try !keyspace.compareAndSet([1], expected: [11], to: [12]))
    #expect(try keyspace.compareAndSet([1], expected: [10], to: [12]))
    #expect(try keyspace.compareAndSet([1], expected: [12], to: nil))
    #expect(try keyspace.get([1]) == nil)
  }

  @Test func whatHasExpiredIsHiddenAndReclaimed() throws {
    let clock = ManualClock()
    let store = try Self.open(MemoryFileSystem(), clock: clock)
    let keyspace = try store.orderedKeyspace(
      "a", OrderedKeyspaceOptions(timeToLive: .milliseconds(1_000)))
    try keyspace.put([1], [1])
    try keyspace.put([2], [2], timeToLive: .milliseconds(5_000))
    try keyspace.put([3], [3], timeToLive: .forever)
    clock.advance(byMillis: 1_000)
    #expect(try keyspace.get([1]) == nil)
    #expect(try keyspace.get([2]) == [2])
    #expect(try keyspace.insertIfAbsent([1], [4], timeToLive: .milliseconds(100)))
    clock.advance(byMillis: 4_000)
    var cursor = keyspace.cursor()
    try cursor.seekToFirst()
    let first = cursor.keyBytes
    #expect(first == [3])
    try cursor.moveNext()
    let isValid = cursor.isValid
    #expect(!isValid)
    #expect(
      Self.code { try keyspace.put([1], [1], timeToLive: .milliseconds(0)) } == .invalidArgument)
  }

  @Test func whatIsFlushedIsNotReplayed() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let logged = try store.orderedKeyspace("logged")
    let plain = try store.orderedKeyspace("plain", OrderedKeyspaceOptions(isLogged: false))
    try logged.put([1], [1])
    try plain.put([1], [1])
    try store.flush()
    try store.flush()
    let state = try ReadOnlyStore.open(at: "/state", fileSystem: fileSystem).state
    #expect(state.orderedTables.count == 1, "the other one waits for an epoch")
    try store.close()
    let again = try Self.open(fileSystem)
    #expect(try again.orderedKeyspace("logged").get([1]) == [1])
    #expect(
      try again.orderedKeyspace("plain", OrderedKeyspaceOptions(isLogged: false)).get([1]) == nil)
    #expect(Self.code { try store.flush() } == .closed)
  }

  @Test func damageOfTheLogThatWasAcknowledgedIsFoundAndRefused() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let keyspace = try store.orderedKeyspace("a")
    for number in 0..<4 as Range<UInt8> {
      try keyspace.put([number], [number], durability: .synchronized)
    }
    try store.close()
    #expect(try ReadOnlyStore.open(at: "/state", fileSystem: fileSystem).verify().isEmpty)
    let log = try #require(
      try fileSystem.files().first {
        try $0.hasSuffix(".log") && fileSystem.contents(of: $0).count > 64
      })
    var bytes = try fileSystem.contents(of: log)
    // In the payload of the first record.
    bytes[RecordLogFormat.headerBytes + RecordLogFormat.frameBytes + 22] ^= 1
    try fileSystem.replaceContents(of: log, with: bytes)
    let damage = try ReadOnlyStore.open(at: "/state", fileSystem: fileSystem).verify()
    #expect(damage.map(\.file) == [log.split(separator: "/").last.map(String.init)])
    #expect(Self.code { _ = try Self.open(fileSystem) } == .corrupted)
  }

  @Test func filesOfTheLogGo() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let busy = try store.orderedKeyspace("busy")
    let idle = try store.orderedKeyspace("idle")
    try idle.put([1], [1])
    for round in 0..<400 {
      try busy.put([UInt8(round % 256)], [UInt8](repeating: UInt8(round % 256), count: 500))
    }
    try store.waitUntilIdle()
    let directory = try fileSystem.openDirectory(at: "/state", creating: false)
    let logs = try directory.entries().filter { $0.name.hasSuffix(".log") }
    #expect(logs.count <= 8, "\(logs.map(\.name))")
    #expect(try idle.get([1]) == [1])
  }

  @Test func checkpointsHoldBothKindsAtOneMoment() throws {
    let fileSystem = MemoryFileSystem()
    let store = try Self.open(fileSystem)
    let ordered = try store.orderedKeyspace("ordered")
    let plain = try store.orderedKeyspace("plain", OrderedKeyspaceOptions(isLogged: false))
    let seen = try store.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
    for number in 0..<200 {
      let key = Array("key \(number)".utf8)
      try ordered.put(key, [UInt8](repeating: 1, count: 100))
      try plain.put(key, [1])
      _ = try seen.insertIfAbsent(key, time: 0)
    }
    try store.checkpoint(to: "/backups")
    for number in 0..<300 {
      try ordered.put(Array("key \(number)".utf8), [2])
      try plain.put(Array("key \(number)".utf8), [2])
    }
    try store.waitUntilIdle()
    try store.checkpoint(to: "/backups")
    try store.close()
    let checkpoints = try Checkpoints(at: "/backups", fileSystem: fileSystem).list()
    #expect(checkpoints.count == 2)
    for (index, checkpoint) in checkpoints.reversed().enumerated() {
      #expect(try Checkpoints(at: "/backups", fileSystem: fileSystem).verify(checkpoint.id).isEmpty)
      try StateStore.restore(
        checkpoint: CheckpointReference(directory: "/backups", id: checkpoint.id),
        to: "/restored\(index)", fileSystem: fileSystem)
      let restored = try StateStore.open(
        at: "/restored\(index)", options: OrderedScript.options(ManualClock()),
        fileSystem: fileSystem)
      let value = index == 0 ? [UInt8](repeating: 1, count: 100) : [2]
      #expect(try restored.orderedKeyspace("ordered").get(Array("key 7".utf8)) == value)
      let again = try restored.orderedKeyspace("plain", OrderedKeyspaceOptions(isLogged: false))
      #expect(try again.get(Array("key 199".utf8)) == [index == 0 ? 1 : 2])
      #expect(try again.contains(Array("key 299".utf8)) == (index == 1))
      let keys = try restored.keyspace("seen", KeyspaceOptions(timeToLive: .forever))
      #expect(try keys.insertIfAbsent(Array("key 7".utf8), time: 0) == false)
    }
  }

  @Test("writers of several threads have one order, and snapshots see whole batches")
  func concurrentWriters() throws {
    let store = try Self.open(MemoryFileSystem())
    let left = try store.orderedKeyspace("left")
    let right = try store.orderedKeyspace("right")
    let isDone = Atomic(false)
    let failures = Mutex<[String]>([])
    let reader = try JoinedThread {
      do {
        while !isDone.load(ordering: .acquiring) {
          let snapshot = store.snapshot()
          for key in 0..<4 as Range<UInt8> {
            let pair = (try left.get([key], at: snapshot), try right.get([key], at: snapshot))
            if pair.0 != pair.1 { failures.withLock { $0.append("\(pair)") } }
          }
        }
      } catch {
        failures.withLock { $0.append("\(error)") }
      }
    }
    let writers = try (0..<4 as Range<UInt8>).map { number in
      try JoinedThread {
        do {
          for round in 0..<500 {
            let value = Array("\(round)".utf8) + [UInt8](repeating: number, count: 50)
            var batch = WriteBatch()
            try batch.put([number], value, in: left)
            try batch.put([number], value, in: right)
            try store.write(batch, durability: round % 100 == 0 ? .synchronized : .buffered)
          }
        } catch {
          failures.withLock { $0.append("\(error)") }
        }
      }
    }
    for writer in writers { writer.join() }
    isDone.store(true, ordering: .releasing)
    reader.join()
    #expect(failures.withLock { $0 } == [])
    for number in 0..<4 as Range<UInt8> {
      let value = Array("499".utf8) + [UInt8](repeating: number, count: 50)
      #expect(try left.get([number]) == value && right.get([number]) == value)
    }
  }
}
